"""Triangle area: three agents span a large triangle, clear of obstacles.

LaRe's authors made it up, so that no language model has read of it; they call
it `simple_area`. Observation: velocity 2, position 2, three obstacles 6 and the
two other agents 4 relative to it.

Reward of each agent: 0.1 (area of the triangle) - (obstacles that it touches).
The area is half a cross product: by Heron's formula, as released, it can be NaN
for agents in a line.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit.environments.particles import physics, plane

_AGENT, _OBSTACLE = 0.15, 0.4
# Agents start in a square of this half side, obstacles in one of that.
_START, _OBSTACLES = 0.2, 2.0


def area(corners: jax.Array) -> jax.Array:
  """Area of a triangle, [3, 2] -> []."""
  one, other = corners[1] - corners[0], corners[2] - corners[0]
  return 0.5 * jnp.abs(one[0] * other[1] - one[1] * other[0])


@dataclasses.dataclass(frozen=True, eq=False)
class TriangleArea(plane.Plane):
  """The task; see the module. It has three agents and one reward."""

  reward: str = 'released'

  observation_size = 14

  def make(self) -> physics.SimpleMPE:
    if self.agents != 3 or self.reward != 'released':
      raise ValueError(
        "a triangle has 3 agents, and its reward is 'released'; not "
        f'{self.agents} and {self.reward!r}'
      )
    return physics.SimpleMPE(
      num_agents=3,
      num_landmarks=3,
      rad=jnp.asarray([_AGENT] * 3 + [_OBSTACLE] * 3),
      collide=jnp.ones(6, bool),
    )

  def reset(self, key: jax.Array) -> tuple[plane.State, jax.Array]:
    """Agents near the middle, obstacles around them, all at rest."""
    _, state = self.task.reset(key)
    agents, obstacles = state.p_pos[:3] * _START, state.p_pos[3:]
    # Out of the square where agents start: along the longer axis.
    reach = jnp.abs(obstacles).max(axis=-1, keepdims=True)
    far = _START + _AGENT + _OBSTACLE
    outer = obstacles / reach * (far + (_OBSTACLES - far) * reach)
    state = state.replace(p_pos=jnp.concatenate([agents, outer]))
    return state, self.observe(state)

  def observe(self, state: plane.State) -> jax.Array:
    """float [3, 14]."""

    def of(i):
      # Which agents are the others, in order.
      others = [j for j in range(3) if j != i]
      here = state.p_pos[i]
      parts = (
        state.p_vel[i],
        here,
        (state.p_pos[3:] - here).reshape(-1),
        (state.p_pos[jnp.asarray(others)] - here).reshape(-1),
      )
      return jnp.concatenate(parts)

    return jnp.stack([of(i) for i in range(3)])

  def rewards(self, state: plane.State) -> jax.Array:
    """float [3]."""
    apart = plane.distances(state.p_pos[:3], state.p_pos[3:])
    touched = (apart < _AGENT + _OBSTACLE).sum(axis=-1)
    return 0.1 * area(state.p_pos[:3]) - touched
