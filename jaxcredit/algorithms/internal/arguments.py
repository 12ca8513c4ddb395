"""Checks of arguments: what is wrong, and with which shapes.

Shapes, dtypes and static options are checked at trace time. What only values
can tell (a discount, a mask with NaN) is checked by `public` before the call is
traced, where the values are known.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def one_of(name: str, value, allowed: Sequence[str]) -> None:
  """Raises ValueError where a static option is not among those allowed."""
  if value not in allowed:
    choices = ', '.join(map(repr, allowed))
    raise ValueError(f'{name} must be one of {choices}, not {value!r}')


def known(value) -> np.ndarray | None:
  """The value on the host, or None where it is traced or lies elsewhere."""
  if isinstance(value, jax.core.Tracer):
    return None
  if isinstance(value, jax.Array) and not value.is_fully_addressable:
    return None
  return np.asarray(value)


def number(name: str, value, low=-math.inf, high=math.inf, above=None) -> None:
  """Raises ValueError for a number that is not finite or out of range.

  Python's and NumPy's scalars and arrays count alike. Traced values (a swept
  discount, say) cannot be checked and pass.

  Args:
    name: of the argument.
    value: a number, or an array of which each has to be in range.
    low: the least that is allowed.
    high: the greatest.
    above: a number that has to be exceeded, in place of `low`.
  """
  array = known(value)
  if array is None:
    return
  if array.dtype != bool and not jnp.issubdtype(array.dtype, np.number):
    raise ValueError(f'{name} must be a number, not {value!r}')
  array = array.astype(np.float64)
  wrong = ~np.isfinite(array) | (array < low) | (array > high)
  if above is not None:
    wrong |= array <= above
  if not wrong.any():
    return
  shown = value if array.ndim == 0 else array[wrong].flat[0]
  if above is not None:
    raise ValueError(f'{name} must be above {above}, not {shown}')
  if math.isfinite(high):
    allowed = f' between {low} and {high}'
  else:
    allowed = f' from {low} on' if math.isfinite(low) else ''
  raise ValueError(f'{name} must be a finite number{allowed}, not {shown}')


def same_shape(name: str, array, expected, of: str) -> None:
  """Raises ValueError where a shape is not that of another argument."""
  if tuple(jnp.shape(array)) != tuple(expected):
    raise ValueError(
      f'{name} has shape {tuple(jnp.shape(array))}, but {of} has shape '
      f'{tuple(expected)}: they must be equal'
    )


def axes(name: str, array, minimum: int, meaning: str) -> None:
  """Raises ValueError where an array has too few axes."""
  if jnp.ndim(array) < minimum:
    raise ValueError(
      f'{name} must have at least {minimum} '
      f'{"axis" if minimum == 1 else "axes"} {meaning}, but has shape '
      f'{tuple(jnp.shape(array))}'
    )


def numbers(name: str, value):
  """An array of numbers or booleans, of whatever a caller holds.

  Lists and the arrays of other libraries become NumPy's. 64-bit integers that
  JAX would cut become floats.

  Raises:
    ValueError: text, objects, or rows of different lengths.
  """
  if isinstance(value, jax.Array) or type(value) in (bool, int, float):
    return value
  if hasattr(value, '__jax_array__'):
    return jnp.asarray(value)
  if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value)):
    return _stacked(name, value)
  try:
    array = np.asarray(value)
  except ValueError:
    raise ValueError(
      f'{name} must be an array, but its rows have different lengths'
    ) from None
  if array.dtype != bool and not jnp.issubdtype(array.dtype, np.number):
    kind = 'text' if array.dtype.kind in 'US' else f'{array.dtype} values'
    raise ValueError(f'{name} must be an array of numbers, not of {kind}')
  if array.dtype.kind in 'iu' and array.dtype.itemsize == 8 and array.size:
    limits = np.iinfo(np.int32)
    fits = limits.min <= array.min() and array.max() <= limits.max
    if not fits and not jax.config.jax_enable_x64:
      return array.astype(np.float32)
  return array


def _stacked(name, value):
  """A list that holds arrays of JAX's, traced ones among them."""
  try:
    return jnp.asarray(value)
  except (TypeError, ValueError):
    raise ValueError(
      f'{name} must be an array of numbers, but is a list of different things'
    ) from None


def mask_values(name: str, value) -> None:
  """Raises ValueError for a mask that holds NaN."""
  if isinstance(value, float) or jnp.issubdtype(
    jnp.result_type(value), jnp.floating
  ):
    array = known(value)
    if array is not None and np.isnan(array.astype(np.float32)).any():
      raise ValueError(
        f'{name} holds NaN: an entry counts (True, 1) or does not (False, 0)'
      )


def floating(name: str, array) -> jax.Array:
  """The array as floats: floats keep their dtype, integers get the default."""
  array = jnp.asarray(array)
  if jnp.issubdtype(array.dtype, jnp.complexfloating):
    raise ValueError(f'{name} must be real, but has dtype {array.dtype}')
  if jnp.issubdtype(array.dtype, jnp.floating):
    return array
  return array.astype(jnp.result_type(float))


def integers(name: str, array) -> jax.Array:
  """The array, which must be one of integers."""
  array = jnp.asarray(array)
  if not jnp.issubdtype(array.dtype, jnp.integer):
    raise ValueError(f'{name} must be integers, not {array.dtype}')
  return array


def wide(array: jax.Array) -> jax.Array:
  """The array in float32 or wider.

  Half-precision sums round by more than the differences that credit is made
  of; results go back to the dtype of the argument.
  """
  return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def boolean_mask(name: str, mask, shape, of: str) -> jax.Array:
  """A boolean mask of the shape asked for; None means that all counts.

  A NaN, where it could not be refused, does not count.
  """
  if mask is None:
    return jnp.ones(shape, bool)
  mask = jnp.asarray(mask)
  same_shape(name, mask, shape, of)
  if jnp.issubdtype(mask.dtype, jnp.floating):
    return (mask != 0) & ~jnp.isnan(mask)
  return mask if mask.dtype == bool else mask != 0
