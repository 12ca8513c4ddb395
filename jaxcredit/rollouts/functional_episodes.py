"""Episodes of functional environments, many side by side in one program."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxcredit.environments import functional

# (observation [N, O], key) -> action, log-probability [N].
Policy = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Episodes:
  """E episodes of N agents, S steps at most.

  Entries after an episode's end are what the environment went on to give.

  Attributes:
    observations: float [E, N, S + 1, O], before each step, and at the end.
    actions: int32 [E, N, S] or float [E, N, S, A].
    log_probs: float [E, N, S], of the actions when they were drawn.
    rewards: float [E, N, S], of each agent for each step; 0 after the end.
    mask: bool [E, S], steps that were taken.
    terminated: bool [E], whether the environment ended it, not the horizon.
  """

  observations: jax.Array
  actions: jax.Array
  log_probs: jax.Array
  rewards: jax.Array
  mask: jax.Array
  terminated: jax.Array

  @property
  def team_return(self) -> jax.Array:
    """float [E], rewards of all agents and steps, which arrive at the end."""
    return self.rewards.sum(axis=(1, 2))


def play(
  environment: functional.Environment,
  policy: Policy,
  key: jax.Array,
  episodes: int,
) -> Episodes:
  """Plays episodes from their beginnings.

  Args:
    environment: the task.
    policy: how agents act.
    key: random key, consumed.
    episodes: E, played side by side.

  Returns:
    Episodes.
  """
  start_key, action_key = jax.random.split(key)
  state, first = jax.vmap(environment.reset)(
    jax.random.split(start_key, episodes)
  )

  def step(carry, key):
    state, observation, alive = carry
    action, log_prob = jax.vmap(policy)(
      observation, jax.random.split(key, episodes)
    )
    after = jax.vmap(environment.step)(state, action)
    reward = jnp.where(alive[:, None], after.reward, 0)
    record = (after.observation, action, log_prob, reward, alive)
    return (after.state, after.observation, alive & ~after.terminated), record

  (*_, alive), record = jax.lax.scan(
    step,
    (state, first, jnp.ones(episodes, bool)),
    jax.random.split(action_key, environment.horizon),
  )
  # [S, E, N, ...] -> [E, N, S, ...]
  observations, actions, log_probs, rewards = (
    jnp.moveaxis(x, 0, 2) for x in record[:-1]
  )
  return Episodes(
    observations=jnp.concatenate([first[:, :, None], observations], axis=2),
    actions=actions,
    log_probs=log_probs,
    rewards=rewards,
    mask=record[-1].T,
    terminated=~alive,
  )
