"""PPO's advantages for tokens or steps (Schulman et al. 2016, 2017).

  A_t = sum of (discount * gae_lambda)^k d_{t+k},   R_t = A_t + V_t
  A_t -> (A_t - mean) / sqrt(var + eps)              over all of the batch

As released trainers of language models do it (verl, TRL): the advantages are
whitened over all tokens of the batch, after the returns that the critic learns
have been taken from them. The clipped losses are `losses.policy_loss` and
`losses.value_loss`.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from jaxcredit.algorithms import returns as returns_lib
from jaxcredit.algorithms.internal import (
  arguments,
  explicit_axes,
  group_statistics,
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Advantages:
  """PPO's credit, and what its critic learns.

  Attributes:
    total: float [..., L], what multiplies the policy gradient.
    returns: float [..., L], targets of the values.
  """

  total: jax.Array
  returns: jax.Array


@explicit_axes.under_any_mesh
@functools.partial(jax.jit, static_argnames=('whiten', 'ddof', 'eps'))
def advantages(
  rewards: jax.Array,
  values: jax.Array,
  mask: jax.Array | None = None,
  *,
  discount: float = 1.0,
  gae_lambda: float = 1.0,
  bootstrap: float | jax.Array = 0.0,
  whiten: bool = True,
  ddof: int = 1,
  eps: float = 1e-8,
) -> Advantages:
  """Generalised advantages, whitened, and returns.

  Masked entries (what the environment wrote, padding) are skipped as if they
  were not there.

  Args:
    rewards: float [..., L], of tokens or steps.
    values: float [..., L], value of the state before each.
    mask: bool [..., L]; None for all.
    discount: in [0, 1].
    gae_lambda: in [0, 1].
    bootstrap: value of the state after the last entry, scalar or [...].
    whiten: whether advantages are whitened over all axes.
    ddof: delta degrees of freedom of the variance, 0 or 1.
    eps: added to the variance.

  Returns:
    Advantages, dtype of `rewards`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import ppo
    >>> rewards, values = jnp.array([0.0, 0, 1]), jnp.array([0.5, 0.5, 0.75])
    >>> credit = ppo.advantages(rewards, values, gae_lambda=0.5)
    >>> print(credit.total.round(2))
    [-0.87  1.09 -0.22]
    >>> print(credit.returns)
    [0.6875 0.875  1.    ]
  """
  arguments.one_of('ddof', ddof, (0, 1))
  arguments.number('eps', eps, 0)
  arguments.axes('rewards', rewards, 1, '[..., L]')
  rewards = arguments.floating('rewards', rewards)
  values = arguments.floating('values', values)
  mask = arguments.boolean_mask('mask', mask, rewards.shape, 'rewards')
  wide = returns_lib.gae(
    arguments.wide(rewards),
    arguments.wide(values),
    mask,
    discount=discount,
    gae_lambda=gae_lambda,
    bootstrap=bootstrap,
  )
  returns = jnp.where(mask, wide + jnp.where(mask, values, 0), 0)
  total = wide
  if whiten:
    total = group_statistics.whiten(wide, mask, ddof, eps)
  dtype = rewards.dtype
  return Advantages(total.astype(dtype), returns.astype(dtype))
