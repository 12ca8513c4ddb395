"""VinePPO: values by extra rollouts (Kazemnejad et al. 2024, 2410.01679).

From the state s_t in which each step of a rollout began, K more rollouts are
drawn with the same policy. The mean of their returns is an unbiased estimate of
the state's value, in place of a critic's:

  V(s_t) = mean_k R_k(s_t)
  A_t    = r_t + discount * V(s_{t+1}) - V(s_t)

The state after the last step has value 0, unless `bootstrap` says otherwise.
"""

import jax
import jax.numpy as jnp

from jaxcredit.algorithms import returns as returns_lib
from jaxcredit.algorithms.internal import arguments, public


@public.function()
def state_values(
  returns: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
  """Mean return of the rollouts that were drawn from each state.

  Args:
    returns: float [..., S, K], from the state on.
    mask: bool [..., S, K], rollouts that there are; None for all.

  Returns:
    float [..., S], dtype of `returns`; 0 for a state without a rollout, which
    has to be masked in `advantages`.

  Raises:
    ValueError: wrong shapes.

  Example:
    >>> from jaxcredit import vineppo
    >>> returns = jnp.array([[1.0, 0], [1, 1]])
    >>> print(vineppo.state_values(returns))
    [0.5 1. ]
  """
  arguments.axes('returns', returns, 1, '[..., S, K]')
  returns = arguments.floating('returns', returns)
  mask = arguments.boolean_mask('mask', mask, returns.shape, 'returns')
  total = jnp.where(mask, arguments.wide(returns), 0).sum(axis=-1)
  count = jnp.maximum(mask.sum(axis=-1), 1)
  return (total / count.astype(total.dtype)).astype(returns.dtype)


def advantages(
  rewards: jax.Array,
  values: jax.Array,
  mask: jax.Array | None = None,
  *,
  discount: float = 1.0,
  bootstrap: jax.Array | float = 0.0,
) -> jax.Array:
  """Advantages of steps from values of the states in which they began.

  Compiled as `returns.gae`, whose case `gae_lambda=0` this is.

  Args:
    rewards: float [..., S].
    values: float [..., S], as `state_values` gives them.
    mask: bool [..., S], steps that were taken; None for all.
    discount: of what follows a step; may be traced.
    bootstrap: float [...] or a number, value of the state after the last step.

  Returns:
    float [..., S], dtype of `rewards`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import vineppo
    >>> rewards, values = jnp.array([0.0, 1]), jnp.array([0.5, 1.0])
    >>> print(vineppo.advantages(rewards, values))
    [0.5 0. ]
  """
  return returns_lib.gae(
    rewards,
    values,
    mask,
    discount=discount,
    gae_lambda=0.0,
    bootstrap=bootstrap,
  )
