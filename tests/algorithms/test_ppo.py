"""PPO's advantages and the critic's loss, against loops in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import losses, ppo


def slow_advantages(rewards, values, mask, discount, gae_lambda, bootstrap):
  """One row, entry by entry, masked ones cut out."""
  kept = np.flatnonzero(mask)
  total, returns = np.zeros(len(mask)), np.zeros(len(mask))
  advantage, after = 0.0, bootstrap
  for t in kept[::-1]:
    error = rewards[t] + discount * after - values[t]
    advantage = error + discount * gae_lambda * advantage
    after = values[t]
    total[t], returns[t] = advantage, advantage + values[t]
  return total, returns


def draw(seed=0, shape=(3, 9)):
  rng = np.random.default_rng(seed)
  mask = rng.random(shape) < 0.7
  mask[0] = True
  return rng.normal(size=shape), rng.normal(size=shape), mask


@pytest.mark.parametrize('discount', [1.0, 0.9])
@pytest.mark.parametrize('gae_lambda', [1.0, 0.5, 0.0])
def test_against_a_loop(discount, gae_lambda):
  rewards, values, mask = draw()
  bootstrap = np.array([0.3, 0.0, -0.7])
  with jax.enable_x64(True):
    given = ppo.advantages(
      rewards,
      np.where(mask, values, np.nan),
      mask,
      discount=discount,
      gae_lambda=gae_lambda,
      bootstrap=bootstrap,
      whiten=False,
    )
    white = ppo.advantages(
      rewards,
      values,
      mask,
      discount=discount,
      gae_lambda=gae_lambda,
      bootstrap=bootstrap,
    )
  total, returns = np.array(
    [
      slow_advantages(r, v, m, discount, gae_lambda, b)
      for r, v, m, b in zip(rewards, values, mask, bootstrap, strict=True)
    ]
  ).transpose(1, 0, 2)
  np.testing.assert_allclose(given.total, total, atol=1e-12)
  np.testing.assert_allclose(given.returns, returns, atol=1e-12)
  # The critic's targets are those before whitening.
  np.testing.assert_allclose(white.returns, returns, atol=1e-12)
  kept = total[mask]
  expected = (kept - kept.mean()) / np.sqrt(kept.var(ddof=1) + 1e-8)
  np.testing.assert_allclose(white.total[mask], expected, atol=1e-9)
  assert not white.total[~mask].any()


def test_a_reward_at_the_end_and_a_critic_that_knows_it():
  # Three tokens, the second of them the environment's.
  mask = jnp.array([[True, False, True]])
  given = ppo.advantages(
    jnp.array([[0.0, 0.0, 1.0]]),
    jnp.array([[0.25, 9.0, 0.75]]),
    mask,
    whiten=False,
  )
  np.testing.assert_allclose(given.total, [[0.75, 0, 0.25]])
  np.testing.assert_allclose(given.returns, [[1, 0, 1]])
  one_step = ppo.advantages(
    jnp.array([[0.0, 0.0, 1.0]]),
    jnp.array([[0.25, 9.0, 0.75]]),
    mask,
    gae_lambda=0.0,
    whiten=False,
  )
  np.testing.assert_allclose(one_step.total, [[0.5, 0, 0.25]])


def test_equal_advantages_are_whitened_to_nothing():
  # Rounding of the mean must not become credit.
  given = ppo.advantages(jnp.full((7, 1), 0.7), jnp.zeros((7, 1)), discount=1.0)
  assert not np.asarray(given.total).any()


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'ddof': 2}, 'ddof'),
    ({'eps': -1.0}, 'eps'),
    ({'values': np.zeros((2, 4))}, 'values'),
  ],
)
def test_what_cannot_be(options, message):
  arguments = {'rewards': np.zeros((2, 3)), 'values': np.zeros((2, 3))}
  with pytest.raises(ValueError, match=message):
    ppo.advantages(**{**arguments, **options})


def test_value_loss_by_hand():
  values = jnp.array([[1.0, 2.0, 5.0]])
  old = jnp.array([[0.5, 2.0, 5.0]])
  returns = jnp.array([[2.0, 2.5, 0.0]])
  mask = jnp.array([[True, True, False]])
  # The first value moved by 0.5, is cut back to 0.7, and errs by 1.3 there.
  given = losses.value_loss(values, old, returns, mask, clip=0.2)
  assert float(given.loss) == pytest.approx(0.5 * (1.3**2 + 0.5**2) / 2)
  assert float(given.clip_share) == 0.5
  assert float(given.error) == pytest.approx(0.75)
  free = losses.value_loss(values, old, returns, mask, clip=None)
  assert float(free.loss) == pytest.approx(0.5 * (1 + 0.25) / 2)
  assert float(free.clip_share) == 0


def test_what_is_clipped_has_no_gradient():
  def loss(values, clip):
    return losses.value_loss(
      values, jnp.array([0.5, 2.0]), jnp.array([2.0, 2.5]), clip=clip
    ).loss

  gradient = jax.grad(loss)
  values = jnp.array([1.0, 2.0])
  np.testing.assert_allclose(gradient(values, None), [-0.5, -0.25])
  np.testing.assert_allclose(gradient(values, 0.2), [0, -0.25])
  # Towards the target and back: the larger error counts.
  np.testing.assert_allclose(gradient(jnp.array([0.0, 2.0]), 0.2), [-1, -0.25])


def test_a_value_that_is_not_finite_is_seen():
  bad = losses.value_loss(jnp.array([np.nan, 1.0]), jnp.zeros(2), jnp.zeros(2))
  assert np.isnan(bad.loss)
