"""Time by stage, by hand."""

import pytest

from jaxcredit.reports import time_split
from tests.reports import run_files


def record(policy, environment, rollout, credit, update):
  return run_files.training_record(
    1,
    seconds_policy=policy,
    seconds_environment=environment,
    seconds_rollout=rollout,
    seconds_credit=credit,
    seconds_update=update,
  )


def test_shares_by_hand():
  rows = time_split.table(
    [record(4, 2, 10, 0.5, 9.5), record(1, 1, 2, 1, 2), record(3, 0, 3, 1, 1)]
  )
  assert [(r['name'], r['first'], r['later'], r['all']) for r in rows] == [
    ('rollout: the policy writes', '4.0 s', '2.0 s', '8.0 s'),
    ('rollout: the environment answers', '2.0 s', '0.5 s', '3.0 s'),
    ('rollout: the rest', '4.0 s', '0.0 ms', '4.0 s'),
    ('credit', '0.5 s', '1.0 s', '2.5 s'),
    ('update of the policy', '9.5 s', '1.5 s', '12.5 s'),
    ('all', '20.0 s', '5.0 s', '30.0 s'),
  ]
  shares = [r['share'] for r in rows]
  assert shares == pytest.approx([80 / 3, 10, 40 / 3, 25 / 3, 125 / 3, 100])


def test_stages_that_take_no_time_are_left_out():
  names = [r['name'] for r in time_split.table([run_files.training_record(1)])]
  # These records know the rollout as a whole.
  assert names == ['rollout: the rest', 'credit', 'update of the policy', 'all']


def test_a_chart_has_every_stage_that_took_time():
  records = [
    record(4, 2, 10, 0.5, 9.5) | {'seconds_checkpoint': 0.25},
    {'stage': 'train', 'iteration': 2},
    record(1, 1, 2, 1, 2) | {'iteration': 3, 'seconds_other': 0.125},
  ]
  assert time_split.curves(records) == {
    'rollout': ([1, 3], [10, 2]),
    'credit': ([1, 3], [0.5, 1]),
    'update': ([1, 3], [9.5, 2]),
    'checkpoint': ([1, 3], [0.25, 0.0]),
    'other': ([1, 3], [0.0, 0.125]),
  }
  names = [row['name'] for row in time_split.table(records)]
  assert names[-3:] == ['checkpoint', 'the rest', 'all']


def test_without_a_clock_there_is_no_table():
  assert time_split.table([]) == []
  assert time_split.table([{'stage': 'train', 'iteration': 1}]) == []


def test_the_only_iteration_has_none_later():
  assert time_split.table([record(1, 0, 1, 1, 1)])[-1]['later'] == '-'


@pytest.mark.parametrize(
  ('seconds', 'words'),
  [(0.0021, '2.1 ms'), (3, '3.0 s'), (120, '2.0 min'), (7200, '2.0 h')],
)
def test_durations(seconds, words):
  assert time_split.words(seconds) == words
