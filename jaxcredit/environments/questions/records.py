"""Reads files of questions: one JSON object a line, plain or packed (.xz)."""

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from jaxcredit.environments import packed_lines


class RecordError(ValueError):
  """A record that is not a question.

  Attributes:
    source: the file.
    line: line in that file, from 1; 0 where it is unknown.
    reason: what is wrong.
  """

  def __init__(self, source: str, line: int, reason: str):
    # Lone surrogates, which JSON can hold, cannot be printed.
    reason = reason.encode('utf-8', 'backslashreplace').decode('utf-8')
    super().__init__(
      f'{source}:{line}: {reason}' if line else f'{source}: {reason}'
    )
    self.source = source
    self.line = line
    self.reason = reason

  def __reduce__(self):
    return RecordError, (self.source, self.line, self.reason)


class Record:
  """One object of a file, and where it stands.

  Args:
    fields: the object.
    source: the file, or what else it came from.
    line: its line, from 1.
  """

  def __init__(self, fields: dict[str, Any], source: str, line: int):
    self.fields = fields
    self.source = source
    self.line = line

  @property
  def name(self) -> str:
    return f'{pathlib.Path(self.source).name}:{self.line}'

  def error(self, reason: str) -> RecordError:
    return RecordError(self.source, self.line, reason)

  def text(self, key: str) -> str:
    """A field that must be text with something in it."""
    value = self.fields.get(key)
    if value is not None and not isinstance(value, str):
      shown = json.dumps(value)
      if len(shown) > 60:
        shown = f'{shown[:60]}...'
      raise self.error(
        f'the question has no text {key!r} but {shown}: give it as text'
      )
    if value is None or not value.strip():
      raise self.error(f'the question has no text {key!r}')
    return value


def read(path: str | os.PathLike) -> list[Record]:
  """Reads the records of a file.

  Args:
    path: a .jsonl file or a .jsonl.xz file.

  Returns:
    Its records, in their order.

  Raises:
    FileNotFoundError: there is no file at `path`, or nothing in it.
    RecordError: a line is malformed; names the file, the line and the fault.
  """
  path = pathlib.Path(path).expanduser()
  if not path.is_file():
    raise FileNotFoundError(
      f'no questions at {path}: give a .jsonl file or a .jsonl.xz file'
    )
  if not path.name.endswith(('.jsonl', '.jsonl.xz')):
    raise RecordError(
      str(path), 0, 'questions are read from .jsonl and .jsonl.xz files'
    )
  records = list(_records(path))
  if not records:
    raise FileNotFoundError(f'{path} holds no questions: it is empty')
  return records


def _records(path: pathlib.Path) -> Iterator[Record]:
  try:
    for number, line in packed_lines.read(path):
      if line.strip():
        yield Record(_json(line, str(path), number), str(path), number)
  except packed_lines.FileError as error:
    raise RecordError(str(path), error.line, error.reason) from None


def _json(line: bytes, source: str, number: int) -> dict[str, Any]:
  try:
    value = json.loads(line.decode('utf-8'))
  except json.JSONDecodeError as error:
    reason = f'not JSON: {error.msg} (column {error.colno})'
    raise RecordError(source, number, reason) from None
  except UnicodeDecodeError as error:
    reason = f'not UTF-8 text: {error.reason} (byte {error.start})'
    raise RecordError(source, number, reason) from None
  except (RecursionError, ValueError) as error:
    raise RecordError(source, number, f'not JSON: {error}') from None
  if not isinstance(value, dict):
    raise RecordError(source, number, 'a question must be a JSON object')
  return value
