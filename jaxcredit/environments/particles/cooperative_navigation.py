"""Cooperative navigation: agents spread over landmarks without a crash.

Observation: velocity 2, position 2, N landmarks 2 N and N - 1 other agents
2 (N - 1) relative to it, messages 2 (N - 1), which are 0.

Reward of agent i:

  'standard'  half of -(agents that it touches), half of -(sum over landmarks of
              the distance of the nearest agent)
  'released'  -(distance to the nearest landmark) - (agents that it touches)

Under the second, agents that crowd around one landmark lose by touching alone.
"""

import jax
import jax.numpy as jnp

from jaxcredit.environments.particles import physics, plane


class CooperativeNavigation(plane.Plane):
  """The task, with as many landmarks as agents; see the module."""

  def make(self) -> physics.SimpleSpreadMPE:
    return physics.SimpleSpreadMPE(
      num_agents=self.agents, num_landmarks=self.agents
    )

  def rewards(self, state: plane.State) -> jax.Array:
    """float [N]."""
    if self.reward == 'standard':
      return self.standard_rewards(state)
    n = self.agents
    positions, landmarks = state.p_pos[:n], state.p_pos[n:]
    near = plane.distances(positions, positions) < 2 * self.task.rad[0]
    touched = (near & ~jnp.eye(n, dtype=bool)).sum(axis=-1)
    return -plane.distances(positions, landmarks).min(axis=-1) - touched
