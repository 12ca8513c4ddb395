"""Drawing a token from logits: temperature, top-k, top-p, min-p.

Restrictions act in the order in which the field applies them: the logits are
divided by the temperature; top-k leaves the k likeliest tokens; top-p (nucleus,
Holtzman et al. 2020) leaves, of their renormalised distribution, the smallest
set of likeliest tokens with at least that mass; min-p (Nguyen et al. 2024)
leaves the tokens with at least that share of the likeliest one's probability.
Tokens that are exactly as likely as the last one left are left too. The
likeliest token always is.

Nothing is sorted: the bounds are found by bisection over the bits of the
logits, exactly, in as many passes over the vocabulary as a logit has bits.

A learner that scores tokens sampled under a restriction needs to know among
which tokens each was sampled: its support. With `max_support` it is reported.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# Below it a temperature stands for 0: dividing by less would overflow.
GREEDY_BELOW = 1e-5


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SamplingParams:
  """How tokens are drawn.

  Each is a number or an array [B] with one for each row; values may change
  without a compilation, None (off) and a number may not.

  Attributes:
    temperature: divides the logits; 0 takes the likeliest token.
    top_k: leaves the k likeliest tokens; None: all.
    top_p: leaves the likeliest tokens that make up this mass; None: all.
    min_p: leaves tokens of at least this share of the likeliest one's
      probability; None: all.
    max_support: K, static. Of the tokens that are left, the K likeliest are
      kept (the first of equal ones), and reported with each sample. None: all
      are kept, none is reported.
  """

  temperature: float | jax.Array = 1.0
  top_k: int | jax.Array | None = None
  top_p: float | jax.Array | None = None
  min_p: float | jax.Array | None = None
  max_support: int | None = dataclasses.field(
    default=None, metadata={'static': True}
  )

  def check(self) -> 'SamplingParams':
    """Returns self; raises ValueError where a number makes no sense.

    For concrete numbers, outside of jit.
    """
    rules = (
      ('temperature', 'at least 0 and finite', lambda x: x >= 0),
      ('top_k', 'at least 1 (None: no restriction)', lambda x: x >= 1),
      (
        'top_p',
        'above 0 and at most 1 (None: no restriction)',
        lambda x: (x > 0) & (x <= 1),
      ),
      (
        'min_p',
        'between 0 and 1 (None: no restriction)',
        lambda x: (x >= 0) & (x <= 1),
      ),
    )
    for name, demand, holds in rules:
      value = getattr(self, name)
      if value is None:
        continue
      numbers = np.asarray(value)
      if numbers.ndim > 1 or not (holds(numbers) & np.isfinite(numbers)).all():
        raise ValueError(
          f'{name} must be a number or one for each row, {demand}, '
          f'not {value!r}'
        )
    if self.max_support is not None and self.max_support < 1:
      raise ValueError(
        f'max_support must be at least 1 or None, not {self.max_support}'
      )
    return self

  @property
  def restricts(self) -> bool:
    """Whether tokens may be left out."""
    return any(x is not None for x in (self.top_k, self.top_p, self.min_p))


class Sample(NamedTuple):
  """A token for each row.

  Attributes:
    token: int32 [B].
    log_prob: [B], under the sampling distribution (at temperature 0 under that
      of temperature 1, restricted likewise).
    policy_log_prob: [B], under the policy itself: temperature 1, all tokens.
    support: int32 [B, K], the tokens among which it was sampled, -1 where there
      are fewer; None without `max_support`.
    free_log_prob: [B], as `log_prob`, had no token been excluded; None where
      none could be.
  """

  token: jax.Array
  log_prob: jax.Array
  policy_log_prob: jax.Array
  support: jax.Array | None
  free_log_prob: jax.Array | None


def _ordered_bits(x: jax.Array) -> jax.Array:
  """Signed integers in the order of the floats (no NaN)."""
  kind = jnp.int64 if x.dtype == jnp.float64 else jnp.int32
  bits = jax.lax.bitcast_convert_type(x, kind)
  return jnp.where(bits < 0, bits ^ jnp.iinfo(kind).max, bits)


def _likeliest_with(
  order: jax.Array, weights: jax.Array, target: jax.Array
) -> jax.Array:
  """Marks the smallest set of likeliest tokens of at least a weight.

  Args:
    order: integers [B, V] in the order of the logits.
    weights: float [B, V], not negative.
    target: [B, 1] or [1, 1], above 0.

  Returns:
    bool [B, V]. All, where the target is never reached.
  """
  info = jnp.iinfo(order.dtype)
  # Invariant: the tokens of at least `low` weigh enough, those of at least
  # `high` do not (or no token is there).
  low = jnp.full((order.shape[0], 1), info.min, order.dtype)
  high = jnp.full((order.shape[0], 1), info.max, order.dtype)

  def halve(_, bounds):
    low, high = bounds
    # The mean without overflow.
    middle = (low & high) + ((low ^ high) >> 1)
    weight = jnp.sum(
      jnp.where(order >= middle, weights, 0), axis=-1, keepdims=True
    )
    enough = weight >= target
    return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

  low, _ = jax.lax.fori_loop(0, info.bits, halve, (low, high))
  return order >= low


def _for_each_row(value, dtype) -> jax.Array:
  return jnp.asarray(value, dtype).reshape(-1, 1)


def restrict(scores: jax.Array, sampling: SamplingParams) -> jax.Array:
  """The logits of the sampling distribution.

  Args:
    scores: float32 or float64 [B, V], logits.
    sampling: its temperature is 1 here wherever it is 0.

  Returns:
    [B, V]: divided by the temperature, -inf for tokens that are left out.
  """
  temperature = _for_each_row(sampling.temperature, scores.dtype)
  scores = scores / jnp.where(temperature < GREEDY_BELOW, 1, temperature)
  order = _ordered_bits(scores)
  vocabulary = scores.shape[-1]
  if sampling.top_k is not None:
    top_k = _for_each_row(sampling.top_k, scores.dtype)
    ones = jnp.ones_like(scores)
    kept = _likeliest_with(order, ones, jnp.clip(top_k, 1, vocabulary))
    scores = jnp.where(kept, scores, -jnp.inf)
  if sampling.top_p is not None:
    top_p = _for_each_row(sampling.top_p, scores.dtype)
    # At 1 nothing may be lost to rounding.
    bound = jnp.where(top_p >= 1, jnp.inf, jnp.maximum(top_p, 1e-30))
    kept = _likeliest_with(order, jax.nn.softmax(scores, axis=-1), bound)
    scores = jnp.where(kept, scores, -jnp.inf)
  if sampling.min_p is not None:
    min_p = jnp.clip(_for_each_row(sampling.min_p, scores.dtype), 0, 1)
    least = jnp.max(scores, axis=-1, keepdims=True) + jnp.log(min_p)
    scores = jnp.where(scores >= least, scores, -jnp.inf)
  return scores


def exclude(scores: jax.Array, tokens: jax.Array) -> jax.Array:
  """Leaves one token out of each row, or none.

  Args:
    scores: [B, V], logits.
    tokens: int32 [B], the token; -1 (or any outside of the vocabulary): none.

  Returns:
    [B, V]: -inf for the tokens that are left out.
  """
  index = jnp.arange(scores.shape[-1], dtype=jnp.int32)
  return jnp.where(index == tokens[:, None], -jnp.inf, scores)


def mask_padding(scores: jax.Array, tokens: int) -> jax.Array:
  """Leaves out the rows of the vocabulary that are no tokens.

  Args:
    scores: [B, V], logits.
    tokens: how many there are; see `DecoderConfig.tokenizer_size`.

  Returns:
    [B, V]: -inf for what is no token.
  """
  if tokens == scores.shape[-1]:
    return scores
  return jnp.where(jnp.arange(scores.shape[-1]) < tokens, scores, -jnp.inf)


def _keep_likeliest(
  scores: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
  """Leaves so many tokens; returns the logits and int32 [B, count], which."""
  values, support = jax.lax.top_k(scores, min(count, scores.shape[-1]))
  support = jnp.where(values == -jnp.inf, -1, support).astype(jnp.int32)
  rows = jnp.arange(scores.shape[0])[:, None]
  where = jnp.where(support < 0, scores.shape[-1], support)
  kept = jnp.zeros(scores.shape, bool).at[rows, where].set(True, mode='drop')
  return jnp.where(kept, scores, -jnp.inf), support


def entropy(scores: jax.Array) -> jax.Array:
  """Entropies of the policy in nats, at temperature 1 with nothing left out.

  Args:
    scores: float32 or float64 [B, V], logits; -inf for tokens that cannot be.

  Returns:
    [B].
  """
  low = scores - jnp.max(scores, axis=-1, keepdims=True)
  weights = jnp.exp(low)
  total = jnp.sum(weights, axis=-1)
  # 0 times infinity is 0 here.
  parts = jnp.where(weights > 0, weights * low, 0)
  return jnp.log(total) - jnp.sum(parts, axis=-1) / total


def _argmax(x: jax.Array) -> jax.Array:
  """The first index of the largest entry of each row.

  Two plain reductions, which XLA's CPU backend does many times faster than one
  over pairs. Rows with NaN give some index.
  """
  size = x.shape[-1]
  largest = jnp.max(x, axis=-1, keepdims=True)
  index = jnp.where(x == largest, jnp.arange(size), size - 1)
  return jnp.min(index, axis=-1).astype(jnp.int32)


def sample(
  scores: jax.Array,
  keys: jax.Array,
  index: jax.Array,
  sampling: SamplingParams,
  excluded: jax.Array | None = None,
) -> Sample:
  """Samples a token for each row, by the Gumbel-max trick.

  A row's draw is a function of its key, its index and its logits alone.

  Args:
    scores: float32 or float64 [B, V], logits.
    keys: random keys [B], one for each answer.
    index: int32 [B], how many tokens of its answer a row has drawn before.
    sampling: the distribution.
    excluded: int32 [B], a token that cannot be drawn, see `exclude`: the others
      are restricted, and their probabilities add up to 1, without it.

  Returns:
    The tokens with their log-probabilities.
  """
  allowed = scores if excluded is None else exclude(scores, excluded)
  restricted, support = restrict(allowed, sampling), None
  if sampling.max_support is not None:
    restricted, support = _keep_likeliest(restricted, sampling.max_support)
  greedy = _for_each_row(sampling.temperature, scores.dtype) < GREEDY_BELOW
  noise = jax.vmap(
    lambda key, i: jax.random.gumbel(
      jax.random.fold_in(key, i), scores.shape[1:], scores.dtype
    )
  )(keys, index)
  token = _argmax(restricted + jnp.where(greedy, 0, noise))

  def score(x):
    chosen = jnp.take_along_axis(x, token[:, None], axis=-1)[:, 0]
    return chosen - jax.nn.logsumexp(x, axis=-1)

  free = None if excluded is None else score(restrict(scores, sampling))
  return Sample(token, score(restricted), score(scores), support, free)
