"""Losses, aggregations, divergences and entropy by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import losses

VALUES = jnp.array([[1.0, 2.0, 3.0, 9.0], [5.0, 7.0, 9.0, 9.0]])
MASK = jnp.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool)
STEPS = jnp.array([[0, 0, 1, -1], [0, -1, -1, -1]])


@pytest.mark.parametrize(
  ('aggregation', 'expected'),
  [
    ('token-mean', (1 + 2 + 3 + 5) / 4),
    ('seq-mean-token-sum', (6 + 5) / 2),
    ('seq-mean-token-mean', (2 + 5) / 2),
    ('seq-mean-token-sum-norm', (6 / 4 + 5 / 4) / 2),
    ('step-mean', (1.5 + 3 + 5) / 3),
  ],
)
def test_aggregations(aggregation, expected):
  result = losses.aggregate(VALUES, MASK, aggregation, step_of_token=STEPS)
  np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_normaliser():
  result = losses.aggregate(
    VALUES, MASK, 'seq-mean-token-sum-norm', normaliser=10.0
  )
  np.testing.assert_allclose(result, (0.6 + 0.5) / 2, rtol=1e-6)


def test_rows_without_tokens_do_not_count():
  mask = MASK.at[1].set(False)
  for aggregation in losses.AGGREGATIONS:
    both = losses.aggregate(VALUES, mask, aggregation, step_of_token=STEPS)
    one = losses.aggregate(
      VALUES[:1], mask[:1], aggregation, step_of_token=STEPS[:1]
    )
    np.testing.assert_allclose(both, one)


def loss_of(ratio, advantage, **options):
  """Loss of one token with a probability ratio."""
  return float(
    losses.policy_loss(
      jnp.log(jnp.array([[ratio]])),
      jnp.zeros((1, 1)),
      jnp.array([[advantage]]),
      **options,
    ).loss
  )


@pytest.mark.parametrize(
  ('ratio', 'advantage', 'options', 'expected'),
  [
    (1.1, 2.0, {}, -2.2),
    (1.5, 2.0, {}, -2.4),  # clipped at 1.2
    (0.5, 2.0, {}, -1.0),  # the clip does not help the policy
    (0.5, -2.0, {}, 1.6),  # clipped at 0.8
    (1.5, -2.0, {}, 3.0),
    (1.25, 2.0, {'clip_high': 0.28}, -2.5),
    (1.5, 2.0, {'clip_high': 0.28}, -2.56),
    (0.5, -2.0, {'clip_high': 0.28}, 1.6),
    (5.0, -2.0, {'dual_clip': 3.0}, 6.0),
    (2.0, -2.0, {'dual_clip': 3.0}, 4.0),
    (5.0, 2.0, {'dual_clip': 3.0}, -2.4),
  ],
)
def test_clip(ratio, advantage, options, expected):
  assert loss_of(ratio, advantage, **options) == pytest.approx(
    expected, rel=1e-5
  )


def test_gradient_at_ratio_one_is_the_policy_gradient():
  log_probs = jnp.array([[-1.0, -2.0, -0.5, 0.0]])
  advantages = jnp.array([[1.0, -2.0, 0.5, 7.0]])
  mask = jnp.array([[1, 1, 1, 0]], bool)
  for ratio in losses.RATIOS:
    gradient = jax.grad(
      lambda x, ratio=ratio: (
        losses.policy_loss(
          x,
          log_probs,
          advantages,
          mask,
          ratio=ratio,
          step_of_token=jnp.array([[0, 1, 2, -1]]),
        ).loss
      )
    )(log_probs)
    if ratio == 'sequence':
      # The ratio is the geometric mean: each token carries the mean advantage.
      expected = np.array([[-1, -1, -1, 0]]) * (1 - 2 + 0.5) / 3 / 3
    else:
      expected = np.array([[-1, 2, -0.5, 0]]) / 3
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_sequence_ratio_is_the_geometric_mean():
  new = jnp.log(jnp.array([[0.2, 0.4, 0.9]]))
  old = jnp.log(jnp.array([[0.1, 0.1, 0.1]]))
  mask = jnp.array([[1, 1, 0]], bool)
  result = losses.policy_loss(
    new, old, jnp.ones((1, 3)), mask, ratio='sequence'
  )
  np.testing.assert_allclose(
    result.ratio, [[np.sqrt(8), np.sqrt(8), 1]], rtol=1e-5
  )


def test_step_ratio_is_the_product_over_the_step():
  new = jnp.log(jnp.array([[0.2, 0.4, 0.3, 0.9]]))
  old = jnp.log(jnp.array([[0.1, 0.1, 0.1, 0.1]]))
  steps = jnp.array([[0, 0, 1, -1]])
  result = losses.policy_loss(
    new, old, jnp.ones((1, 4)), steps >= 0, ratio='step', step_of_token=steps
  )
  np.testing.assert_allclose(result.ratio, [[8, 8, 3, 1]], rtol=1e-5)


def test_shares():
  ratios = jnp.array([[1.5, 0.5, 1.0, 5.0]])
  advantages = jnp.array([[1.0, 1.0, 1.0, -1.0]])
  result = losses.policy_loss(
    jnp.log(ratios), jnp.zeros((1, 4)), advantages, dual_clip=3.0
  )
  assert result.clip_share == 0.25  # the first
  assert result.dual_clip_share == 0.25  # the last
  np.testing.assert_allclose(
    result.approximate_kl, -np.log(1.5 * 0.5 * 5) / 4, rtol=1e-5
  )


def test_no_gradient_through_old_and_advantages():
  def loss(old, advantages):
    return losses.policy_loss(jnp.array([[-1.0]]), old, advantages).loss

  for gradient in jax.grad(loss, (0, 1))(
    jnp.array([[-1.2]]), jnp.array([[2.0]])
  ):
    assert not gradient.any()


def test_huge_ratios_stay_finite():
  def loss(x):
    return losses.policy_loss(
      x, jnp.full((1, 1), -500.0), -jnp.ones((1, 1))
    ).loss

  value, gradient = jax.value_and_grad(loss)(jnp.zeros((1, 1)))
  assert np.isfinite(value)
  assert np.isfinite(gradient).all()


def test_kl_estimators():
  new, reference = jnp.log(jnp.array([0.5])), jnp.log(jnp.array([0.25]))
  d = np.log(0.25) - np.log(0.5)
  expected = {
    'k1': -d, 'k2': d * d / 2, 'k3': np.exp(d) - d - 1, 'abs': abs(d),
  }  # fmt: skip
  for estimator, value in expected.items():
    np.testing.assert_allclose(
      losses.kl(new, reference, estimator=estimator), value, rtol=1e-5
    )
  assert losses.kl(jnp.array([-30.0]), jnp.array([0.0]), clamp=10.0) == 10.0


def test_k1_and_k3_estimate_the_divergence():
  logits = jax.random.normal(jax.random.key(0), (2, 50))
  log_p, log_q = jax.nn.log_softmax(logits, axis=-1)
  exact = jnp.sum(jnp.exp(log_p) * (log_p - log_q))
  for estimator in ('k1', 'k3'):
    mean = jnp.sum(
      jnp.exp(log_p) * losses.kl(log_p, log_q, estimator=estimator)
    )
    np.testing.assert_allclose(mean, exact, rtol=1e-4)


def test_entropy():
  np.testing.assert_allclose(losses.entropy(jnp.zeros(8)), np.log(8), rtol=1e-6)
  logits = jnp.array([0.0, 0.0, -jnp.inf])
  np.testing.assert_allclose(losses.entropy(logits), np.log(2), rtol=1e-6)
  gradient = jax.grad(losses.entropy)(logits)
  assert np.isfinite(np.asarray(gradient)).all()


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'ratio': 'word'}, "ratio must be one of 'token', 'step', 'sequence'"),
    ({'aggregation': 'mean'}, "aggregation must be one of 'token-mean'"),
    ({'ratio': 'step'}, "ratio 'step' needs step_of_token"),
    ({'aggregation': 'step-mean'}, "'step-mean' needs step_of_token"),
    ({'dual_clip': 0.5}, 'dual_clip must be above 1, not 0.5'),
    ({'clip': -0.1}, 'clip must be a finite number between 0 and 1'),
  ],
)
def test_wrong_options(options, message):
  x = jnp.zeros((2, 3))
  with pytest.raises(ValueError, match=message):
    losses.policy_loss(x, x, x, **options)


def test_wrong_shapes():
  x = jnp.zeros((2, 3))
  with pytest.raises(ValueError, match=r'old_log_probs has shape \(3,\)'):
    losses.policy_loss(x, x[0], x)
  with pytest.raises(ValueError, match='estimator must be one of'):
    losses.kl(x, x, estimator='k4')


@pytest.mark.parametrize('aggregation', losses.AGGREGATIONS)
@pytest.mark.parametrize('ratio', losses.RATIOS)
def test_numbers_of_steps_do_not_matter(ratio, aggregation):
  # A row of one late step is the same row whatever the step is called.
  new = jnp.log(jnp.array([[0.2, 0.4, 0.3], [0.5, 0.1, 0.9]]))
  old = jnp.log(jnp.array([[0.1, 0.1, 0.1], [0.4, 0.2, 0.1]]))
  steps = jnp.array([[0, 0, 1], [0, 0, -1]])

  def loss(steps):
    return losses.policy_loss(
      new,
      old,
      jnp.ones((2, 3)),
      steps >= 0,
      clip=0.9,
      clip_high=9.0,
      ratio=ratio,
      aggregation=aggregation,
      step_of_token=steps,
    ).loss

  late = jnp.where(steps >= 0, steps + 40, steps)
  np.testing.assert_allclose(loss(late), loss(steps), rtol=1e-6)


def test_half_precision_is_widened_inside():
  x = jnp.full((1, 4096), -1.0, jnp.bfloat16)
  result = losses.policy_loss(x, x, jnp.ones_like(x))
  assert result.loss.dtype == jnp.bfloat16
  # A sum in bfloat16 would stop at 256.
  assert float(result.loss) == -1.0


def test_importance_weights_by_hand():
  proximal = jnp.log(jnp.array([[0.5, 0.2, 0.9, 0.1]]))
  behaviour = jnp.log(jnp.array([[0.25, 0.4, 0.1, 0.7]]))
  mask = jnp.array([[True, True, True, False]])
  steps = jnp.array([[0, 0, 1, 1]])

  def weights(**options):
    return losses.importance_weights(
      proximal, behaviour, mask, step_of_token=steps, **options
    )[0]

  np.testing.assert_allclose(weights(), [2, 0.5, 2, 0], rtol=1e-5)
  np.testing.assert_allclose(weights(cap=1.5), [1.5, 0.5, 1.5, 0], rtol=1e-5)
  np.testing.assert_allclose(weights(cap=None), [2, 0.5, 9, 0], rtol=1e-5)
  # A step has the product of its tokens, a row their geometric mean.
  np.testing.assert_allclose(
    weights(cap=None, ratio='step'), [1, 1, 9, 0], rtol=1e-5
  )
  mean = 9 ** (1 / 3)
  np.testing.assert_allclose(
    weights(cap=None, ratio='sequence'), [mean, mean, mean, 0], rtol=1e-5
  )
  for cap in (0, -1, float('nan')):
    with pytest.raises(ValueError, match='cap must be above 0'):
      weights(cap=cap)


def test_weights_multiply_each_tokens_loss():
  rng = np.random.default_rng(0)
  new, old, credit = rng.normal(size=(3, 2, 5)).astype(np.float32)
  weights = rng.uniform(0, 2, size=(2, 5)).astype(np.float32)
  mask = np.array([[True] * 5, [True, True, False, False, False]])

  def loss(new, weights, **options):
    return losses.policy_loss(
      new, old, credit, mask, clip=0.3, dual_clip=1.5, weights=weights,
      **options,
    )  # fmt: skip

  # Each token alone, with the plain loss, times its weight.
  alone = [
    weights[i, t]
    * losses.policy_loss(
      new[i, t][None], old[i, t][None], credit[i, t][None], clip=0.3,
      dual_clip=1.5,
    ).loss
    for i, t in zip(*np.nonzero(mask), strict=True)
  ]  # fmt: skip
  given = loss(new, weights)
  np.testing.assert_allclose(given.loss, np.mean(alone), rtol=1e-5)
  np.testing.assert_allclose(
    loss(new, np.ones_like(weights)).loss, loss(new, None).loss, rtol=1e-6
  )
  # They say nothing of how far the policy went, and pass no gradient.
  np.testing.assert_array_equal(given.ratio, loss(new, None).ratio)
  assert not jax.grad(lambda w: loss(new, w).loss)(weights).any()
  with pytest.raises(ValueError, match='weights'):
    loss(new, weights[:, :4])


def test_the_decoupled_gradient_is_unbiased_for_the_policy_before_the_update():
  # At pi = pi_prox the expected gradient over tokens of the older policy is
  # that over tokens of pi_prox; without the weights it is not.
  logits = jnp.array([0.3, -0.5, 1.0])
  behaviour = jax.nn.log_softmax(jnp.array([1.0, 0.2, -0.4]))
  credit = jnp.array([1.0, -2.0, 0.5])

  def expected(logits, drawn_by, old, weights):
    new = jax.nn.log_softmax(logits)
    each = [
      jnp.exp(drawn_by[a])
      * losses.policy_loss(
        new[a : a + 1], old[a : a + 1], credit[a : a + 1],
        weights=weights[a : a + 1],
      ).loss
      for a in range(3)
    ]  # fmt: skip
    return sum(each)

  proximal = jax.nn.log_softmax(logits)
  weights = losses.importance_weights(proximal, behaviour, cap=None)
  ones = jnp.ones(3)
  gradient = jax.grad(expected)
  on_policy = gradient(logits, proximal, proximal, ones)
  np.testing.assert_allclose(
    gradient(logits, behaviour, proximal, weights), on_policy, atol=1e-6
  )
  ignored = gradient(logits, behaviour, proximal, ones)
  assert np.abs(ignored - on_policy).max() > 0.05
