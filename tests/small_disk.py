"""A file system that is soon full, for tests of what happens then."""

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def small_disk(folder: pathlib.Path, size: str) -> Iterator[pathlib.Path]:
  """Mounts a file system of `size` (such as '3m') at `folder`.

  Skips the test where this user may mount nothing.
  """
  folder.mkdir()
  mount = ['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', str(folder)]
  try:
    done = subprocess.run(mount, capture_output=True, text=True)
  except FileNotFoundError:
    pytest.skip('there is no mount')
  if done.returncode:
    pytest.skip(f'may not mount a small disk: {done.stderr.strip()}')
  try:
    yield folder
  finally:
    # Lazily: a thread that writes may still have a file open.
    subprocess.run(['umount', '-l', str(folder)], check=True)


def fill(folder: pathlib.Path, leave: int = 0) -> pathlib.Path:
  """Fills the disk but for `leave` bytes; returns the file that does it."""
  path = folder / 'filling'
  with contextlib.suppress(OSError), open(path, 'wb', buffering=0) as file:
    while True:
      file.write(bytes(4096))
  with open(path, 'r+b') as file:
    file.truncate(max(path.stat().st_size - leave, 0))
  return path
