"""How right credit is, where the true advantages are known.

All scores compare estimated with true advantages of the same steps, and none
depends on the scale of the estimates, which a learning rate takes up. Arrays
are those of one batch, [..., S] with any leading axes; use vmap for several.
"""

import jax
import jax.numpy as jnp

# Estimates that differ by less, relative to the largest, are ties.
_TIES = 1e-5


def _flat(mask, *arrays):
  """Arrays as [M], 0 where masked."""
  mask = mask.reshape(-1)
  return [mask, *(jnp.where(mask, x.reshape(-1), 0) for x in arrays)]


def _rounded(values):
  """Values without the digits that rounding errors decide."""
  unit = _TIES * jnp.maximum(jnp.abs(values).max(initial=0), 1e-30)
  return jnp.round(values / unit)


def _ratio(numerator, denominator):
  """A quotient, 0 where there is nothing to divide by."""
  there = denominator > 0
  return jnp.where(there, numerator / jnp.where(there, denominator, 1), 0)


def ranks(values: jax.Array, mask: jax.Array) -> jax.Array:
  """Ranks from 1, ties having the mean of theirs.

  Args:
    values: float [M].
    mask: bool [M].

  Returns:
    float [M], 0 where masked.
  """
  ordered = jnp.sort(jnp.where(mask, values, jnp.inf))
  below = jnp.searchsorted(ordered, values, side='left')
  upto = jnp.searchsorted(ordered, values, side='right')
  return jnp.where(mask, (below + upto + 1) / 2, 0)


def correlation(x: jax.Array, y: jax.Array, mask: jax.Array) -> jax.Array:
  """Pearson's, of unmasked entries [M]; 0 where one does not vary."""
  count = jnp.maximum(mask.sum(), 1)
  x, y = (jnp.where(mask, z - z.sum(where=mask) / count, 0) for z in (x, y))
  return _ratio((x * y).sum(), jnp.sqrt((x * x).sum() * (y * y).sum()))


def rank_correlation(
  estimated: jax.Array, true: jax.Array, mask: jax.Array
) -> jax.Array:
  """Spearman's, of all steps together.

  Args:
    estimated: float [..., S].
    true: float [..., S].
    mask: bool [..., S], steps that were taken.

  Returns:
    float [], 0 for estimates that are all equal.
  """
  mask, *both = _flat(mask, estimated, true)
  return correlation(*(ranks(_rounded(x), mask) for x in both), mask)


def within_episodes(
  estimated: jax.Array, true: jax.Array, mask: jax.Array
) -> jax.Array:
  """Correlation of what steps have more or less than their episode's mean.

  It is 0 for credit that is equal along each episode, however good.

  Args: as of `rank_correlation`. Returns float [].
  """
  count = jnp.maximum(mask.sum(axis=-1, keepdims=True), 1)

  def centred(x):
    x = jnp.where(mask, x, 0)
    return jnp.where(mask, x - x.sum(axis=-1, keepdims=True) / count, 0)

  unit = jnp.abs(jnp.where(mask, estimated, 0)).max(initial=0)
  estimated = centred(estimated)
  # What a difference of equal numbers leaves is no credit.
  estimated = jnp.where(jnp.abs(estimated) <= _TIES * unit, 0, estimated)
  mask, *both = _flat(mask, estimated, centred(true))
  return correlation(*both, mask)


def sign_agreement(
  estimated: jax.Array,
  true: jax.Array,
  mask: jax.Array,
  *,
  threshold: jax.Array | float = 1e-3,
) -> jax.Array:
  """Share of steps whose estimate has the sign of the true advantage.

  Steps whose advantage is at most `threshold` do not count. An estimate of 0
  takes no side, and counts one half.

  Args:
    estimated: float [..., S].
    true: float [..., S].
    mask: bool [..., S].
    threshold: a number or [..., S], such as the half width of an interval.

  Returns:
    float [], NaN where no step counts.
  """
  counts = mask & (jnp.abs(true) > threshold)
  counts, estimated, true = _flat(counts, estimated, true)
  agree = (1 + jnp.sign(_rounded(estimated)) * jnp.sign(true)) / 2
  return agree.sum(where=counts) / counts.sum()


