"""True advantages of steps by branching: many rollouts from the same state.

Where an environment is a pure function, a state can be gone back to as often as
one likes. From the state s_t of each step,

  Q_k   the k-th return after the action that was taken, then the policy
  V_k   the k-th return of the policy alone
  A_t   = mean Q_k - mean V_k,   with standard error sqrt(s_Q^2/K + s_V^2/K)

all by independent rollouts, so that the estimate is unbiased, and its 95 per
cent interval is A_t +- 1.96 standard errors.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

# (state, key) -> action, of one state.
Policy = Callable[[Any, jax.Array], jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Estimate:
  """Estimates of M steps, each float32 [M].

  Attributes:
    advantage: mean.
    error: its standard error.
    value: mean return of the policy from the state on.
  """

  advantage: jax.Array
  error: jax.Array
  value: jax.Array


def returns(
  environment,
  policy: Policy,
  state: Any,
  first_action: jax.Array | None,
  steps: jax.Array,
  key: jax.Array,
  branches: int,
) -> jax.Array:
  """Returns of rollouts from one state.

  Args:
    environment: with `fresh(state, key)`, `move(state, action) -> state,
      reward [], ended []` and `horizon`.
    policy: how the rollouts go on.
    state: where they begin.
    first_action: what they begin with; None for the policy's own.
    steps: int32 [], how many there may be before the horizon.
    key: random key, consumed.
    branches: K.

  Returns:
    float32 [K].
  """

  def one(key):
    chance_key, key = jax.random.split(key)

    def step(k, carry):
      state, alive, total, key = carry
      key, action_key = jax.random.split(key)
      action = policy(state, action_key)
      if first_action is not None:
        action = jnp.where(k == 0, first_action, action)
      after, reward, ended = environment.move(state, action)
      total = total + jnp.where(alive, reward, 0)
      return after, alive & ~ended, total, key

    begin = environment.fresh(state, chance_key)
    carry = (begin, jnp.array(True), jnp.float32(0), key)
    return jax.lax.fori_loop(0, steps, step, carry)[2]

  return jax.vmap(one)(jax.random.split(key, branches))


def estimate(
  environment,
  policy: Policy,
  states: Any,
  actions: jax.Array,
  steps: jax.Array,
  key: jax.Array,
  *,
  branches: int,
  at_once: int = 1024,
) -> Estimate:
  """Advantages of steps that were taken.

  Args:
    environment: see `returns`.
    policy: the present policy.
    states: a pytree with leading axis M, before each step.
    actions: [M, ...], what was done.
    steps: int32 [M], how many there may be, this one counted.
    key: random key, consumed.
    branches: K, rollouts for Q and as many for V; two at least.
    at_once: steps whose rollouts are side by side, a matter of memory.

  Returns:
    Estimate.

  Raises:
    ValueError: too few branches for a standard error.
  """
  if branches < 2:
    raise ValueError(
      f'branches must be at least 2 for a standard error, not {branches}'
    )

  def one(inputs):
    state, action, left, key = inputs
    q_key, v_key = jax.random.split(key)
    shared = environment, policy, state
    q = returns(*shared, action, left, q_key, branches)
    v = returns(*shared, None, left, v_key, branches)
    variance = (q.var(ddof=1) + v.var(ddof=1)) / branches
    return q.mean() - v.mean(), jnp.sqrt(variance), v.mean()

  keys = jax.random.split(key, len(actions))
  inputs = (states, actions, steps, keys)
  return Estimate(*jax.lax.map(one, inputs, batch_size=at_once))
