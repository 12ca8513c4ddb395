"""GRPO: group-relative advantages (Shao et al. 2024, arXiv 2402.03300).

  A_i = (r_i - mean(r)) / (std(r) + eps)

over the G rollouts of one task. With scale='none' nothing is divided, as in Dr.
GRPO (Liu et al. 2025, arXiv 2503.20783).

The code released with verl takes the unbiased deviation (ddof=1) and eps=1e-6,
and gives the only rollout of a group its return. Here that is the option
`singleton='score'`, and the default is 0. Groups of equal members can get
advantages up to 0.65 there, by rounding. Here they get exactly 0.
"""

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.internal import (
  arguments,
  group_statistics,
  public,
)

SCALES = group_statistics.SCALES
SINGLETONS = group_statistics.SINGLETONS


@public.function(
  static=('scale', 'ddof', 'eps', 'singleton'), renamed={'scores': 'returns'}
)
def advantages(
  returns: jax.Array,
  mask: jax.Array | None = None,
  *,
  scale: str = 'std',
  ddof: int = 1,
  eps: float = 1e-6,
  singleton: str = 'zero',
) -> jax.Array:
  """Advantages of rollouts relative to their group.

  Args:
    returns: float [..., G], the return (score) of each rollout.
    mask: bool [..., G], rollouts that count; None for all.
    scale: 'std' or 'none' (Dr. GRPO).
    ddof: delta degrees of freedom of the deviation, 0 or 1.
    eps: added to the deviation.
    singleton: what the only rollout of a group gets: 'zero', or its 'score' as
      in the released code.

  Returns:
    float [..., G], dtype of `returns`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import grpo
    >>> print(grpo.advantages(jnp.array([1.0, 0, 0, 1])).round(2))
    [ 0.87 -0.87 -0.87  0.87]
  """
  arguments.one_of('scale', scale, SCALES)
  arguments.one_of('singleton', singleton, SINGLETONS)
  arguments.one_of('ddof', ddof, (0, 1))
  arguments.number('eps', eps, 0)
  arguments.axes('returns', returns, 1, '[..., G]')
  returns = arguments.floating('returns', returns)
  mask = arguments.boolean_mask('mask', mask, returns.shape, 'returns')
  group = group_statistics.of_rows(arguments.wide(returns), mask, ddof)
  result = group.standardised(scale, eps)
  if singleton == 'score':
    result = jnp.where(mask & (group.count == 1), returns, result)
  return result.astype(returns.dtype)
