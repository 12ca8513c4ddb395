"""HEPO: GRPO on the tokens at which the policy was least certain.

  A_{i,t} = GRPO's A_i   where the entropy of the token is among the highest
                         share rho of the batch, else 0

The idea is that of Wang et al. 2025 (arXiv 2506.01939), who train on a fifth of
the tokens; under this name it is a baseline of TEMPO (arXiv 2509.18314), whose
released code has rho = 0.2 too, but ranks masked entries with the others, and
breaks ties by position.
"""

import jax
import jax.numpy as jnp

from jaxcredit.algorithms import grpo
from jaxcredit.algorithms.internal import arguments, public


def _rank_keys(values):
  """Unsigned integers in the order of the floats."""
  # Zeros have two signs, but one rank.
  values = jnp.where(values == 0, 0, values)
  kind = jnp.uint64 if values.dtype.itemsize == 8 else jnp.uint32
  bits = jax.lax.bitcast_convert_type(values, kind)
  sign = jnp.array(1, kind) << (8 * values.dtype.itemsize - 1)
  return jnp.where(bits & sign, ~bits, bits | sign)


def _at_least_rank(values, mask, rank):
  """Whether each value is at least the `rank`-th highest of all unmasked.

  The bits of that value are found one by one, each by counting. A sort takes
  longer, and would bring a batch that is spread over devices onto each.
  """
  keys = _rank_keys(values)
  width = 8 * keys.dtype.itemsize

  def next_bit(done, threshold):
    shift = jnp.asarray(width - 1 - done, keys.dtype)
    bit = jnp.asarray(1, keys.dtype) << shift
    higher = threshold | bit
    enough = jnp.sum(mask & (keys >= higher), dtype=jnp.int32) >= rank
    return jnp.where(enough, higher, threshold)

  threshold = jax.lax.fori_loop(0, width, next_bit, jnp.array(0, keys.dtype))
  return mask & (keys >= threshold)


@public.function(
  static=('rho', 'scale', 'ddof', 'eps'), renamed={'scores': 'returns'}
)
def advantages(
  returns: jax.Array,
  entropies: jax.Array,
  mask: jax.Array | None = None,
  *,
  rho: float = 0.2,
  scale: str = 'std',
  ddof: int = 1,
  eps: float = 1e-6,
) -> jax.Array:
  """GRPO's advantages on the tokens of highest entropy in the batch.

  Args:
    returns: float [..., G], the return (score) of each rollout.
    entropies: float [..., G, L], of the distributions that tokens were drawn
      from.
    mask: bool [..., G, L], tokens that the policy drew; None for all. A rollout
      without one takes no part.
    rho: share of the tokens of all axes together that keep their advantage,
      rounded down, but at least one token. Those that tie with the last of them
      keep theirs too.
    scale: 'std' or 'none'.
    ddof: delta degrees of freedom of the deviation, 0 or 1.
    eps: added to the deviation.

  Returns:
    float [..., G, L], dtype of `returns`; 0 where masked, NaN where a token's
    entropy is.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import hepo
    >>> returns = jnp.array([1.0, 0])
    >>> entropies = jnp.array([[0.1, 2.0, 0.3], [1.5, 0.2, 0.1]])
    >>> print(hepo.advantages(returns, entropies, rho=0.4).round(2))
    [[ 0.    0.71  0.  ]
     [-0.71  0.    0.  ]]
  """
  arguments.number('rho', rho, 0, 1)
  arguments.axes('returns', returns, 1, '[..., G]')
  returns = arguments.floating('returns', returns)
  arguments.axes('entropies', entropies, 2, '[..., G, L]')
  entropies = arguments.floating('entropies', entropies)
  arguments.same_shape(
    'returns', returns, entropies.shape[:-1], 'entropies without L'
  )
  mask = arguments.boolean_mask('mask', mask, entropies.shape, 'entropies')
  relative = grpo.advantages(
    returns, mask.any(axis=-1), scale=scale, ddof=ddof, eps=eps
  )
  entropies = jnp.where(mask, arguments.wide(entropies), 0)
  unknown = jnp.isnan(entropies)
  count = jnp.sum(mask, dtype=jnp.int32).astype(entropies.dtype)
  rank = jnp.maximum(jnp.floor(rho * count), 1).astype(jnp.int32)
  kept = _at_least_rank(jnp.where(unknown, jnp.inf, entropies), mask, rank)
  result = jnp.where(kept, relative[..., None], 0)
  return jnp.where(unknown, jnp.nan, result).astype(returns.dtype)
