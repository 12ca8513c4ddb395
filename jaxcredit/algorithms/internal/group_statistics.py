"""Masked means and standard deviations of groups, exact where it matters.

Group-relative credit divides differences by their standard deviation. Three
things go wrong in plain implementations. Masked entries that hold NaN poison
sums and gradients. A group whose members are equal gets a difference of one
unit in the last place divided by a standard deviation of the same size, which
is not zero (advantages up to 0.65 were measured in released codes). Squares of
large values overflow, so that the deviation is infinite and all credit 0.

Here masked entries never enter the arithmetic, values are first taken relative
to one member of their group, a group whose spread is within rounding gets 0,
and all is computed in units of a power of two near the group's largest value:
that changes no digit, and squares cannot overflow.

A NaN or infinite value of an entry that counts makes its whole group NaN: bad
rewards stay visible.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

# Whether differences are divided by the deviation.
SCALES = ('std', 'none')
# What the only member of a group gets: nothing, or its raw score as in the code
# released with verl.
SINGLETONS = ('zero', 'score')

# Spread, in units of the last place of the values, up to which members count
# as equal. Returns that agree mathematically differ by a few units when their
# sums were taken in another order.
_ROUNDING_UNITS = 16


@dataclasses.dataclass(frozen=True)
class GroupStatistics:
  """Members relative to their group, computed in units of `size`.

  Made by `of_rows` and `of_segments`. Fields broadcast against `mask`.

  Attributes:
    mask: bool, members.
    count: int32, members of each entry's group.
    size: float, a power of two: the unit of all that begins with `unit_`.
    unit_reference: float, the member that values are taken relative to.
    unit_difference: float, values less the reference; 0 where masked.
    unit_mean: float, mean of the differences.
    unit_deviation: float; 0 where a group has no more members than `ddof`.
  """

  mask: jax.Array
  count: jax.Array
  size: jax.Array
  unit_reference: jax.Array
  unit_difference: jax.Array
  unit_mean: jax.Array
  unit_deviation: jax.Array

  @property
  def reference(self) -> jax.Array:
    """The member that values are taken relative to."""
    return self.unit_reference * self.size

  @property
  def difference(self) -> jax.Array:
    """Values less the reference; 0 where masked."""
    return self.unit_difference * self.size

  @property
  def mean(self) -> jax.Array:
    """Mean of each entry's group."""
    return (self.unit_reference + self.unit_mean) * self.size

  @property
  def deviation(self) -> jax.Array:
    """Standard deviation of each entry's group."""
    return self.unit_deviation * self.size

  @property
  def centred(self) -> jax.Array:
    """value - mean; 0 where masked and where nothing differs."""
    return self.standardised('none', 0.0)

  @property
  def equal(self) -> jax.Array:
    """Whether a group has no spread but that of rounding, or one member."""
    unit = np.finfo(self.unit_deviation.dtype).eps
    rounding = _ROUNDING_UNITS * unit * jnp.abs(self.unit_reference)
    return (self.unit_deviation <= rounding) | (self.count < 2)

  def unit(self, scale: str, eps: float) -> jax.Array:
    """What differences are divided by: std + eps, or 1 where nothing differs.

    Args:
      scale: 'std', or 'none' for 1 everywhere.
      eps: added to the deviation.
    """
    if scale == 'none':
      return jnp.ones_like(self.unit_deviation)
    return jnp.where(self.equal, 1, self.deviation + eps)

  def standardised(self, scale: str, eps: float) -> jax.Array:
    """(value - mean) / (std + eps), exactly 0 where nothing differs.

    Args:
      scale: 'std' divides, 'none' does not.
      eps: added to the deviation.
    """
    centred = self.unit_difference - self.unit_mean
    # A NaN or an infinity is never taken for equality, not even with itself.
    equal = self.equal & jnp.isfinite(centred)
    if scale == 'std':
      unit = self.unit_deviation + eps / self.size
      centred = centred / jnp.where(equal, 1, unit)
    else:
      centred = centred * self.size
    return jnp.where(self.mask & ~equal, centred, 0)

  def whitened(self, eps: float) -> jax.Array:
    """(value - mean) / sqrt(variance + eps), exactly 0 where nothing differs.

    Args:
      eps: added to the variance.
    """
    variance = self.unit_deviation**2 + eps / self.size / self.size
    # Where both are 0 nothing differs, and what is divided is 0.
    root = jnp.sqrt(jnp.where(variance > 0, variance, 1))
    centred = self.unit_difference - self.unit_mean
    equal = self.equal & jnp.isfinite(centred)
    return jnp.where(self.mask & ~equal, centred / root, 0)


