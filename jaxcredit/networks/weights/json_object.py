"""JSON objects in files of strangers: unambiguous, or refused.

A key that is given twice has two meanings, of which other readers may take the
other; and a damaged file is an error that names the file, whatever way it is
damaged.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

# More than any configuration, index or header has; the limit of safetensors.
LARGEST = 100_000_000


def read(path: pathlib.Path) -> dict[str, Any]:
  """Reads a file that holds one object.

  Args:
    path: of the file; a byte-order mark is taken.

  Raises:
    ValueError: it does not hold one object; the message begins with the path.
  """
  size = path.stat().st_size
  if size > LARGEST:
    raise ValueError(f'{path} has {size:,} bytes; at most {LARGEST:,} are read')
  try:
    return parse(path.read_bytes())
  except ValueError as error:
    raise ValueError(f'{path} {error}') from None


def parse(data: bytes) -> dict[str, Any]:
  """The object that a text in UTF-8 spells.

  Raises:
    ValueError: it spells none, with words that go behind the text's name.
  """
  try:
    value = json.loads(
      data.decode('utf-8-sig'),
      object_pairs_hook=_without_doubles,
      parse_constant=_refuse_constant,
    )
  except _DoubleKeyError as error:
    raise ValueError(f'names {shown(str(error))} twice') from None
  except RecursionError:
    raise ValueError('is not valid JSON: it is nested too deeply') from None
  except ValueError as error:
    raise ValueError(f'is not valid JSON: {error}') from None
  if not isinstance(value, dict):
    raise ValueError('holds no JSON object')
  return value


class _DoubleKeyError(ValueError):
  """A key is given twice."""


def _without_doubles(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
  found: dict[str, Any] = {}
  for key, value in pairs:
    if key in found:
      raise _DoubleKeyError(key)
    found[key] = value
  return found


def _refuse_constant(name: str) -> None:
  raise ValueError(f'{name} is no number')


def is_whole(value: Any) -> bool:
  """Whether a value is a whole number; True and False are none."""
  return isinstance(value, int) and not isinstance(value, bool)


def shown(name: str) -> str:
  """A name out of a file, as a message can hold it."""
  name = name if len(name) <= 120 else f'{name[:120]}...'
  return name if name.isprintable() else repr(name)
