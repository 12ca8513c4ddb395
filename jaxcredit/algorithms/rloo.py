"""RLOO: leave-one-out baseline (Ahmadian et al. 2024, arXiv 2402.14740).

A_i = r_i - mean of the other rollouts' r  =  n / (n - 1) * (r_i - mean(r))

The code released with verl gives a rollout without companions its raw score;
here that is an option, `singleton='score'`, and 0 is the default.
"""

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.internal import (
  arguments,
  group_statistics,
  public,
)


@public.function(static=('singleton',), renamed={'scores': 'returns'})
def advantages(
  returns: jax.Array,
  mask: jax.Array | None = None,
  *,
  singleton: str = 'zero',
) -> jax.Array:
  """Advantages of rollouts over the mean of their companions.

  Args:
    returns: float [..., G], the return of each rollout.
    mask: bool [..., G], rollouts that count; None for all.
    singleton: what the only rollout of a group gets: 'zero', or its 'score' as
      in the released code.

  Returns:
    float [..., G], dtype of `returns`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import rloo
    >>> print(rloo.advantages(jnp.array([2.0, 1, 0])))
    [ 1.5  0.  -1.5]
  """
  arguments.one_of('singleton', singleton, group_statistics.SINGLETONS)
  arguments.axes('returns', returns, 1, '[..., G]')
  returns = arguments.floating('returns', returns)
  mask = arguments.boolean_mask('mask', mask, returns.shape, 'returns')
  group = group_statistics.of_rows(arguments.wide(returns), mask)
  result = group.centred * (group.count / jnp.maximum(group.count - 1, 1))
  if singleton == 'score':
    result = jnp.where(mask & (group.count == 1), returns, result)
  return result.astype(returns.dtype)
