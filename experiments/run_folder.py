"""The folder of a run: its configuration, and whether it may be resumed."""

import json
import pathlib
from typing import Any

CONFIG = 'config.json'


class DifferentRunError(ValueError):
  """The folder holds a run with other flags."""


def open_run(
  folder: pathlib.Path, config: dict[str, Any], may_change: set[str]
) -> bool:
  """Makes the folder, or checks that it holds a run with the same flags.

  Args:
    folder: of the run.
    config: names of flags -> values; they determine the run's numbers.
    may_change: flags that do not, such as how often to save.

  Returns:
    Whether there was a run, which goes on.

  Raises:
    DifferentRunError: names the flags that differ.
    FileExistsError: the folder holds something else.
  """
  path = folder / CONFIG
  if path.exists():
    try:
      old = json.loads(path.read_text(encoding='utf-8'))
    except json.JSONDecodeError as error:
      raise FileExistsError(
        f'{path} is not readable ({error}): choose another --run'
      ) from None
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
  if folder.exists() and any(folder.iterdir()):
    raise FileExistsError(
      f'{folder} is not empty, but holds no run ({CONFIG} is missing): choose '
      'another --run'
    )
  folder.mkdir(parents=True, exist_ok=True)
  write_text(path, json.dumps(config, indent=2, sort_keys=True) + '\n')
  return False


def read_config(folder: pathlib.Path) -> dict[str, Any]:
  """Returns the flags of a run.

  Raises:
    FileNotFoundError: the folder holds no run.
  """
  path = folder / CONFIG
  if not path.exists():
    raise FileNotFoundError(f'{folder} holds no run ({CONFIG} is missing)')
  return json.loads(path.read_text(encoding='utf-8'))


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a file whole or not at all."""
  temporary = path.with_name(path.name + '.tmp')
  temporary.write_text(text, encoding='utf-8')
  temporary.replace(path)
