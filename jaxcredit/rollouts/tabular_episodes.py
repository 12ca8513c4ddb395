"""Episodes of a decision process that begin in one state, side by side."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit.environments import tabular


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Episodes:
  """M episodes of S steps at most.

  Attributes:
    states: int32 [M, S], before each step.
    actions: int32 [M, S].
    rewards: float32 [M, S], 0 after the end.
    mask: bool [M, S], steps that were taken.
  """

  states: jax.Array
  actions: jax.Array
  rewards: jax.Array
  mask: jax.Array


def draw(policy: jax.Array, state: tabular.State, key: jax.Array) -> jax.Array:
  """int32 [], an action of a policy [N, A] in a state.

  An action without probability is never drawn.
  """
  below = jnp.cumsum(policy[state.index])
  # 1 - u lies in (0, 1], scaled so that rounding of the sum does not matter.
  chance = (1 - jax.random.uniform(key)) * below[-1]
  return jnp.sum(chance > below).astype(jnp.int32)


def play(
  process: tabular.DecisionProcess,
  policy: jax.Array,
  start: jax.Array,
  key: jax.Array,
  episodes: int,
) -> Episodes:
  """Plays episodes of a group.

  Args:
    process: the task.
    policy: float [N, A], probability of each action in each state.
    start: int32 [], the state in which all begin.
    key: random key, consumed.
    episodes: M.

  Returns:
    Episodes, with S the horizon.
  """

  def one(key):
    chance_key, key = jax.random.split(key)

    def step(carry, key):
      state, alive = carry
      action = draw(policy, state, key)
      after, reward, ended = process.move(state, action)
      record = (state.index, action, jnp.where(alive, reward, 0), alive)
      return (after, alive & ~ended), record

    state = tabular.State(jnp.asarray(start, jnp.int32), chance_key)
    begin = (state, ~process.ended[start])
    _, record = jax.lax.scan(
      step, begin, jax.random.split(key, process.horizon)
    )
    return Episodes(*record)

  return jax.vmap(one)(jax.random.split(key, episodes))
