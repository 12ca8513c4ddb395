"""Checks of arguments, at trace time: what is wrong, and with which shapes."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp


def one_of(name: str, value, allowed: Sequence[str]) -> None:
  """Raises ValueError where a static option is not among those allowed."""
  if value not in allowed:
    choices = ', '.join(map(repr, allowed))
    raise ValueError(f'{name} must be one of {choices}, not {value!r}')


def number(name: str, value, low=-math.inf, high=math.inf) -> None:
  """Raises ValueError for a static number that is not finite or out of range.

  Traced values (a swept discount, say) cannot be checked and pass.
  """
  if isinstance(value, jax.core.Tracer) or not isinstance(value, (int, float)):
    return
  if not math.isfinite(value) or not low <= value <= high:
    raise ValueError(
      f'{name} must be a finite number between {low} and {high}, not {value}'
    )


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


def floating(name: str, array) -> jax.Array:
  """The array as floats: floats keep their dtype, integers get the default."""
  array = jnp.asarray(array)
  if jnp.issubdtype(array.dtype, jnp.complexfloating):
    raise ValueError(f'{name} must be real, but has dtype {array.dtype}')
  if jnp.issubdtype(array.dtype, jnp.floating):
    return array
  return array.astype(jnp.result_type(float))


def wide(array: jax.Array) -> jax.Array:
  """The array in float32 or wider.

  Half-precision sums round by more than the differences that credit is made
  of; results go back to the dtype of the argument.
  """
  return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def boolean_mask(name: str, mask, shape, of: str) -> jax.Array:
  """A boolean mask of the shape asked for; None means that all counts."""
  if mask is None:
    return jnp.ones(shape, bool)
  mask = jnp.asarray(mask)
  same_shape(name, mask, shape, of)
  return mask if mask.dtype == bool else mask != 0
