"""What a language model is told about the elements is so."""

import re

import numpy as np
import pytest

from jaxcredit.latent_rewards import (
  mujoco_tasks,
  operations,
  particle_tasks,
  prompts,
  tasks,
  transitions,
)

# Elements by the code of Gymnasium (mujoco, version 5) and JaxMARL (mpe).
SIZES = {
  'reacher': (10, 2),
  'half_cheetah': (17, 6),
  'walker2d': (17, 6),
  'humanoid_standup': (348, 17),
  'cooperative_navigation': (18,),
  'predator_prey': (16,),
  'triangle_area': (14,),
}
ELEMENTS = [
  ('reacher', 'observation[:, 8:10]: position of the fingertip minus'),
  ('half_cheetah', 'observation[:, 1]: pitch angle of the torso'),
  ('half_cheetah', 'observation[:, 4]: angle of the back foot'),
  ('half_cheetah', 'observation[:, 8]: velocity of the torso along x'),
  ('half_cheetah', 'observation[:, 16]: angular velocity of the front foot'),
  ('walker2d', 'observation[:, 0]: height of the torso'),
  ('walker2d', 'observation[:, 8]: velocity of the torso along x'),
  ('walker2d', 'observation[:, 14]: angular velocity of the left thigh'),
  ('humanoid_standup', 'observation[:, 0]: height of the torso'),
  ('humanoid_standup', 'observation[:, 1:5]: orientation of the torso'),
  ('humanoid_standup', 'observation[:, 11]: angle of the right knee'),
  ('humanoid_standup', 'observation[:, 22:25]: velocity of the torso'),
  ('humanoid_standup', 'observation[:, 45:175]: inertia and mass'),
  ('humanoid_standup', 'observation[:, 175:253]: velocity of each'),
  ('humanoid_standup', 'observation[:, 253:270]: forces of the motors'),
  ('humanoid_standup', 'observation[:, 270:348]: external contact forces'),
  ('humanoid_standup', 'action[:, 0]: control of the motor at the abdomen ab'),
  ('cooperative_navigation', 'observation[:, 4:6]: position of landmark 1'),
  ('cooperative_navigation', 'observation[:, 10:12]: position of other agent'),
  ('cooperative_navigation', 'observation[:, 14:18]: messages'),
  ('predator_prey', 'observation[:, 4:6]: position of obstacle 1'),
  ('predator_prey', 'observation[:, 12:14]: position of prey 1'),
  ('predator_prey', 'observation[:, 14:16]: velocity of the prey'),
  ('triangle_area', 'observation[:, 8:10]: position of obstacle 3'),
  ('triangle_area', 'observation[:, 12:14]: position of other agent 2'),
]


def test_sizes():
  assert {n: tasks.named(n).sizes for n in tasks.NAMES} == SIZES


@pytest.mark.parametrize(('task', 'line'), ELEMENTS)
def test_elements(task, line):
  assert line in prompts.request(tasks.named(task))


@pytest.mark.parametrize('agents', [2, 6, 15])
def test_other_numbers_of_agents(agents):
  task = particle_tasks.cooperative_navigation(agents, 4)
  assert task.sizes == (4 + 4 * (agents - 1) + 2 * 4,)
  hunt = particle_tasks.predator_prey(agents, 2, 3)
  assert hunt.sizes == (4 + 2 * 3 + 2 * (agents + 1) + 2,)
  assert 'last of the prey' in hunt.layout('observation')


@pytest.mark.parametrize('name', tasks.NAMES)
def test_the_request_says_all(name):
  task = tasks.named(name)
  request = prompts.request(task)
  assert task.summary in request
  assert f'def factors({", ".join(task.parameters)}):' in request
  for parameter, size in zip(task.parameters, task.sizes, strict=True):
    assert f'`{parameter}` is an array of the shape (batch, {size})' in request
    # Each element once.
    places = []
    for first, last in re.findall(
      rf'^{parameter}\[:, (\d+)(?::(\d+))?\]', request, re.MULTILINE
    ):
      places += range(int(first), int(last) if last else int(first) + 1)
    assert places == list(range(size))
  for function in operations.NAMES:
    assert function in request


def test_random_transitions():
  task = mujoco_tasks.walker2d()
  first, second = (task.random_transitions(s, 500) for s in (0, 1))
  again = task.random_transitions(0, 500)
  np.testing.assert_array_equal(first.arrays[0], again.arrays[0])
  assert not np.array_equal(first.arrays[0], second.arrays[0])
  height = first.arrays[0][:, 0]
  assert 0.7 <= height.min() < 0.75 and 1.95 < height.max() <= 2.0
  assert np.abs(first.arrays[1]).max() <= 1


def test_an_unknown_task_is_told():
  with pytest.raises(ValueError, match="no task 'hopper': choose one of coop"):
    tasks.named('hopper')


def test_transitions_of_a_file(tmp_path):
  path = tmp_path / 'recorded.npz'
  observation = np.random.default_rng(0).normal(size=(5, 4, 10))
  action = np.zeros((5, 4, 2), np.float32)
  np.savez(path, observation=observation, action=action)
  task = tasks.named('reacher')
  found = transitions.load(path, task.parameters, task.sizes)
  np.testing.assert_array_equal(found.arrays[0], observation.reshape(20, 10))
  assert found.arrays[1].shape == (20, 2)
  assert found.take(8).arrays[0].shape == (8, 10)
  np.testing.assert_array_equal(found.take(8).arrays[0][0], observation[0, 0])
  with pytest.raises(ValueError, match=r'action has the shape .* not \[N, 6\]'):
    transitions.load(path, task.parameters, (10, 6))
  with pytest.raises(ValueError, match="has no array 'reward', only"):
    transitions.load(path, ('reward',), (1,))
  np.savez(path, observation=np.array([{}] * 9, object))
  with pytest.raises(ValueError, match='recorded.npz'):
    transitions.load(path, ('observation',), (1,))
  path.write_bytes(b'nothing')
  with pytest.raises(ValueError, match='recorded.npz'):
    transitions.load(path, ('observation',), (1,))
  with pytest.raises(OSError):
    transitions.load(tmp_path / 'none.npz', ('observation',), (1,))


@pytest.mark.parametrize(
  ('arrays', 'words'),
  [
    ((), 'arrays'),
    ((np.ones(9),), r'arrays \[N, D\]'),
    ((np.ones((9, 2)), np.ones((8, 2))), 'the same number of rows'),
    ((np.ones((7, 2)),), 'at least 8'),
    ((np.ones((9, 2), int),), 'floats, not int64'),
    ((np.full((9, 2), np.nan),), 'not finite'),
  ],
)
def test_transitions_that_are_none(arrays, words):
  with pytest.raises(ValueError, match=words):
    transitions.Transitions(arrays)
