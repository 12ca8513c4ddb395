"""The decoder: pure functions over a plain dict of arrays.

  params = init(key, config)
  log_probs(params, config, tokens, length)   training: whole rows
  log_probs(..., segment_ids=...)              ... packed, or padded anywhere
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

from jaxcredit.networks import attention, sharding, token_scores
from jaxcredit.networks import block as block_lib
from jaxcredit.networks import config as config_lib

Params = dict[str, Any]
DecoderConfig = config_lib.DecoderConfig


@functools.lru_cache(maxsize=64)
def block_graph(config: DecoderConfig, adapted: frozenset[str] = frozenset()):
  """The block's static graph; with a dict of arrays it merges to a module.

  Args:
    config: of the decoder.
    adapted: projections whose part of the dict holds low-rank adapters.
  """
  graph = None

  def build():
    nonlocal graph
    graph, state = nnx.split(block_lib.Block(config, nnx.Rngs(0), adapted))
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
  table = params['embedder']['embedding']
  # In its own dtype, in which the gradients of equal tokens are added up.
  parts = sharding.gather({'embedder': {'embedding': table}}, table.dtype)
  x = parts['embedder']['embedding'][tokens]
  dtype = jnp.dtype(config.compute_dtype)
  # float64 parameters mean that the caller wants float64 throughout.
  dtype = x.dtype if x.dtype == jnp.float64 else dtype
  return sharding.constrain(x.astype(dtype), 'batch', None, None)


def output_kernel(params: Params, config: DecoderConfig) -> jax.Array:
  """The output projection [V, W]."""
  if config.tie_embeddings:
    return params['embedder']['embedding']
  return params['head']['kernel'].T


def gather_output(params: Params, dtype) -> Params:
  """What the output projection needs, collected where "fsdp" cuts it."""
  names = ('embedder', 'head')
  return sharding.gather({k: params[k] for k in names if k in params}, dtype)


def logits(params: Params, config: DecoderConfig, hidden: jax.Array):
  """Output projection of normed hidden states [..., W] -> float [..., V]."""
  flat = hidden.reshape(-1, config.width)
  out = flat @ output_kernel(params, config).astype(hidden.dtype).T
  out = out.reshape(*hidden.shape[:-1], config.vocab_size)
  return out.astype(jnp.promote_types(out.dtype, jnp.float32))


def final_norm(params: Params, config: DecoderConfig, x):
  return block_lib.rms_norm(x, params['final_norm']['scale'], config.norm_eps)


def runs_and_positions(segment_ids: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Numbers the sequences of packed rows and the tokens within each.

  Args:
    segment_ids: int32 [N, L]; a change of value starts a sequence.

  Returns:
    int32 [N, L] the sequence's number in its row, and int32 [N, L] the
    position in the sequence.
  """
  index = jnp.arange(segment_ids.shape[1])
  starts = jnp.diff(segment_ids, axis=1, prepend=segment_ids[:, :1]) != 0
  start = jax.lax.cummax(jnp.where(starts, index, 0), axis=1)
  return jnp.cumsum(starts, axis=1), index - start


def hidden_states(
  params: Params,
  config: DecoderConfig,
  tokens: jax.Array,
  *,
  segment_ids: jax.Array | None = None,
):
  """Normed hidden states of whole rows.

  Args:
    params: of the decoder.
    config: its configuration.
    tokens: int32 [N, L], right-padded unless segment_ids are given.
    segment_ids: int32 [N, L]; a run of one value is a sequence of its own,
      whose positions count from 0 and which sees nothing else of its row.

  Returns:
    [N, L, W] in the compute dtype.
  """
  adapted = (name for name, x in params['layers'].items() if 'lora_a' in x)
  graph = block_graph(config, frozenset(adapted))
  if segment_ids is None:
    runs = None
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
  else:
    runs, positions = runs_and_positions(segment_ids)

  def attend_within(window):
    return functools.partial(
      attention.attend,
      window=window,
      runs=runs,
      implementation=config.attention,
    )

  def layer(x, weights_and_slides):
    weights, slides = weights_and_slides
    weights = sharding.gather(weights, x.dtype, 'layers/')

    def attend(q, k, v):
      if slides is None:
        return attend_within(config.windows[0])(q, k, v), None
      return (
        jax.lax.cond(
          slides, attend_within(config.window), attend_within(None), q, k, v
        ),
        None,
      )

    return nnx.merge(graph, weights)(x, positions, attend)

  # Layers of one kind need no choice at run time.
  slides = None
  if len(set(config.windows)) > 1:
    slides = jnp.array([window is not None for window in config.windows])
  if config.remat:
    layer = jax.checkpoint(layer)
  elif sharding.gathers():
    # All is kept for the backward pass but what it can gather again.
    layer = jax.checkpoint(layer, policy=sharding.keep_all_but_gathered)
  x = embed(params, config, tokens)
  x, _ = jax.lax.scan(layer, x, (params['layers'], slides))
  return final_norm(params, config, x)


