"""Predator-prey: predators that learn chase prey that are scripted.

Observation of a predator: velocity 2, position 2, obstacles 2 K, the other
predators 2 (N - 1) and the prey 2 P relative to it, the velocity of the last
prey 2.

Reward of a predator:

  'standard'  10 (touches of any predator and prey)
  'released'  10 (prey that it touches) - 0.1 (distance to the nearest prey)

LaRe's prey are a stored network. Ours run from predators, the more the nearer,
and from the border of the arena, by the action that points most that way.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit.environments.particles import physics, plane

# Unit vectors of the actions.
_DIRECTIONS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))


def flee(prey: jax.Array, predators: jax.Array, arena: float) -> jax.Array:
  """How prey run from predators.

    sum over predators of (x - p) / |x - p|^3, and inwards beyond 0.9 arena

  Args:
    prey: float [P, 2], positions.
    predators: float [N, 2].
    arena: half the side of the square that prey keep to.

  Returns:
    int32 [P], actions.
  """
  away = prey[:, None] - predators[None]
  distance = jnp.maximum(jnp.linalg.norm(away, axis=-1, keepdims=True), 1e-3)
  escape = (away / distance**3).sum(axis=1)
  # A little outside of it, stronger than a predator that touches.
  outside = jnp.maximum(jnp.abs(prey) - 0.9 * arena, 0) / arena
  inwards = -jnp.sign(prey) * 1e3 * outside
  along = (escape + inwards) @ jnp.asarray(_DIRECTIONS, prey.dtype).T
  return jnp.argmax(along, axis=-1).astype(jnp.int32)


@dataclasses.dataclass(frozen=True, eq=False)
class PredatorPrey(plane.Plane):
  """The task with N predators and max(N // 3, 1) prey; see the module.

  Attributes:
    obstacles: K bodies that nobody passes.
  """

  obstacles: int = 2

  @property
  def prey(self) -> int:
    return max(self.agents // 3, 1)

  def make(self) -> physics.SimpleTagMPE:
    return physics.SimpleTagMPE(
      num_good_agents=self.prey,
      num_adversaries=self.agents,
      num_obs=self.obstacles,
    )

  @property
  def observation_size(self) -> int:
    # jaxmarl's own figure is that of its default numbers.
    return 6 + 2 * (self.obstacles + self.agents - 1 + self.prey)

  def _bodies(self, state):
    """Positions of predators and of prey."""
    n = self.agents
    return state.p_pos[:n], state.p_pos[n : n + self.prey]

  def script(self, state: plane.State, action: jax.Array) -> jax.Array:
    """Adds the actions of the prey."""
    predators, prey = self._bodies(state)
    fleeing = flee(prey, predators, plane.arena_of(self.agents))
    return jnp.concatenate([action.astype(jnp.int32), fleeing])

  def rewards(self, state: plane.State) -> jax.Array:
    """float [N]."""
    if self.reward == 'standard':
      return self.standard_rewards(state)
    apart = plane.distances(*self._bodies(state))
    near = apart < self.task.rad[0] + self.task.rad[self.agents]
    return 10.0 * near.sum(axis=-1) - 0.1 * apart.min(axis=-1)
