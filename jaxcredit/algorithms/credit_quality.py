"""How right credit is, where the true advantages are known.

All scores compare estimated with true advantages of the same steps, and none
depends on the scale of the estimates, which a learning rate takes up. Arrays
are those of one batch, [..., S] with any leading axes; use vmap for several.

The rank correlation is Spearman's (1904), the gradient that of REINFORCE
(Williams 1992) for a table of logits. A score is NaN where an estimate or an
advantage that counts is not finite.
"""

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.internal import arguments, public

# Estimates that differ by less, relative to the largest, are ties.
_TIES = 1e-5


def _checked(estimated, true, mask, names=('estimated', 'true')):
  """Checked arrays: wide, 0 where masked, and NaN for what is not finite."""
  first, second = names
  arguments.axes(first, estimated, 1, '[..., S]')
  estimated = arguments.floating(first, estimated)
  true = arguments.floating(second, true)
  arguments.same_shape(second, true, estimated.shape, first)
  mask = arguments.boolean_mask('mask', mask, estimated.shape, first)
  dtype = arguments.wide(estimated).dtype

  def safe(x):
    x = jnp.where(mask, x, 0).astype(dtype)
    return jnp.where(jnp.isfinite(x).all(), x, jnp.nan)

  return safe(estimated), safe(true), mask


def _rounded(values):
  """Values without the digits that rounding errors decide."""
  unit = _TIES * jnp.maximum(jnp.abs(values).max(initial=0), 1e-30)
  return jnp.round(values / unit)


def _ratio(numerator, denominator):
  """A quotient, 0 where there is nothing to divide by."""
  empty = denominator <= 0  # NaN is not: it is to be seen
  return jnp.where(empty, 0, numerator / jnp.where(empty, 1, denominator))


def _ranks(values, mask):
  """Ranks from 1 of values [M], ties having the mean of theirs."""
  ordered = jnp.sort(jnp.where(mask, values, jnp.inf))
  below = jnp.searchsorted(ordered, values, side='left')
  upto = jnp.searchsorted(ordered, values, side='right')
  rank = jnp.where(mask, (below + upto + 1) / 2, 0).astype(values.dtype)
  return jnp.where(jnp.isnan(values).any(), jnp.nan, rank)


def _correlation(x, y, mask):
  """Pearson's, of unmasked entries of x and y, all axes together."""
  count = jnp.maximum(mask.sum(), 1)
  x, y = (jnp.where(mask, z - z.sum(where=mask) / count, 0) for z in (x, y))
  return _ratio((x * y).sum(), jnp.sqrt((x * x).sum() * (y * y).sum()))


@public.function()
def ranks(values: jax.Array, mask: jax.Array | None = None) -> jax.Array:
  """Ranks from 1, ties having the mean of theirs.

  Args:
    values: float [M].
    mask: bool [M]; None for all.

  Returns:
    float [M], dtype of `values`; 0 where masked.

  Raises:
    ValueError: wrong shapes.

  Example:
    >>> from jaxcredit import credit_quality
    >>> print(credit_quality.ranks(jnp.array([0.5, 2.0, 0.5])))
    [1.5 3.  1.5]
  """
  values = arguments.floating('values', values)
  if values.ndim != 1:
    raise ValueError(f'values must be [M], but have shape {values.shape}')
  mask = arguments.boolean_mask('mask', mask, values.shape, 'values')
  safe = jnp.where(mask, arguments.wide(values), 0)
  return _ranks(safe, mask).astype(values.dtype)


