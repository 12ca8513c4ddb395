"""SPA's loss, redistribution and rewards: by hand, and against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import rloo, spa


def batch(seed=0, shape=(6, 5)):
  """Contributions, outcomes and masks with gaps; the second has no step."""
  rng = np.random.default_rng(seed)
  mask = rng.random(shape) < 0.7
  mask[1] = False
  outcome = rng.random(shape[:-1])
  outcome[1] = np.nan
  contributions = np.where(mask, rng.normal(size=shape) / 2, np.nan)
  return contributions, outcome, mask


def slow_loss(contributions, outcome, mask, tolerance=0.1):
  """The parts of the loss, episode by episode, masked steps cut out."""
  parts = []
  for c, r, m in zip(contributions, outcome, mask, strict=True):
    kept = [c[t] for t in range(len(c)) if m[t]]
    if not kept:
      continue
    error = sum(kept) - r
    prefixes = [(sum(kept[: t + 1]) - r) ** 2 for t in range(len(kept))]
    pairs = [
      (b - a) ** 2 for a, b in zip(kept[:-1], kept[1:], strict=True)
    ] or [0.0]
    negative = [min(x, 0) ** 2 for x in kept]
    parts.append(
      [
        error**2,
        sum(prefixes) / len(prefixes),
        sum(pairs) / len(pairs),
        sum(negative) / len(negative),
        abs(error),
        float(abs(error) <= tolerance),
      ]
    )
  return np.mean(parts, axis=0)


def test_loss_by_hand():
  contributions = jnp.array([[0.5, -0.5, 0.25], [2.0, 7.0, 7.0]])
  outcome = jnp.array([1.0, 2.05])
  mask = jnp.array([[1, 1, 1], [1, 0, 0]], bool)
  result = spa.progress_loss_parts(contributions, outcome, mask)
  # The first lacks 0.75, the second 0.05.
  assert float(result.loss) == pytest.approx((0.75**2 + 0.05**2) / 2)
  assert float(result.regression) == float(result.loss)
  assert float(result.error) == pytest.approx(0.4)
  assert float(result.accuracy) == 0.5
  # Sums so far: 0.5, 0, 0.25; differences: -1, 0.75.
  prefix = (0.25 + 1 + 0.5625) / 3
  assert float(result.prefix) == pytest.approx((prefix + 0.05**2) / 2)
  assert float(result.smoothness) == pytest.approx((1 + 0.5625) / 2 / 2)
  assert float(result.monotone) == pytest.approx(0.25 / 3 / 2)
  weighted = spa.progress_loss_parts(
    contributions,
    outcome,
    mask,
    prefix_weight=2.0,
    smoothness_weight=3.0,
    monotone_weight=5.0,
    tolerance=0.01,
  )
  assert float(weighted.loss) == pytest.approx(
    float(
      result.loss
      + 2 * result.prefix
      + 3 * result.smoothness
      + 5 * result.monotone
    )
  )
  assert float(weighted.accuracy) == 0


@pytest.mark.parametrize('seed', range(4))
def test_loss_against_a_loop(seed):
  arguments = batch(seed)
  expected = slow_loss(*arguments, tolerance=0.3)
  with jax.enable_x64(True):
    weights = {
      'prefix_weight': 0.3,
      'smoothness_weight': 0.7,
      'monotone_weight': 1.1,
    }
    result = spa.progress_loss_parts(*arguments, tolerance=0.3, **weights)
  found = jax.tree.leaves(result)[1:]
  np.testing.assert_allclose(found, expected, rtol=1e-12)
  total = expected[0] + np.dot(list(weights.values()), expected[1:4])
  np.testing.assert_allclose(result.loss, total, rtol=1e-12)


def test_an_episode_without_a_step_does_not_count():
  contributions, outcome, mask = batch()
  with_it = spa.progress_loss_parts(contributions, outcome, mask)
  kept = mask.any(axis=1)
  without = spa.progress_loss_parts(
    contributions[kept], outcome[kept], mask[kept]
  )
  assert not kept.all() and np.isfinite(float(with_it.loss))
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), with_it, without
  )


def test_gradient_of_the_paper_s_loss_is_the_same_for_all_steps():
  contributions, outcome, mask = batch(3)

  def loss(c):
    return spa.progress_loss(c, outcome, mask)

  gradient = np.asarray(jax.grad(loss)(contributions))
  kept = mask.any(axis=1)
  errors = np.where(mask, contributions, 0).sum(axis=1) - outcome
  expected = np.where(mask, 2 * errors[:, None] / kept.sum(), 0)
  np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_gradient_of_all_parts():
  contributions, outcome, mask = batch(4)
  contributions = np.where(mask, contributions, 0)
  with jax.enable_x64(True):

    def loss(c):
      return spa.progress_loss_parts(
        c,
        outcome,
        mask,
        prefix_weight=0.3,
        smoothness_weight=0.7,
        monotone_weight=1.1,
      ).loss

    gradient = jax.grad(loss)(contributions)
    for index in np.ndindex(contributions.shape):
      change = np.zeros(contributions.shape)
      change[index] = 1e-6
      slope = (loss(contributions + change) - loss(contributions - change)) / (
        2e-6
      )
      np.testing.assert_allclose(gradient[index], slope, atol=1e-8)


def test_the_weights_may_be_traced():
  arguments = batch(5)
  traced = jax.jit(
    lambda w: (
      spa.progress_loss_parts(
        *arguments, prefix_weight=w, smoothness_weight=w, monotone_weight=w
      ).loss
    )
  )
  plain = spa.progress_loss_parts(
    *arguments, prefix_weight=0.5, smoothness_weight=0.5, monotone_weight=0.5
  )
  np.testing.assert_allclose(traced(0.5), plain.loss, rtol=1e-6)


def test_half_precision_sums_are_wide():
  # 300 steps of about 0.01: sums in bfloat16 stop where that is no change.
  contributions = jnp.full((1, 300), 0.01, jnp.bfloat16)
  outcome = jnp.array([3.0], jnp.bfloat16)
  half = spa.progress_loss_parts(contributions, outcome)
  single = spa.progress_loss_parts(
    *(x.astype(np.float32) for x in (contributions, outcome))
  )
  assert half.loss.dtype == jnp.bfloat16
  for part, expected in (
    (half.error, single.error),
    (half.prefix, single.prefix),
  ):
    assert float(part) == pytest.approx(float(expected), rel=4e-3)


def test_shift_makes_the_sum_exact():
  contributions, outcome, mask = batch(6)
  shifted = np.asarray(
    spa.redistribute(contributions, outcome, mask, redistribution='shift')
  )
  kept = mask.any(axis=1)
  np.testing.assert_allclose(
    shifted.sum(axis=1)[kept], outcome[kept], rtol=1e-5
  )
  # The same is added to each step, and nothing where none was taken.
  for c, s, m in zip(contributions, shifted, mask, strict=True):
    np.testing.assert_allclose(np.diff(s[m]), np.diff(c[m]), atol=1e-6)
  assert not shifted[~mask].any()
  raw = spa.redistribute(contributions, outcome, mask)
  np.testing.assert_array_equal(
    raw, np.where(mask, contributions, 0).astype(np.float32)
  )


def test_shift_by_hand():
  given = spa.redistribute(
    jnp.array([[0.5, 0.0, 9.0]]),
    jnp.array([1.0]),
    jnp.array([[True, True, False]]),
    redistribution='shift',
  )
  assert given.tolist() == [[0.75, 0.25, 0.0]]


def test_leave_one_out_is_the_released_behaviour():
  # Outcomes 1, 0, 0.5: each less the mean of the other two, for every step.
  outcome = jnp.array([[1.0, 0.0, 0.5, 7.0]])
  mask = jnp.array([[[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0]]], bool)
  contributions = jnp.full((1, 4, 3), 5.0)
  given = spa.redistribute(
    contributions, outcome, mask, redistribution='leave_one_out'
  )
  np.testing.assert_allclose(
    given[0],
    [[0.75, 0.75, 0.75], [-0.75, -0.75, 0], [0, 0, 0], [0, 0, 0]],
    atol=1e-6,
  )
  rng = np.random.default_rng(0)
  outcome = rng.random((3, 5)).astype(np.float32)
  given = spa.redistribute(
    np.zeros((3, 5, 2), np.float32), outcome, redistribution='leave_one_out'
  )
  np.testing.assert_allclose(given[..., 1], rloo.advantages(outcome), rtol=1e-6)


def test_the_only_episode_of_a_group():
  arguments = (jnp.zeros((1, 2)), jnp.array([0.75]), jnp.ones((1, 2), bool))
  zero = spa.redistribute(*arguments, redistribution='leave_one_out')
  assert zero.tolist() == [[0, 0]]
  score = spa.redistribute(
    *arguments, redistribution='leave_one_out', singleton='score'
  )
  assert score.tolist() == [[0.75, 0.75]]


def test_rewards_by_hand():
  contributions = jnp.array([[0.25, np.nan, -1.0]])
  grounding = jnp.array([[True, True, False]])
  mask = jnp.array([[True, False, True]])
  given = spa.rewards(contributions, grounding, mask)
  assert given.tolist() == [[0.75, 0, -1.0]]
  given = spa.rewards(
    contributions, grounding, mask, progress_weight=2.0, grounding_weight=0.25
  )
  assert given.tolist() == [[0.75, 0, -2.0]]


def test_share_of_grounded_actions():
  grounding = jnp.array([[1, 0, 1, 1], [1, 1, 0, 0]])
  mask = jnp.array([[1, 1, 1, 0], [1, 1, 0, 0]], bool)
  assert float(spa.grounding_accuracy(grounding, mask)) == pytest.approx(0.8)
  assert float(spa.grounding_accuracy(grounding > 0)) == 0.625
  assert float(spa.grounding_accuracy(grounding, mask & False)) == 0


@pytest.mark.parametrize(
  ('function', 'change', 'message'),
  [
    (
      'progress_loss_parts',
      {'returns': np.zeros(5)},
      r'returns has shape \(5,\)',
    ),
    ('progress_loss_parts', {'mask': np.ones(6)}, r'mask has shape \(6,\)'),
    (
      'progress_loss_parts',
      {'contributions': np.float32(0)},
      'at least 1 axis',
    ),
    (
      'progress_loss_parts',
      {'contributions': np.zeros((6, 5), complex)},
      'be real',
    ),
    ('progress_loss_parts', {'prefix_weight': -1.0}, 'prefix_weight must be'),
    (
      'progress_loss_parts',
      {'smoothness_weight': np.nan},
      'smoothness_weight must',
    ),
    (
      'progress_loss_parts',
      {'monotone_weight': np.inf},
      'monotone_weight must be',
    ),
    ('progress_loss_parts', {'tolerance': -0.1}, 'tolerance must be'),
    (
      'redistribute',
      {'redistribution': 'loo'},
      "redistribution must be one of 'none', 'shift'",
    ),
    ('redistribute', {'singleton': 'raw'}, "singleton must be one of 'zero'"),
    ('redistribute', {'returns': np.zeros((6, 5))}, 'contributions without S'),
    ('rewards', {'grounding': np.zeros(6)}, r'grounding has shape \(6,\)'),
    ('grounding_accuracy', {'grounding': True}, 'at least 1 axis'),
  ],
)
def test_wrong_arguments(function, change, message):
  contributions, outcome, mask = batch()
  arguments = {
    'progress_loss_parts': {'contributions': contributions, 'returns': outcome},
    'redistribute': {'contributions': contributions, 'returns': outcome},
    'rewards': {'contributions': contributions, 'grounding': mask},
    'grounding_accuracy': {'grounding': mask},
  }[function]
  with pytest.raises(ValueError, match=message):
    getattr(spa, function)(**{**arguments, 'mask': mask, **change})


def test_leave_one_out_needs_a_group():
  with pytest.raises(ValueError, match=r'at least 2 axes \[..., G, S\]'):
    spa.redistribute(
      jnp.zeros(3), jnp.array(1.0), redistribution='leave_one_out'
    )


def test_no_steps_at_all():
  result = spa.progress_loss_parts(
    jnp.zeros((2, 0)), jnp.ones(2), smoothness_weight=1
  )
  assert float(result.loss) == 0
  for mode in ('none', 'shift'):
    given = spa.redistribute(
      jnp.zeros((2, 0)), jnp.ones(2), redistribution=mode
    )
    assert given.shape == (2, 0)


def test_the_loss_alone_is_that_of_the_parts():
  contributions, outcome = np.arange(6.0).reshape(2, 3), np.array([1.0, 2.0])
  mask = np.array([[True, True, False], [True, True, True]])
  weights = {
    'prefix_weight': 0.5, 'smoothness_weight': 0.3, 'monotone_weight': 0.7,
  }  # fmt: skip
  for options in ({}, weights):
    loss = spa.progress_loss(contributions, outcome, mask, **options)
    parts = spa.progress_loss_parts(contributions, outcome, mask, **options)
    assert loss.shape == ()
    assert loss == parts.loss
  # ((0 + 1 - 1)^2 + (3 + 4 + 5 - 2)^2) / 2
  assert spa.progress_loss(contributions, outcome, mask) == 50
