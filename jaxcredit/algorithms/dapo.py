"""DAPO's dynamic sampling and overlong penalty (Yu et al. 2025).

arXiv 2503.14476. Groups whose rollouts all have the same return carry no
group-relative signal; DAPO drops them and samples other tasks in their place
(Eq. 11). Completions that come near the length limit are penalised by a ramp
over the last `buffer` tokens (Eq. 13):

  0                                  |y| <= limit - buffer
  (limit - buffer - |y|) / buffer    limit - buffer < |y| <= limit
  -1                                 limit < |y|

The penalty is added to the reward; the group filter looks at the reward without
it. The asymmetric clip ("clip-higher") is `clip_high` of `losses.policy_loss`.
"""

import math

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.internal import arguments, public


@public.function()
def group_filter(
  returns: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
  """Tells which groups have rollouts that differ.

  Args:
    returns: float [..., G].
    mask: bool [..., G], rollouts that count; None for all.

  Returns:
    bool [...]: True where two rollouts of the group differ by more than
    rounding in float32 or wider, also for returns of half precision. A NaN
    differs from everything, so that it is not dropped in silence.

  Raises:
    ValueError: wrong shapes.

  Example:
    >>> from jaxcredit import dapo
    >>> print(dapo.group_filter(jnp.array([[1.0, 0, 1], [1, 1, 1]])))
    [ True False]
  """
  arguments.axes('returns', returns, 1, '[..., G]')
  returns = arguments.wide(arguments.floating('returns', returns))
  mask = arguments.boolean_mask('mask', mask, returns.shape, 'returns')
  low, high = (
    reduce(jnp.where(mask, returns, worst), axis=-1, initial=worst)
    for reduce, worst in ((jnp.min, jnp.inf), (jnp.max, -jnp.inf))
  )
  size = jnp.maximum(jnp.abs(high), jnp.abs(low))
  tolerance = 16 * jnp.finfo(returns.dtype).eps * size
  differs = ~(high - low <= tolerance)
  infinite = jnp.any(mask & ~jnp.isfinite(returns), axis=-1)
  return (differs & (mask.sum(axis=-1) > 1)) | infinite


@public.function(static=('limit', 'buffer'))
def overlong_penalty(
  lengths: jax.Array,
  mask: jax.Array | None = None,
  *,
  limit: int,
  buffer: int,
) -> jax.Array:
  """Soft overlong punishment: what a completion's length adds to its reward.

  Args:
    lengths: float or int [...], tokens of each completion.
    mask: bool [...], completions that count; None for all.
    limit: tokens of a completion at most.
    buffer: tokens in front of the limit over which the penalty grows, 1 to
      `limit`.

  Returns:
    float [...], from -1 to 0, of the dtype of `lengths` (float32 for integers);
    0 where masked. A NaN length gives NaN.

  Raises:
    ValueError: wrong shapes, or a limit or buffer out of range.

  Example:
    >>> from jaxcredit import dapo
    >>> print(
    ...   dapo.overlong_penalty(
    ...     jnp.array([80, 90, 100, 101]), limit=100, buffer=20
    ...   )
    ... )
    [-0.  -0.5 -1.  -1. ]
  """
  if not math.isfinite(limit) or limit < 1:
    raise ValueError(f'limit must be at least 1, not {limit}')
  if not 1 <= buffer <= limit:
    raise ValueError(
      f'buffer must be from 1 to the limit of {limit}, not {buffer}'
    )
  lengths = arguments.floating('lengths', lengths)
  mask = arguments.boolean_mask('mask', mask, lengths.shape, 'lengths')
  excess = jnp.where(mask, arguments.wide(lengths) - (limit - buffer), 0)
  return -jnp.clip(excess / buffer, 0, 1).astype(lengths.dtype)
