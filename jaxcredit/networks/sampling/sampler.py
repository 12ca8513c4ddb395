"""Decoding: a key/value cache that lives across the turns of an episode.

Rows are ragged: each has its own length, and idle rows stand still.

  extend       reads tokens, for all rows or for some of them
  decode       draws a few tokens for each row, then returns to the host, which
               may put other rows in place of those that have ended
  sample_turn  reads an observation and draws a whole answer in one call

A row's last token is pending where `decode` begins and where it ends: its keys
and values enter the cache with the next token that is drawn, or with the
observation that follows. So no pass is made whose logits nobody needs.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder
from jaxcredit.networks.sampling import cache as cache_lib
from jaxcredit.networks.sampling import prefill as prefill_lib
from jaxcredit.networks.sampling import sampling_params as sampling
from jaxcredit.networks.sampling import stop_strings

DecoderConfig = config_lib.DecoderConfig
Cache = cache_lib.Cache
init_cache = cache_lib.init_cache
grow = cache_lib.grow
take = cache_lib.take


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Turn:
  """What a call drew for each row.

  Attributes:
    cache: with what the call read.
    tokens: int32 [B, M], the tokens drawn, those that end an answer included;
      0 beyond.
    log_probs: float32 [B, M], of the tokens under the sampling distribution
      (at temperature 0: under that of temperature 1); 0 beyond.
    policy_log_probs: float32 [B, M], of the tokens under the policy itself:
      at temperature 1, with no token left out.
    entropies: float32 [B, M], of the policy itself where it drew each token, in
      nats; 0 beyond.
    support: int32 [B, M, K], the tokens among which each was sampled, -1 where
      there are fewer and beyond; None without `max_support`.
    free_log_probs: float32 [B, M], as `log_probs`, had no token been excluded;
      None where none could be.
    count: int32 [B], tokens drawn.
    stopped: bool [B], whether a stop token or a stop string ended the answer.
    stop_state: int32 [B], where each row is in the stop strings' automaton.
  """

  cache: Cache
  tokens: jax.Array
  log_probs: jax.Array
  policy_log_probs: jax.Array
  entropies: jax.Array
  support: jax.Array | None
  free_log_probs: jax.Array | None
  count: jax.Array
  stopped: jax.Array
  stop_state: jax.Array


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


@functools.partial(jax.jit, static_argnames='config', donate_argnames='cache')
def prefill(
  params: dict[str, Any],
  config: DecoderConfig,
  cache: Cache,
  tokens: jax.Array,
  count: jax.Array,
  rows: jax.Array | None = None,
) -> Cache:
  """Reads tokens into the cache.

  Args:
    params: from `decoding_params`.
    config: of the decoder.
    cache: of B rows; donated.
    tokens: int32 [R, T], right-padded.
    count: int32 [R], tokens to read, 0 to T.
    rows: int32 [R], distinct rows of the cache that read them; B where none
      does (with a count of 0). None: all of them, R = B.

  Returns:
    The cache. The caller ensures that no row exceeds the capacity.
  """
  return prefill_lib.prefill(params, config, cache, tokens, count, rows)[0]


@functools.partial(jax.jit, static_argnames='config', donate_argnames='cache')
def extend(
  params: dict[str, Any],
  config: DecoderConfig,
  cache: Cache,
  tokens: jax.Array,
  count: jax.Array,
) -> tuple[Cache, jax.Array]:
  """Reads tokens and says what may follow.

  Args:
    params: from `decoding_params`.
    config: of the decoder.
    cache: donated.
    tokens: int32 [B, T], right-padded.
    count: int32 [B], tokens of each row; 0 leaves a row as it is.

  Returns:
    The cache, and logits float32 [B, V] behind each row's last token, -inf for
    the padding of the vocabulary.
  """
  cache, x = prefill_lib.prefill(params, config, cache, tokens, count)
  last = jnp.maximum(count - 1, 0)
  x = jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0]
  x = decoder.final_norm(params, config, x)
  scores = decoder.logits(params, config, x)
  return cache, sampling.mask_padding(scores, config.tokens)


def _generate(
  params,
  config,
  cache,
  keys,
  pending_token,
  generated,
  budget,
  stop_state,
  *,
  steps,
  stop_tokens,
  stops,
  sampling_params,
  read_last,
  excluded=None,
):
  """Draws up to `steps` tokens for each row; see `decode`.

  With `read_last`, the last token of each row that drew is read as well.
  """
  batch = pending_token.shape[0]
  width = steps + read_last
  ends = jnp.asarray(stop_tokens, jnp.int32)

  def reads(carry):
    return carry['running'] | carry['owes']

  def go_on(carry):
    return (carry['step'] < width) & reads(carry).any()

  def next_token(carry):
    step, running = carry['step'], carry['running']
    recent, scores = prefill_lib.decode_step(
      params, config, cache, carry['recent'], carry['pending_token'], step
    )
    scores = sampling.mask_padding(scores, config.tokens)
    index = generated + step
    banned = excluded
    if excluded is not None:
      banned = jnp.where(index == 0, excluded, -1)
    found = sampling.sample(scores, keys, index, sampling_params, banned)
    # At the last step of `read_last` no column is left, and nothing is drawn.
    column = jnp.minimum(step, steps - 1)

    def put(old, new):
      mask = running.reshape(-1, *(1,) * (new.ndim - 1))
      return old.at[:, column].set(jnp.where(mask, new, old[:, column]))

    state = carry['stop_state']
    stopped = jnp.isin(found.token, ends)
    if stops is not None:
      state = jnp.where(running, stops.next(state, found.token), state)
      stopped |= stops.found(state)
    stopped &= running
    count = carry['count'] + running
    goes_on = running & ~stopped & (count < budget)
    return {
      'step': step + 1,
      'recent': recent,
      'pending_token': jnp.where(running, found.token, carry['pending_token']),
      'running': goes_on,
      'owes': running & ~goes_on & read_last,
      'read': carry['read'] + reads(carry),
      'count': count,
      'stopped': carry['stopped'] | stopped,
      'stop_state': state,
      'tokens': put(carry['tokens'], found.token),
      'log_probs': put(carry['log_probs'], found.log_prob),
      'policy_log_probs': put(carry['policy_log_probs'], found.policy_log_prob),
      'entropies': put(carry['entropies'], sampling.entropy(scores)),
      'support': None
      if support is None
      else put(carry['support'], found.support),
      'free_log_probs': None
      if excluded is None
      else put(carry['free_log_probs'], found.free_log_prob),
    }

  wide = jnp.promote_types(params['embedder']['embedding'].dtype, jnp.float32)
  support = sampling_params.max_support
  if support is not None:
    support = jnp.full(
      (batch, steps, min(support, config.vocab_size)), -1, jnp.int32
    )
  none = jnp.zeros((batch,), bool)
  zero = jnp.zeros((batch,), jnp.int32)
  carry = {
    'step': jnp.zeros((), jnp.int32),
    'recent': prefill_lib.no_recent(cache, width),
    'pending_token': pending_token,
    'running': budget > 0,
    'owes': none,
    'read': zero,
    'count': zero,
    'stopped': none,
    'stop_state': stop_state,
    'tokens': jnp.zeros((batch, steps), jnp.int32),
    'log_probs': jnp.zeros((batch, steps), wide),
    'policy_log_probs': jnp.zeros((batch, steps), wide),
    'entropies': jnp.zeros((batch, steps), wide),
    'support': support,
    'free_log_probs': None
    if excluded is None
    else jnp.zeros((batch, steps), wide),
  }
  carry = jax.lax.while_loop(go_on, next_token, carry)
  return Turn(
    prefill_lib.merge(cache, carry['recent'], carry['read']),
    carry['tokens'],
    carry['log_probs'],
    carry['policy_log_probs'],
    carry['entropies'],
    carry['support'],
    carry['free_log_probs'],
    carry['count'],
    carry['stopped'],
    carry['stop_state'],
  )


@functools.partial(
  jax.jit,
  static_argnames=('config', 'steps', 'stop_tokens'),
  donate_argnames='cache',
)
def decode(
  params: dict[str, Any],
  config: DecoderConfig,
  cache: Cache,
  keys: jax.Array,
  pending_token: jax.Array,
  generated: jax.Array,
  budget: jax.Array,
  stop_state: jax.Array,
  excluded: jax.Array | None = None,
  *,
  steps: int,
  stop_tokens: tuple[int, ...] = (),
  stops: stop_strings.StopTable | None = None,
  sampling_params: sampling.SamplingParams,
) -> Turn:
  """Draws a few tokens for each row, or goes on with its answer.

  A row's draws depend on its key and its text alone, not on the other rows nor
  on how its answer is cut into calls. The call ends early once no row goes on.

  Args:
    params: from `decoding_params`.
    config: of the decoder.
    cache: of B rows, each with all of its tokens but the last; donated.
    keys: random keys [B], one for each answer.
    pending_token: int32 [B], each row's last token.
    generated: int32 [B], tokens of its answer that a row has drawn in earlier
      calls.
    budget: int32 [B], tokens that a row may still draw; 0 for rows that idle.
    stop_state: int32 [B], from the call before; 0 where an answer begins.
    excluded: int32 [B], a token that cannot be the first of a row's answer; -1:
      any can. None, with which nothing is computed for it: for no row.
    steps: M, tokens that a row draws in this call at most.
    stop_tokens: tokens that end an answer.
    stops: strings that end an answer.
    sampling_params: the sampling distribution.

  Returns:
    A Turn, whose cache lacks each row's last token again. It is the caller's
    part that no row outgrows the capacity.
  """
  return _generate(
    params,
    config,
    cache,
    keys,
    pending_token,
    generated,
    budget,
    stop_state,
    steps=steps,
    stop_tokens=stop_tokens,
    stops=stops,
    sampling_params=sampling_params,
    read_last=False,
    excluded=excluded,
  )


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
  stops: stop_strings.StopTable | None = None,
  temperature: float | jax.Array = 1.0,
  top_k: int | jax.Array | None = None,
  top_p: float | jax.Array | None = None,
  min_p: float | jax.Array | None = None,
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
    stops: strings that end an answer.
    temperature: divides the logits; 0 takes the likeliest token.
    top_k: see `sampling.SamplingParams`; likewise the next two.
    top_p: mass of the likeliest tokens that are left.
    min_p: least share of the likeliest token's probability.
    active: bool [B], rows that answer; all by default.

  Returns:
    A Turn, whose cache holds observation and answer, the last token included.
    A row whose cache overflows has garbage in it; callers see to it that
    length + count + max_new_tokens does not pass the capacity.
  """
  batch, width = tokens.shape
  tokens, count = jnp.asarray(tokens), jnp.asarray(count)
  if active is None:
    active = jnp.ones((batch,), bool)
  # A row that does not answer reads all, the others all but the last token.
  early = jnp.maximum(count - active, 0)
  cache, _ = prefill_lib.prefill(params, config, cache, tokens, early)
  last = jnp.clip(count - 1, 0, width - 1)
  zero = jnp.zeros((batch,), jnp.int32)
  return _generate(
    params,
    config,
    cache,
    keys,
    jnp.take_along_axis(tokens, last[:, None], axis=1)[:, 0],
    zero,
    jnp.where(active, max_new_tokens, 0),
    zero,
    steps=max_new_tokens,
    stop_tokens=stop_tokens,
    stops=stops,
    sampling_params=sampling.SamplingParams(temperature, top_k, top_p, min_p),
    read_last=True,
  )
