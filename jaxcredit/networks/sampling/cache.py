"""Keys and values of the tokens that rows have read.

Rows are ragged: each has its own length. A row of the cache outlives what was
read into it: positions beyond its length hold garbage that the next tokens
overwrite, and setting a length back takes tokens back.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from jaxcredit.networks import config as config_lib


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cache:
  """Keys and values of the tokens read so far.

  Attributes:
    keys: for each layer, [B, K, D, C] in the compute dtype: K key/value heads
      of size D, capacity C. Positions come last, so that a query meets them
      all in one product without a transposition.
    values: for each layer, [B, K, C, D].
    length: int32 [B], tokens held by each row.
  """

  keys: tuple[jax.Array, ...]
  values: tuple[jax.Array, ...]
  length: jax.Array

  @property
  def rows(self) -> int:
    return self.values[0].shape[0]

  @property
  def capacity(self) -> int:
    return self.values[0].shape[2]


def init_cache(
  config: config_lib.DecoderConfig, batch: int, capacity: int
) -> Cache:
  """An empty cache for `batch` rows of at most `capacity` tokens.

  Raises:
    ValueError: batch or capacity is not positive.
  """
  if batch < 1 or capacity < 1:
    raise ValueError(
      f'batch and capacity must be positive, not {batch} and {capacity}'
    )
  dtype = jnp.dtype(config.compute_dtype)
  heads, size = config.kv_heads, config.head_dim

  def empty(*shape):
    return tuple(jnp.zeros(shape, dtype) for _ in range(config.layers))

  return Cache(
    keys=empty(batch, heads, size, capacity),
    values=empty(batch, heads, capacity, size),
    length=jnp.zeros((batch,), jnp.int32),
  )


@functools.partial(jax.jit, static_argnums=1)
def grow(cache: Cache, capacity: int) -> Cache:
  """The same cache with room for `capacity` tokens a row.

  Raises:
    ValueError: the cache is larger already.
  """
  if capacity < cache.capacity:
    raise ValueError(
      f'a cache of {cache.capacity} tokens cannot shrink to {capacity}'
    )
  more = (0, capacity - cache.capacity)
  return Cache(
    tuple(jnp.pad(x, ((0, 0), (0, 0), (0, 0), more)) for x in cache.keys),
    tuple(jnp.pad(x, ((0, 0), (0, 0), more, (0, 0))) for x in cache.values),
    cache.length,
  )


@jax.jit
def take(cache: Cache, rows: jax.Array) -> Cache:
  """The cache of the rows chosen (some may be chosen more than once).

  Args:
    cache: of B rows; not donated.
    rows: int32 [R].

  Returns:
    A cache of R rows.
  """
  return jax.tree.map(lambda x: x[rows], cache)


@functools.partial(jax.jit, donate_argnames='cache')
def copy(cache: Cache, source: jax.Array, target: jax.Array) -> Cache:
  """Copies rows over others, all at once.

  Args:
    cache: of B rows; donated.
    source: int32 [R], rows to copy, as they were before the call.
    target: int32 [R], distinct rows to overwrite; B where nothing is to be
      done.

  Returns:
    The cache; its other rows are as before.
  """
  return jax.tree.map(
    lambda x: x.at[target].set(x[source], mode='drop', unique_indices=True),
    cache,
  )
