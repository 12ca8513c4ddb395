"""One run at a time in a folder.

The lock is the operating system's (flock): it goes with the process, however
that ends. The processes of one run share it. The file says who holds it.
"""

import errno
import fcntl
import json
import os
import pathlib
import socket
import time
from typing import Any

NAME = '.lock'
# Seconds to wait for a process that is just ending.
PATIENCE = 3.0
# Some network file systems have no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class FolderInUseError(OSError):
  """Another run is under way in the folder."""


def _holders(file: int) -> list[dict[str, Any]]:
  """Who has written into a lock's file that they hold it."""
  found = []
  for line in os.pread(file, 1 << 16, 0).decode('utf-8', 'replace').split('\n'):
    try:
      holder = json.loads(line)
    except json.JSONDecodeError:
      continue
    if isinstance(holder, dict):
      found.append(holder)
  return found


def _in_words(holders: list[dict[str, Any]]) -> str:
  listed = [
    f'process {holder.get("pid")} on {holder.get("host")} since '
    f'{holder.get("since")}'
    for holder in holders
  ]
  return ', '.join(listed) or 'another process'


class Lock:
  """The lock of a run's folder.

  Attributes:
    works: whether the file system has locks; where not, nothing is held.
  """

  def __init__(self, folder: pathlib.Path):
    self._folder = folder
    self._path = folder / NAME
    self._file: int | None = None
    self.works = True

  def take(self, patience: float = PATIENCE) -> None:
    """Takes the lock for a run that begins or goes on; for its first process.

    Args:
      patience: seconds to wait for a process that is just ending.

    Raises:
      FolderInUseError: names who holds it.
      OSError: the file cannot be made.
    """
    self._hold(fcntl.LOCK_EX, patience)
    os.ftruncate(self._file, 0)
    self._sign()
    # So that the other processes of this run can hold it too.
    self._lock(fcntl.LOCK_SH)

  def join(self, patience: float = PATIENCE) -> None:
    """Shares the lock that the first process of this run has taken.

    Args:
      patience: seconds to wait for the first process.

    Raises:
      FolderInUseError: another run holds it.
    """
    self._hold(fcntl.LOCK_SH, patience)
    self._sign()

  def release(self, remove: bool = False) -> None:
    """Gives the lock back.

    Args:
      remove: also removes its file.
    """
    if self._file is None:
      return
    if remove:
      self._path.unlink(missing_ok=True)
    os.close(self._file)
    self._file = None

  def _lock(self, kind: int) -> bool:
    try:
      fcntl.flock(self._file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
      return False
    except OSError as error:
      if error.errno not in _NO_LOCKS:
        raise
      self.works = False
    return True

  def _hold(self, kind: int, patience: float) -> None:
    end = time.monotonic() + patience
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_APPEND
    while True:
      self._file = os.open(self._path, flags, 0o666)
      if self._lock(kind):
        if self._is_in_place():
          return
      elif time.monotonic() > end:
        holders = _in_words(_holders(self._file))
        self.release()
        raise FolderInUseError(
          f'{self._folder} is in use: {holders} runs in it. Wait for it, stop '
          'it, or choose another --run'
        )
      self.release()
      time.sleep(0.05)

  def _is_in_place(self) -> bool:
    """Whether the open file is still the folder's: its holder may remove it."""
    try:
      there = os.stat(self._path, follow_symlinks=False)
    except FileNotFoundError:
      return False
    return os.path.samestat(there, os.fstat(self._file))

  def _sign(self) -> None:
    holder = {
      'host': socket.gethostname(),
      'pid': os.getpid(),
      'since': time.strftime('%Y-%m-%d %H:%M:%S %Z'),
    }
    os.write(self._file, (json.dumps(holder) + '\n').encode())
