"""Discounted returns and generalised advantage estimation.

  G_t = r_t + discount * G_{t+1}                        (Sutton & Barto, 3.9)
  A_t = d_t + discount * gae_lambda * A_{t+1},
  d_t = r_t + discount * V_{t+1} - V_t                  (Schulman et al. 2016)

Masked entries are skipped as if they were not there: a value passes over them
undiscounted, so that padding may stand anywhere.

A row may hold the end of one episode and the start of the next, as unrolls of
environments on devices do. What follows such a step is not its own. With
`final_values` F, those of the states in which episodes were cut off,

  G_t = r_t + discount * N_t,   N_t = 0 if terminated, F_t if truncated,
                                else G_{t+1}
  d_t = r_t + discount * N_t - V_t, likewise with V_{t+1},
  A_t = d_t + discount * gae_lambda * A_{t+1},   the last term 0 at both ends

A step that is both terminated and truncated is terminated.
"""

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.internal import arguments, public


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


def _ends(terminated, truncated, final_values, rewards, mask):
  """Whether episodes end at each step, and values there; () without ends."""
  shape = rewards.shape
  if truncated is None and final_values is not None:
    raise ValueError('final_values without truncated: nothing reads them')
  if terminated is None and truncated is None:
    return ()
  over, cut = (
    jnp.zeros(shape, bool)
    if end is None
    else arguments.boolean_mask(name, end, shape, 'rewards') & mask
    for name, end in (('terminated', terminated), ('truncated', truncated))
  )
  cut = cut & ~over
  final = jnp.zeros(shape, rewards.dtype)
  if final_values is not None:
    arguments.same_shape('final_values', final_values, shape, 'rewards')
    final = jnp.where(cut, final_values, 0).astype(rewards.dtype)
  return over | cut, final


@public.function()
def discounted_returns(
  rewards: jax.Array,
  mask: jax.Array | None = None,
  *,
  discount: float,
  terminated: jax.Array | None = None,
  truncated: jax.Array | None = None,
  final_values: jax.Array | None = None,
) -> jax.Array:
  """Discounted sum of rewards from each step on.

  Args:
    rewards: float [..., S].
    mask: bool [..., S]; None for all.
    discount: in [0, 1].
    terminated: bool [..., S], steps that ended an episode; None for none but
      the row's end.
    truncated: bool [..., S], steps after which an episode was cut off.
    final_values: float [..., S], value of the state after a truncated step,
      read there alone; None for 0.

  Returns:
    float [..., S], dtype of `rewards`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import returns
    >>> rewards = jnp.array([0.0, 0, 1])
    >>> print(returns.discounted_returns(rewards, discount=0.5))
    [0.25 0.5  1.  ]
    >>> first_ends = jnp.array([True, False, False])
    >>> print(
    ...   returns.discounted_returns(
    ...     rewards, discount=0.5, terminated=first_ends
    ...   )
    ... )
    [0.  0.5 1. ]
  """
  arguments.axes('rewards', rewards, 1, '[..., S]')
  rewards = arguments.floating('rewards', rewards)
  mask = arguments.boolean_mask('mask', mask, rewards.shape, 'rewards')
  safe = jnp.where(mask, arguments.wide(rewards), 0)
  dtype = safe.dtype
  ends = _ends(terminated, truncated, final_values, safe, mask)

  def step(later, now):
    reward, valid, *ends = now
    after = jnp.where(*ends, later) if ends else later
    total = jnp.where(valid, reward + discount * after, later).astype(dtype)
    return total, jnp.where(valid, total, 0)

  initial = jnp.zeros(safe.shape[:-1], dtype)
  result = _backwards(step, initial, safe, mask, *ends)
  return result.astype(rewards.dtype)


@public.function()
def gae(
  rewards: jax.Array,
  values: jax.Array,
  mask: jax.Array | None = None,
  *,
  discount: float,
  gae_lambda: float,
  bootstrap: float | jax.Array = 0.0,
  terminated: jax.Array | None = None,
  truncated: jax.Array | None = None,
  final_values: jax.Array | None = None,
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
    terminated: bool [..., S], steps that ended an episode; None for none but
      the row's end.
    truncated: bool [..., S], steps after which an episode was cut off.
    final_values: float [..., S], value of the state after a truncated step,
      read there alone; needed with `truncated`.

  Returns:
    float [..., S], dtype of `rewards`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.

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
  if truncated is not None and final_values is None:
    raise ValueError(
      'truncated needs final_values: the values of the states in which '
      'episodes were cut off (zeros treat them as terminated)'
    )
  ends = _ends(terminated, truncated, final_values, safe, mask)

  def step(later, now):
    advantage, value_after = later
    reward, value, valid, *ends = now
    # What the next entry of the row holds is another episode's after an end.
    carried = jnp.where(ends[0], 0, advantage) if ends else advantage
    next_value = jnp.where(*ends, value_after) if ends else value_after
    error = reward + discount * next_value - value
    advantage_here = error + discount * gae_lambda * carried
    carry = (
      jnp.where(valid, advantage_here, advantage).astype(dtype),
      jnp.where(valid, value, value_after).astype(dtype),
    )
    return carry, jnp.where(valid, advantage_here, 0).astype(dtype)

  batch = rewards.shape[:-1]
  initial = (jnp.zeros(batch, dtype), jnp.broadcast_to(bootstrap, batch))
  safe_values = jnp.where(mask, values, 0).astype(dtype)
  result = _backwards(step, initial, safe, safe_values, mask, *ends)
  return result.astype(rewards.dtype)
