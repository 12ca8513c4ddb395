"""Broken games give a GameError that says where, and nothing else."""

import dataclasses
import json
import lzma
import random
import re

import pytest

from jaxcredit.environments import household
from jaxcredit.environments.household import world
from tests.environments.household.test_engine import KITCHEN, game

GRAMMAR = '{"rhs": "Your task is to: cool some apple and put it in shelf."}'


def write_folder(root, data=None, trajectory=None):
  """A trial as ALFWorld's data has it; both files can be given as they are."""
  folder = root / 'valid_seen' / 'pick_cool_then_place_in_recep-Apple' / 'trial'
  folder.mkdir(parents=True)
  if data is None:
    data = {}
  if isinstance(data, dict):
    data = {'grammar': GRAMMAR, 'pddl_problem': KITCHEN, **data}
    data = json.dumps(data).encode()
  (folder / 'game.tw-pddl').write_bytes(data)
  if trajectory is not None:
    (folder / 'traj_data.json').write_bytes(trajectory)
  return folder


@pytest.mark.parametrize(
  ('data', 'line', 'message'),
  [
    (b'', 1, 'not JSON'),
    (b'{\n"grammar": "', 2, 'not JSON: Unterminated string'),
    (b'{\n\n"a": "\xff"}', 3, 'not UTF-8 text'),
    (b'\xef\xbb\xbf{}', 1, 'not JSON: Unexpected UTF-8 BOM'),
    (b'[' * 100_000, 1, 'not JSON: .*recursion'),
    (b'9' * 5_000, 1, 'not JSON: .*integer'),
    (b'[]', 1, "no text 'pddl_problem'"),
    ({'pddl_problem': None}, 1, "no text 'pddl_problem'"),
    ({'solvable': 'no'}, 1, "'solvable' must be true or false, not 'no'"),
    ({'solvable': None}, 1, "'solvable' must be true or false, not None"),
    ({'grammar': None}, 1, "does not say 'Your task is to"),
    ({'grammar': '\ud800'}, 1, "does not say 'Your task is to"),
    (
      {'grammar': '"Your task is to: UNKNOWN GOAL."'},
      1,
      "does not say 'Your task is to",
    ),
    ({'grammar': '"Your task is to: \\q."'}, 1, 'not JSON: Invalid .escape'),
  ],
)
def test_folders(tmp_path, data, line, message):
  file = write_folder(tmp_path, data) / 'game.tw-pddl'
  with pytest.raises(household.GameError, match=message) as caught:
    household.load_games(tmp_path)
  assert str(caught.value).startswith(str(file))
  assert caught.value.line == line


@pytest.mark.parametrize(
  ('trajectory', 'line', 'message'),
  [
    (b'', 1, 'not JSON'),
    (b'[]', 1, "no text 'task_type'"),
    (b'{"task_type": 3}', 1, "no text 'task_type'"),
    (b'{"task_type": "fly"}', 1, "unknown task type 'fly'"),
    (b'{"task_type":\n"\xff"}', 2, 'not UTF-8 text'),
  ],
)
def test_trajectories(tmp_path, trajectory, line, message):
  file = write_folder(tmp_path, None, trajectory) / 'traj_data.json'
  with pytest.raises(household.GameError, match=message) as caught:
    household.load_games(tmp_path)
  assert (caught.value.source, caught.value.line) == (str(file), line)


@pytest.mark.parametrize('name', ['game.tw-pddl', 'traj_data.json'])
def test_a_folder_in_place_of_a_file(tmp_path, name):
  file = write_folder(tmp_path) / name
  file.unlink(missing_ok=True)
  file.mkdir()
  with pytest.raises(household.GameError, match='cannot be read') as caught:
    household.load_games(tmp_path)
  assert caught.value.source == str(file)


@pytest.mark.parametrize('solvable', [None, True])
def test_the_flag_of_solvable_games_can_be_missing(tmp_path, solvable):
  write_folder(tmp_path, {} if solvable is None else {'solvable': solvable})
  assert len(household.load_games(tmp_path)) == 1


@pytest.mark.parametrize(
  ('sentence', 'expected'),
  [
    ('put a mug in desk.', 'put a mug in desk'),
    ('put it there. wait.', 'put it there. wait'),
    ('wait..', 'wait.'),
    ('put a caf\\u00e9.', 'put a café'),
    ('put the \\"mug\\" away.', 'put the "mug" away'),
  ],
)
def test_sentences_of_folders(tmp_path, sentence, expected):
  grammar = f'"task": [{{"rhs": "Your task is to: {sentence}"}}]'
  write_folder(tmp_path, {'grammar': grammar})
  (loaded,) = household.load_games(tmp_path)
  assert loaded.task_description == expected
  shown = household.HouseholdEnvironment().reset(loaded).observation
  assert shown.endswith(f'Your task is to: {expected}.')


def packed_games():
  lines = []
  for number in range(3):
    entry = {
      'trial': f't{number}',
      'task_type': game().task_type,
      'task_desc': game().task_description,
      'problem': KITCHEN,
    }
    lines.append(json.dumps(entry).encode() + b'\n')
  return lines


def test_the_line_that_is_not_text(tmp_path):
  first, second, third = packed_games()
  path = tmp_path / 'games.jsonl'
  path.write_bytes(first + second.replace(b'cool', b'\xff', 1) + third)
  with pytest.raises(household.GameError, match=r':2: not UTF-8 text'):
    household.load_games(path)


