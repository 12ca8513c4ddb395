"""Numbers of an estimator's report, against hand-made and slow ones."""

import numpy as np
import pytest
from hypothesis import given, strategies
from scipy import stats

from jaxcredit.training import progress_quality


def test_within_counts_the_border():
  predicted = np.array([0.1, 0.9, 0.5, 1.2], np.float32)
  outcome = np.array([0.0, 1.0, 0.0, 1.0], np.float32)
  assert progress_quality.within(predicted, outcome) == 0.5
  assert progress_quality.within(predicted, outcome, 0.2) == 0.75
  assert np.isnan(progress_quality.within(outcome[:0], outcome[:0]))


def test_calibration_by_hand():
  predicted = np.array([-0.3, 0.05, 0.55, 0.5, 1.0, 2.0])
  outcome = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 1.0])
  table = progress_quality.calibration(predicted, outcome)
  assert [row['episodes'] for row in table] == [2, 2, 2]
  assert [row['predicted'] for row in table] == pytest.approx(
    [-0.125, 0.525, 1.5]
  )
  assert [row['outcome'] for row in table] == [0.5, 0.5, 1.0]
  assert progress_quality.calibration_error(table) == pytest.approx(
    (0.625 + 0.025 + 0.5) / 3
  )
  assert np.isnan(progress_quality.calibration_error([]))


NUMBERS = strategies.lists(
  strategies.tuples(
    strategies.integers(-3, 3), strategies.floats(-1, 1, width=16)
  ),
  min_size=3,
  max_size=12,
)


@given(NUMBERS)
def test_ranks_are_those_of_scipy(pairs):
  a, b = np.array(pairs).T
  np.testing.assert_array_equal(progress_quality.ranks(a), stats.rankdata(a))
  found = progress_quality.rank_correlation(a, b)
  if np.ptp(a) and np.ptp(b):
    assert found == pytest.approx(stats.spearmanr(a, b).statistic)
  else:
    assert np.isnan(found)


def test_progress_correlation_looks_at_known_steps_alone():
  contributions = np.array([[1.0, 1, -5, 9], [0.5, 0, 1, 9], [2.0, 2, 2, 2]])
  progress = np.array([[0.0, 0.5, 0.0, 7], [0, 1, 0.5, 7], [np.nan] * 4])
  mask = np.array([[1, 1, 1, 0]] * 3, bool)
  found = progress_quality.progress_correlation(contributions, progress, mask)
  # Cumulative: 1, 2, -3 and 0.5, 0.5, 1.5.
  first = stats.spearmanr([1, 2, -3], [0, 0.5, 0]).statistic
  second = stats.spearmanr([0.5, 0.5, 1.5], [0, 1, 0.5]).statistic
  both = stats.spearmanr(
    [1, 2, -3, 0.5, 0.5, 1.5], [0, 0.5, 0, 0, 1, 0.5]
  ).statistic
  assert found['rank_correlation'] == pytest.approx(both)
  assert found['rank_correlation_within'] == pytest.approx((first + second) / 2)
  unknown = progress_quality.progress_correlation(
    contributions, np.full((3, 4), np.nan), mask
  )
  assert np.isnan(list(unknown.values())).all()


def test_unequal_lengths():
  with pytest.raises(ValueError, match='equally long, not 2 and 3'):
    progress_quality.rank_correlation(np.zeros(2), np.zeros(3))
