"""This project's engine against the real ALFWorld, on random play.

The real one runs in a Python of its own, named by JAXCREDIT_ALFWORLD_PYTHON:

  python3.11 -m venv alfworld-env
  alfworld-env/bin/pip install alfworld==0.4.2 'textworld[pddl]'
  JAXCREDIT_ALFWORLD_PYTHON=$PWD/alfworld-env/bin/python \
      python -m pytest -m slow tests/environments/household/against_alfworld
"""

import copy
import os
import pathlib
import random
import subprocess

import pytest

from jaxcredit.environments import household
from jaxcredit.environments.household import world
from tests.environments.household.against_alfworld import (
  commands,
  compare,
  mutations,
  plans,
)
from tests.environments.household.test_engine import game as kitchen
from tests.shared_data import shared_data

RECORD = pathlib.Path(__file__).with_name('record.py')


@pytest.fixture
def alfworld_python():
  path = os.environ.get('JAXCREDIT_ALFWORLD_PYTHON')
  if not path:
    pytest.skip(
      'JAXCREDIT_ALFWORLD_PYTHON does not name a Python with ALFWorld; to make '
      'one: python3.11 -m venv alfworld-env && alfworld-env/bin/pip install '
      "alfworld==0.4.2 'textworld[pddl]' (builds Fast Downward: needs cmake "
      'and g++)'
    )
  return path


def games_of(kind):
  if kind == 'kitchen':
    return [kitchen()]
  if kind == 'generated':
    return household.generate_games(0, 6)
  folder = shared_data('alfworld_games')
  return household.load_games(folder / 'valid_seen.jsonl.xz')[:: 140 // 6]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize('mutate', [False, True], ids=['as it is', 'changed'])
@pytest.mark.parametrize('kind', ['kitchen', 'generated', 'real'])
@pytest.mark.parametrize('wording', household.WORDINGS)
def test_random_play(alfworld_python, tmp_path, wording, kind, mutate):
  plans.write(tmp_path / 'games.jsonl', games_of(kind), wording)
  arguments = [
    f'--games={tmp_path / "games.jsonl"}',
    f'--output={tmp_path / "transcripts.jsonl"}',
    f'--wording={wording}',
    '--episodes=6',
    '--steps=40',
  ]
  if wording == '2.1.1':
    folder = shared_data('alfworld_games')
    arguments += [
      f'--domain={folder / "alfred_2.1.1.pddl"}',
      f'--grammar={folder / "alfred_2.1.1.twl2"}',
    ]
  if mutate:
    arguments.append('--mutate')
  subprocess.run([alfworld_python, str(RECORD), *arguments], check=True)
  transitions = compare.Transitions()
  episodes = list(compare.read(tmp_path / 'transcripts.jsonl'))
  assert episodes
  for number, episode in enumerate(episodes):
    for check in (compare.first_difference, transitions.first_difference):
      found = check(episode)
      assert found is None, f'episode {number}: {found}'


# What follows runs everywhere: the harness itself.

OPENING = (
  '-= Welcome to TextWorld, ALFRED! =-\n\nYou are in the middle of a room. '
  'Looking quickly around you, you see a counter 1, a fridge 1, a microwave 1, '
  'a shelf 2, a shelf 1, and a sinkbasin 1.\n\nYour task is to: cool some '
  'apple and put it in shelf.'
)
ELSEWHERE = ['counter 1', 'microwave 1', 'shelf 1', 'shelf 2', 'sinkbasin 1']
TRANSCRIPT = {
  'engine': '0.4.2',
  'game': {
    'trial': 'kitchen',
    'task_type': kitchen().task_type,
    'task_desc': kitchen().task_description,
    'problem': kitchen().problem,
  },
  'obs0': OPENING,
  'adm0': [
    *sorted(f'go to {name}' for name in [*ELSEWHERE, 'fridge 1']),
    'help',
    'inventory',
    'look',
  ],
  'steps': [
    {
      'a': ' go to fridge 1\n',
      'obs': 'You arrive at fridge 1. The fridge 1 is closed.',
      'adm': [
        'examine fridge 1',
        *(f'go to {name}' for name in ELSEWHERE),
        'help',
        'inventory',
        'look',
        'open fridge 1',
      ],
      'r': 0,
      'done': False,
    }
  ],
}


def test_equal_transcripts():
  assert compare.first_difference(TRANSCRIPT) is None
  assert compare.Transitions().first_difference(TRANSCRIPT) is None


@pytest.mark.parametrize(
  ('key', 'value', 'message'),
  [
    ('obs', 'You arrive.', "observation: ALFWorld 'You arrive.'"),
    ('adm', ['look'], r'admissible: ours lacks \[\]'),
    ('r', 1, 'reward: ALFWorld 1, ours 0.0'),
    ('done', True, 'done: ALFWorld True, ours False'),
  ],
)
def test_differences_are_found(key, value, message):
  transcript = copy.deepcopy(TRANSCRIPT)
  transcript['steps'][0][key] = value
  found = compare.first_difference(transcript)
  assert found.startswith("step 1, ' go to fridge 1\\n': ")
  assert message.replace('\\', '') in found
  if key in ('r', 'done'):
    found = compare.Transitions().first_difference(transcript)
    assert 'reward and done (0.0, False)' in found


def test_changed_problems_are_still_games():
  rng = random.Random(0)
  texts = {mutations.mutate(kitchen().problem, rng) for _ in range(60)}
  assert len(texts) > 50
  for text in texts:
    world.compile_world(compare.game_of({'game': {
      **TRANSCRIPT['game'], 'problem': text
    }}))  # fmt: skip


def test_a_player_makes_plans_mistakes_and_moves():
  environment = household.HouseholdEnvironment()
  made = refused = won = 0
  for seed in range(40):
    seen = environment.reset(kitchen())
    player = commands.Policy(
      random.Random(seed),
      list(environment.world.receptacle_names),
      list(environment.world.object_names),
      ['go to counter 1', 'take apple 2 from counter 1', 'go to fridge 1',
       'cool apple 2 with fridge 1', 'go to shelf 1',
       'put apple 2 in/on shelf 1'],
    )  # fmt: skip
    for _ in range(30):
      seen = environment.step(
        player.choose(list(seen.admissible), lambda: None)
      )
      made += 1
      refused += seen.observation == 'Nothing happens.'
      won += seen.terminated
  assert 0.1 < refused / made < 0.8
  assert won >= 10
