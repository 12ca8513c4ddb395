"""IRCR: the return of an episode for each of its steps."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcredit import ircr, lare


def draw(seed=0, shape=(2, 5, 6)):
  rng = np.random.default_rng(seed)
  mask = rng.random(shape) < 0.6
  mask[..., 0, :] = False
  mask[..., 1, 0] = True
  returns = rng.normal(size=shape[:-1])
  return np.where(mask.any(-1), returns, np.nan), mask


def slow(returns, mask, per_step, low=None, high=None):
  """One buffer, episode by episode."""
  values = {}
  for i, (total, taken) in enumerate(zip(returns, mask, strict=True)):
    if taken.any():
      values[i] = total / taken.sum() if per_step else total
  low = min(values.values()) if low is None else low
  high = max(values.values()) if high is None else high
  out = np.zeros(mask.shape)
  for i, value in values.items():
    out[i, mask[i]] = (value - low) / (high - low)
  return out


@pytest.mark.parametrize('per_step', [True, False])
def test_against_a_loop(per_step):
  returns, mask = draw()
  with jax.enable_x64(True):
    result = ircr.guidance_rewards(returns, mask, per_step=per_step)
    expected = [
      slow(r, m, per_step) for r, m in zip(returns, mask, strict=True)
    ]
    np.testing.assert_allclose(result, expected, atol=1e-12)
    # A batch from a buffer, with the bounds of all of it.
    low, high = ircr.return_bounds(returns, mask, per_step=per_step)
    part = ircr.guidance_rewards(
      returns[:, 2:], mask[:, 2:], per_step=per_step, low=low, high=high
    )
    np.testing.assert_allclose(part, result[:, 2:], atol=1e-12)
    part = ircr.guidance_rewards(
      returns[0], mask[0], per_step=per_step, low=-2.0, high=3
    )
    np.testing.assert_allclose(
      part, slow(returns[0], mask[0], per_step, -2, 3), atol=1e-12
    )


def test_by_hand():
  returns = np.array([2.0, 9.0, 4.0], np.float32)
  mask = np.arange(3) < np.array([[1], [3], [2]])
  # Returns a step: 2, 3, 2.
  np.testing.assert_allclose(
    ircr.guidance_rewards(returns, mask), [[0, 0, 0], [1, 1, 1], [0, 0, 0]]
  )
  np.testing.assert_allclose(
    ircr.guidance_rewards(returns, mask, per_step=False)[:, 0], [0, 1, 2 / 7]
  )
  np.testing.assert_allclose(
    ircr.uniform_rewards(returns, mask), [[2, 0, 0], [3, 3, 3], [2, 2, 0]]
  )


@given(st.integers(0, 999), st.floats(0.1, 9), st.floats(-9, 9))
def test_scale_and_shift_of_returns_do_not_matter(seed, scale, shift):
  returns, mask = draw(seed)
  result = ircr.guidance_rewards(returns, mask, per_step=False)
  assert np.min(result) >= 0
  assert np.max(result) <= 1
  np.testing.assert_allclose(
    ircr.guidance_rewards(scale * returns + shift, mask, per_step=False),
    result,
    atol=2e-4 * (1 + 9 / scale),
  )


def test_uniform_rewards_are_a_perfect_fit():
  returns, mask = draw(3)
  rewards = ircr.uniform_rewards(returns.astype(np.float32), mask)
  loss = lare.decomposition_loss(rewards, returns.astype(np.float32), mask)
  assert float(loss) < 1e-12


def test_equal_returns_and_bad_ones():
  mask = np.ones((3, 2), bool)
  equal = ircr.guidance_rewards(np.full(3, 0.7, np.float32), mask)
  assert not np.asarray(equal).any()
  for bad in (np.nan, np.inf):
    given = np.array([1.0, bad, 2.0], np.float32)
    assert np.isnan(ircr.guidance_rewards(given, mask)[1]).all()
    assert np.isnan(ircr.guidance_rewards(given[1:2], mask[1:2])).all()
    # Equal bounds do not hide it.
    within = ircr.guidance_rewards(given, mask, low=1.0, high=1.0)
    assert not np.isfinite(within[1]).any()
    assert not np.asarray(within)[0].any()
  nothing = ircr.return_bounds(np.full(3, np.nan), np.zeros((3, 2), bool))
  assert [float(x) for x in nothing] == [0, 0]


def test_what_cannot_be():
  with pytest.raises(ValueError, match='mask has shape'):
    ircr.uniform_rewards(np.zeros(3), np.ones((2, 4)))
  with pytest.raises(ValueError, match='given together'):
    ircr.guidance_rewards(np.zeros(3), np.ones((3, 4)), low=0.0)
  with pytest.raises(ValueError, match='low must be'):
    ircr.guidance_rewards(
      np.zeros(3), np.ones((3, 4)), low=np.zeros(2), high=1.0
    )
  with pytest.raises(ValueError, match='at least 1 axis'):
    ircr.guidance_rewards(np.float32(0), np.ones(4))


def test_without_a_mask_episodes_have_one_step():
  given = ircr.guidance_rewards([3.0, 1.0, 2.0])
  np.testing.assert_allclose(given, [[1.0], [0.0], [0.5]])
  np.testing.assert_allclose(ircr.uniform_rewards(2.0), [2.0])
  np.testing.assert_allclose(ircr.return_bounds([3.0, 1.0]), (1.0, 3.0))