@public.function()
def correlation(
  x: jax.Array, y: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
  """Pearson's correlation.

  Args:
    x: float [..., S].
    y: float [..., S].
    mask: bool [..., S]; None for all.

  Returns:
    float [], dtype of `x`; 0 where one does not vary.

  Raises:
    ValueError: wrong shapes.

  Example:
    >>> from jaxcredit import credit_quality
    >>> x, y = jnp.array([1.0, 2, 3]), jnp.array([2.0, 4, 6])
    >>> print(credit_quality.correlation(x, y).round(2))
    1.0
  """
  dtype = arguments.floating('x', x).dtype
  x, y, mask = _checked(x, y, mask, ('x', 'y'))
  return _correlation(x, y, mask).astype(dtype)


@public.function()
def rank_correlation(
  estimated: jax.Array, true: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
  """Spearman's rank correlation, of all steps together.

  Args:
    estimated: float [..., S].
    true: float [..., S].
    mask: bool [..., S], steps that were taken; None for all.

  Returns:
    float [], dtype of `estimated`; 0 for estimates that are all equal.

  Raises:
    ValueError: wrong shapes.

  Example:
    >>> from jaxcredit import credit_quality
    >>> estimated, true = jnp.array([0.1, 0.2, 9]), jnp.array([1.0, 2, 3])
    >>> print(credit_quality.rank_correlation(estimated, true).round(2))
    1.0
  """
  dtype = arguments.floating('estimated', estimated).dtype
  estimated, true, mask = _checked(estimated, true, mask)
  mask = mask.reshape(-1)
  both = (_ranks(_rounded(x.reshape(-1)), mask) for x in (estimated, true))
  return _correlation(*both, mask).astype(dtype)


@public.function()
def within_episodes(
  estimated: jax.Array, true: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
  """Correlation of what steps have more or less than their episode's mean.

  It is 0 for credit that is equal along each episode, however good.

  Args:
    estimated: float [..., S].
    true: float [..., S].
    mask: bool [..., S], steps that were taken; None for all.

  Returns:
    float [], dtype of `estimated`; 0 where one does not vary in any episode.

  Raises:
    ValueError: wrong shapes.

  Example:
    >>> from jaxcredit import credit_quality
    >>> estimated = jnp.array([[1.0, 1, 1], [0, 0, 0]])
    >>> true = jnp.array([[0.0, 1, 2], [0, 0, 0]])
    >>> print(credit_quality.within_episodes(estimated, true))
    0.0
  """
  dtype = arguments.floating('estimated', estimated).dtype
  estimated, true, mask = _checked(estimated, true, mask)
  count = jnp.maximum(mask.sum(axis=-1, keepdims=True), 1)

  def centred(x):
    return jnp.where(mask, x - x.sum(axis=-1, keepdims=True) / count, 0)

  unit = jnp.abs(estimated).max(initial=0)
  estimated = centred(estimated)
  # What a difference of equal numbers leaves is no credit.
  estimated = jnp.where(jnp.abs(estimated) <= _TIES * unit, 0, estimated)
  return _correlation(estimated, centred(true), mask).astype(dtype)


@public.function()
def sign_agreement(
  estimated: jax.Array,
  true: jax.Array,
  mask: jax.Array | None = None,
  *,
  threshold: jax.Array | float = 1e-3,
) -> jax.Array:
  """Share of steps whose estimate has the sign of the true advantage.

  Steps whose advantage is at most `threshold` do not count. An estimate of 0
  takes no side, and counts one half.

  Args:
    estimated: float [..., S].
    true: float [..., S].
    mask: bool [..., S], steps that were taken; None for all.
    threshold: a number or [..., S], such as the half width of an interval.

  Returns:
    float [], dtype of `estimated`; NaN where no step counts.

  Raises:
    ValueError: wrong shapes.

  Example:
    >>> from jaxcredit import credit_quality
    >>> estimated, true = jnp.array([1.0, -1, 0, 5]), jnp.array([2.0, 1, 1, 0])
    >>> print(credit_quality.sign_agreement(estimated, true))
    0.5
  """
  dtype = arguments.floating('estimated', estimated).dtype
  estimated, true, mask = _checked(estimated, true, mask)
  threshold = jnp.asarray(threshold, true.dtype)
  if threshold.ndim:
    arguments.same_shape('threshold', threshold, true.shape, 'true')
  counts = mask & ~(jnp.abs(true) <= threshold)
  agree = (1 + jnp.sign(_rounded(estimated)) * jnp.sign(true)) / 2
  return (agree.sum(where=counts) / counts.sum()).astype(dtype)


@public.function()
def best_scale(
  estimated: jax.Array, true: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
  """The factor c >= 0 of least sum of (c estimated - true)^2.

  Args:
    estimated: float [..., S].
    true: float [..., S].
    mask: bool [..., S], steps that were taken; None for all.

  Returns:
    float [], dtype of `estimated`.

  Raises:
    ValueError: wrong shapes.

  Example:
    >>> from jaxcredit import credit_quality
    >>> estimated, true = jnp.array([1.0, -1]), jnp.array([3.0, -1])
    >>> print(credit_quality.best_scale(estimated, true))
    2.0
  """
  dtype = arguments.floating('estimated', estimated).dtype
  estimated, true, _ = _checked(estimated, true, mask)
  return _best_scale(estimated, true).astype(dtype)


def _best_scale(estimated, true):
  return jnp.maximum(_ratio((estimated * true).sum(), (estimated**2).sum()), 0)


@public.function()
def scaled_error(
  estimated: jax.Array, true: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
  """Mean squared error after the best scale, relative to mean true^2.

  Args:
    estimated: float [..., S].
    true: float [..., S].
    mask: bool [..., S], steps that were taken; None for all.

  Returns:
    float [], dtype of `estimated`; 0 for what is right up to its scale, 1 for
    what is no better than no credit at all; NaN where all advantages are 0.

  Raises:
    ValueError: wrong shapes.

  Example:
    >>> from jaxcredit import credit_quality
    >>> estimated, true = jnp.array([1.0, -1]), jnp.array([2.0, -2])
    >>> print(credit_quality.scaled_error(estimated, true))
    0.0
  """
  dtype = arguments.floating('estimated', estimated).dtype
  estimated, true, _ = _checked(estimated, true, mask)
  error = ((_best_scale(estimated, true) * estimated - true) ** 2).sum()
  return (error / (true**2).sum()).astype(dtype)


@public.function()
def gradient_cosine(
  estimated: jax.Array,
  true: jax.Array,
  mask: jax.Array | None,
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
    mask: bool [..., S], steps that were taken; None for all.
    states: int32 [..., S], equal where the state is, below the number of steps.
    pairs: int32 [..., S], equal where state and action are, likewise.
    probabilities: float [..., S], pi(a_t | s_t).
    collisions: float [..., S], sum_a pi(a | s_t)^2.

  Returns:
    float [], dtype of `estimated`; 0 where a gradient is.

  Raises:
    ValueError: wrong shapes or dtypes.

  Example:
    >>> from jaxcredit import credit_quality
    >>> estimated, true = jnp.array([1.0, -1]), jnp.array([2.0, -2])
    >>> states, pairs = jnp.array([0, 0]), jnp.array([0, 1])
    >>> half = jnp.array([0.5, 0.5])
    >>> cosine = credit_quality.gradient_cosine(
    ...   estimated, true, None, states, pairs, half, half
    ... )
    >>> print(cosine.round(2))
    1.0
  """
  dtype = arguments.floating('estimated', estimated).dtype
  estimated, true, mask = _checked(estimated, true, mask)
  size = mask.size

  def flat(name, x):
    arguments.same_shape(name, x, mask.shape, 'estimated')
    return jnp.asarray(x).reshape(-1)

  names = ('probabilities', 'collisions')
  probabilities, collisions = (
    jnp.where(mask.reshape(-1), flat(name, x), 0).astype(true.dtype)
    for name, x in zip(names, (probabilities, collisions), strict=True)
  )
  states, pairs = (
    arguments.integers(name, flat(name, x))
    for name, x in (('states', states), ('pairs', pairs))
  )
  estimated, true, mask = (x.reshape(-1) for x in (estimated, true, mask))
  states, pairs = (jnp.where(mask, x, size) for x in (states, pairs))

  def by(segment, values):
    values = jnp.where(mask, values, 0)
    return jax.ops.segment_sum(values, segment, num_segments=size + 1)

  members = jnp.maximum(by(states, jnp.ones(size, true.dtype)), 1)
  square = by(states, collisions) / members

  def sums(values):
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
  cosine = _ratio(product(one, other), jnp.sqrt(jnp.maximum(square_norms, 0)))
  return cosine.astype(dtype)


@public.function()
def resampling_variance(
  estimated: jax.Array, true: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
  """Variance of the credit of the same steps in the company of others.

  Each batch's estimates are first brought to the best scale of all batches.

  Args:
    estimated: float [R, ..., S], R > 1 estimates of the same steps.
    true: float [..., S].
    mask: bool [..., S], steps that were taken; None for all.

  Returns:
    float [], dtype of `estimated`; mean variance over R relative to mean
    true^2.

  Raises:
    ValueError: wrong shapes, or a single estimate.

  Example:
    >>> from jaxcredit import credit_quality
    >>> estimated = jnp.array([[1.0, -1], [1, -1]])
    >>> true = jnp.array([2.0, -2])
    >>> print(credit_quality.resampling_variance(estimated, true))
    0.0
  """
  arguments.axes('estimated', estimated, 2, '[R, ..., S]')
  estimated = arguments.floating('estimated', estimated)
  dtype = estimated.dtype
  if estimated.shape[0] < 2:
    raise ValueError('a single estimate has no variance: give two or more')
  arguments.same_shape('true', true, estimated.shape[1:], 'estimated without R')
  mask = arguments.boolean_mask('mask', mask, estimated.shape[1:], 'true')
  whole, there = (
    jnp.broadcast_to(x, estimated.shape) for x in (jnp.asarray(true), mask)
  )
  estimated, whole, _ = _checked(estimated, whole, there)
  scale = _best_scale(estimated, whole)
  variance = jnp.where(mask, (scale * estimated).var(axis=0, ddof=1), 0)
  return (variance.sum() / (whole[0] ** 2).sum()).astype(dtype)
