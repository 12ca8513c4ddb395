"""Discounted returns and generalised advantage estimation.

  G_t = r_t + discount * G_{t+1}                        (Sutton & Barto, 3.9)
  A_t = d_t + discount * gae_lambda * A_{t+1},
  d_t = r_t + discount * V_{t+1} - V_t                  (Schulman et al. 2016)

Masked entries are skipped as if they were not there: a value passes over them
undiscounted, so that padding may stand anywhere.
"""

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.internal import arguments, explicit_axes


def _varying_like(initial, sequences):
  """What a scan carries first, with the same values.

  Inside `jax.shard_map` it must be known to differ between devices wherever
  what is scanned does. A choice that is never taken says so.
  """
  never = jnp.zeros((), bool)
  total = sum(x.sum(axis=-1) for x in sequences)
  return jax.tree.map(
    lambda x: jnp.where(never, total.astype(x.dtype), x), initial
  )


def _backwards(step, initial, *sequences):
  """Scans over the last axis from its end."""
  initial = _varying_like(initial, sequences)
  moved = tuple(jnp.moveaxis(x, -1, 0) for x in sequences)
  _, out = jax.lax.scan(step, initial, moved, reverse=True)
  return jnp.moveaxis(out, 0, -1)


@explicit_axes.under_any_mesh
@jax.jit
def discounted_returns(
  rewards: jax.Array, mask: jax.Array | None = None, *, discount: float
) -> jax.Array:
  """Discounted sum of rewards from each step on.

  Args:
    rewards: float [..., S].
    mask: bool [..., S]; None for all.
    discount: in [0, 1].

  Returns:
    float [..., S], dtype of `rewards`; 0 where masked.

  Raises:
    ValueError: shapes differ.

  Example:
    >>> from jaxcredit import returns
    >>> rewards = jnp.array([0.0, 0, 1])
    >>> print(returns.discounted_returns(rewards, discount=0.5))
    [0.25 0.5  1.  ]
  """
  arguments.axes('rewards', rewards, 1, '[..., S]')
  rewards = arguments.floating('rewards', rewards)
  mask = arguments.boolean_mask('mask', mask, rewards.shape, 'rewards')

  safe = jnp.where(mask, arguments.wide(rewards), 0)
  dtype = safe.dtype

  def step(later, now):
    reward, valid = now
    total = jnp.where(valid, reward + discount * later, later).astype(dtype)
    return total, jnp.where(valid, total, 0)

  result = _backwards(step, jnp.zeros(safe.shape[:-1], dtype), safe, mask)
  return result.astype(rewards.dtype)


@explicit_axes.under_any_mesh
@jax.jit
def gae(
  rewards: jax.Array,
  values: jax.Array,
  mask: jax.Array | None = None,
  *,
  discount: float,
  gae_lambda: float,
  bootstrap: float | jax.Array = 0.0,
) -> jax.Array:
  """Generalised advantage estimates.

  Args:
    rewards: float [..., S].
    values: float [..., S], value of the state before each step.
    mask: bool [..., S]; None for all.
    discount: in [0, 1].
    gae_lambda: in [0, 1]; 1 gives returns less values, 0 one-step differences.
    bootstrap: value of the state after the last step, scalar or [...]; 0 for
      episodes that ended.

  Returns:
    float [..., S], dtype of `rewards`; 0 where masked.

  Raises:
    ValueError: shapes differ.

  Example:
    >>> from jaxcredit import returns
    >>> rewards, values = jnp.array([0.0, 0, 1]), jnp.array([0.5, 0.5, 0.75])
    >>> print(returns.gae(rewards, values, discount=1, gae_lambda=0.5))
    [0.1875 0.375  0.25  ]
  """
  arguments.axes('rewards', rewards, 1, '[..., S]')
  rewards = arguments.floating('rewards', rewards)
  values = arguments.floating('values', values)
  arguments.same_shape('values', values, rewards.shape, 'rewards')
  mask = arguments.boolean_mask('mask', mask, rewards.shape, 'rewards')
  safe = jnp.where(mask, arguments.wide(rewards), 0)
  dtype = safe.dtype
  bootstrap = jnp.asarray(bootstrap, dtype)
  if bootstrap.ndim and bootstrap.shape != rewards.shape[:-1]:
    raise ValueError(
      f'bootstrap must be a scalar or of shape {rewards.shape[:-1]}, not '
      f'{bootstrap.shape}'
    )

  def step(later, now):
    advantage, value_after = later
    reward, value, valid = now
    error = reward + discount * value_after - value
    advantage_here = error + discount * gae_lambda * advantage
    carry = (
      jnp.where(valid, advantage_here, advantage).astype(dtype),
      jnp.where(valid, value, value_after).astype(dtype),
    )
    return carry, jnp.where(valid, advantage_here, 0).astype(dtype)

  batch = rewards.shape[:-1]
  initial = (jnp.zeros(batch, dtype), jnp.broadcast_to(bootstrap, batch))
  result = _backwards(
    step, initial, safe, jnp.where(mask, values, 0).astype(dtype), mask
  )
  return result.astype(rewards.dtype)
