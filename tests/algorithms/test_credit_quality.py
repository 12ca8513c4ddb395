"""Scores of credit, against scipy, explicit gradients and hand-made cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxcredit.algorithms import credit_quality


def case(seed=0, shape=(3, 4, 6)):
  rng = np.random.default_rng(seed)
  mask = rng.random(shape) < 0.7
  mask[..., 0] = True
  # Rounded, so that there are ties.
  true = np.round(rng.normal(size=shape), 1).astype(np.float32)
  estimated = np.round(true + rng.normal(size=shape), 1).astype(np.float32)
  # What is masked must not matter.
  return np.where(mask, estimated, np.nan), np.where(mask, true, 99), mask


SCORES = (
  credit_quality.rank_correlation,
  credit_quality.within_episodes,
  credit_quality.sign_agreement,
  credit_quality.scaled_error,
)


@pytest.mark.parametrize('seed', [0, 1])
def test_rank_correlation_is_spearmans(seed):
  estimated, true, mask = case(seed)
  found = credit_quality.rank_correlation(estimated, true, mask)
  expected = stats.spearmanr(estimated[mask], true[mask]).statistic
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_ranks_by_hand():
  values = jnp.array([3.0, 1, 1, 9, 2])
  mask = jnp.array([True, True, True, False, True])
  np.testing.assert_array_equal(
    credit_quality.ranks(values, mask), [4, 1.5, 1.5, 0, 3]
  )


def test_scaled_error_is_that_of_least_squares():
  estimated, true, mask = case()
  x, y = estimated[mask], true[mask]
  (factor,), (rest,), *_ = np.linalg.lstsq(x[:, None], y, rcond=None)
  np.testing.assert_allclose(
    credit_quality.best_scale(estimated, true, mask), factor, rtol=1e-5
  )
  np.testing.assert_allclose(
    credit_quality.scaled_error(estimated, true, mask),
    rest / (y**2).sum(),
    rtol=1e-5,
  )
  # The wrong way round no scale helps.
  assert credit_quality.scaled_error(-estimated, true, mask) == 1


def test_within_episodes_by_hand():
  true = jnp.array([[1.0, -1, 0], [4, 2, 77]])
  mask = jnp.array([[True, True, True], [True, True, False]])
  of_episodes = jnp.array([[0.1, 0.1, 0.1], [0.7, 0.7, 0.7]])
  found = credit_quality.within_episodes
  assert found(of_episodes, true, mask) == 0
  np.testing.assert_allclose(
    found(true + of_episodes, true, mask), 1, rtol=1e-6
  )
  # Centred: (2, -1, -1), (1, -1) against (1, -1, 0), (1, -1).
  estimated = jnp.array([[3.0, 0, 0], [1, -1, 5]])
  np.testing.assert_allclose(
    found(estimated, true, mask), 5 / np.sqrt(8 * 4), rtol=1e-6
  )


def test_sign_agreement_by_hand():
  true = jnp.array([1.0, -1, 1e-5, 2, 3, -5])
  estimated = jnp.array([0.5, 2, -1, 0, 1, -1])
  mask = jnp.array([True, True, True, True, True, False])
  # Right, wrong, does not count, half, right.
  found = credit_quality.sign_agreement(estimated, true, mask)
  np.testing.assert_allclose(found, 2.5 / 4)
  wide = credit_quality.sign_agreement(
    estimated, true, mask, threshold=jnp.array([0, 1.5, 0, 0, 0, 0])
  )
  np.testing.assert_allclose(wide, 2.5 / 4)
  assert np.isnan(
    credit_quality.sign_agreement(estimated, true, mask, threshold=9.0)
  )


@pytest.mark.parametrize('score', SCORES)
def test_scale_does_not_matter_and_truth_is_best(score):
  estimated, true, mask = case()
  np.testing.assert_allclose(
    score(estimated, true, mask), score(70 * estimated, true, mask), atol=1e-5
  )
  best = 0 if score is credit_quality.scaled_error else 1
  np.testing.assert_allclose(score(true, true, mask), best, atol=1e-5)
  if score is not credit_quality.sign_agreement:
    nothing = score(0 * true, true, mask)
    assert nothing == 1 - best


def test_gradient_cosine_against_the_gradient():
  rng = np.random.default_rng(0)
  shape, n, a = (2, 5, 6), 4, 3
  states = rng.integers(0, n, shape)
  actions = rng.integers(0, a, shape)
  mask = rng.random(shape) < 0.8
  logits = jnp.asarray(rng.normal(size=(n, a)), jnp.float32)
  estimated, true = rng.normal(size=(2, *shape)).astype(np.float32)

  def gradient(credit):
    def objective(logits):
      log_probs = jax.nn.log_softmax(logits)[states, actions]
      return jnp.where(mask, credit * log_probs, 0).sum()

    return np.asarray(jax.grad(objective)(logits)).reshape(-1)

  one, other = gradient(estimated), gradient(true)
  expected = one @ other / np.sqrt((one @ one) * (other @ other))
  policy = np.asarray(jax.nn.softmax(logits))
  arguments = (
    mask,
    states,
    states * a + actions,
    policy[states, actions],
    (policy**2).sum(axis=-1)[states],
  )
  found = credit_quality.gradient_cosine(estimated, true, *arguments)
  np.testing.assert_allclose(found, expected, atol=1e-5)
  assert abs(expected) < 0.9
  same = credit_quality.gradient_cosine(3 * true, true, *arguments)
  np.testing.assert_allclose(same, 1, rtol=1e-5)
  # A baseline that depends on the state alone changes a batch's gradient.
  none = credit_quality.gradient_cosine(0 * true, true, *arguments)
  assert none == 0


def test_resampling_variance_by_hand():
  true = jnp.array([1.0, -1, 50])
  mask = jnp.array([True, True, False])
  estimated = jnp.array([[2.0, -2, 3], [4, -2, 8], [3, -2, 1]])
  # Scale: (5 + 5 + 5 ... ) sum(e t) = 9 + 6, sum(e^2) = 29 + 12.
  scale = 15 / 41
  np.testing.assert_allclose(
    credit_quality.resampling_variance(estimated, true, mask),
    scale**2 * 1.0 / 2,
    rtol=1e-5,
  )
