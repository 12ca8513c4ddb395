"""The recorded examples are what they say: by hash, and by what they tell."""

import json

import numpy as np
import pytest

from jaxcredit.latent_rewards import (
  answers,
  examples,
  language,
  language_model,
  tasks,
)
from tests.latent_rewards import programs


def distance(x):
  return np.linalg.norm(x, axis=1)


def team_navigation(o, agents=3):
  """What an agent can know of simple_spread's reward."""
  end = 4 + 2 * agents
  landmarks = [o[:, i : i + 2] for i in range(4, end, 2)]
  others = [o[:, i : i + 2] for i in range(end, end + 2 * (agents - 1), 2)]
  covered = sum(
    np.min([distance(m), *(distance(m - x) for x in others)], axis=0)
    for m in landmarks
  )
  return -covered - sum(distance(x) < 0.3 for x in others)


def hunt(o, agents=3):
  """Touches, with the shaping of LaRe's predators: -0.1 times the distance."""
  first = 8 + 2 * (agents - 1)
  prey = [o[:, i : i + 2] for i in range(first, first + 2 * (agents // 3), 2)]
  others = [o[:, i : i + 2] for i in range(8, first, 2)]
  touches = sum(
    (distance(p) < 0.125) + sum(distance(x - p) < 0.125 for x in others)
    for p in prey
  )
  return 10 * touches - 0.1 * np.min([distance(p) for p in prey], axis=0)


def area(o):
  a, b = o[:, 10:12], o[:, 12:14]
  size = abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
  hits = sum(distance(o[:, i : i + 2]) < 0.55 for i in (4, 6, 8))
  return 0.1 * size - hits


REWARDS = {
  'cooperative_navigation': team_navigation,
  'predator_prey': hunt,
  'triangle_area': area,
  'reacher': lambda o, a: -distance(o[:, 8:10]) - 0.1 * (a**2).sum(1),
  'half_cheetah': lambda o, a: o[:, 8] - 0.1 * (a**2).sum(1),
  'walker2d': lambda o, a: o[:, 8] - 1e-3 * (a**2).sum(1)
  + ((o[:, 0] > 0.8) & (o[:, 0] < 2) & (abs(o[:, 1]) < 1)),
  'humanoid_standup': lambda o, a: o[:, 0] / 0.003 - 0.1 * (a**2).sum(1),
}  # fmt: skip


def explained(task: str, quality: str, agents: int | None = None) -> float:
  """Share of the reward's variance that a line through the factors explains."""
  arrays = tasks.named(task, agents).random_transitions(1, 4_000).arrays
  size = {} if agents is None else {'agents': agents}
  reward = REWARDS[task](*(a.astype(np.float64) for a in arrays), **size)
  factors = programs.by_python(examples.source(task, quality, agents), *arrays)
  columns = np.concatenate([factors, np.ones((len(reward), 1))], 1)
  fit = columns @ np.linalg.lstsq(columns, reward, rcond=None)[0]
  return 1 - np.var(reward - fit) / np.var(reward)


@pytest.mark.parametrize('task', tasks.NAMES)
def test_qualities(task):
  good, partial, poor = (explained(task, q) for q in examples.QUALITIES)
  assert good > max(partial, poor) + 0.05
  assert good > (0.1 if task == 'predator_prey' else 0.9)
  assert poor < 0.3 or task == 'reacher'


LARGER = [(t, n) for t, sizes in examples.LARGER_TEAMS.items() for n in sizes]


@pytest.mark.parametrize(('task', 'agents'), LARGER)
def test_qualities_in_larger_teams(task, agents):
  good, partial, poor = (explained(task, q, agents) for q in examples.QUALITIES)
  assert good > max(partial, poor) + 0.05
  assert good > (0.1 if task == 'predator_prey' else 0.9)


@pytest.mark.parametrize(
  ('task', 'agents'), [*((name, None) for name in tasks.NAMES), *LARGER]
)
@pytest.mark.parametrize('quality', examples.QUALITIES)
def test_files(task, agents, quality):
  record = examples.read(task, quality, agents)
  assert record['about'].startswith('Recorded example written for this library')
  assert (record['task'], record['quality']) == (task, quality)
  assert record.get('agents') == agents
  assert record['sha256'] == language.sha256(record['source'])
  language.check(record['source'], tasks.named(task).parameters)
  for line in record['source'].split('\n'):
    assert line.isascii()


def test_no_file_is_left_over():
  folder = examples._FOLDER
  assert {path.name for path in folder.glob('*.json')} == {
    f'{name}_{quality}.json'
    for name in (*tasks.NAMES, *(f'{task}_{n}' for task, n in LARGER))
    for quality in examples.QUALITIES
  }


def test_as_a_model():
  model = examples.ExampleModel('reacher', 'partial')
  assert isinstance(model, language_model.LanguageModel)
  found = model.complete([], 5, 1.0, 0)
  assert len(found) == 5
  assert {'Understand', 'Analyze', 'Functions'} == json.loads(found[0]).keys()
  sources = [answers.source_of(text) for text in found]
  expected = [examples.source('reacher', q) for q in examples.QUALITIES]
  assert sources == [*expected, *expected[:2]]
  (last,) = model.complete([], 1, 0.3, 0)
  assert answers.source_of(last) == expected[1]


def test_unknown_names_are_told():
  with pytest.raises(ValueError, match='no task'):
    examples.read('hopper', 'good')
  with pytest.raises(ValueError, match="no quality '../x'"):
    examples.read('reacher', '../x')
  with pytest.raises(ValueError, match='usual number and for 6, 15'):
    examples.read('predator_prey', 'good', 4)
  with pytest.raises(ValueError, match='one size'):
    examples.read('reacher', 'good', 3)


def test_the_usual_number_of_agents():
  assert examples.source('predator_prey', 'good', 3) == examples.source(
    'predator_prey', 'good'
  )
