"""Evaluations: successes by kind of task, and their record."""

import jax
import pytest

from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.training import evaluation
from tests.rollouts import test_collector


def make_episode(task, steps, *, won=False, failure=''):
  step = episodes_lib.Step('', '', '', 0.0, True, True, '', True)
  last = episodes_lib.Step('', '', '', float(won), True, True, '', not won)
  return episodes_lib.Episode(
    task=task,
    group=0,
    rollout=0,
    steps=[step] * (steps - 1) + [last],
    terminated=won,
    truncated=not won and not failure,
    failure=failure,
  )


def test_successes_are_counted_by_kind_of_task():
  episodes = [
    make_episode('heat 1', 4, won=True),
    make_episode('cool 1', 6),
    make_episode('heat 2', 2),
    make_episode('heat 3', 8, won=True),
    # Rewarded, and then lost with its environment: no success.
    make_episode('cool 2', 1, failure='it died'),
  ]
  summary = evaluation.summarise(episodes, lambda task: task.split()[0])
  by_task_type = summary.pop('by_task_type')
  assert summary == {
    'episodes': 5,
    'successes': 2,
    'success_rate': 0.4,
    'mean_length': pytest.approx(4.2),
    'mean_reward': 0.4,
    # The last action of each won episode is said to have failed.
    'grounding_accuracy': pytest.approx(18 / 20),
  }
  assert list(by_task_type) == ['cool', 'heat']
  assert by_task_type['cool'] == {
    'episodes': 2,
    'successes': 0,
    'success_rate': 0.0,
    'mean_length': 3.5,
    'mean_reward': 0.0,
    'grounding_accuracy': 1.0,
  }
  assert by_task_type['heat'] == {
    'episodes': 3,
    'successes': 2,
    'success_rate': pytest.approx(2 / 3),
    'mean_length': pytest.approx(14 / 3),
    'mean_reward': pytest.approx(2 / 3),
    'grounding_accuracy': pytest.approx(12 / 14),
  }


def test_no_episodes_have_no_success_rate():
  assert evaluation.summarise([], str) == {
    'episodes': 0,
    'successes': 0,
    'success_rate': None,
    'mean_length': 0.0,
    'mean_reward': None,
    'grounding_accuracy': None,
    'by_task_type': {},
  }


def test_a_record_replaces_the_one_of_its_stage_and_iteration(tmp_path):
  def record(stage, iteration, rate):
    evaluation.record(
      tmp_path, stage, iteration, 'unseen', {'success_rate': rate}
    )

  record('after warm start', 0, 0.25)
  record('training', 5, 0.5)
  record('training', 10, 0.625)
  record('training', 5, 0.75)
  assert evaluation.read(tmp_path) == [
    {'stage': stage, 'iteration': i, 'games': 'unseen', 'success_rate': rate}
    for stage, i, rate in [
      ('after warm start', 0, 0.25),
      ('training', 10, 0.625),
      ('training', 5, 0.75),
    ]
  ]
  assert [p.name for p in tmp_path.iterdir()] == [evaluation.FILE_NAME]


def test_a_run_without_evaluations(tmp_path):
  assert evaluation.read(tmp_path) == []


def test_each_task_is_played_once():
  ended = []
  summary = evaluation.evaluate(
    test_collector.make_collector(test_collector.make_pool(3)),
    test_collector.build_params(),
    ['room left', 'room nothing', 'broken', 'broken', 'room nothing'],
    lambda task: task.split()[0],
    jax.random.key(0),
    temperature=0.0,
    on_episode=ended.append,
  )
  assert sum(ended) == 5
  assert summary['episodes'] == 5
  kinds = summary['by_task_type']
  assert {k: v['episodes'] for k, v in kinds.items()} == {
    'broken': 2,
    'room': 3,
  }
  assert kinds['broken']['successes'] == 0
  assert kinds['broken']['mean_length'] == 0
  again = evaluation.evaluate(
    test_collector.make_collector(test_collector.make_pool(3)),
    test_collector.build_params(),
    ['room left', 'room nothing', 'broken', 'broken', 'room nothing'],
    lambda task: task.split()[0],
    jax.random.key(1),
    temperature=0.0,
  )
  # The temperature reaches the sampler: at 0 the key does not matter.
  assert again == summary
