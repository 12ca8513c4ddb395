"""The lines of a file, plain or packed (.xz), with bounds on what comes out.

A packed file of a megabyte can unpack to gigabytes, in one line or in many. So
lines have a length at most, and a packed file a size and a number of lines:
what is beyond them is refused before it is in memory.
"""

import io
import lzma
import os
import pathlib
from collections.abc import Iterator

# A game of ALFWorld has 20 kB, a problem of MATH one.
LONGEST_LINE = 16 << 20
MOST_LINES = 2_000_000
# Of a packed file: data sets of text pack to a tenth or less of their size.
MOST_PACKED = 1 << 30
_ALWAYS_ALLOWED, _MOST_RATIO = 64 << 20, 100


class FileError(ValueError):
  """A file that cannot be read, or holds more than it may.

  Attributes:
    line: the line at which it ended, from 1.
    reason: what is wrong.
  """

  def __init__(self, line: int, reason: str):
    super().__init__(f'line {line}: {reason}')
    self.line = line
    self.reason = reason


def read(path: str | os.PathLike) -> Iterator[tuple[int, bytes]]:
  """Yields the number of each line, from 1, and the line without its end.

  Lines are bytes, so that the fault of one is told with that line. A mark of
  the byte order at the beginning of the file is left out.

  Args:
    path: of the file; packed where its name ends in .xz.

  Raises:
    FileError: the file cannot be read, or a bound is passed.
  """
  path = pathlib.Path(path)
  packed = path.suffix == '.xz'
  number = 0
  try:
    most = _most(path.stat().st_size) if packed else None
    with _opened(path, packed) as file:
      total = 0
      while line := file.readline(LONGEST_LINE + 2):
        number += 1
        total += len(line)
        text = line.removesuffix(b'\n').removesuffix(b'\r')
        if number == 1:
          text = text.removeprefix(b'\xef\xbb\xbf')
        _check(number, len(text), total, most)
        yield number, text
  except (lzma.LZMAError, EOFError) as error:
    raise FileError(number + 1, f'not a readable .xz file: {error}') from None
  except OSError as error:
    raise FileError(
      number + 1, f'cannot be read: {error.strerror or error}'
    ) from None


def _opened(path: pathlib.Path, packed: bool):
  if not packed:
    return open(path, 'rb')
  # Lines of a buffer in C take a tenth of the time of the module's own.
  return io.BufferedReader(lzma.open(path, 'rb'), 1 << 20)


def _most(size: int) -> int:
  """Bytes that a packed file of a size may hold."""
  return min(MOST_PACKED, max(_ALWAYS_ALLOWED, _MOST_RATIO * size))


def _check(number: int, length: int, total: int, most: int | None) -> None:
  if length > LONGEST_LINE:
    raise FileError(
      number,
      f'the line has more than {LONGEST_LINE:,} bytes: give one record a line',
    )
  if number > MOST_LINES:
    raise FileError(
      number, f'more than {MOST_LINES:,} lines: cut the file into parts'
    )
  if most is not None and total > most:
    raise FileError(
      number,
      f'the file unpacks to more than {most:,} bytes: cut it into parts, or '
      'unpack it, if it is what it should be',
    )
