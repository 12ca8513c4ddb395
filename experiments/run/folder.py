"""The folder of a run: its configuration, and whether it may be resumed."""

import contextlib
import errno
import json
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, BinaryIO

from experiments.run import lock as lock_lib
from jaxcredit import files
from jaxcredit.distributed import processes

CONFIG = 'config.json'
# What a configuration holds beside flags: the name of the script.
SCRIPT = 'script'
# Flags without which two runs have nothing in common.
_KINDS = ('method', 'domain')
# Differing flags that an error shows.
_SHOWN = 5
# What a run writes, beside it, before it has learned anything.
_PREPARED = ('tokenizer', 'tensorboard', 'checkpoints')


class DifferentRunError(ValueError):
  """The folder holds another run."""


def _check_same(
  folder: pathlib.Path,
  old: Mapping[str, Any],
  new: Mapping[str, Any],
  may_change: Collection[str],
) -> None:
  """Raises `DifferentRunError` if two configurations are not of one run."""
  another = 'Choose another --run.'
  if SCRIPT not in old:
    raise DifferentRunError(
      f'{folder} holds a run of an earlier version, which this version cannot '
      f'go on with. {another}'
    )
  if old[SCRIPT] != new[SCRIPT]:
    raise DifferentRunError(
      f'{folder} holds a run of {old[SCRIPT]}, not of {new[SCRIPT]}. {another}'
    )
  if gone := sorted(old.keys() - new.keys()):
    raise DifferentRunError(
      f'{folder} holds a run of an earlier version, which had the flag '
      f'--{gone[0]}. This version cannot go on with it. {another}'
    )
  names = [
    name
    for name in new
    if name not in may_change and old.get(name) != new[name]
  ]
  for name in _KINDS:
    if name in names:
      raise DifferentRunError(
        f'{folder} holds a run with --{name}={old.get(name)}, not {new[name]}. '
        f'{another}'
      )
  if not names:
    return
  lines = [
    f'  --{name}: {old.get(name)!r} then, {new[name]!r} now'
    for name in names[:_SHOWN]
  ]
  if len(names) > _SHOWN:
    lines.append(f'  and {len(names) - _SHOWN} more')
  raise DifferentRunError(
    f'{folder} holds a run with other flags:\n'
    + '\n'.join(lines)
    + '\nGive the same flags to resume it, or another --run to start anew.'
  )


def _holds_run(folder: pathlib.Path) -> bool:
  """Whether the folder holds a run; raises if it holds something else."""
  if folder.exists() and not folder.is_dir():
    raise FileExistsError(f'{folder} is no folder: choose another --run')
  if (folder / CONFIG).exists():
    return True
  # A run that was killed while it wrote its first file has begun nothing.
  nothing = (CONFIG + files.HALF, lock_lib.NAME)
  if folder.exists() and any(f.name not in nothing for f in folder.iterdir()):
    raise FileExistsError(
      f'{folder} is not empty, but holds no run ({CONFIG} is missing): choose '
      'another --run'
    )
  return False


def open_run(
  folder: pathlib.Path,
  config: dict[str, Any],
  may_change: Collection[str],
  defaults: Mapping[str, Any] | None = None,
) -> bool:
  """Writes the configuration, or checks that the folder holds the same run.

  Args:
    folder: of the run; it is there.
    config: names of flags -> values, and the script's name; they determine the
      run's numbers.
    may_change: flags that do not, such as how often to save.
    defaults: of flags that the run may not know yet.

  Returns:
    Whether there was a run, which goes on.

  Raises:
    DifferentRunError: says what differs.
    FileExistsError: the folder holds something else, or is none.
    OSError: the folder cannot be written to.
  """
  if _holds_run(folder):
    try:
      old = read_config(folder)
    except ValueError as error:
      raise FileExistsError(f'{error}: choose another --run') from None
    _check_same(folder, {**(defaults or {}), **old}, config, may_change)
    return True
  write_text(
    folder / CONFIG, json.dumps(config, indent=2, sort_keys=True) + '\n'
  )
  return False


@contextlib.contextmanager
def _in_words(folder: pathlib.Path) -> Iterator[None]:
  """Around what makes the folder and writes its first files."""
  try:
    yield
  except (lock_lib.FolderInUseError, FileExistsError):
    raise
  except OSError as error:
    raise type(error)(
      f'the folder {folder} cannot be made or written to '
      f'({error.strerror}): choose another --run'
    ) from None


