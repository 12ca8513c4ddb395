"""Names of states and tokens as 32-bit words, whole whatever their width.

JAX cuts 64-bit integers to 32 bits unless told otherwise. So 64-bit names are
split into two words while they still are NumPy's.
"""

import jax
import jax.numpy as jnp
import numpy as np


def _words(name: str, values, shape) -> jax.Array:
  if np.ndim(values) not in (len(shape), len(shape) + 1) or (
    tuple(np.shape(values)[: len(shape)]) != tuple(shape)
  ):
    raise ValueError(
      f'{name} must have shape {tuple(shape)} or {(*shape, "K")}, not '
      f'{tuple(np.shape(values))}'
    )
  kind = getattr(values, 'dtype', None) or np.asarray(values).dtype
  if not (jnp.issubdtype(kind, jnp.integer) or np.dtype(kind).kind == 'b'):
    raise ValueError(
      f'{name} must be integers, not {kind}: make them with '
      'jaxcredit.fingerprints'
    )
  if np.ndim(values) == len(shape):
    values = values[..., None]
  if np.dtype(kind).itemsize == 8:
    # Outside of jit these are NumPy's: JAX would cut them to 32 bits.
    low = (values & 0xFFFFFFFF).astype(np.uint32)
    high = ((values >> 32) & 0xFFFFFFFF).astype(np.uint32)
    both = (low, high)
    if isinstance(values, np.ndarray):
      return np.concatenate(both, axis=-1)
    return jnp.concatenate(both, axis=-1)
  return values.astype(np.uint32)


def host_words(name: str, values, shape) -> jax.Array:
  """Integers as words, to be called before jit.

  Args:
    name: of the argument, for messages.
    values: integers of `shape`, or [*shape, K] for names of K words.
    shape: that names have.

  Returns:
    uint32 [*shape, K], or [*shape, 2 K] for 64-bit integers.

  Raises:
    ValueError: a wrong shape, or no integers.
  """
  if not isinstance(values, jax.Array):
    values = np.asarray(values)
  return _words(name, values, shape)
