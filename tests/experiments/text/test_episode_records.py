"""What is written down of episodes."""

import dataclasses
import types

import numpy as np
import pytest

from experiments.text import episode_records
from jaxcredit.rollouts import episodes


@dataclasses.dataclass
class Problem:
  description: str


@dataclasses.dataclass
class Goal:
  instruction: str


@dataclasses.dataclass
class Game:
  task_description: str
  description: str = 'not this'


@pytest.mark.parametrize(
  ('task', 'words'),
  [(Game('cool it'), 'cool it'), (Problem('do it'), 'do it'),
   (Goal('buy it'), 'buy it'), (7, '7')],
)  # fmt: skip
def test_tasks_are_told_in_words_and_actions_by_what_was_wrong(task, words):
  step = episodes.Step('seen', 'done', 'said', 0.0, True, False, 'anchor')
  episode = episodes.Episode(task, 0, 0, steps=[step])
  trajectories = episodes.pack_trajectories([episode], 1, 1)
  batch = types.SimpleNamespace(episodes=[episode], trajectories=trajectories)
  credit = {'total': np.full((1, 1, 1), 0.5)}
  (record,) = episode_records.episode_records(3, batch, credit, 'grpo')
  assert record['task'] == words
  assert record['steps'][0]['valid'] is True
  assert record['steps'][0]['credit'] == {'grpo': {'total': 0.5}}
  assert record['steps'][0]['admissible'] is False