@contextlib.contextmanager
def opened(
  folder: pathlib.Path,
  config: dict[str, Any],
  may_change: Collection[str] = (),
  defaults: Mapping[str, Any] | None = None,
) -> Iterator[bool]:
  """Locks the folder for a run.

  All processes of a run ask; the first makes what is to be made. A new run that
  ends before it has left anything does not claim the folder.

  Args:
    folder: see `open_run`; it is made where it is not there.
    config: see `open_run`.
    may_change: see `open_run`.
    defaults: see `open_run`.

  Yields:
    Whether there was a run, which goes on.

  Raises:
    lock.FolderInUseError: another run is under way; names its processes.
    DifferentRunError: see `open_run`.
    FileNotFoundError: another process does not see what the first has made.
    OSError: see `open_run`.
  """
  first = processes.is_first()
  lock = lock_lib.Lock(folder)
  going_on = True
  try:
    if first:
      with _in_words(folder):
        _holds_run(folder)
        folder.mkdir(parents=True, exist_ok=True)
        lock.take()
        if not lock.works:
          print(
            f'note: the file system of {folder} has no locks: nothing keeps a '
            'second run out of this folder',
            file=sys.stderr,
          )
        going_on = open_run(folder, config, may_change, defaults)
    going_on = processes.as_first(going_on)
    if not first:
      wait_for(folder)
      lock.join()
      open_run(folder, config, may_change, defaults)
    yield going_on
  finally:
    if first and not going_on:
      forget_unbegun(folder)
    lock.release(remove=first)


def wait_for(folder: pathlib.Path, patience: float = 30.0) -> None:
  """Waits until the run of another process is visible.

  Args:
    folder: of the run, on a file system that all processes share.
    patience: seconds; some file systems take a while to show a new file.

  Raises:
    FileNotFoundError: it is not seen.
  """
  end = time.monotonic() + patience
  while not (folder / CONFIG).exists():
    if time.monotonic() > end:
      raise FileNotFoundError(
        f'process 0 has made the run in {folder.absolute()}, but it is not '
        'there for this process: --run must lie on a file system that all '
        'hosts share, under the same path'
      )
    time.sleep(0.1)


def forget_unbegun(folder: pathlib.Path) -> None:
  """Empties the folder of a new run that ended before it wrote anything.

  Without this, a wrong flag would have to be given again for ever: the folder
  would hold a run with that flag. Where there are results (metrics, curves, a
  checkpoint), nothing is removed.

  Args:
    folder: where `open_run` has just returned False.
  """
  own = (*_PREPARED, CONFIG, lock_lib.NAME)
  if any(folder.glob('checkpoints/**/[0-9]*')) or any(
    path.name not in own and not _is_empty(path) for path in folder.iterdir()
  ):
    return
  (folder / CONFIG).unlink(missing_ok=True)
  for name in _PREPARED:
    shutil.rmtree(folder / name, ignore_errors=True)
  for path in folder.iterdir():
    if path.name != lock_lib.NAME and _is_empty(path):
      path.rmdir() if path.is_dir() else path.unlink()


def _is_empty(path: pathlib.Path) -> bool:
  """Whether a file is empty, or a folder holds nothing."""
  if path.is_dir() and not path.is_symlink():
    return not any(path.iterdir())
  return not path.is_symlink() and path.stat().st_size == 0


def read_config(folder: pathlib.Path) -> dict[str, Any]:
  """Returns the flags of a run.

  Raises:
    FileNotFoundError: the folder holds no run.
    ValueError: its configuration is damaged.
  """
  path = folder / CONFIG
  if not path.exists():
    raise FileNotFoundError(f'{folder} holds no run ({CONFIG} is missing)')
  try:
    config = json.loads(path.read_text(encoding='utf-8'))
  except (json.JSONDecodeError, UnicodeDecodeError) as error:
    raise ValueError(f'{path} is not readable ({error})') from None
  if not isinstance(config, dict):
    raise ValueError(f'{path} is not readable (not a JSON object)')
  return config


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a file whole or not at all; of several processes, the first does."""
  if processes.is_first():
    files.write_text(path, text)


def write_bytes(
  path: pathlib.Path, write: Callable[[BinaryIO], object]
) -> None:
  """Like `write_text`, with a function that writes into an open file."""
  if processes.is_first():
    files.write_bytes(path, write)


def error_in_words(error: Exception, folder: pathlib.Path) -> str:
  """An error in one line; a full disk with what to do about it.

  Args:
    error: that ended a run.
    folder: of the run.
  """
  # A checkpoint's own error says which one is whole.
  if not isinstance(error, OSError) or error.errno != errno.ENOSPC:
    return str(error)
  if error.filename is None and error.strerror is None:
    return str(error)
  return (
    f'the disk of {folder} is full. What is complete there is whole: the same '
    'command goes on from it once there is room'
  )
