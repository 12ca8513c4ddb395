"""Checksums of a checkpoint's files.

The format of the arrays does not notice a bit that flipped on the disk: it
reads other numbers. So beside them stands what was written. The checksums are
against accidents, not against somebody who changes both.
"""

import json
import os
import pathlib
import zlib

FILE_NAME = 'checksums.json'
# Orbax writes these once more after all else; it reads a checkpoint without.
_LATER = ('_CHECKPOINT_METADATA', 'commit_success.txt')
_CHUNK = 1 << 22


def _of(path: pathlib.Path) -> list[int]:
  """Size and CRC-32 of a file."""
  size, value = 0, 0
  with open(path, 'rb') as file:
    while chunk := file.read(_CHUNK):
      size += len(chunk)
      value = zlib.crc32(chunk, value)
  return [size, value]


def write(folder: pathlib.Path) -> None:
  """Writes the checksums of all files under a folder into it.

  Raises:
    OSError: the file cannot be written, or one cannot be read.
  """
  found = {
    path.relative_to(folder).as_posix(): _of(path)
    for path in sorted(folder.rglob('*'))
    if path.is_file() and path.name not in (FILE_NAME, *_LATER)
  }
  with open(folder / FILE_NAME, 'w', encoding='utf-8') as file:
    json.dump(found, file, indent=1)
    file.flush()
    os.fsync(file.fileno())


def damage(folder: pathlib.Path) -> str:
  """What is wrong with the files of a folder, in words; '' for nothing.

  A checkpoint of a version that wrote no checksums counts as whole.
  """
  path = folder / FILE_NAME
  if not path.exists():
    return ''
  try:
    expected = json.loads(path.read_text(encoding='utf-8'))
    for name, written in expected.items():
      file = folder / name
      if not file.exists():
        return f'{name} is missing'
      size, value = _of(file)
      if size != written[0]:
        return f'{name} has {size} bytes of {written[0]}'
      if value != written[1]:
        return f'{name} holds other bytes than were written'
  except (ValueError, AttributeError, TypeError, IndexError):
    return f'{FILE_NAME} is not readable'
  except OSError as error:
    return f'{error.filename or name} cannot be read: {error.strerror}'
  return ''
