"""Causal attention within rows: grouped queries, windows, packed sequences.

Queries of a row are taken in blocks, each of which meets the keys from its
window's start to its own end: half the work of a square that is masked
afterwards, in pieces that fit a CPU's cache.
"""

import jax
import jax.numpy as jnp

# More than this many blocks compile slowly.
_QUERY_BLOCKS = 8
_QUERY_BLOCK = 64


def attend(
  q: jax.Array,
  k: jax.Array,
  v: jax.Array,
  *,
  window: int | None = None,
  runs: jax.Array | None = None,
) -> jax.Array:
  """Mixes values by queries and keys.

  A query sees its own position and those before it, so padding at the right
  needs no mask.

  Args:
    q: [N, L, H, D].
    k, v: [N, L, K, D]; K divides H.
    window: positions seen at most, the query's own included; None: all.
    runs: int32 [N, L]; a query sees only positions with its own number. None:
      a row is one sequence.

  Returns:
    [N, L, H, D].
  """
  n, l, h, d = q.shape
  heads = k.shape[2]
  group = h // heads
  q = (q * d**-0.5).reshape(n, l, heads, group, d).transpose(0, 2, 3, 1, 4)
  k, v = k.transpose(0, 2, 3, 1), v.transpose(0, 2, 1, 3)

  def block_of(start, stop):
    first = 0 if window is None else max(0, start - window + 1)
    size, keys = stop - start, stop - first
    queries = q[:, :, :, start:stop].reshape(n, heads, group * size, d)
    scores = queries @ k[..., first:stop]
    scores = scores.reshape(n, heads, group, size, keys)
    wide = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    distance = jnp.arange(start, stop)[:, None] - jnp.arange(first, stop)
    seen = distance >= 0
    if window is not None:
      seen &= distance < window
    if runs is not None:
      same = runs[:, start:stop, None] == runs[:, None, first:stop]
      seen = (seen & same)[:, None, None]
    weights = jax.nn.softmax(jnp.where(seen, wide, -jnp.inf), axis=-1)
    weights = weights.astype(v.dtype).reshape(n, heads, group * size, keys)
    mixed = weights @ v[:, :, first:stop]
    return mixed.reshape(n, heads, group, size, d)

  block = max(_QUERY_BLOCK, -(-l // _QUERY_BLOCKS))
  mixed = jnp.concatenate(
    [block_of(i, min(i + block, l)) for i in range(0, l, block)], axis=3
  )
  return mixed.transpose(0, 3, 1, 2, 4).reshape(n, l, h, d)
