"""The policy-gradient loss: spread of advantages, options, reference."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import types
from jaxcredit.algorithms import losses
from jaxcredit.networks import decoder
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.training import policy_gradient
from tests.rollouts import test_collector
from tests.training import test_learner

bigram = test_learner.bigram
bigram_params = test_learner.bigram_params


def evaluate(options, params=None, reference=None, rows=None, advantages=None):
  """Loss, gradient and metrics."""
  made, drawn = test_learner.make_rows()
  loss = policy_gradient.make_loss(None, policy_gradient.LossOptions(**options))
  (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(
    bigram_params() if params is None else params,
    reference,
    made if rows is None else rows,
    drawn if advantages is None else advantages,
    1.0,
  )
  return float(value), gradient, metrics


def test_advantages_are_spread_over_the_tokens_of_their_step():
  rows = types.Rows(
    tokens=np.ones((4, 5), np.int32),
    step_of_token=np.array(
      [[-1, 0, 0, -1, 1], [-1, 2, 2, 2, -1], [0, -1, -1, -1, -1], [-1] * 5]
    ),
    trajectory=np.array([1, 0, 2, -1]),
    length=np.array([5, 4, 1, 0]),
    log_probs=np.zeros((4, 5), np.float32),
  )
  # A step that was not taken may hold anything.
  advantages = jnp.array(
    [[1.0, 2.0, 3.0], [4.0, 5.0, np.nan], [6.0, np.nan, np.nan]]
  )
  np.testing.assert_array_equal(
    policy_gradient.token_advantages(advantages, rows),
    [[0, 4, 4, 0, 5], [0, 3, 3, 3, 0], [6, 0, 0, 0, 0], [0] * 5],
  )


def test_denominators_by_hand():
  rows = types.Rows(
    tokens=None,
    step_of_token=np.array(
      [[-1, 0, 0, -1, 1], [-1, 2, 2, 2, -1], [-1] * 5, [0, -1, 0, -1, -1]]
    ),
    trajectory=None,
    length=None,
    log_probs=None,
  )
  expected = {
    'token-mean': 8,
    'step-mean': 4,
    'seq-mean-token-sum': 3,
    'seq-mean-token-mean': 3,
    'seq-mean-token-sum-norm': 3,
  }
  assert {
    name: policy_gradient.make_denominator(name)(rows)
    for name in losses.AGGREGATIONS
  } == expected


# For each option: what the others must be for it to matter, and another value.
EFFECTS = {
  'clip': ({}, 0.01),
  'clip_high': ({}, 1.5),
  'dual_clip': ({}, None),
  'ratio': ({}, 'step'),
  'aggregation': ({}, 'step-mean'),
  'kl_coefficient': ({}, 0.5),
  'kl_estimator': ({'kl_coefficient': 0.5}, 'k2'),
  'entropy_coefficient': ({}, 0.5),
  'temperature': ({}, 0.5),
  'normaliser': ({'aggregation': 'seq-mean-token-sum-norm'}, 4.0),
}


@pytest.mark.parametrize(
  'name',
  [
    f.name
    for f in dataclasses.fields(policy_gradient.LossOptions)
    # Of other advantages, or of gradients: they have tests of their own.
    if f.name not in ('credit_of', 'kl_gradient')
  ],
)
def test_every_option_has_an_effect_on_the_loss(name, bigram):
  others, value = EFFECTS[name]
  plain, _, _ = evaluate(others, reference=bigram_params(1))
  changed, _, _ = evaluate({**others, name: value}, reference=bigram_params(1))
  assert np.isfinite(plain) and np.isfinite(changed)
  assert abs(plain - changed) > 1e-4


def test_credit_of_tokens(bigram):
  rows, advantages = test_learner.make_rows()
  params = bigram_params()

  def loss(credit_of, credit):
    options = policy_gradient.LossOptions(credit_of=credit_of)
    return float(
      policy_gradient.make_loss(None, options)(params, None, rows, credit, 1.0)[
        0
      ]
    )

  # As many columns as rows can have, or more.
  spread = np.asarray(policy_gradient.token_advantages(advantages, rows))
  spread = np.pad(spread, ((0, 0), (0, 3)), constant_values=np.nan)
  assert loss('tokens', spread) == pytest.approx(loss('steps', advantages))
  # Tokens of one step need not be worth the same.
  uneven = spread.copy()
  uneven[:, 1::2] *= 2
  assert abs(loss('tokens', uneven) - loss('tokens', spread)) > 1e-4
  with pytest.raises(ValueError, match='L at least 16, the length'):
    loss('tokens', spread[:, :15])
  with pytest.raises(ValueError, match="credit_of must be one of .* not 'x'"):
    policy_gradient.LossOptions(credit_of='x')


def test_the_terms_of_the_loss_add_up(bigram):
  reference = bigram_params(1)
  value, _, metrics = evaluate(
    {'kl_coefficient': 0.5, 'entropy_coefficient': 0.25}, reference=reference
  )
  expected = (
    metrics['policy_loss'] + 0.5 * metrics['kl'] - 0.25 * metrics['entropy']
  )
  assert value == pytest.approx(float(expected), abs=1e-5)
  assert metrics['kl'] > 0.1
  assert 0 < metrics['entropy'] < np.log(test_learner.VOCABULARY)


def test_a_weight_scales_loss_and_metrics(bigram):
  rows, advantages = test_learner.make_rows()
  loss = policy_gradient.make_loss(None, policy_gradient.LossOptions())
  whole, metrics = loss(bigram_params(), None, rows, advantages, 1.0)
  part, parts = loss(bigram_params(), None, rows, advantages, 0.25)
  assert float(part) == pytest.approx(0.25 * float(whole), rel=1e-5)
  for name, value in metrics.items():
    # Sums over tokens are divided by the number of tokens, not by weights.
    of_tokens = isinstance(value, tuple)
    assert of_tokens == (name in {'clip_share', 'approximate_kl'})
    expected = value if of_tokens else 0.25 * value
    np.testing.assert_allclose(parts[name], expected, rtol=1e-5)


# k1's own gradient is refused.
KL_LOSSES = [
  (estimator, gradient)
  for gradient in losses.KL_GRADIENTS
  for estimator in losses.KL_ESTIMATORS
  if (estimator, gradient) != ('k1', 'own')
]


@pytest.mark.parametrize(('estimator', 'gradient_of'), KL_LOSSES)
def test_the_divergence_from_itself_is_zero(estimator, gradient_of, bigram):
  params = bigram_params()
  _, plain, _ = evaluate({}, params)
  value, gradient, metrics = evaluate(
    {
      'kl_coefficient': 10.0,
      'kl_estimator': estimator,
      'kl_gradient': gradient_of,
    },
    params,
    params,
  )
  assert float(metrics['kl']) == pytest.approx(0, abs=1e-6)
  assert value == pytest.approx(float(metrics['policy_loss']), abs=1e-5)
  assert np.isfinite(gradient['table']).all()
  if estimator in ('k2', 'k3') or gradient_of == 'unbiased':
    # These have their minimum there.
    test_learner.check_close(gradient, plain)


def test_no_gradient_passes_through_the_reference(bigram):
  rows, advantages = test_learner.make_rows()
  loss = policy_gradient.make_loss(
    None, policy_gradient.LossOptions(kl_coefficient=1.0)
  )
  gradient = jax.grad(
    lambda r: loss(bigram_params(), r, rows, advantages, 1)[0]
  )(bigram_params(1))
  assert not np.asarray(gradient['table']).any()


def test_the_gradient_of_the_divergence_in_expectation(monkeypatch):
  """Over the tokens of a categorical, against the closed form."""
  logits = jnp.log(jnp.array([0.6, 0.3, 0.1]))
  reference = jnp.log(jnp.array([0.2, 0.3, 0.5]))

  def log_probs(params, config, rows, *, temperature):
    del config, temperature
    scores = jax.nn.log_softmax(params)[rows.tokens]
    return scores, jnp.zeros_like(scores)

  monkeypatch.setattr(policy_gradient.packed_rows, 'log_probs', log_probs)

  def gradient_of(**options):
    options = policy_gradient.LossOptions(kl_coefficient=1.0, **options)
    loss = policy_gradient.make_loss(None, options)

    def of_token(token):
      row = types.Rows(
        tokens=np.array([[token]]),
        step_of_token=np.zeros((1, 1), np.int32),
        trajectory=np.zeros(1, np.int32),
        length=np.ones(1, np.int32),
        log_probs=np.asarray(logits)[None, [token]],
      )
      return jax.grad(
        lambda x: loss(x, reference, row, jnp.zeros((1, 1)), 1.0)[0]
      )(logits)

    return sum(jnp.exp(logits)[token] * of_token(token) for token in range(3))

  def divergence(p, q):
    return jnp.sum(jnp.exp(p) * (p - q))

  def of_policy(x):
    return divergence(jax.nn.log_softmax(x), reference)

  def of_reference(x):
    return divergence(reference, jax.nn.log_softmax(x))

  right, reverse = jax.grad(of_policy)(logits), jax.grad(of_reference)(logits)
  assert np.abs(right - reverse).max() > 0.1
  for estimator in losses.KL_ESTIMATORS:
    np.testing.assert_allclose(
      gradient_of(kl_estimator=estimator, kl_gradient='unbiased'),
      right,
      atol=1e-5,
    )
  np.testing.assert_allclose(gradient_of(kl_estimator='k2'), right, atol=1e-5)
  np.testing.assert_allclose(gradient_of(kl_estimator='k3'), reverse, atol=1e-5)


def test_a_divergence_without_a_gradient_is_refused():
  with pytest.raises(ValueError, match='take kl_estimator=k2 or k3, or kl_gra'):
    policy_gradient.LossOptions(kl_coefficient=0.1, kl_estimator='k1')
  policy_gradient.LossOptions(kl_estimator='k1')
  policy_gradient.LossOptions(
    kl_coefficient=0.1, kl_estimator='k1', kl_gradient='unbiased'
  )


def test_rows_that_the_loss_needs():
  def needs(**options):
    return policy_gradient.LossOptions(**options).needs_all_rows

  assert not needs()
  assert needs(kl_coefficient=0.1)
  assert needs(entropy_coefficient=0.1)


@pytest.mark.parametrize('aggregation', losses.AGGREGATIONS)
@pytest.mark.parametrize('ratio', losses.RATIOS)
def test_nothing_drawn_gives_zero_and_a_finite_gradient(
  ratio, aggregation, bigram
):
  rows, advantages = test_learner.make_rows()
  rows.step_of_token[:] = -1
  value, gradient, _ = evaluate(
    {'aggregation': aggregation, 'ratio': ratio}, rows=rows
  )
  assert value == 0
  assert not np.asarray(gradient['table']).any()


def test_a_bad_advantage_reaches_the_loss(bigram):
  _, advantages = test_learner.make_rows()
  advantages[0, 0] = np.nan
  value, _, _ = evaluate({}, advantages=advantages)
  assert np.isnan(value)


def test_the_first_update_has_the_ratio_one():
  # Drawn at a temperature that the loss has to know of.
  temperature = 0.7
  episodes = [
    e for e in test_collector.collect(temperature=temperature) if not e.failure
  ]
  rows = episodes_lib.pack_rows(
    [e.rows[0] for e in episodes],
    range(len(episodes)),
    test_collector.LIMITS.row_tokens,
  )
  params = test_collector.build_params()
  log_probs, _ = jax.jit(
    lambda: decoder.log_probs(
      params,
      test_collector.CONFIG,
      rows.tokens,
      rows.length,
      temperature=temperature,
    )
  )()
  mask = rows.step_of_token >= 0
  result = losses.policy_loss(
    log_probs, rows.log_probs, jnp.ones(mask.shape), mask
  )
  np.testing.assert_allclose(result.ratio, 1, atol=1e-4)
  # And as the learner's loss sees it.
  loss = policy_gradient.make_loss(
    test_collector.CONFIG, policy_gradient.LossOptions(temperature=temperature)
  )
  advantages = np.ones((len(episodes), 8), np.float32)
  value, metrics = jax.jit(loss)(params, None, rows, advantages, 1.0)
  assert float(value) == pytest.approx(-1, abs=1e-4)
  divergence, tokens = metrics['approximate_kl']
  assert float(divergence / tokens) == pytest.approx(0, abs=1e-4)
  assert tokens == mask.sum()
  assert float(metrics['clip_share'][0]) == 0
