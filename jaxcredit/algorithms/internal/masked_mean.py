"""The mean of what counts."""

import jax
import jax.numpy as jnp


def masked_mean(
  values: jax.Array, mask: jax.Array, axis: int | None = None
) -> jax.Array:
  """Mean over unmasked entries, 0 if there are none.

  Sums are taken in units of a power of two, so that the mean of large values
  is finite wherever they are; no digit changes.

  Args:
    values: float; what is masked may be NaN.
    mask: bool, of the same shape.
    axis: None for all axes.

  Returns:
    float, without the axis.
  """
  count = jnp.maximum(mask.sum(axis=axis), 1).astype(values.dtype)
  mantissa, _ = jnp.frexp(count)
  power = count / mantissa
  each = power if axis is None else jnp.expand_dims(power, axis)
  return (jnp.where(mask, values, 0) / each).sum(axis=axis) / mantissa
