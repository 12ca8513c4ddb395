"""Particles that move in a plane and are rewarded as a team.

The tasks of LaRe (arXiv 2412.11120) on the physics of jaxmarl (extra
`control`): 25 steps, five actions (stay, left, right, down, up), and rewards of
single steps that a learner with late rewards does not see.

  environment = particles.CooperativeNavigation(agents=3)
  state, observation = environment.reset(key)
  transition = environment.step(state, actions)

Observations have jaxmarl's layouts: bodies in the order of their numbers. The
code released with LaRe shows an agent the nearest bodies alone.
"""

from jaxcredit.environments.particles.cooperative_navigation import (
  CooperativeNavigation,
)
from jaxcredit.environments.particles.plane import HORIZON
from jaxcredit.environments.particles.predator_prey import PredatorPrey
from jaxcredit.environments.particles.triangle_area import TriangleArea

__all__ = [
  'HORIZON',
  'CooperativeNavigation',
  'PredatorPrey',
  'TriangleArea',
]
