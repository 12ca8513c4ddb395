"""Names of states and tokens as 32-bit words, whole whatever their width.

JAX cuts 64-bit integers to 32 bits unless told otherwise. So 64-bit names are
split into two words while they still are NumPy's.
"""

import jax
import jax.numpy as jnp
import numpy as np


def before_jit(name: str, values, shape):
  """Checks names, and splits those that JAX would cut.

  Args:
    name: of the argument, for messages.
    values: integers of `shape`, or [*shape, K] for names of K words.
    shape: that names have.

  Returns:
    An array for `split`.

  Raises:
    ValueError: a wrong shape, or no integers.
  """
  if not isinstance(values, jax.Array):
    values = np.asarray(values)
  if values.ndim not in (len(shape), len(shape) + 1) or (
    tuple(values.shape[: len(shape)]) != tuple(shape)
  ):
    raise ValueError(
      f'{name} must have shape {tuple(shape)} or {(*shape, "K")}, not '
      f'{tuple(values.shape)}'
    )
  kind = values.dtype
  if not (jnp.issubdtype(kind, jnp.integer) or kind.kind == 'b'):
    raise ValueError(
      f'{name} must be integers, not {kind}: make them with '
      'jaxcredit.fingerprints'
    )
  if isinstance(values, np.ndarray) and kind.itemsize == 8:
    return split(values, len(shape))
  return values


def split(values, rank: int):
  """Integers of `rank` axes, or one more for K words, as uint32 [..., K]."""
  if values.ndim == rank:
    values = values[..., None]
  if values.dtype.itemsize < 8:
    return values.astype(np.uint32)
  low = (values & 0xFFFFFFFF).astype(np.uint32)
  high = ((values >> 32) & 0xFFFFFFFF).astype(np.uint32)
  if isinstance(values, np.ndarray):
    return np.concatenate((low, high), axis=-1)
  return jnp.concatenate((low, high), axis=-1)
