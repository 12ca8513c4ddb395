"""Files of games: what is read, and what a malformed one is told."""

import dataclasses
import json
import lzma
import pickle

import pytest

from jaxcredit.environments import household
from jaxcredit.environments.household import pddl, world
from tests.environments.household.test_engine import KITCHEN, game
from tests.shared_data import shared_data


def test_official_splits():
  folder = shared_data('alfworld_games')
  unseen = household.load_games(folder / 'valid_unseen.jsonl.xz')
  assert len(unseen) == 134
  assert household.count_by_type(unseen) == {
    'pick_and_place_simple': 24,
    'look_at_obj_in_light': 18,
    'pick_clean_then_place_in_recep': 31,
    'pick_heat_then_place_in_recep': 23,
    'pick_cool_then_place_in_recep': 21,
    'pick_two_obj_and_place': 17,
  }
  assert len(household.load_games(folder / 'valid_seen.jsonl.xz')) == 140


@pytest.mark.parametrize('name', ['games.jsonl', 'games.jsonl.xz'])
def test_round_trip(tmp_path, name):
  games = household.generate_games(5, 3)
  household.save_games(tmp_path / name, games)
  back = household.load_games(tmp_path / name)
  for ours, theirs in zip(games, back, strict=True):
    assert dataclasses.replace(theirs, source=ours.source) == ours


def official(tmp_path, trial='trial_1', task='pick_cool_then_place_in_recep-x'):
  folder = tmp_path / 'valid_unseen' / task / trial
  folder.mkdir(parents=True)
  grammar = '{"rhs": "Your task is to: cool some apple and put it in shelf."}'
  (folder / 'game.tw-pddl').write_text(
    json.dumps(
      {'pddl_domain': '', 'grammar': grammar, 'pddl_problem': KITCHEN,
       'solvable': True}
    )
  )  # fmt: skip
  return folder


def test_official_folder(tmp_path):
  folder = official(tmp_path)
  official(tmp_path, task='pick_and_place_simple-Apple-movable-1')
  (loaded,) = household.load_games(tmp_path)
  assert loaded.task_type == 'pick_cool_then_place_in_recep'
  assert loaded.task_description == 'cool some apple and put it in shelf'
  assert loaded.split == 'valid_unseen'
  (folder / 'traj_data.json').write_text(
    '{"task_type": "look_at_obj_in_light"}'
  )
  (loaded,) = household.load_games(tmp_path)
  assert loaded.task_type == 'look_at_obj_in_light'


def test_unsolvable_games_are_left_out(tmp_path):
  folder = official(tmp_path)
  data = json.loads((folder / 'game.tw-pddl').read_text())
  data['solvable'] = False
  (folder / 'game.tw-pddl').write_text(json.dumps(data))
  with pytest.raises(FileNotFoundError, match='holds no games'):
    household.load_games(tmp_path)


def test_missing_and_empty(tmp_path):
  with pytest.raises(FileNotFoundError, match='no games at .*nowhere'):
    household.load_games(tmp_path / 'nowhere')
  with pytest.raises(FileNotFoundError, match='holds no games'):
    household.load_games(tmp_path)
  (tmp_path / 'empty.jsonl').write_text('\n')
  with pytest.raises(FileNotFoundError, match='it is empty'):
    household.load_games(tmp_path / 'empty.jsonl')
  (tmp_path / 'games.csv').write_text('x')
  with pytest.raises(household.GameError, match='folders, .jsonl and'):
    household.load_games(tmp_path / 'games.csv')
  (tmp_path / 'torn.jsonl.xz').write_bytes(lzma.compress(b'x' * 1000)[:20])
  with pytest.raises(household.GameError, match='not a readable .xz file'):
    household.load_games(tmp_path / 'torn.jsonl.xz')


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    ('{"task_type"', r'games.jsonl:2: not JSON'),
    ('[1]', r'games.jsonl:2: a game must be a JSON object'),
    (
      '{"task_type": "fly"}',
      r"games.jsonl:2: the game has no text 'task_desc'",
    ),
    (
      '{"task_type": "fly", "task_desc": "", "problem": ""}',
      r"games.jsonl:2: unknown task type 'fly'",
    ),
  ],
)
def test_malformed_lines(tmp_path, line, message):
  path = tmp_path / 'games.jsonl'
  household.save_games(path, household.generate_games(0, 1))
  path.write_text(path.read_text() + line + '\n')
  with pytest.raises(household.GameError, match=message):
    household.load_games(path)


def line_of(text):
  return next(
    number
    for number, line in enumerate(KITCHEN.split('\n'), start=1)
    if text in line
  )


@pytest.mark.parametrize(
  ('old', 'new', 'line', 'message'),
  [
    ('(openable Fridge_bar_1)', '(openable Fridge_bar_9)',
     '(openable Fridge_bar_1)', 'fridge_bar_9 is not among the :objects'),
    ('(openable Fridge_bar_1)', '(flies Fridge_bar_1)',
     '(openable Fridge_bar_1)', 'unknown predicate flies'),
    ('(openable Fridge_bar_1)', '(openable Fridge_bar_1 l1)',
     '(openable Fridge_bar_1)', 'openable takes 1 arguments, not 2'),
    ('(openable Fridge_bar_1)', '(openable Apple_bar_1)',
     '(openable Fridge_bar_1)', 'apple_bar_1 is not a receptacle'),
    ('(isCool ?o)', '(isFrozen ?o)', '(:goal', "goals with 'isfrozen'"),
    ('(:init', '(:start', '(:init', 'unknown section :start'),
    ('agent1 - agent', 'agent1 -', None, 'l0 is not among the :objects'),
    ('- otype\n)', '\n)', '(:objects', 'has no type'),
    ('(atLocation agent1 l0)', '(atLocation agent1 l0) (atLocation agent1 l1)',
     None, 'the agent must be at one location, not 2'),
    ('(objectType Plate_bar_1 PlateType)', '', None,
     'object plate_bar_1 has no objectType'),
    ('(receptacleAtLocation Counter_bar_1 l1)', '', None,
     'receptacle counter_bar_1 is at no location'),
    ('(define (problem', '((define (problem', None, 'is not closed'),
    ('(isCool ?o)', '(isCool ?o))', None, "unknown section|without an opening|"
     'after the end|unexpected'),
  ],
)  # fmt: skip
def test_malformed_problems(old, new, line, message):
  assert old in KITCHEN
  broken = dataclasses.replace(
    game(), problem=KITCHEN.replace(old, new), source='kitchen.pddl'
  )
  with pytest.raises(household.GameError, match=message) as caught:
    world.compile_world(broken)
  assert caught.value.source == 'kitchen.pddl'
  if line is not None:
    assert caught.value.line == line_of(line)
    assert f'kitchen.pddl:{caught.value.line}: ' in str(caught.value)


def test_errors_travel_between_processes():
  error = pddl.GameError('file', 3, 'reason')
  again = pickle.loads(pickle.dumps(error))  # noqa: S301
  assert str(again) == str(error) == 'file:3: reason'
