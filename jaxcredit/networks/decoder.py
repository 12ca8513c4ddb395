"""The decoder: pure functions over a plain dict of arrays.

  params = init(key, config)
  log_probs(params, config, tokens, length)   training: whole rows
  sampler.sample_turn(...)                     decoding: with a cache

The dict is {'embedder': {'embedding' [V, W]}, 'layers': {...} with a leading
layer axis, 'final_norm': {'scale' [W]}} and, where embeddings are not tied,
{'head': {'kernel' [W, V]}}.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxcredit.networks import block as block_lib
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import sharding

Params = dict[str, Any]
DecoderConfig = config_lib.DecoderConfig


@functools.lru_cache(maxsize=64)
def block_graph(config: DecoderConfig):
  """The block's static graph; with a dict of arrays it merges to a module."""
  graph = None

  def build():
    nonlocal graph
    graph, state = nnx.split(block_lib.Block(config, nnx.Rngs(0)))
    return nnx.to_pure_dict(state)

  jax.eval_shape(build)
  return graph


def init(key: jax.Array, config: DecoderConfig) -> Params:
  """Draws parameters, float32 (float64 under x64).

  Args:
    key: random key.
    config: of the decoder.
  """
  embedding_key, head_key, layer_key = jax.random.split(key, 3)

  def one_layer(key):
    _, state = nnx.split(block_lib.Block(config, nnx.Rngs(params=key)))
    return nnx.to_pure_dict(state)

  shape = (config.vocab_size, config.width)
  params = {
    'embedder': {
      'embedding': config.width**-0.5 * jax.random.normal(embedding_key, shape)
    },
    'layers': jax.vmap(one_layer)(jax.random.split(layer_key, config.layers)),
    'final_norm': {'scale': jnp.ones((config.width,))},
  }
  if not config.tie_embeddings:
    params['head'] = {
      'kernel': config.width**-0.5 * jax.random.normal(head_key, shape[::-1])
    }
  return params


def count_parameters(params: Params) -> int:
  """Number of parameters."""
  return sum(x.size for x in jax.tree.leaves(params))


def embed(params: Params, config: DecoderConfig, tokens: jax.Array):
  """Token embeddings [N, L, W] in the compute dtype."""
  x = params['embedder']['embedding'][tokens]
  dtype = jnp.dtype(config.compute_dtype)
  # float64 parameters mean that the caller wants float64 throughout.
  dtype = x.dtype if x.dtype == jnp.float64 else dtype
  return sharding.constrain(x.astype(dtype), 'batch', None, None)


def logits(params: Params, config: DecoderConfig, hidden: jax.Array):
  """Output projection of normed hidden states [..., W] -> float [..., V]."""
  flat = hidden.reshape(-1, config.width)
  if config.tie_embeddings:
    out = flat @ params['embedder']['embedding'].astype(hidden.dtype).T
  else:
    out = flat @ params['head']['kernel'].astype(hidden.dtype)
  out = out.reshape(*hidden.shape[:-1], config.vocab_size)
  return out.astype(jnp.promote_types(out.dtype, jnp.float32))


def final_norm(params: Params, config: DecoderConfig, x):
  return block_lib.rms_norm(x, params['final_norm']['scale'], config.norm_eps)


# Attention takes the queries of a row in blocks, each of which meets the keys
# up to its own end: half the work of a square that is masked afterwards, in
# pieces that fit a CPU's cache. More than this many blocks compile slowly.
_QUERY_BLOCKS = 8
_QUERY_BLOCK = 64


