"""Statistics of groups whose values are large, small or equal."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import grpo, tempo
from jaxcredit.algorithms.internal import group_statistics
from jaxcredit.algorithms.internal.masked_mean import masked_mean

ROW = np.array([2.0, -2.0, 0.0, 0.25], np.float32)


@pytest.mark.parametrize('size', [1e-30, 1e-12, 1.0, 1e19, 1e30, 1e38])
def test_standardised_values_do_not_depend_on_the_unit(size):
  mask = np.ones(4, bool)
  expected = (ROW - ROW.mean()) / ROW.std(ddof=1)
  group = group_statistics.of_rows(jnp.asarray(ROW * size), mask, 1)
  np.testing.assert_allclose(
    group.standardised('std', 0.0), expected, rtol=1e-5
  )
  np.testing.assert_allclose(
    group.deviation, [ROW.std(ddof=1) * size], rtol=1e-5
  )
  np.testing.assert_allclose(group.mean, [ROW.mean() * size], rtol=1e-5)
  np.testing.assert_allclose(
    group.centred, (ROW - ROW.mean()) * size, rtol=1e-5
  )


def test_a_unit_changes_no_digit():
  """Against the same sums without a unit, in NumPy's float32."""
  rng = np.random.default_rng(0)
  rows = rng.normal(size=(50, 2)).astype(np.float32) * 3
  group = group_statistics.of_rows(jnp.asarray(rows), np.ones(rows.shape, bool))
  difference = rows - rows[:, :1]
  mean = difference.sum(axis=1, keepdims=True) / np.float32(2)
  np.testing.assert_array_equal(group.difference, difference)
  np.testing.assert_array_equal(group.centred, difference - mean)


def test_large_rewards_have_credit():
  given = grpo.advantages([2e19, -2e19, 0, 1])
  np.testing.assert_allclose(given, [1.2247, -1.2247, 0, 0], atol=1e-4)
  tokens = np.array([[1, 2], [1, 3], [4, 4], [5, 5]])
  credit = tempo.advantages(tokens, None, [2e19, -2e19, 0, 1])
  assert np.isfinite(credit.total).all() and abs(credit.total).max() > 1


def test_segments_and_rows_agree():
  rng = np.random.default_rng(1)
  values = rng.normal(size=(3, 8)).astype(np.float32) * 1e25
  mask = rng.random((3, 8)) < 0.7
  first = np.argmax(mask, axis=1)[:, None] * np.ones((1, 8), int)
  rows = group_statistics.of_rows(jnp.asarray(values), mask, 1)
  segments = group_statistics.of_segments(
    jnp.asarray(values), jnp.asarray(mask), jnp.asarray(first, jnp.int32), 1
  )
  np.testing.assert_allclose(
    rows.standardised('std', 1e-6),
    segments.standardised('std', 1e-6),
    rtol=1e-5,
  )


def test_masked_mean():
  values = jnp.array([[1.0, np.nan, 3], [np.nan, np.nan, np.nan]])
  mask = jnp.array([[True, False, True], [False, False, False]])
  np.testing.assert_array_equal(masked_mean(values, mask), 2)
  np.testing.assert_array_equal(masked_mean(values, mask, axis=-1), [2, 0])
  large = masked_mean(jnp.full(7, 3e38), jnp.ones(7, bool))
  np.testing.assert_allclose(large, 3e38, rtol=1e-6)
