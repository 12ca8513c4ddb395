"""DAPO's dynamic sampling (Yu et al. 2025, arXiv 2503.14476).

Groups whose rollouts all have the same return carry no group-relative signal;
DAPO drops them and samples other tasks in their place. Its asymmetric clip
("clip-higher") is `clip_high` of `losses.policy_loss`.
"""

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