def attend_causally(q, k, v):
  """Causal grouped-query attention within rows.

  Padding stands at the right of a row, where no valid query can see it.

  Args:
    q: [N, L, H, D].
    k, v: [N, L, K, D].

  Returns:
    [N, L, H, D] and None.
  """
  n, l, h, d = q.shape
  heads = k.shape[2]
  group = h // heads
  q = (q * d**-0.5).reshape(n, l, heads, group, d).transpose(0, 2, 3, 1, 4)
  k, v = k.transpose(0, 2, 3, 1), v.transpose(0, 2, 1, 3)

  def attend(start, stop):
    size = stop - start
    queries = q[:, :, :, start:stop].reshape(n, heads, group * size, d)
    scores = (queries @ k[..., :stop]).reshape(n, heads, group, size, stop)
    wide = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    seen = jnp.arange(stop) <= jnp.arange(start, stop)[:, None]
    weights = jax.nn.softmax(jnp.where(seen, wide, -jnp.inf), axis=-1)
    weights = weights.astype(v.dtype).reshape(n, heads, group * size, stop)
    return (weights @ v[:, :, :stop]).reshape(n, heads, group, size, d)

  block = max(_QUERY_BLOCK, -(-l // _QUERY_BLOCKS))
  mixed = jnp.concatenate(
    [attend(i, min(i + block, l)) for i in range(0, l, block)], axis=3
  )
  return mixed.transpose(0, 3, 1, 2, 4).reshape(n, l, h, d), None


def hidden_states(params: Params, config: DecoderConfig, tokens: jax.Array):
  """Normed hidden states of whole rows.

  Args:
    params: of the decoder.
    config: its configuration.
    tokens: int32 [N, L], right-padded.

  Returns:
    [N, L, W] in the compute dtype.
  """
  graph = block_graph(config)
  positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)

  def layer(x, weights):
    return nnx.merge(graph, weights)(x, positions, attend_causally)

  if config.remat:
    layer = jax.checkpoint(layer)
  x = embed(params, config, tokens)
  x, _ = jax.lax.scan(layer, x, params['layers'])
  return final_norm(params, config, x)


def log_probs(
  params: Params,
  config: DecoderConfig,
  tokens: jax.Array,
  length: jax.Array,
  *,
  temperature: float = 1.0,
  chunk: int = 128,
) -> tuple[jax.Array, jax.Array]:
  """Log-probability of each token given those before it.

  The vocabulary is met in chunks of positions, so that [N, L, V] never exists,
  neither forward nor backward.

  Args:
    params: of the decoder.
    config: its configuration.
    tokens: int32 [N, L], right-padded.
    length: int32 [N], tokens that are not padding.
    temperature: divides the logits.
    chunk: positions whose logits exist at a time.

  Returns:
    log-probabilities float32 [N, L]: entry t is log p(tokens[t] |
    tokens[:t]), 0 for t = 0 and for padding; and the entropy of each of these
    distributions in nats, of the same form.
  """
  if tokens.ndim != 2 or length.shape != tokens.shape[:1]:
    raise ValueError(
      f'tokens must be [N, L] and length [N], not {tokens.shape} and '
      f'{length.shape}'
    )
  if temperature <= 0:
    raise ValueError(
      f'temperature must be positive to score tokens, not {temperature}'
    )
  n, l = tokens.shape
  hidden = hidden_states(params, config, tokens)[:, :-1]
  target = tokens[:, 1:]
  steps = -(-(l - 1) // chunk) if l > 1 else 0
  padding = steps * chunk - (l - 1)
  hidden = jnp.pad(hidden, ((0, 0), (0, padding), (0, 0)))
  target = jnp.pad(target, ((0, 0), (0, padding)))

  def pieces(x):
    x = x.reshape(n, steps, chunk, *x.shape[2:])
    return jnp.moveaxis(x, 1, 0)

  @jax.checkpoint
  def score(_, piece):
    states, wanted = piece
    scores = logits(params, config, states) / temperature
    scores = sharding.constrain(scores, 'batch', None, 'vocabulary')
    normaliser = jax.nn.logsumexp(scores, axis=-1)
    chosen = jnp.take_along_axis(scores, wanted[..., None], axis=-1)[..., 0]
    probability = jnp.exp(scores - normaliser[..., None])
    entropy = normaliser - jnp.sum(probability * scores, axis=-1)
    return None, (chosen - normaliser, entropy)

  _, scored = jax.lax.scan(score, None, (pieces(hidden), pieces(target)))
  valid = jnp.arange(1, l)[None] < length[:, None]

  def assemble(x):
    x = jnp.moveaxis(x, 0, 1).reshape(n, steps * chunk)[:, : l - 1]
    return jnp.pad(jnp.where(valid, x, 0.0), ((0, 0), (1, 0)))

  return assemble(scored[0]), assemble(scored[1])
