"""Decoding: a key/value cache that lives across the turns of an episode.

Rows are ragged: each has its own length, and idle rows stand still. A turn is
one compiled call: it reads the new observation of every row, draws an answer
token by token until all rows have stopped, and returns the log-probability of
each token drawn. The cache is donated from call to call.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder

DecoderConfig = config_lib.DecoderConfig


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cache:
  """Keys and values of the tokens read so far.

  Attributes:
    keys: for each layer, [B, K, C, D]: K key/value heads, capacity C.
    values: likewise.
    length: int32 [B], tokens held by each row.
  """

  keys: tuple[jax.Array, ...]
  values: tuple[jax.Array, ...]
  length: jax.Array

  @property
  def capacity(self) -> int:
    return self.keys[0].shape[2]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Turn:
  """What a turn drew.

  Attributes:
    cache: with the observation and the answer read.
    tokens: int32 [B, M], the answers, the stop token included; 0 beyond.
    log_probs: float32 [B, M], of the tokens under the sampler's distribution
      (at temperature 0: of the softmax at temperature 1).
    count: int32 [B], tokens drawn.
  """

  cache: Cache
  tokens: jax.Array
  log_probs: jax.Array
  count: jax.Array


@jax.jit
def decoding_params(params: decoder.Params) -> dict[str, Any]:
  """Parameters with a list of layers in place of the leading layer axis.

  Decoding loops over unstacked layers: slicing a stacked cache at each token
  costs more than the longer program.
  """
  layers = params['layers']
  count = jax.tree.leaves(layers)[0].shape[0]
  return {
    **params,
    'layers': [jax.tree.map(lambda x, i=i: x[i], layers) for i in range(count)],
  }


def init_cache(config: DecoderConfig, batch: int, capacity: int) -> Cache:
  """An empty cache for `batch` rows of at most `capacity` tokens."""
  if batch < 1 or capacity < 1:
    raise ValueError(
      f'batch and capacity must be positive, not {batch} and {capacity}'
    )
  shape = (batch, config.kv_heads, capacity, config.head_dim)

  def empty():
    return tuple(
      jnp.zeros(shape, jnp.dtype(config.compute_dtype))
      for _ in range(config.layers)
    )

  return Cache(empty(), empty(), jnp.zeros((batch,), jnp.int32))


@functools.partial(jax.jit, static_argnums=1)
def grow(cache: Cache, capacity: int) -> Cache:
  """The same cache with room for `capacity` tokens a row."""
  if capacity < cache.capacity:
    raise ValueError(
      f'a cache of {cache.capacity} tokens cannot shrink to {capacity}'
    )
  more = ((0, 0), (0, 0), (0, capacity - cache.capacity), (0, 0))
  return Cache(
    tuple(jnp.pad(x, more) for x in cache.keys),
    tuple(jnp.pad(x, more) for x in cache.values),
    cache.length,
  )


@jax.jit
def take(cache: Cache, rows: jax.Array) -> Cache:
  """The cache of the rows chosen (some may be chosen more than once)."""
  return jax.tree.map(lambda x: x[rows], cache)


def _read(params, config, cache, tokens, count):
  """Reads tokens; returns the cache and hidden states [B, T, W].

  Row b's tokens[b, :count[b]] go behind what it holds; what would lie beyond
  the capacity is dropped, and shows as a length above it.
  """
  graph = decoder.block_graph(config)
  batch, width = tokens.shape
  offset = jnp.arange(width)
  positions = cache.length[:, None] + offset
  # Padding is written nowhere.
  target = jnp.where(offset < count[:, None], positions, cache.capacity)
  rows = jnp.arange(batch)[:, None]
  behind = positions[..., None] - jnp.arange(cache.capacity)  # [B, T, C]
  new_keys, new_values = [], []

  def attend_to(keys, values, window):
    seen = behind >= 0
    if window is not None:
      seen &= behind < window

    def attend(q, k, v):
      k_all = keys.at[rows, :, target].set(
        k.astype(keys.dtype), mode='drop', unique_indices=True
      )
      v_all = values.at[rows, :, target].set(
        v.astype(values.dtype), mode='drop', unique_indices=True
      )
      b, t, h, d = q.shape
      kv = k.shape[2]
      grouped = q.reshape(b, t, kv, h // kv, d)
      scores = jnp.einsum('btkgd,bkcd->bktgc', grouped, k_all) * d**-0.5
      wide = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
      wide = jnp.where(seen[:, None, :, None, :], wide, -jnp.inf)
      weights = jax.nn.softmax(wide, axis=-1).astype(v_all.dtype)
      mixed = jnp.einsum('bktgc,bkcd->btkgd', weights, v_all)
      return mixed.reshape(b, t, h, d).astype(q.dtype), (k_all, v_all)

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
  cache = Cache(tuple(new_keys), tuple(new_values), cache.length + count)
  return cache, x


def _last_logits(params, config, x, count):
  """Logits [B, V] behind each row's last token read."""
  last = jnp.maximum(count - 1, 0)
  x = jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0]
  return decoder.logits(params, config, decoder.final_norm(params, config, x))


