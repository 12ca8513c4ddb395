"""Running mean and deviation of features, held in a pytree.

Batches are merged by the formulas of Chan, Golub and LeVeque (1983), of which
Welford's recursion is the case of one entry:

  delta = mean_b - mean_a
  mean  = mean_a + delta n_b / (n_a + n_b)
  m2    = m2_a + m2_b + delta^2 n_a n_b / (n_a + n_b)

A feature that never varied has deviation exactly 0, not one of rounding.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.internal import arguments, explicit_axes, public


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RunningStatistics:
  """What is known of d features after `count` entries.

  Attributes:
    count: float [], entries seen.
    mean: float [d].
    m2: float [d], sum of squared differences from the mean.
  """

  count: jax.Array
  mean: jax.Array
  m2: jax.Array


def init(shape: tuple[int, ...], dtype=None) -> RunningStatistics:
  """Statistics of nothing.

  Args:
    shape: of an entry's features, (d,); () for a plain number.
    dtype: floating, of the entries to come; the default one if None. Half
      precision, in which counts end at 256 or 2,048, is held as float32.

  Returns:
    RunningStatistics of that shape, all 0, in that dtype or float32.

  Raises:
    ValueError: the dtype is not floating.

  Example:
    >>> from jaxcredit import running_statistics
    >>> print(running_statistics.init((2,)).mean)
    [0. 0.]
  """
  dtype = jnp.dtype(jnp.result_type(float) if dtype is None else dtype)
  if not jnp.issubdtype(dtype, jnp.floating):
    raise ValueError(
      f'dtype must be floating, not {dtype}: leave it out, statistics of '
      'integers are floats'
    )
  dtype = jnp.promote_types(dtype, jnp.float32)
  return RunningStatistics(
    jnp.zeros((), dtype), jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)
  )


@public.function(any_mesh=False)
def merge(
  first: RunningStatistics, second: RunningStatistics
) -> RunningStatistics:
  """Statistics of both together (Chan, Golub and LeVeque).

  Args:
    first: of some entries, features [d].
    second: of others.

  Returns:
    RunningStatistics of the first's shapes and dtype.

  Example:
    >>> from jaxcredit import running_statistics
    >>> nothing = running_statistics.init((2,))
    >>> some = running_statistics.update(nothing, jnp.array([[1.0, 2], [3, 2]]))
    >>> print(running_statistics.merge(some, some).count)
    4.0
  """
  total = first.count + second.count
  share = second.count / jnp.where(total > 0, total, 1)
  delta = second.mean - first.mean
  merged = RunningStatistics(
    total,
    first.mean + delta * share,
    first.m2 + second.m2 + delta * delta * first.count * share,
  )
  return jax.tree.map(lambda x, of: x.astype(of.dtype), merged, first)


def _mask_of(values, mask, features):
  """The mask [...] of entries [..., *features]."""
  values = arguments.floating('values', values)
  batch = values.ndim - len(features)
  if batch < 0 or values.shape[batch:] != features:
    raise ValueError(
      f'values have shape {values.shape}, but the statistics are of entries of '
      f'shape {features}: the last axes must be equal'
    )
  mask = arguments.boolean_mask(
    'mask', mask, values.shape[:batch], 'values without their features'
  )
  return values, mask


@public.function(any_mesh=False)
def update(
  state: RunningStatistics, values: jax.Array, mask: jax.Array | None = None
) -> RunningStatistics:
  """Takes entries into account.

  All axes but the features' are one batch, also across devices.

  Args:
    state: so far.
    values: float [..., d].
    mask: bool [...], entries that count; None for all.

  Returns:
    RunningStatistics. A NaN among what counts stays in its feature for good.

  Raises:
    ValueError: shapes do not fit.

  Example:
    >>> from jaxcredit import running_statistics
    >>> nothing = running_statistics.init((2,))
    >>> some = running_statistics.update(nothing, jnp.array([[1.0, 2], [3, 2]]))
    >>> print(some.count, some.mean, some.m2)
    2.0 [2. 2.] [2. 0.]
  """
  values, mask = _mask_of(values, mask, state.mean.shape)
  batch = _batch_statistics(
    values.astype(jnp.promote_types(values.dtype, state.mean.dtype)),
    mask,
    features=state.mean.ndim,
  )
  return merge(state, batch)


@explicit_axes.under_any_mesh
def _batch_statistics_arrays(values, mask, *, features):
  axes = tuple(range(values.ndim - features))
  mask = mask.reshape(*mask.shape, *(1,) * features)
  count = mask.sum().astype(values.dtype)
  some = jnp.maximum(count, 1)
  if not mask.size:
    nothing = jnp.zeros(values.shape[len(axes) :], values.dtype)
    return count, nothing, nothing
  # Relative to one of them: equal values then have no deviation at all.
  index = jnp.argmax(mask.reshape(-1))
  flat = values.reshape(mask.size, *values.shape[len(axes) :])
  reference = jnp.where(count > 0, flat[index], 0)
  reference = jnp.where(jnp.isfinite(reference), reference, 0)
  difference = jnp.where(mask, values - reference, 0)
  mean = difference.sum(axis=axes) / some
  residual = jnp.where(mask, difference - mean, 0)
  return count, reference + mean, (residual * residual).sum(axis=axes)


def _batch_statistics(values, mask, features):
  return RunningStatistics(
    *_batch_statistics_arrays(values, mask, features=features)
  )


@public.function(static=('ddof',), any_mesh=False)
def deviation(state: RunningStatistics, *, ddof: int = 0) -> jax.Array:
  """Standard deviation of each feature.

  Args:
    state: so far.
    ddof: delta degrees of freedom, 0 or 1.

  Returns:
    float [d], dtype of the statistics; 0 for fewer than ddof + 1 entries.

  Raises:
    ValueError: wrong options.

  Example:
    >>> from jaxcredit import running_statistics
    >>> nothing = running_statistics.init((2,))
    >>> some = running_statistics.update(nothing, jnp.array([[1.0, 2], [3, 2]]))
    >>> print(running_statistics.deviation(some))
    [1. 0.]
  """
  arguments.one_of('ddof', ddof, (0, 1))
  enough = state.count > ddof
  variance = state.m2 / jnp.where(enough, state.count - ddof, 1)
  positive = enough & (variance != 0)
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), 0)


@public.function(static=('ddof', 'eps', 'clip'), any_mesh=False)
def apply(
  state: RunningStatistics,
  values: jax.Array,
  mask: jax.Array | None = None,
  *,
  ddof: int = 0,
  eps: float = 1e-6,
  clip: float | None = None,
) -> jax.Array:
  """(value - mean) / (deviation + eps).

  A feature that never varied is divided by 1. Before any entry was seen, values
  come out as they are.

  Args:
    state: so far; no gradient passes through it.
    values: float [..., d].
    mask: bool [...], entries that count; None for all.
    ddof: delta degrees of freedom, 0 or 1.
    eps: added to the deviation.
    clip: bound on the size of what comes out; None for none.

  Returns:
    float [..., d], dtype of `values`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import running_statistics
    >>> values = jnp.array([[1.0, 2], [3, 2]])
    >>> some = running_statistics.update(running_statistics.init((2,)), values)
    >>> print(running_statistics.apply(some, values).round(2))
    [[-1.  0.]
     [ 1.  0.]]
  """
  arguments.number('eps', eps, 0)
  if clip is not None:
    arguments.number('clip', clip, above=0)
  state = jax.lax.stop_gradient(state)
  values, mask = _mask_of(values, mask, state.mean.shape)
  spread = deviation(state, ddof=ddof)
  unit = jnp.where(spread > 0, spread + eps, 1)
  # NaN is neither above 0 nor equal to it, and squares of large values are
  # infinite: both have to be seen.
  unit = jnp.where(jnp.isfinite(spread), unit, jnp.nan)
  mask = mask.reshape(*mask.shape, *(1,) * state.mean.ndim)
  normal = jnp.where(mask, arguments.wide(values) - state.mean, 0) / unit
  if clip is not None:
    normal = jnp.clip(normal, -clip, clip)
  return jnp.where(mask, normal, 0).astype(values.dtype)
