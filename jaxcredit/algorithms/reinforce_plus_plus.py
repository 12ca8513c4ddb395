"""REINFORCE++ and its baseline form (Hu et al. 2025, arXiv 2501.03262).

  A_t = (G_t - mean) / sqrt(var + eps)          over all steps of the batch
  baseline form: G_t is replaced by r_i - mean of the group's r

Unlike the group-relative methods, mean and variance are taken over the whole
array, all leading axes together: that is the method. The variance is the
unbiased one (ddof=1), as in the released code.
"""

import jax
import jax.numpy as jnp

from jaxcredit.algorithms import returns as returns_lib
from jaxcredit.algorithms.internal import (
  arguments,
  group_statistics,
  public,
)


@public.function(static=('ddof', 'eps'))
def advantages(
  rewards: jax.Array,
  mask: jax.Array | None = None,
  *,
  discount: float = 1.0,
  ddof: int = 1,
  eps: float = 1e-8,
) -> jax.Array:
  """Whitened returns.

  Args:
    rewards: float [..., S], of steps or tokens.
    mask: bool [..., S]; None for all.
    discount: of the returns.
    ddof: delta degrees of freedom of the variance, 0 or 1.
    eps: added to the variance.

  Returns:
    float [..., S], dtype of `rewards`; 0 where masked, and everywhere if all
    returns are equal up to rounding.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import reinforce_plus_plus
    >>> rewards = jnp.array([[0.0, 1], [0, 0]])
    >>> print(reinforce_plus_plus.advantages(rewards).round(2))
    [[ 0.87  0.87]
     [-0.87 -0.87]]
  """
  arguments.one_of('ddof', ddof, (0, 1))
  arguments.number('eps', eps, 0)
  arguments.axes('rewards', rewards, 1, '[..., S]')
  rewards = arguments.floating('rewards', rewards)
  mask = arguments.boolean_mask('mask', mask, rewards.shape, 'rewards')
  totals = returns_lib.discounted_returns(
    arguments.wide(rewards), mask, discount=discount
  )
  return group_statistics.whiten(totals, mask, ddof, eps).astype(rewards.dtype)


@public.function(static=('ddof', 'eps', 'singleton'))
def baseline_advantages(
  rewards: jax.Array,
  mask: jax.Array | None = None,
  *,
  ddof: int = 1,
  eps: float = 1e-8,
  singleton: str = 'zero',
) -> jax.Array:
  """Whitened scores less their group's mean (REINFORCE++-baseline).

  Args:
    rewards: float [..., G, S]; a rollout's score is the sum of its rewards.
    mask: bool [..., G, S]; None for all. A rollout without a valid step takes
      no part.
    ddof: delta degrees of freedom of the variance, 0 or 1.
    eps: added to the variance.
    singleton: what the only rollout of a group gets before whitening: 'zero',
      or its 'score' as in the released code.

  Returns:
    float [..., G, S], equal along a rollout; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import reinforce_plus_plus
    >>> rewards = jnp.array([[0.0, 1], [0, 0]])
    >>> print(reinforce_plus_plus.baseline_advantages(rewards).round(2))
    [[ 0.87  0.87]
     [-0.87 -0.87]]
  """
  arguments.one_of('singleton', singleton, group_statistics.SINGLETONS)
  arguments.one_of('ddof', ddof, (0, 1))
  arguments.number('eps', eps, 0)
  arguments.axes('rewards', rewards, 2, '[..., G, S]')
  rewards = arguments.floating('rewards', rewards)
  mask = arguments.boolean_mask('mask', mask, rewards.shape, 'rewards')
  scores = jnp.where(mask, arguments.wide(rewards), 0).sum(axis=-1)
  group = group_statistics.of_rows(scores, mask.any(axis=-1))
  centred = group.centred
  if singleton == 'score':
    centred = jnp.where(group.mask & (group.count == 1), scores, centred)
  spread = jnp.where(mask, centred[..., None], 0)
  return group_statistics.whiten(spread, mask, ddof, eps).astype(rewards.dtype)