@functools.partial(jax.jit, static_argnames='config', donate_argnames='cache')
def extend(
  params: dict[str, Any],
  config: DecoderConfig,
  cache: Cache,
  tokens: jax.Array,
  count: jax.Array,
) -> tuple[Cache, jax.Array]:
  """Reads tokens.

  Args:
    params: from `decoding_params`.
    config: of the decoder.
    cache: donated.
    tokens: int32 [B, T], right-padded.
    count: int32 [B], tokens of each row; 0 leaves a row as it is.

  Returns:
    The cache, and logits float32 [B, V] behind each row's last token.
  """
  cache, x = _read(params, config, cache, tokens, count)
  return cache, _last_logits(params, config, x, count)


@functools.partial(
  jax.jit,
  static_argnames=('config', 'max_new_tokens', 'stop_tokens'),
  donate_argnames='cache',
)
def sample_turn(
  params: dict[str, Any],
  config: DecoderConfig,
  cache: Cache,
  keys: jax.Array,
  tokens: jax.Array,
  count: jax.Array,
  *,
  max_new_tokens: int,
  stop_tokens: tuple[int, ...],
  temperature: float | jax.Array = 1.0,
  active: jax.Array | None = None,
) -> Turn:
  """Reads an observation and draws an answer, for each row.

  A row's draws depend on its key and its text alone, not on the other rows.

  Args:
    params: from `decoding_params`.
    config: of the decoder.
    cache: donated.
    keys: random keys [B].
    tokens: int32 [B, T], what each row reads first, right-padded.
    count: int32 [B], at least 1 for rows that are active.
    max_new_tokens: M, tokens of an answer at most.
    stop_tokens: tokens that end an answer.
    temperature: divides the logits; 0 takes the likeliest token.
    active: bool [B], rows that answer; all by default.

  Returns:
    A Turn. A row whose cache overflows has garbage in it; callers see to it
    that length + count + max_new_tokens does not pass the capacity.
  """
  batch = tokens.shape[0]
  active = jnp.ones((batch,), bool) if active is None else active
  cache, x = _read(params, config, cache, tokens, count)
  scores = _last_logits(params, config, x, count)
  temperature = jnp.asarray(temperature, scores.dtype)
  stops = jnp.asarray(stop_tokens, jnp.int32)

  def draw(scores, step):
    greedy = temperature <= 0
    scores = scores / jnp.where(greedy, 1, temperature)
    noise = jax.vmap(
      lambda key: jax.random.gumbel(
        jax.random.fold_in(key, step), scores.shape[1:], scores.dtype
      )
    )(keys)
    token = jnp.argmax(scores + jnp.where(greedy, 0, noise), axis=-1)
    chosen = jnp.take_along_axis(scores, token[:, None], axis=-1)[:, 0]
    return token.astype(jnp.int32), chosen - jax.nn.logsumexp(scores, axis=-1)

  def go_on(carry):
    _, _, running, _, _, _, step = carry
    return (step < max_new_tokens) & running.any()

  def next_token(carry):
    cache, scores, running, out, out_log_probs, drawn, step = carry
    token, log_prob = draw(scores, step)
    token = jnp.where(running, token, 0)
    out = out.at[:, step].set(token)
    out_log_probs = out_log_probs.at[:, step].set(
      jnp.where(running, log_prob, 0)
    )
    one = running.astype(jnp.int32)
    # The stop token is read too: the next observation comes behind it.
    cache, x = _read(params, config, cache, token[:, None], one)
    scores = _last_logits(params, config, x, one)
    running = running & ~jnp.isin(token, stops)
    return cache, scores, running, out, out_log_probs, drawn + one, step + 1

  carry = (
    cache,
    scores,
    active,
    jnp.zeros((batch, max_new_tokens), jnp.int32),
    jnp.zeros((batch, max_new_tokens), scores.dtype),
    jnp.zeros((batch,), jnp.int32),
    jnp.zeros((), jnp.int32),
  )
  cache, _, _, out, out_log_probs, drawn, _ = jax.lax.while_loop(
    go_on, next_token, carry
  )
  return Turn(cache, out, out_log_probs, drawn)
