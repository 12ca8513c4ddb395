"""Files that hold one game a line, as JSON, plain or packed."""

import json
import lzma
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jaxcredit.environments import packed_lines
from jaxcredit.environments.household import pddl


def read_json(text: bytes | str, source: str, line: int = 0):
  """Reads JSON of a line, or of a whole file where `line` is 0.

  Raises:
    GameError: with the line and what is wrong.
  """
  try:
    return json.loads(text if isinstance(text, str) else text.decode('utf-8'))
  except json.JSONDecodeError as error:
    raise pddl.GameError(
      source,
      line or error.lineno,
      f'not JSON: {error.msg} (column {error.colno})',
    ) from None
  except UnicodeDecodeError as error:
    raise pddl.GameError(
      source,
      line or text.count(b'\n', 0, error.start) + 1,
      f'not UTF-8 text: {error.reason} (byte {error.start})',
    ) from None
  except (RecursionError, ValueError) as error:
    raise pddl.GameError(source, line or 1, f'not JSON: {error}') from None


def read(
  path: str | os.PathLike, keys: Iterable[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
  """Yields the number of each line that is not empty, and its object.

  Args:
    path: a .jsonl file or a .jsonl.xz file.
    keys: what each object must hold as text.

  Raises:
    GameError: with the line and what is wrong.
  """
  path = pathlib.Path(path)
  if not path.name.endswith(('.jsonl', '.jsonl.xz')):
    raise pddl.GameError(
      str(path), 0, 'games are read from folders, .jsonl and .jsonl.xz files'
    )
  try:
    for number, line in packed_lines.read(path):
      if line.strip():
        yield number, _checked(line, str(path), number, keys)
  except packed_lines.FileError as error:
    raise pddl.GameError(str(path), error.line, error.reason) from None


def _checked(line: bytes, source: str, number: int, keys) -> dict[str, Any]:
  entry = read_json(line, source, number)
  if not isinstance(entry, dict):
    raise pddl.GameError(source, number, 'a game must be a JSON object')
  for key in keys:
    if not isinstance(entry.get(key), str):
      raise pddl.GameError(source, number, f'the game has no text {key!r}')
  return entry


def write(
  path: str | os.PathLike, entries: Iterable[Mapping[str, Any]]
) -> None:
  """Writes objects one a line, packed where the name ends in .xz."""
  path = pathlib.Path(path)
  with (lzma.open if path.suffix == '.xz' else open)(
    path, 'wt', encoding='utf-8'
  ) as file:
    for entry in entries:
      json.dump(entry, file)
      file.write('\n')
