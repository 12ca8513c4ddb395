"""VinePPO: values by extra rollouts."""

import numpy as np
import pytest

from jaxcredit import vineppo


def test_state_values():
  returns = np.array([[1.0, 0, np.nan], [1, 1, 0], [np.nan] * 3], np.float32)
  mask = ~np.isnan(returns)
  np.testing.assert_allclose(
    vineppo.state_values(returns, mask), [0.5, 2 / 3, 0], rtol=1e-6
  )
  assert np.isnan(vineppo.state_values(returns)[0])


def test_advantages_by_hand():
  rewards = np.array([0.0, 0, 1, np.nan], np.float32)
  values = np.array([0.5, 0.25, 0.75, np.nan], np.float32)
  mask = np.array([True, True, True, False])
  result = vineppo.advantages(rewards, values, mask)
  np.testing.assert_allclose(result, [-0.25, 0.5, 0.25, 0])
  discounted = vineppo.advantages(
    rewards, values, mask, discount=0.5, bootstrap=2.0
  )
  np.testing.assert_allclose(discounted, [-0.375, 0.125, 1.25, 0])


def test_advantages_add_up_to_the_return_less_the_first_value():
  rng = np.random.default_rng(0)
  rewards, values = rng.normal(size=(2, 3, 9)).astype(np.float32)
  result = vineppo.advantages(rewards, values)
  np.testing.assert_allclose(
    result.sum(-1), rewards.sum(-1) - values[:, 0], atol=1e-5
  )


def test_wrong_shapes():
  with pytest.raises(ValueError, match=r'values has shape \(2,\)'):
    vineppo.advantages(np.zeros(3), np.zeros(2))
  with pytest.raises(ValueError, match='returns must have at least 1 axis'):
    vineppo.state_values(np.float32(0))