def log_probs(
  params: Params,
  config: DecoderConfig,
  tokens: jax.Array,
  length: jax.Array | None = None,
  *,
  segment_ids: jax.Array | None = None,
  temperature: float = 1.0,
  support: jax.Array | None = None,
  chunk: int | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Log-probability of each token given those before it.

  Tokens beyond `config.tokenizer_size` have probability 0. The vocabulary is
  met in chunks of positions, so that [N, L, V] never exists, neither forward
  nor backward.

  A row is one sequence with padding at its right, whose `length` is given; or
  its `segment_ids` are given: then padding may stand anywhere (at the left, for
  example), and several sequences may share a row without seeing each other.

  Args:
    params: of the decoder.
    config: its configuration.
    tokens: int32 [N, L].
    length: int32 [N], tokens that are not padding.
    segment_ids: int32 [N, L], one number for the tokens of a sequence, 0 for
      padding; neighbouring sequences have different numbers.
    temperature: divides the logits.
    support: int32 [N, L, K], the tokens among which each token was sampled, as
      in `types.Rows`; None: among all.
    chunk: positions whose logits exist at a time; None for a number that goes
      with the size of the vocabulary.

  Returns:
    log-probabilities float32 [N, L]: entry t is log p(tokens[t] |
    tokens[:t] of its sequence), 0 for a sequence's first token and for padding;
    and the entropy of each of these distributions in nats, of the same form.
  """
  if (length is None) == (segment_ids is None):
    raise ValueError('give either length or segment_ids, not both or neither')
  if length is not None and (
    tokens.ndim != 2 or length.shape != tokens.shape[:1]
  ):
    raise ValueError(
      f'tokens must be [N, L] and length [N], not {tokens.shape} and '
      f'{length.shape}'
    )
  if segment_ids is not None and (
    tokens.ndim != 2 or segment_ids.shape != tokens.shape
  ):
    raise ValueError(
      f'tokens and segment_ids must both be [N, L], not {tokens.shape} and '
      f'{segment_ids.shape}'
    )
  if temperature <= 0:
    raise ValueError(
      f'temperature must be positive to score tokens, not {temperature}'
    )
  hidden = hidden_states(params, config, tokens, segment_ids=segment_ids)
  # The last position scores nothing; the rows keep their even length.
  following = jnp.roll(tokens, -1, axis=1)
  if support is not None:
    support = jnp.roll(support, -1, axis=1)
  scores = token_scores.score(
    hidden,
    output_kernel(gather_output(params, hidden.dtype), config),
    following,
    temperature=temperature,
    chunk=chunk,
    vocabulary=config.tokenizer_size,
    support=support,
  )
  if segment_ids is None:
    valid = jnp.arange(1, tokens.shape[1]) < length[:, None]
  else:
    valid = (segment_ids[:, 1:] != 0) & (
      segment_ids[:, 1:] == segment_ids[:, :-1]
    )
  log_probs, entropy = (
    jnp.pad(jnp.where(valid, x[:, :-1], 0.0), ((0, 0), (1, 0))) for x in scores
  )
  return log_probs, entropy
