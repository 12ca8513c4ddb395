"""What the tasks in the plane share: an adapter to jaxmarl's particles."""

import abc
import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit.environments import functional
from jaxcredit.environments.particles import physics

HORIZON = 25
# Whose rewards: as jaxmarl and PettingZoo have them, or as LaRe's code.
REWARDS = ('standard', 'released')
# Half the side of the square in which bodies start, for so many agents, as in
# the code released with LaRe; 1 for three.
_ARENAS = ((3, 1.0), (6, 1.5), (15, 2.2), (30, 3.0))

State = physics.State


def arena_of(agents: int) -> float:
  """Half the side of the square: of the next size that is known."""
  return next((size for n, size in _ARENAS if agents <= n), _ARENAS[-1][1])


@dataclasses.dataclass(frozen=True, eq=False)
class Plane(abc.ABC):
  """A task on jaxmarl's physics.

  A subclass sets `task`, jaxmarl's object, and says what steps are worth. The
  first N of the task's agents learn.

  Attributes:
    agents: N.
    reward: one of REWARDS.
  """

  agents: int = 3
  reward: str = 'standard'

  action_size = 5
  discrete = True
  horizon = HORIZON
  end_counts = True

  def __post_init__(self):
    if self.agents < 2 or self.reward not in REWARDS:
      raise ValueError(
        f'agents must be at least 2, and reward one of {REWARDS}, not '
        f'{self.agents} and {self.reward!r}'
      )
    # Eagerly: jaxmarl's objects keep arrays, which no trace may own.
    object.__setattr__(self, 'task', self.make())

  @abc.abstractmethod
  def make(self) -> physics.SimpleMPE:
    """jaxmarl's task."""

  def script(self, state: State, action: jax.Array) -> jax.Array:
    """Actions of all agents of the task, given those of the learners."""
    del state
    return action

  @abc.abstractmethod
  def rewards(self, state: State) -> jax.Array:
    """Rewards of the learners for having come to a state, float [N]."""

  @property
  def observation_size(self) -> int:
    return self.task.observation_spaces[self.task.agents[0]].shape[0]

  def reset(self, key: jax.Array) -> tuple[State, jax.Array]:
    """Bodies at rest, uniformly in the arena."""
    _, state = self.task.reset(key)
    state = state.replace(p_pos=state.p_pos * arena_of(self.agents))
    return state, self.observe(state)

  def step(self, state: State, action: jax.Array) -> functional.Transition:
    """Moves all agents; `action` is int [N]."""
    actions = self.script(state, action)
    by_name = dict(zip(self.task.agents, actions, strict=True))
    # The key is for noise of actuators, of which these tasks have none.
    _, state, *_ = self.task.step_env(jax.random.key(0), state, by_name)
    return functional.Transition(
      state, self.observe(state), self.rewards(state), jnp.zeros((), bool)
    )

  def observe(self, state: State) -> jax.Array:
    """float [N, O]."""
    seen = self.task.get_obs(state)
    return jnp.stack([seen[name] for name in self.task.agents[: self.agents]])

  def standard_rewards(self, state: State) -> jax.Array:
    """jaxmarl's rewards of the learners, float [N]."""
    rewards = self.task.rewards(state)
    names = self.task.agents[: self.agents]
    return jnp.stack([rewards[name] for name in names]).astype(jnp.float32)


def distances(positions: jax.Array, others: jax.Array) -> jax.Array:
  """[N, 2], [K, 2] -> [N, K]."""
  return jnp.linalg.norm(others[None] - positions[:, None], axis=-1)
