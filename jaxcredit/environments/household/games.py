"""Household games and the files that hold them.

Three forms are read: the folders of ALFWorld's own data (each trial a folder
with `game.tw-pddl` and `traj_data.json`), and one game a line as JSON, plain
(.jsonl) or packed (.jsonl.xz).
"""

import collections
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Iterator

from jaxcredit.environments import packed_lines
from jaxcredit.environments.household import game_lines, pddl

TASK_TYPES = (
  'pick_and_place_simple',
  'look_at_obj_in_light',
  'pick_clean_then_place_in_recep',
  'pick_heat_then_place_in_recep',
  'pick_cool_then_place_in_recep',
  'pick_two_obj_and_place',
)


@dataclasses.dataclass(frozen=True)
class Game:
  """One game.

  Attributes:
    name: identifies it.
    task_type: one of TASK_TYPES.
    task_description: the sentence that states the task.
    problem: the planning problem, as PDDL text.
    split: the part of the data that it belongs to.
    source: where it was read, for error messages.
  """

  name: str
  task_type: str
  task_description: str
  problem: str
  split: str = ''
  source: str = 'game'

  def parse(self) -> pddl.Problem:
    """Parses the planning problem; raises GameError."""
    return pddl.parse_problem(self.problem, self.source)


def load_games(path: str | os.PathLike) -> list[Game]:
  """Reads games.

  Args:
    path: a folder of ALFWorld's data, a .jsonl file or a .jsonl.xz file.

  Returns:
    The games, in the order of the file, or of the folders' names.

  Raises:
    FileNotFoundError: there is nothing at `path`, or no game.
    GameError: a game is malformed; names the file, the line and the fault.
  """
  path = pathlib.Path(path).expanduser()
  if not path.exists():
    raise FileNotFoundError(
      f'no games at {path}: give a folder of ALFWorld data, a .jsonl file '
      'or a .jsonl.xz file'
    )
  if path.is_dir():
    games = list(_folder_games(path))
  else:
    games = list(_line_games(path))
  if not games:
    raise FileNotFoundError(
      f'{path} holds no games (a folder must have files game.tw-pddl below)'
      if path.is_dir()
      else f'{path} holds no games: it is empty'
    )
  return games


def save_games(path: str | os.PathLike, games: Iterable[Game]) -> None:
  """Writes games one a line as JSON, packed where the name ends in .xz."""
  game_lines.write(
    path,
    (
      {
        'split': game.split,
        'trial': game.name,
        'task_type': game.task_type,
        'task_desc': game.task_description,
        'problem': game.problem,
      }
      for game in games
    ),
  )


def _line_games(path: pathlib.Path) -> Iterator[Game]:
  keys = ('task_type', 'task_desc', 'problem')
  for number, entry in game_lines.read(path, keys):
    _check_type(entry['task_type'], str(path), number)
    name = entry.get('trial') or f'line {number}'
    yield Game(
      name=str(name),
      task_type=entry['task_type'],
      task_description=entry['task_desc'],
      problem=entry['problem'],
      split=str(entry.get('split', '')),
      source=f'{path}:{number} ({name}), problem',
    )


def _check_type(task_type: str, source: str, line: int) -> None:
  if task_type not in TASK_TYPES:
    raise pddl.GameError(
      source,
      line,
      f'unknown task type {task_type!r}: must be one of '
      + ', '.join(TASK_TYPES),
    )


# The sentence that the game shows stands in its grammar, as a JSON string.
_TASK = re.compile(r'"Your task is to: (?:[^"\\]|\\.)*"', re.DOTALL)


def _folder_games(folder: pathlib.Path) -> Iterator[Game]:
  for file in sorted(folder.rglob('game.tw-pddl')):
    game = _folder_game(file, folder)
    if game is not None:
      yield game


def _folder_game(file: pathlib.Path, folder: pathlib.Path) -> Game | None:
  # ALFWorld plays neither games with slices or movable receptacles nor those
  # that its planner could not solve; its splits are counted without them.
  if any(
    word in str(file.relative_to(folder)) for word in ('movable', 'Sliced')
  ):
    return None
  data = game_lines.read_json(_bytes(file), str(file))
  if not isinstance(data, dict) or not isinstance(
    data.get('pddl_problem'), str
  ):
    raise pddl.GameError(str(file), 1, "no text 'pddl_problem'")
  solvable = data.get('solvable', True)
  if not isinstance(solvable, bool):
    raise pddl.GameError(
      str(file), 1, f"'solvable' must be true or false, not {solvable!r}"
    )
  if not solvable:
    return None
  task_type = _folder_task_type(file)
  return Game(
    name=str(file.parent.relative_to(folder)) or file.parent.name,
    task_type=task_type,
    task_description=_folder_task(file, data.get('grammar')),
    problem=data['pddl_problem'],
    split=next(
      (p for p in file.parts if p.startswith(('train', 'valid_'))), ''
    ),
    source=f'{file}, pddl_problem',
  )


def _bytes(file: pathlib.Path) -> bytes:
  try:
    size = file.stat().st_size
    if size > packed_lines.LONGEST_LINE:
      raise pddl.GameError(
        str(file),
        0,
        f'{size:,} bytes; a game has {packed_lines.LONGEST_LINE:,} at most',
      )
    return file.read_bytes()
  except OSError as error:
    raise pddl.GameError(
      str(file), 0, f'cannot be read: {error.strerror or error}'
    ) from None


def _folder_task(file: pathlib.Path, grammar) -> str:
  found = _TASK.search(grammar) if isinstance(grammar, str) else None
  if found is not None:
    sentence = game_lines.read_json(found.group(), f'{file}, grammar')
    sentence = sentence.removeprefix('Your task is to: ').removesuffix('.')
  if found is None or sentence in ('UNKNOWN GOAL', '@TASK@'):
    raise pddl.GameError(
      str(file), 1, "its grammar does not say 'Your task is to: ...'"
    )
  return sentence


def _folder_task_type(file: pathlib.Path) -> str:
  recorded = file.with_name('traj_data.json')
  if recorded.exists():
    data = game_lines.read_json(_bytes(recorded), str(recorded))
    if not isinstance(data, dict) or not isinstance(data.get('task_type'), str):
      raise pddl.GameError(str(recorded), 1, "no text 'task_type'")
    _check_type(data['task_type'], str(recorded), 1)
    return data['task_type']
  # Folders are named task_type-object-...; the trial lies one level below.
  for name in (file.parent.parent.name, file.parent.name):
    if name.split('-')[0] in TASK_TYPES:
      return name.split('-')[0]
  raise pddl.GameError(
    str(file), 0, 'no traj_data.json beside it tells the task type'
  )


def count_by_type(games: Iterable[Game]) -> dict[str, int]:
  """How many games there are of each task type."""
  counts = collections.Counter(game.task_type for game in games)
  return {kind: counts[kind] for kind in TASK_TYPES}
