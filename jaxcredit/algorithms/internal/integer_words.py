"""Names of states and tokens as 32-bit words, whole whatever their width.

JAX cuts 64-bit integers to 32 bits unless told otherwise. So 64-bit names are
split into two words while they still are NumPy's.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Halves:
  """64-bit integers in two arrays of their shape.

  Attributes:
    low: uint32.
    high: uint32.
  """

  low: jax.Array
  high: jax.Array

  @property
  def shape(self) -> tuple[int, ...]:
    """That of the integers."""
    return self.low.shape

  @property
  def ndim(self) -> int:
    """Their number of axes."""
    return self.low.ndim


def whole(name: str, values):
  """Names that JAX may trace without a loss.

  Args:
    name: of the argument, for messages.
    values: integers.

  Returns:
    Halves of 64-bit integers of NumPy's, else the array.

  Raises:
    ValueError: no integers.
  """
  if isinstance(values, Halves):
    return values
  if not isinstance(values, jax.Array):
    if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(values)):
      values = jnp.asarray(values)
    else:
      values = _array(name, values)
  kind = values.dtype
  if not (jnp.issubdtype(kind, jnp.integer) or kind.kind == 'b'):
    raise ValueError(
      f'{name} must be integers, not {kind}: make them with '
      'jaxcredit.fingerprints'
    )
  if isinstance(values, np.ndarray) and kind.itemsize == 8:
    return Halves(*_halves(values))
  return values


def _array(name, values):
  try:
    array = np.asarray(values)
  except ValueError:
    raise ValueError(
      f'{name} must be an array, but its rows have different lengths'
    ) from None
  # An empty list has NumPy's default dtype, which is no integer.
  return array if array.size else array.astype(np.int32)


def _halves(values):
  low = (values & 0xFFFFFFFF).astype(np.uint32)
  high = ((values >> 32) & 0xFFFFFFFF).astype(np.uint32)
  return low, high


def split(name: str, values, shape):
  """Names as words.

  Args:
    name: of the argument, for messages.
    values: integers of `shape`, or [*shape, K] for names of K words; of
      `whole`, or traced.
    shape: that names have.

  Returns:
    uint32 [*shape, K].

  Raises:
    ValueError: a wrong shape, or no integers.
  """
  if not isinstance(values, Halves):
    values = jnp.asarray(values)
  rank = len(shape)
  if values.ndim not in (rank, rank + 1) or (
    tuple(values.shape[:rank]) != tuple(shape)
  ):
    raise ValueError(
      f'{name} must have shape {tuple(shape)} or {(*shape, "K")}, not '
      f'{tuple(values.shape)}'
    )
  if isinstance(values, Halves):
    parts = (values.low, values.high)
  else:
    if not (
      jnp.issubdtype(values.dtype, jnp.integer) or values.dtype.kind == 'b'
    ):
      raise ValueError(
        f'{name} must be integers, not {values.dtype}: make them with '
        'jaxcredit.fingerprints'
      )
    parts = (values,)
    if values.dtype.itemsize == 8:
      parts = _halves(values)
  if values.ndim == rank:
    parts = [part[..., None] for part in parts]
  return jnp.concatenate([part.astype(jnp.uint32) for part in parts], axis=-1)
