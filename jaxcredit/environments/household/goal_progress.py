"""Which share of a household goal's conditions holds.

The goal asks for some objects and some receptacle or lamp: those count for
which most conditions hold. Conditions are, where an object is to be put: that
it is in the receptacle, and each state that it must have (of two objects each
has its own); under a lamp: that the object is held, its states, that the lamp
is on, and that the agent stands where the lamp is.
"""

from collections.abc import Sequence

import numpy as np

from jaxcredit.environments.household import world as world_lib


def share(
  world: world_lib.World,
  location: int,
  holding: int,
  contents: Sequence[Sequence[int]],
  object_state: Sequence[int],
) -> float:
  """The share in [0, 1]; 1 where, and only where, the goal holds.

  Args:
    world: the compiled game.
    location: where the agent stands.
    holding: object held, -1 for none.
    contents: objects in each receptacle.
    object_state: bits of each object, see `world`.
  """
  goal = world.goal
  objects = np.flatnonzero(goal.objects).tolist()
  states = goal.state.bit_count()

  def treated(o: int) -> int:
    return (object_state[o] & goal.state).bit_count()

  if goal.is_look:
    shown = max((treated(o) + (o == holding) for o in objects), default=0)
    here = {
      o
      for r in np.flatnonzero(world.location_of == location)
      for o in contents[r]
    }
    lit = max(
      bool(object_state[lamp] & world_lib.TOGGLED) + (lamp in here)
      for lamp in np.flatnonzero(goal.lamp_objects).tolist()
    )
    return (shown + lit) / (states + 3)
  best = 0
  for r in np.flatnonzero(goal.receptacles).tolist():
    scores = sorted(
      (treated(o) + (o in contents[r]) for o in objects), reverse=True
    )
    best = max(best, sum(scores[: goal.count]))
  return best / (goal.count * (states + 1))
