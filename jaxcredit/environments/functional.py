"""Environments as pure functions, which compile with what learns from them.

  state, observation = environment.reset(key)
  transition = environment.step(state, action)

Both run under jit and vmap, so that rollout, credit and update are one program.
Several agents stand on the first axis of observations, actions and rewards; one
agent stands there alone. Who plays counts the steps: an episode ends where the
environment says so, or after `horizon` steps.
"""

import dataclasses
from typing import Any, Protocol

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Transition:
  """What a step gives.

  Attributes:
    state: after it.
    observation: float [N, O], after it.
    reward: float [N], of each agent for this step.
    terminated: bool [], whether nothing can come after it.
  """

  state: Any
  observation: jax.Array
  reward: jax.Array
  terminated: jax.Array


class Environment(Protocol):
  """A task.

  Attributes:
    agents: N, those that learn.
    observation_size: O.
    action_size: choices if `discrete`, else components in [-1, 1].
    discrete: whether an action is int32 [N] or float [N, A].
    horizon: steps of an episode at most.
    end_counts: whether the horizon belongs to the task, so that nothing is
      worth anything after it; else it only cuts a task that goes on.
  """

  agents: int
  observation_size: int
  action_size: int
  discrete: bool
  horizon: int
  end_counts: bool

  def reset(self, key: jax.Array) -> tuple[Any, jax.Array]:
    """The initial state and its observation; the key is consumed."""

  def step(self, state: Any, action: jax.Array) -> Transition:
    """One step of all agents."""
