"""Returns and advantages of rows in which episodes end, against a slow loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import returns


def unroll(seed, steps=13):
  """Rewards, values, ends and masked entries, those with NaN."""
  rng = np.random.default_rng(seed)
  rewards, values, final = rng.normal(size=(3, 4, steps))
  terminated, truncated = rng.random((2, 4, steps)) < 0.25
  mask = rng.random((4, steps)) < 0.8
  rewards, values = (np.where(mask, x, np.nan) for x in (rewards, values))
  final = np.where(mask & truncated & ~terminated, final, np.nan)
  return rewards, values, final, terminated, truncated, mask


def slow(rewards, values, final, terminated, truncated, mask, discount, lam):
  """Episode by episode, forwards from each step; returns and advantages."""
  totals, advantages = np.zeros_like(rewards), np.zeros_like(rewards)
  for row in range(len(rewards)):
    taken = np.flatnonzero(mask[row])
    for index, start in enumerate(taken):
      weight, decay = 1.0, 1.0
      for now, after in zip(
        taken[index:], [*taken[index + 1 :], None], strict=True
      ):
        r, v = rewards[row, now], values[row, now]
        cut = truncated[row, now] and not terminated[row, now]
        ends = terminated[row, now] or cut
        following = final[row, now] if cut else 0.0
        if not ends and after is not None:
          following = values[row, after]
        totals[row, start] += weight * r
        advantages[row, start] += decay * (r + discount * following - v)
        weight *= discount
        decay *= discount * lam
        if cut:
          totals[row, start] += weight * following
        if ends:
          break
  return totals, advantages


@pytest.mark.parametrize('seed', range(3))
def test_ends_inside_a_row_against_a_loop(seed):
  rewards, values, final, over, cut, mask = unroll(seed)
  expected_returns, expected = slow(
    rewards, values, final, over, cut, mask, 0.9, 0.7
  )
  ends = {'terminated': over, 'truncated': cut, 'final_values': final}
  given = returns.discounted_returns(rewards, mask, discount=0.9, **ends)
  np.testing.assert_allclose(given, expected_returns, rtol=1e-4, atol=1e-5)
  given = returns.gae(
    rewards, values, mask, discount=0.9, gae_lambda=0.7, **ends
  )
  np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)


def test_a_row_with_ends_is_its_episodes_one_by_one():
  rng = np.random.default_rng(5)
  rewards, values = rng.normal(size=(2, 7)).astype(np.float32)
  over = np.arange(7) == 2
  options = {'discount': 0.9, 'gae_lambda': 0.8}
  given = returns.gae(
    rewards, values, terminated=over, bootstrap=2.0, **options
  )
  apart = [
    returns.gae(rewards[:3], values[:3], **options),
    returns.gae(rewards[3:], values[3:], bootstrap=2.0, **options),
  ]
  np.testing.assert_allclose(given, np.concatenate(apart), rtol=1e-5)
  cut = returns.gae(
    rewards,
    values,
    truncated=over,
    final_values=np.full(7, 3.0),
    bootstrap=2.0,
    **options,
  )
  apart[0] = returns.gae(rewards[:3], values[:3], bootstrap=3.0, **options)
  np.testing.assert_allclose(cut, np.concatenate(apart), rtol=1e-5)


def test_a_truncated_step_needs_what_followed():
  zeros = jnp.zeros(3)
  with pytest.raises(ValueError, match='truncated needs final_values'):
    returns.gae(
      zeros, zeros, discount=1, gae_lambda=1, truncated=[False, True, False]
    )
  with pytest.raises(ValueError, match='nothing reads them'):
    returns.discounted_returns(zeros, discount=1, final_values=zeros)
  with pytest.raises(ValueError, match=r'terminated has shape \(2,\)'):
    returns.discounted_returns(zeros, discount=1, terminated=[True, False])
  with pytest.raises(ValueError, match='terminated holds NaN'):
    returns.discounted_returns(zeros, discount=1, terminated=[np.nan, 0, 0])


def test_gradients_pass_by_an_end():
  def first(rewards):
    return returns.discounted_returns(
      rewards, discount=0.5, terminated=[False, True, False]
    )[0]

  np.testing.assert_allclose(jax.grad(first)(jnp.ones(3)), [1, 0.5, 0])
