"""Passes through the decoder that read tokens behind those of a cache.

  prefill      many tokens a row, for all rows or for some, into the cache
  decode_step  one token a row, beside the cache

Where tokens are drawn one by one, the cache is only read. What they add lies in
a small block in which all rows write the same column, and `merge` moves it to
each row's own place in the end: a ragged write at each token costs more than
all attention.

These are pieces for compiled functions; they are not compiled themselves.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, sharding
from jaxcredit.networks.sampling import cache as cache_lib

Cache = cache_lib.Cache
DecoderConfig = config_lib.DecoderConfig

# Keys [B, K, D, M] and values [B, K, M, D] of each layer: what rows have read
# beside their cache.
Recent = tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]


def _hide(scores, seen):
  """Scores in float32 or wider, -inf where nothing is to be seen."""
  wide = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
  return jnp.where(seen, wide, -jnp.inf)


def _by_head(q, kv_heads):
  """Queries [B, T, H, D] -> scaled, by key/value head: [B, K, T * G, D]."""
  b, t, h, d = q.shape
  q = (q * d**-0.5).reshape(b, t, kv_heads, h // kv_heads, d)
  return q.transpose(0, 2, 1, 3, 4).reshape(b, kv_heads, -1, d)


def _by_token(mixed, like):
  """The way back: [B, K, T * G, D] -> [B, T, H, D] and the dtype of `like`."""
  b, t, h, d = like.shape
  kv_heads = mixed.shape[1]
  mixed = mixed.reshape(b, kv_heads, t, h // kv_heads, d)
  mixed = mixed.transpose(0, 2, 1, 3, 4).reshape(b, t, h, d)
  return mixed.astype(like.dtype)


def prefill(
  params: dict[str, Any],
  config: DecoderConfig,
  cache: Cache,
  tokens: jax.Array,
  count: jax.Array,
  rows: jax.Array | None = None,
) -> tuple[Cache, jax.Array]:
  """Reads tokens into the cache.

  Args:
    params: from `sampler.decoding_params`.
    config: of the decoder.
    cache: of B rows.
    tokens: int32 [R, T]; tokens[r, :count[r]] go behind what row rows[r] holds.
    count: int32 [R].
    rows: int32 [R], distinct, or B for none; None: all rows.

  Returns:
    The cache, and hidden states [R, T, W]. What would lie beyond the capacity
    is dropped, and shows as a length above it.
  """
  graph = decoder.block_graph(config)
  width = tokens.shape[1]
  if rows is None:
    length, where = cache.length, jnp.arange(cache.rows)[:, None]
  else:
    length = cache.length.at[rows].get(mode='fill', fill_value=0)
    where = rows[:, None]
  offset = jnp.arange(width)
  positions = length[:, None] + offset
  # Padding is written nowhere.
  target = jnp.where(offset < count[:, None], positions, cache.capacity)
  behind = positions[..., None] - jnp.arange(cache.capacity)  # [R, T, C]
  new_keys, new_values = [], []

  def attend_to(keys, values, window):
    seen = behind >= 0
    if window is not None:
      seen &= behind < window

    def attend(q, k, v):
      k_all = keys.at[where, :, :, target].set(
        k.astype(keys.dtype), mode='drop', unique_indices=True
      )
      v_all = values.at[where, :, target].set(
        v.astype(values.dtype), mode='drop', unique_indices=True
      )
      k_all = sharding.constrain(k_all, 'batch', 'heads', None, None)
      v_all = sharding.constrain(v_all, 'batch', 'heads', None, None)
      k_mine = k_all if rows is None else k_all[rows]
      v_mine = v_all if rows is None else v_all[rows]
      scores = _by_head(q, k.shape[2]) @ k_mine
      by_token = scores.reshape(*scores.shape[:2], width, -1, cache.capacity)
      weights = jax.nn.softmax(
        _hide(by_token, seen[:, None, :, None]), axis=-1
      ).astype(v_mine.dtype)
      mixed = weights.reshape(scores.shape) @ v_mine
      return _by_token(mixed, q), (k_all, v_all)

    return attend

  x = decoder.embed(params, config, tokens)
  for weights, keys, values, window in zip(
    params['layers'], cache.keys, cache.values, config.windows, strict=True
  ):
    x, (k_all, v_all) = nnx.merge(graph, weights)(
      x, positions, attend_to(keys, values, window)
    )
    new_keys.append(k_all)
    new_values.append(v_all)
  if rows is None:
    length = cache.length + count
  else:
    length = cache.length.at[rows].add(count, mode='drop')
  return Cache(tuple(new_keys), tuple(new_values), length), x


def decode_step(
  params: dict[str, Any],
  config: DecoderConfig,
  cache: Cache,
  recent: Recent,
  token: jax.Array,
  step: jax.Array,
) -> tuple[Recent, jax.Array]:
  """Reads a token of every row into column `step` of the recent block.

  Args:
    params: from `sampler.decoding_params`.
    config: of the decoder.
    cache: is only read.
    recent: keys [B, K, D, M] and values [B, K, M, D] of each layer.
    token: int32 [B].
    step: column; those before it hold what the rows read since the cache.

  Returns:
    The recent block, and logits [B, V].
  """
  graph = decoder.block_graph(config)
  # How far behind the token that is read do the others lie?
  behind_cached = (cache.length + step)[:, None] - jnp.arange(cache.capacity)
  cached = jnp.arange(cache.capacity) < cache.length[:, None]
  behind_recent = step - jnp.arange(recent[0][0].shape[3])
  new_keys, new_values = [], []

  def attend_to(keys, values, new_k, new_v, window):
    seen_cached, seen_recent = cached, behind_recent >= 0
    if window is not None:
      seen_cached &= behind_cached < window
      seen_recent &= behind_recent < window

    def attend(q, k, v):
      k_block = jax.lax.dynamic_update_slice_in_dim(
        new_k, k.transpose(0, 2, 3, 1).astype(new_k.dtype), step, axis=3
      )
      v_block = jax.lax.dynamic_update_slice_in_dim(
        new_v, v.transpose(0, 2, 1, 3).astype(new_v.dtype), step, axis=2
      )
      # One softmax over both parts. A row always sees its own token.
      queries = _by_head(q, k.shape[2])
      scores = _hide(queries @ keys, seen_cached[:, None, None])
      recent_scores = _hide(queries @ k_block, seen_recent)
      largest = jnp.maximum(
        jnp.max(scores, axis=-1, keepdims=True),
        jnp.max(recent_scores, axis=-1, keepdims=True),
      )
      weights = jnp.exp(scores - largest)
      recent_weights = jnp.exp(recent_scores - largest)
      total = jnp.sum(weights, axis=-1, keepdims=True) + jnp.sum(
        recent_weights, axis=-1, keepdims=True
      )
      mixed = (weights / total).astype(values.dtype) @ values
      mixed += (recent_weights / total).astype(v_block.dtype) @ v_block
      return _by_token(mixed, q), (k_block, v_block)

    return attend

  x = decoder.embed(params, config, token[:, None])
  positions = (cache.length + step)[:, None]
  for weights, keys, values, new_k, new_v, window in zip(
    params['layers'],
    cache.keys,
    cache.values,
    *recent,
    config.windows,
    strict=True,
  ):
    x, (k_block, v_block) = nnx.merge(graph, weights)(
      x, positions, attend_to(keys, values, new_k, new_v, window)
    )
    new_keys.append(k_block)
    new_values.append(v_block)
  x = decoder.final_norm(params, config, x[:, 0])
  logits = decoder.logits(params, config, x)
  return (tuple(new_keys), tuple(new_values)), logits


def no_recent(cache: Cache, width: int) -> Recent:
  """An empty block of `width` columns beside a cache."""
  keys = tuple(jnp.zeros((*x.shape[:-1], width), x.dtype) for x in cache.keys)
  values = tuple(
    jnp.zeros((*x.shape[:2], width, x.shape[3]), x.dtype) for x in cache.values
  )
  return keys, values


def merge(cache: Cache, recent: Recent, count: jax.Array) -> Cache:
  """Moves the first `count` columns of the recent block into the cache."""
  column = jnp.arange(recent[0][0].shape[3])
  target = jnp.where(
    column < count[:, None], cache.length[:, None] + column, cache.capacity
  )
  rows = jnp.arange(cache.rows)[:, None]
  keys = tuple(
    old.at[rows, :, :, target].set(
      new.transpose(0, 3, 1, 2), mode='drop', unique_indices=True
    )
    for old, new in zip(cache.keys, recent[0], strict=True)
  )
  values = tuple(
    old.at[rows, :, target].set(
      new.transpose(0, 2, 1, 3), mode='drop', unique_indices=True
    )
    for old, new in zip(cache.values, recent[1], strict=True)
  )
  return Cache(keys, values, cache.length + count)