def power_of_two(largest: jax.Array) -> jax.Array:
  """A power of two near a number, without a gradient; 1 for 0.

  It lies between 2^-100 and 2^100, whose reciprocals are normal numbers: a
  compiler may multiply by them.

  Args:
    largest: float, not negative, finite.
  """
  largest = jnp.minimum(jax.lax.stop_gradient(largest), 2.0**100)
  positive = largest > 2.0**-100
  mantissa, _ = jnp.frexp(jnp.where(positive, largest, 1))
  return jnp.where(positive, largest / (2 * mantissa), 1)


def sum_last(x: jax.Array) -> jax.Array:
  """Sums over the last axis, which stays."""
  return x.sum(axis=-1, keepdims=True)


def first_valid(values: jax.Array, mask: jax.Array) -> jax.Array:
  """The first unmasked value along the last axis, which stays; else 0."""
  before = jnp.cumsum(mask, axis=-1)
  first = mask & (before == 1)
  return sum_last(jnp.where(first, values, 0))


def _statistics(
  values: jax.Array,
  mask: jax.Array,
  ddof: int,
  reference: jax.Array,
  total: Callable[[jax.Array], jax.Array],
  largest: Callable[[jax.Array], jax.Array],
) -> GroupStatistics:
  """Statistics of groups of any form.

  Args:
    values: float.
    mask: bool, of the same shape.
    ddof: delta degrees of freedom.
    reference: a member of each entry's group.
    total: sums an array over each entry's group.
    largest: the greatest of an array that is not negative, likewise.
  """
  countable = mask & jnp.isfinite(values)
  size = power_of_two(largest(jnp.where(countable, jnp.abs(values), 0)))
  reference = reference / size
  difference = jnp.where(mask, jnp.where(mask, values, 0) / size - reference, 0)
  count = total(mask.astype(jnp.int32))
  mean = total(difference) / jnp.maximum(count, 1).astype(values.dtype)
  residual = jnp.where(mask, difference - mean, 0)
  freedom = jnp.maximum(count - ddof, 1).astype(values.dtype)
  variance = jnp.where(count > ddof, total(residual * residual) / freedom, 0)
  # sqrt has an infinite slope at 0, which would become NaN in the gradient.
  positive = variance != 0
  deviation = jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), 0)
  return GroupStatistics(
    mask, count, size, reference, difference, mean, deviation
  )


def of_rows(
  values: jax.Array, mask: jax.Array, ddof: int = 0
) -> GroupStatistics:
  """Statistics of groups that are rows.

  Args:
    values: float [..., M].
    mask: bool [..., M].
    ddof: delta degrees of freedom of the deviation.

  Returns:
    GroupStatistics, whose fields are [..., M] or [..., 1].
  """

  def largest(x):
    return x.max(axis=-1, keepdims=True, initial=0)

  reference = first_valid(values, mask)
  return _statistics(values, mask, ddof, reference, sum_last, largest)


def of_segments(
  values: jax.Array, mask: jax.Array, first: jax.Array, ddof: int = 0
) -> GroupStatistics:
  """Statistics of groups that lie anywhere in a row.

  Args:
    values: float [N, M].
    mask: bool [N, M].
    first: int32 [N, M], position of the first member of each entry's group,
      which is the group's name; ignored where masked.
    ddof: delta degrees of freedom of the deviation.

  Returns:
    GroupStatistics, whose fields are [N, M].
  """
  segment = jnp.where(mask, first, 0)

  def over_segments(reduce):
    def one(x, segment):
      return reduce(x, segment, num_segments=mask.shape[1])

    def reduced(x):
      return jnp.take_along_axis(jax.vmap(one)(x, segment), segment, axis=1)

    return reduced

  reference = jnp.where(mask, jnp.take_along_axis(values, segment, axis=1), 0)
  return _statistics(
    values,
    mask,
    ddof,
    reference,
    over_segments(jax.ops.segment_sum),
    over_segments(jax.ops.segment_max),
  )


def whiten(values, mask, ddof, eps):
  """(value - mean) / sqrt(variance + eps) over all unmasked entries.

  All axes together. Where all values are equal up to rounding, exactly 0.
  """
  flat = of_rows(values.reshape(-1), mask.reshape(-1), ddof)
  return flat.whitened(eps).reshape(values.shape)
