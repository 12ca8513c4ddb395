"""Masked means and standard deviations over an axis, exact where it matters.

Group-relative credit divides differences by their standard deviation. Two
things go wrong in plain implementations: masked entries that hold NaN poison
sums and gradients, and a group whose members are equal gets a difference of one
unit in the last place divided by a standard deviation of the same size, which
is not zero (advantages up to 0.65 were measured in released codes). Here masked
entries never enter the arithmetic, and a group whose spread is within rounding
gets exactly 0.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np


def check_option(name: str, value, allowed) -> None:
  """Raises ValueError where a static option is not among those allowed."""
  if value not in allowed:
    raise ValueError(
        f'{name} must be one of {", ".join(map(repr, allowed))}, not {value!r}'
    )


def check_finite_options(**options) -> None:
  """Raises ValueError for static numbers that are NaN or infinite."""
  for name, value in options.items():
    if isinstance(value, (int, float)) and not math.isfinite(value):
      raise ValueError(f'{name} must be finite, not {value}')


def check_shape(name: str, array, expected, of: str) -> None:
  """Raises ValueError where a shape differs from that of another argument."""
  if tuple(array.shape) != tuple(expected):
    raise ValueError(
        f'{name} has shape {tuple(array.shape)}, but {of} has shape '
        f'{tuple(expected)}: they must be equal'
    )


def check_rank(name: str, array, minimum: int, axes: str) -> None:
  """Raises ValueError where an array has too few axes."""
  if array.ndim < minimum:
    raise ValueError(
        f'{name} must have at least {minimum} axes, {axes}, but has shape '
        f'{tuple(array.shape)}'
    )


def as_float(name: str, array) -> jax.Array:
  """Returns a floating array; integers become the default float."""
  array = jnp.asarray(array)
  if jnp.issubdtype(array.dtype, jnp.complexfloating):
    raise ValueError(f'{name} must be real, but has dtype {array.dtype}')
  if jnp.issubdtype(array.dtype, jnp.floating):
    return array
  return array.astype(jnp.result_type(float))


def as_mask(name: str, mask, shape, of: str) -> jax.Array:
  """Returns a boolean mask of the shape asked for."""
  if mask is None:
    return jnp.ones(shape, bool)
  mask = jnp.asarray(mask)
  check_shape(name, mask, shape, of)
  return mask if mask.dtype == bool else mask != 0


def centred(
    values: jax.Array, mask: jax.Array, *, scale: str, ddof: int, eps: float
) -> jax.Array:
  """(value - mean) / (std + eps) over the last axis, or without the division.

  Args:
    values: float [..., M].
    mask: bool [..., M].
    scale: 'std' divides, 'none' does not.
    ddof: delta degrees of freedom of the standard deviation.
    eps: added to the standard deviation.

  Returns:
    float [..., M]; exactly 0 where masked, where a group has one member and
    where the members of a group are equal up to rounding.
  """
  safe = jnp.where(mask, values, 0)
  count = mask.sum(axis=-1, keepdims=True)
  mean, spread = mean_and_deviation(safe, mask, count, ddof, sums_over_last)
  return standardise(safe, mask, count, mean, spread, scale, eps)


def sums_over_last(x: jax.Array) -> jax.Array:
  return x.sum(axis=-1, keepdims=True)


def mean_and_deviation(safe, mask, count, ddof, total):
  """Mean and standard deviation of each entry's group.

  Args:
    safe: values, 0 where masked.
    mask: bool, of the same shape.
    count: members of each entry's group (broadcasts against `safe`).
    ddof: delta degrees of freedom.
    total: function that sums an array over each entry's group.

  Returns:
    mean and deviation, broadcasting against `safe`. The deviation is 0 for a
    group without spread, and for one with too few members for `ddof`.
  """
  members = jnp.maximum(count, 1).astype(safe.dtype)
  mean = total(safe) / members
  difference = jnp.where(mask, safe - mean, 0)
  squares = total(difference * difference)
  freedom = jnp.maximum(count - ddof, 1).astype(safe.dtype)
  variance = jnp.where(count > ddof, squares / freedom, 0)
  # sqrt has an infinite slope at 0, which would become NaN in the gradient.
  positive = variance > 0
  deviation = jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), 0)
  return mean, deviation


def standardise(safe, mask, count, mean, deviation, scale, eps):
  """Differences from the mean, scaled; exact zeros where nothing differs."""
  # The rounding of a mean of `count` values is a few units in the last place
  # of the largest of them.
  unit = np.finfo(safe.dtype).eps
  rounding = 8 * unit * jnp.abs(mean)
  # A NaN compares false both ways: it must stay visible.
  alike = (deviation <= rounding) | (count < 2)
  difference = safe - mean
  if scale == 'std':
    difference = difference / jnp.where(alike, 1, deviation + eps)
  return jnp.where(mask & ~alike, difference, 0)
