"""Log-probabilities and entropies of tokens, never with all logits at once.

For a position with hidden state h, output projection K [V, W] and token y:

  z = K h / temperature
  log p(y) = z_y - lse(z)
  H = lse(z) - sum_j p_j z_j

Tokens that the policy could not sample (see `score`) have no part in lse, H and
p. Positions are met in chunks. The backward pass computes the logits of a chunk
again and adds up the gradient of the projection over chunks; with cotangents a
of log p(y) and b of H,

  dz_j = a (1[j = y] - p_j) - b p_j (log p_j + H)
  dh = K^T dz / temperature,  dK = dz h^T / temperature.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax import custom_derivatives

from jaxcredit.networks import sharding

# Logits of one device at a time, where no chunk is given.
_SCORES = 2**26
# Logits of tokens that cannot be sampled: exp gives 0, and 0 times it is 0.
_FLOOR = -1e30


@dataclasses.dataclass(frozen=True)
class _Options:
  temperature: float
  chunk: int
  vocabulary: int | None


def score(
  hidden: jax.Array,
  kernel: jax.Array,
  tokens: jax.Array,
  *,
  temperature: float = 1.0,
  chunk: int | None = None,
  vocabulary: int | None = None,
  support: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Scores one token at each position.

  Args:
    hidden: [N, L, W], normed hidden states.
    kernel: [V, W], the output projection.
    tokens: int32 [N, L], the token to be scored at each position.
    temperature: divides the logits.
    chunk: positions of a row whose logits exist at a time; None for as many
      as take a quarter of a gigabyte in float32.
    vocabulary: tokens from this number on have probability 0; None: none has.
    support: int32 [N, L, K], the tokens that have a probability at each
      position, -1 where there are fewer; where all are -1, all tokens have.
      None: all tokens have at all positions.

  Returns:
    log-probabilities and entropies in nats, float32 (float64 for float64)
    [N, L] each; -1e30 or less for a token of probability 0.
  """
  n, l, _ = hidden.shape
  parts = sharding.parts('batch', n)
  if chunk is None:
    width = kernel.shape[0] // sharding.parts('vocabulary', kernel.shape[0])
    chunk = _SCORES // (n // parts * width)
  chunk = min(max(chunk, 1), max(l, 1))
  if l == 0:
    empty = jnp.zeros((n, 0), jnp.promote_types(hidden.dtype, jnp.float32))
    return empty, empty

  def split(x):
    # The rows of each device are an axis of their own: each adds up a gradient
    # of the projection, and these are added once, after the last chunk.
    x = x.reshape(parts, n // parts, *x.shape[1:])
    return sharding.constrain(x, 'batch', *(None,) * (x.ndim - 1))

  log_probs, entropy = _score(
    split(hidden),
    kernel,
    split(tokens),
    None if support is None else split(support),
    _Options(temperature, chunk, vocabulary),
  )
  return log_probs.reshape(n, l), entropy.reshape(n, l)


def _over_chunks(body, carry, arrays, chunk):
  """Runs `body(carry, pieces) -> carry, results` over chunks of positions.

  Args:
    body: of arrays [D, T, ...], T = N * chunk.
    carry: what it hands on.
    arrays: of [D, N, L, ...].
    chunk: positions at a time.

  Returns:
    The last carry, and the results [D, N, L, ...].
  """
  parts, n, length = arrays[0].shape[:3]
  # Chunks of like size, so that little is computed in vain.
  steps = -(-length // chunk)
  chunk = -(-length // steps)
  padding = steps * chunk - length

  def cut(x):
    x = jnp.pad(x, [(0, 0), (0, 0), (0, padding), *[(0, 0)] * (x.ndim - 3)])
    x = x.reshape(parts, n, steps, chunk, *x.shape[3:])
    return jnp.moveaxis(x, 2, 0).reshape(steps, parts, n * chunk, *x.shape[4:])

  def join(x):
    x = x.reshape(steps, parts, n, chunk, *x.shape[3:])
    x = jnp.moveaxis(x, 0, 2).reshape(parts, n, steps * chunk, *x.shape[4:])
    return x[:, :, :length]

  pieces = jax.tree.map(cut, arrays)
  if steps == 1:
    carry, results = body(carry, jax.tree.map(lambda x: x[0], pieces))
    results = jax.tree.map(lambda x: x[None], results)
  else:
    carry, results = jax.lax.scan(body, carry, pieces)
  return carry, jax.tree.map(join, results)


def _allowed(support, vocabulary):
  """Which tokens have a probability: [D, T, K] -> bool [D, T, V]."""
  d, t, k = support.shape
  ids = jnp.where(support < 0, vocabulary, support).reshape(d * t, k)
  rows = jnp.arange(d * t)[:, None]
  allowed = jnp.zeros((d * t, vocabulary), bool)
  allowed = allowed.at[rows, ids].set(True, mode='drop')
  return allowed.reshape(d, t, -1) | (support < 0).all(axis=-1, keepdims=True)


def _logits(hidden, kernel, support, options):
  """[D, T, W] -> [D, T, V], float32 or wider."""
  wide = jnp.promote_types(hidden.dtype, jnp.float32)
  scores = jnp.einsum(
    'dtw,vw->dtv', hidden, kernel, preferred_element_type=wide
  )
  scores = scores / options.temperature
  if options.vocabulary is not None and options.vocabulary < kernel.shape[0]:
    index = jax.lax.broadcasted_iota(jnp.int32, scores.shape, 2)
    scores = jnp.where(index < options.vocabulary, scores, _FLOOR)
  if support is not None:
    scores = jnp.where(_allowed(support, kernel.shape[0]), scores, _FLOOR)
  return sharding.constrain(scores, 'batch', None, 'vocabulary')


def _is_chosen(scores, tokens):
  # A comparison, since a gather does not go with a vocabulary that is cut.
  index = jax.lax.broadcasted_iota(tokens.dtype, scores.shape, 2)
  return index == tokens[..., None]


def _score_forward_pass(hidden, kernel, tokens, support, options):
  """Log-probability, entropy and normaliser of each position."""
  kernel = kernel.astype(hidden.dtype)

  def body(carry, piece):
    states, wanted, support = piece
    scores = _logits(states, kernel, support, options)
    highest = jnp.max(scores, axis=-1, keepdims=True)
    low = scores - highest
    weights = jnp.exp(low)
    total = jnp.sum(weights, axis=-1)
    chosen = jnp.sum(jnp.where(_is_chosen(low, wanted), low, 0), axis=-1)
    log_total = jnp.log(total)
    entropy = log_total - jnp.sum(weights * low, axis=-1) / total
    return carry, (
      chosen - log_total,
      entropy,
      log_total + highest[..., 0],
    )

  _, results = _over_chunks(
    body, None, (hidden, tokens, support), options.chunk
  )
  return results


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _score(hidden, kernel, tokens, support, options):
  log_probs, entropy, _ = _score_forward_pass(
    hidden, kernel, tokens, support, options
  )
  return log_probs, entropy


def _score_forward(hidden, kernel, tokens, support, options):
  support = None if support is None else support.value
  log_probs, entropy, normaliser = _score_forward_pass(
    hidden.value, kernel.value, tokens.value, support, options
  )
  # A projection that is not learned needs no gradient.
  learned = () if kernel.perturbed else None
  kept = (
    hidden.value, kernel.value, tokens.value, support, normaliser, entropy,
  )  # fmt: skip
  return (log_probs, entropy), (kept, learned)


def _score_backward(options, kept, cotangents):
  (hidden, kernel, tokens, support, normaliser, entropy), learned = kept
  wide = normaliser.dtype
  # Where nothing depends on the entropy, its part is left out.
  cotangents = tuple(
    None if isinstance(c, custom_derivatives.SymbolicZero) else c
    for c in cotangents
  )
  low_kernel = kernel.astype(hidden.dtype)
  total = None
  if learned is not None:
    total = sharding.constrain(
      jnp.zeros((hidden.shape[0], *kernel.shape), wide),
      'batch',
      'vocabulary',
      None,
    )

  def body(total, piece):
    states, wanted, support, normaliser, entropy, cotangents = piece
    of_chosen, of_entropy = cotangents
    scores = _logits(states, low_kernel, support, options)
    log_p = scores - normaliser[..., None]
    p = jnp.exp(log_p)
    slope = jnp.zeros((), wide)
    if of_chosen is not None:
      slope = of_chosen[..., None] * (_is_chosen(scores, wanted) - p)
    if of_entropy is not None:
      slope = slope - of_entropy[..., None] * p * (log_p + entropy[..., None])
    if support is not None or options.vocabulary is not None:
      # A token of probability 0 may stand in a prompt; nothing moves its logit.
      slope = jnp.where(scores > _FLOOR, slope, 0)
    slope = (slope / options.temperature).astype(hidden.dtype)
    slope = sharding.constrain(slope, 'batch', None, 'vocabulary')
    of_states = slope @ low_kernel
    if total is not None:
      total = total + jnp.einsum(
        'dtv,dtw->dvw', slope, states, preferred_element_type=wide
      )
      total = sharding.constrain(total, 'batch', 'vocabulary', None)
    return total, of_states

  if cotangents == (None, None):
    return jnp.zeros_like(hidden), jnp.zeros_like(kernel), None, None
  total, of_hidden = _over_chunks(
    body,
    total,
    (hidden, tokens, support, normaliser, entropy, cotangents),
    options.chunk,
  )
  of_kernel = None
  if total is not None:
    of_kernel = jnp.sum(total, axis=0).astype(kernel.dtype)
  return of_hidden, of_kernel, None, None


_score.defvjp(_score_forward, _score_backward, symbolic_zeros=True)