@pytest.mark.parametrize('suffix', ['.jsonl', '.jsonl.xz'])
def test_truncated_files(tmp_path, suffix):
  """Every cut is told, but for one between two games."""
  data = b''.join(packed_games())
  if suffix == '.jsonl.xz':
    data = lzma.compress(data)
  path = tmp_path / f'games{suffix}'
  whole = 0
  cuts = range(1, len(data), max(1, len(data) // 60))
  for cut in cuts:
    path.write_bytes(data[:cut])
    try:
      whole += len(household.load_games(path)) > 0
    except household.GameError as error:
      if error.source != str(path) or error.line < 1:
        raise
  assert whole <= 2 * (suffix == '.jsonl')


def test_damaged_packed_files(tmp_path):
  data = lzma.compress(b''.join(packed_games()))
  rng = random.Random(0)
  path = tmp_path / 'games.jsonl.xz'
  for _ in range(60):
    damaged = bytearray(data)
    damaged[rng.randrange(len(data))] ^= rng.randrange(1, 256)
    path.write_bytes(damaged)
    # Padding and the like can be damaged without harm.
    try:
      household.load_games(path)
    except household.GameError as error:
      if error.source != str(path):
        raise


PUT = '(isCool ?o) (inReceptacle ?o ?r)'


@pytest.mark.parametrize(
  ('old', 'new', 'message'),
  [
    ('(atLocation agent1 l0)', '(atLocation agent1 agent1)',
     'agent1 is not a location'),
    ('(receptacleAtLocation Counter_bar_1 l1)',
     '(receptacleAtLocation Counter_bar_1 agent1)', 'agent1 is not a location'),
    ('(atLocation agent1 l0)', '(atLocation agent1 l0) (holds agent1 l0)',
     'l0 is not an object'),
    ('(atLocation agent1 l0)', '(atLocation agent1 l0) '
     '(holds agent1 Apple_bar_1) (holds agent1 Apple_bar_2)',
     'agent1 has two values of holds'),
    ('agent1 - agent', 'agent1 a2 - agent', None),
    ('(inReceptacleObject Apple_bar_1 Plate_bar_1)',
     '(inReceptacleObject AppleType Plate_bar_1)',
     'appletype is not an object'),
    (PUT, '(isCool) (inReceptacle ?o ?r)', r'\(iscool\) in the goal: iscool '
     'takes 1'),
    (PUT, '(isCool ?o) (inReceptacle ?o)', 'inreceptacle takes 2 name'),
    (PUT, '(isCool (?o)) (inReceptacle ?o ?r)', 'iscool takes 1 name'),
    (PUT, '((isCool ?o)) (inReceptacle ?o ?r)', r"goals with '\(iscool \?o\)'"),
    (PUT, '(isCool ?o) (inReceptacle ?p ?r)',
     r'does not say of which type \?p is'),
    (PUT, PUT + ' (objectType ?o KnifeType)', r'\?o of the goal has two types'),
    (PUT, PUT + ' (holds agent1 ?o)', 'not under one switched-on lamp'),
    (PUT, '(isToggled ?o) (holds agent1 ?o)', 'its lamp is in no receptacle'),
    (PUT, PUT + ' ()', r'\(\) in the goal'),
    (PUT, PUT + ' ?o', r'\?o in the goal'),
    (PUT, '(not (inReceptacle ?o ?r))', "goals with 'not'"),
    (PUT, '(' * 50_000 + ')' * 50_000, 'more than 100 parentheses'),
  ],
)  # fmt: skip
def test_problems(old, new, message):
  assert old in KITCHEN
  broken = dataclasses.replace(
    game(), problem=KITCHEN.replace(old, new), source='kitchen.pddl'
  )
  if message is None:
    world.compile_world(broken)
    return
  with pytest.raises(household.GameError, match=message) as caught:
    world.compile_world(broken)
  assert str(caught.value).startswith('kitchen.pddl')


def test_errors_can_be_printed():
  error = household.GameError('file', 1, '\ud800 is not among the :objects')
  assert str(error).encode() == b'file:1: \\ud800 is not among the :objects'


def damaged(rng):
  """The kitchen with some words lost, doubled, exchanged or invented."""
  words = re.findall(r'\s+|[()]|[^\s()]+', KITCHEN)
  strange = ('(', ')', '-', 'and', '()', '?o', '?x', 'not', '=', '\ud800', ';')
  goal = words.index(':goal')
  for _ in range(rng.choice((1, 1, 2, 4))):
    place = rng.randrange(goal if rng.random() < 0.3 else 0, len(words))
    change = rng.randrange(4)
    if change == 0:
      words[place] = ''
    elif change == 1:
      words[place] += f' {rng.choice(strange)} '
    elif change == 2:
      words[place] = rng.choice(words[goal:])
    else:
      words[place] = rng.choice(words)
  return ''.join(words)


def test_damaged_problems_play_or_are_refused():
  rng = random.Random(0)
  environment = household.HouseholdEnvironment()
  refused = 0
  for _ in range(800):
    problem = damaged(rng)
    try:
      seen = environment.reset(dataclasses.replace(game(), problem=problem))
    except household.GameError:
      refused += 1
      continue
    for _ in range(10):
      seen = environment.step(rng.choice(seen.admissible))
  assert 100 < refused < 800
