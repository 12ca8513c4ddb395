"""The folder of a run: its configuration, and whether it may be resumed."""

import errno
import json
import pathlib
import shutil
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from jaxcredit.distributed import processes

CONFIG = 'config.json'
# At the end of the name of a file that is being written.
_HALF = '.tmp'
# What a run writes, beside it, before it has learned anything.
_PREPARED = ('tokenizer', 'tensorboard', 'checkpoints')


class DifferentRunError(ValueError):
  """The folder holds a run with other flags."""


def open_run(
  folder: pathlib.Path,
  config: dict[str, Any],
  may_change: set[str],
  defaults: dict[str, Any] | None = None,
) -> bool:
  """Makes the folder, or checks that it holds a run with the same flags.

  Args:
    folder: of the run.
    config: names of flags -> values; they determine the run's numbers.
    may_change: flags that do not, such as how often to save.
    defaults: what flags were that the run did not know yet, as one of an
      earlier version.

  Returns:
    Whether there was a run, which goes on.

  Raises:
    DifferentRunError: names the flags that differ.
    FileExistsError: the folder holds something else, or is none.
    OSError: the folder cannot be made or written to.
  """
  path = folder / CONFIG
  if folder.exists() and not folder.is_dir():
    raise FileExistsError(f'{folder} is no folder: choose another --run')
  if path.exists():
    try:
      old = read_config(folder)
    except ValueError as error:
      raise FileExistsError(f'{error}: choose another --run') from None
    old = {**(defaults or {}), **old}
    different = [
      f'  --{name}: {old.get(name)!r} then, {config[name]!r} now'
      for name in config
      if name not in may_change and old.get(name) != config[name]
    ]
    if different:
      raise DifferentRunError(
        f'{folder} holds a run with other flags:\n'
        + '\n'.join(different)
        + '\nGive the same flags to resume it, or another --run to start anew.'
      )
    return True
  # A run that was killed while it wrote its first file has begun nothing.
  half = path.with_name(path.name + _HALF)
  if folder.exists() and any(found != half for found in folder.iterdir()):
    raise FileExistsError(
      f'{folder} is not empty, but holds no run ({CONFIG} is missing): choose '
      'another --run'
    )
  try:
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(config, indent=2, sort_keys=True) + '\n')
  except OSError as error:
    raise type(error)(
      f'the folder {folder} cannot be made or written to '
      f'({error.strerror}): choose another --run'
    ) from None
  return False


def open_together(
  folder: pathlib.Path,
  config: dict[str, Any],
  may_change: set[str],
  defaults: dict[str, Any] | None = None,
) -> bool:
  """As `open_run`, in each of several processes, in the first one first.

  Returns:
    Whether there was a run, which goes on.

  Raises:
    FileNotFoundError: another process does not see what the first has made.
    DifferentRunError: another process has other flags.
    OSError: see `open_run`.
  """
  going_on = processes.as_first(
    processes.is_first() and open_run(folder, config, may_change, defaults)
  )
  if not processes.is_first():
    wait_for(folder)
    open_run(folder, config, may_change, defaults)
  return going_on


def wait_for(folder: pathlib.Path, patience: float = 30.0) -> None:
  """Waits until a run is seen that another process has made.

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
  """Empties the folder of a new run that ended before it learned anything.

  Without this, a misspelt path would have to be given again for ever: the
  folder would hold a run with that flag. Where there are results (metrics, an
  evaluation, a checkpoint), nothing is removed.

  Args:
    folder: where `open_run` has just returned False.
  """
  begun = any(folder.glob('checkpoints/*/[0-9]*')) or any(
    (folder / name).exists() for name in ('metrics.jsonl', 'evaluations.json')
  )
  if begun:
    return
  (folder / CONFIG).unlink(missing_ok=True)
  for name in _PREPARED:
    shutil.rmtree(folder / name, ignore_errors=True)


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
  write_bytes(path, lambda file: file.write(text.encode('utf-8')))


def write_bytes(
  path: pathlib.Path, write: Callable[[BinaryIO], object]
) -> None:
  """As `write_text`, what a function writes into an open file."""
  if not processes.is_first():
    return
  temporary = path.with_name(path.name + _HALF)
  with open(temporary, 'wb') as file:
    write(file)
  temporary.replace(path)


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