def best_scale(
  estimated: jax.Array, true: jax.Array, mask: jax.Array
) -> jax.Array:
  """float [], the factor c >= 0 of least sum of (c estimated - true)^2."""
  _, estimated, true = _flat(mask, estimated, true)
  return jnp.maximum(_ratio((estimated * true).sum(), (estimated**2).sum()), 0)


def scaled_error(
  estimated: jax.Array, true: jax.Array, mask: jax.Array
) -> jax.Array:
  """Mean squared error after the best scale, relative to mean true^2.

  Args: as of `rank_correlation`.

  Returns:
    float [], 0 for what is right up to its scale, 1 for what is no better than
    no credit at all; NaN where all advantages are 0.
  """
  scale = best_scale(estimated, true, mask)
  _, estimated, true = _flat(mask, estimated, true)
  return ((scale * estimated - true) ** 2).sum() / (true**2).sum()


def gradient_cosine(
  estimated: jax.Array,
  true: jax.Array,
  mask: jax.Array,
  states: jax.Array,
  pairs: jax.Array,
  probabilities: jax.Array,
  collisions: jax.Array,
) -> jax.Array:
  """Cosine of two policy gradients of a table of logits, on the same steps.

    g(A) = sum_t A_t grad log pi(a_t | s_t),   a softmax for each state

  With w the sum of A over the steps of a state and action, and W over those of
  a state, g has the entries w(s, a) - W(s) pi(a | s), and

    <g(A), g(B)> = sum_s [ sum_a w w'  -  W' sum_a w pi  -  W sum_a w' pi
                           +  W W' sum_a pi^2 ]

  so that no table of all actions is needed.

  Args:
    estimated: float [..., S].
    true: float [..., S].
    mask: bool [..., S].
    states: int [..., S], equal where the state is, below the number of steps.
    pairs: int [..., S], equal where state and action are, likewise.
    probabilities: float [..., S], pi(a_t | s_t).
    collisions: float [..., S], sum_a pi(a | s_t)^2.

  Returns:
    float [], 0 where a gradient is.
  """
  mask, probabilities, collisions = _flat(mask, probabilities, collisions)
  size = mask.shape[0]
  states, pairs = (
    jnp.where(mask, x.reshape(-1), size) for x in (states, pairs)
  )

  def by(segment, values):
    values = jnp.where(mask, values, 0)
    return jax.ops.segment_sum(values, segment, num_segments=size + 1)

  members = jnp.maximum(by(states, jnp.ones(size)), 1)
  square = by(states, collisions) / members

  def sums(values):
    values = values.reshape(-1)
    return (
      by(pairs, values),
      by(states, values),
      by(states, values * probabilities),
    )

  def product(one, other):
    w, total, expected = one
    w_, total_, expected_ = other
    return (w * w_).sum() + (
      total * total_ * square - total_ * expected - total * expected_
    ).sum()

  one, other = sums(estimated), sums(true)
  square_norms = product(one, one) * product(other, other)
  return _ratio(product(one, other), jnp.sqrt(jnp.maximum(square_norms, 0)))


def resampling_variance(
  estimated: jax.Array, true: jax.Array, mask: jax.Array
) -> jax.Array:
  """Variance of the credit of the same steps in the company of others.

  Each batch's estimates are first brought to the best scale of all batches.

  Args:
    estimated: float [R, ...], R estimates of the same steps.
    true: float [...].
    mask: bool [...].

  Returns:
    float [], mean variance over R relative to mean true^2.
  """
  whole = jnp.broadcast_to(true, estimated.shape)
  there = jnp.broadcast_to(mask, estimated.shape)
  scale = best_scale(estimated, whole, there)
  variance = jnp.where(mask, (scale * estimated).var(axis=0, ddof=1), 0)
  return variance.sum() / jnp.where(mask, true**2, 0).sum()
