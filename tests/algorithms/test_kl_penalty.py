"""KL as a reward, and the coefficient that keeps it near a target."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import kl_penalty, losses


def test_rewards_by_hand():
  log_probs = jnp.array([[-1.0, -2.0, np.nan]])
  reference = jnp.array([[-1.5, -1.0, 0.0]])
  mask = jnp.array([[True, True, False]])
  given = kl_penalty.rewards(log_probs, reference, mask, coefficient=0.2)
  np.testing.assert_allclose(given, [[-0.1, 0.2, 0]], rtol=1e-6)
  given = kl_penalty.rewards(
    log_probs, reference, mask, coefficient=0.2, estimator='abs'
  )
  np.testing.assert_allclose(given, [[-0.1, -0.2, 0]], rtol=1e-6)
  given = kl_penalty.rewards(
    log_probs, reference, mask, coefficient=2.0, estimator='k2'
  )
  np.testing.assert_allclose(given, [[-0.25, -1, 0]], rtol=1e-6)


@pytest.mark.parametrize('estimator', losses.KL_ESTIMATORS)
def test_rewards_are_minus_the_estimates(estimator):
  rng = np.random.default_rng(0)
  log_probs, reference = rng.normal(size=(2, 3, 4))
  given = kl_penalty.rewards(
    log_probs, reference, coefficient=0.5, estimator=estimator
  )
  np.testing.assert_allclose(
    given,
    -0.5 * losses.kl(log_probs, reference, estimator=estimator),
    rtol=1e-5,
    atol=1e-7,
  )


def test_half_precision_differences_are_not_rounded_twice():
  given = kl_penalty.rewards(
    jnp.array([-8.0], jnp.bfloat16),
    np.array([-8.001], np.float32),
    coefficient=1.0,
  )
  assert given.dtype == jnp.bfloat16
  assert float(given[0]) == pytest.approx(-0.001, rel=1e-2)


def slow_coefficients(coefficient, kls, target, horizon, count):
  """The coefficient after each batch, as released trainers have it."""
  for kl in kls:
    error = min(max(kl / target - 1, -0.2), 0.2)
    coefficient *= 1 + error * count / horizon
    yield coefficient


def test_coefficients_against_a_loop():
  kls = [0.0, 3.0, 5.9, 6.0, 6.3, 7.2, 100.0, 6.6]
  expected = list(slow_coefficients(0.3, kls, 6.0, 10_000, 256))
  with jax.enable_x64(True):
    coefficient = 0.3
    for kl, right in zip(kls, expected, strict=True):
      coefficient = kl_penalty.adapted_coefficient(
        coefficient, kl, target=6.0, count=256
      )
      assert float(coefficient) == pytest.approx(right, rel=1e-12)
  # Below the target it falls, above it rises, and never by more than a fifth
  # of count / horizon.
  changes = np.diff([0.3, *expected]) / [0.3, *expected[:-1]]
  assert (np.sign(changes) == np.sign(np.array(kls) - 6)).all()
  assert abs(changes).max() == pytest.approx(0.2 * 0.0256)


def test_kl_of_an_episode_is_what_the_coefficient_follows():
  # Two episodes of two and one tokens, each token 0.5 from the reference.
  mask = jnp.array([[True, True], [True, False]])
  estimates = losses.kl(
    jnp.zeros((2, 2)), jnp.full((2, 2), -0.5), estimator='k1'
  )
  kl = losses.aggregate(estimates, mask, 'seq-mean-token-sum')
  assert float(kl) == 0.75
  following = kl_penalty.adapted_coefficient(
    1.0, kl, target=0.5, horizon=20, count=2
  )
  assert float(following) == pytest.approx(1.02)


def test_options_of_the_coefficient_may_be_traced():
  call = jax.jit(
    lambda coefficient, kl, target: kl_penalty.adapted_coefficient(
      coefficient, kl, target=target, count=10, horizon=100, clip=0.5
    )
  )
  assert float(call(1.0, 2.0, 1.0)) == pytest.approx(1.05)
  assert np.isnan(call(1.0, np.nan, 1.0))


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'log_probs': 0.0}, 'log_probs must have at least 1 axis'),
    ({'reference_log_probs': np.zeros(2)}, r'reference_log_probs has shape'),
    ({'mask': np.ones(2)}, r'mask has shape \(2,\)'),
    ({'coefficient': -0.1}, 'coefficient must be a finite number'),
    ({'estimator': 'kl'}, "estimator must be one of 'k1'"),
  ],
)
def test_wrong_arguments_of_rewards(change, message):
  arguments = {
    'log_probs': np.zeros(3),
    'reference_log_probs': np.zeros(3),
    'coefficient': 0.1,
  }
  with pytest.raises(ValueError, match=message):
    kl_penalty.rewards(**{**arguments, **change})


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'target': 0.0}, 'target must be above 0, not 0.0'),
    ({'target': -1.0}, 'target must be above 0, not -1.0'),
    ({'target': np.float32(0)}, 'target must be above 0, not 0.0'),
    ({'horizon': 0}, 'horizon must be above 0, not 0'),
    ({'clip': -0.2}, 'clip must be a finite number'),
  ],
)
def test_wrong_arguments_of_the_coefficient(change, message):
  arguments = {'coefficient': 0.3, 'kl': 1.0, 'target': 6.0, 'count': 8}
  with pytest.raises(ValueError, match=message):
    kl_penalty.adapted_coefficient(**{**arguments, **change})


REFERENCE = np.log([0.2, 0.3, 0.5])
LOGITS = jnp.log(jnp.array([0.6, 0.25, 0.15]))


def divergence(x, towards_reference=True):
  """KL(policy, reference), or the other way round, in closed form."""
  log_p, log_q = jax.nn.log_softmax(x), jnp.asarray(REFERENCE, x.dtype)
  if towards_reference:
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q))
  return jnp.sum(jnp.exp(log_q) * (log_q - log_p))


def mean_of(x, power):
  """E of a power of |log pi / ref| over the policy's tokens."""
  log_p = jax.nn.log_softmax(x)
  size = jnp.abs(log_p - jnp.asarray(REFERENCE, x.dtype))
  return jnp.sum(jnp.exp(log_p) * size**power) / power


def descended(estimator, use, gradient='own'):
  """The gradient by the logits, in expectation over drawn tokens."""
  drawn = jax.nn.softmax(LOGITS)

  def loss(x):
    log_p = jax.nn.log_softmax(x)
    k = losses.kl(log_p, REFERENCE, estimator=estimator, gradient=gradient)
    if use == 'reward':
      each = log_p * jax.lax.stop_gradient(k)
    elif use == 'ratio':
      each = jnp.exp(log_p - jax.lax.stop_gradient(log_p)) * k
    else:
      each = k
    return jnp.sum(drawn * each)

  return jax.grad(loss)(LOGITS)


KL = jax.grad(divergence)(LOGITS)
REVERSE_KL = jax.grad(lambda x: divergence(x, False))(LOGITS)


@pytest.mark.parametrize(
  ('estimator', 'use', 'expected'),
  [
    ('k1', 'reward', KL),
    ('k1', 'loss', 0 * KL),
    ('k1', 'ratio', KL),
    ('k2', 'loss', KL),
    ('k2', 'ratio', jax.grad(lambda x: mean_of(x, 2))(LOGITS)),
    ('k3', 'reward', KL - REVERSE_KL),
    ('k3', 'loss', REVERSE_KL),
    ('k3', 'ratio', KL),
    ('abs', 'ratio', jax.grad(lambda x: mean_of(x, 1))(LOGITS)),
  ],
)
def test_gradients_are_those_of_the_table(estimator, use, expected):
  np.testing.assert_allclose(
    descended(estimator, use), expected, atol=2e-6, rtol=1e-5
  )


@pytest.mark.parametrize(
  ('estimator', 'use'),
  [('k2', 'reward'), ('abs', 'reward'), ('abs', 'loss')],
)
def test_no_divergence_has_the_other_gradients(estimator, use):
  """No multiple of either gradient is near."""
  found = np.asarray(descended(estimator, use))
  for gradient in (np.asarray(KL), np.asarray(REVERSE_KL)):
    cosine = found @ gradient / np.linalg.norm(found) / np.linalg.norm(gradient)
    assert cosine < 0.99


@pytest.mark.parametrize('estimator', losses.KL_ESTIMATORS)
def test_unbiased_gradient_keeps_the_value(estimator):
  np.testing.assert_allclose(
    descended(estimator, 'loss', 'unbiased'), KL, atol=2e-6
  )
  policy = jax.nn.log_softmax(LOGITS)
  own, other = (
    losses.kl(policy, REFERENCE, estimator=estimator, gradient=gradient)
    for gradient in losses.KL_GRADIENTS
  )
  np.testing.assert_array_equal(own, other)
  bounded = jax.grad(
    lambda x: losses.kl(
      x, [0.0], estimator=estimator, clamp=1.0, gradient='unbiased'
    ).sum()
  )(jnp.array([-7.0]))
  np.testing.assert_allclose(bounded, [-7.0])


@pytest.mark.parametrize('estimator', losses.KL_ESTIMATORS)
@pytest.mark.parametrize('gradient', losses.KL_GRADIENTS)
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_far_tokens_are_pulled_back(estimator, gradient, dtype):
  """Finite values of the right sign, whatever the log-probabilities."""
  for far in (1.0, 10, 19, 20.5, 30, 1e3, 1e9, 1e18, 1e20, 3e38):
    for policy, reference in ((-1 - far, -1.0), (-1.0, -1 - far)):

      def estimate(x, reference=reference):
        y = jnp.array(reference, dtype)
        return losses.kl(x, y, estimator=estimator, gradient=gradient)

      value, slope = jax.value_and_grad(estimate)(jnp.array(policy, dtype))
      assert np.isfinite(np.float32(value)) and np.isfinite(np.float32(slope))
      sign = 1 if policy > reference else -1
      assert value * (sign if estimator == 'k1' else 1) > 0
      if gradient == 'own' and estimator == 'k1':
        assert slope == 1
      else:
        assert slope * sign > 0


def test_slopes_below_the_bound_are_exact():
  for far in (1.0, 10.0, 19.0):
    slope = jax.grad(lambda x: losses.kl(x, -1.0))(-1.0 - far)
    np.testing.assert_allclose(slope, 1 - np.exp(far), rtol=1e-5)
