"""The tasks of the paper by their names."""

from jaxcredit.latent_rewards import mujoco_tasks, particle_tasks
from jaxcredit.latent_rewards import task as task_lib

_TASKS = {
  'cooperative_navigation': particle_tasks.cooperative_navigation,
  'predator_prey': particle_tasks.predator_prey,
  'triangle_area': particle_tasks.triangle_area,
  'reacher': mujoco_tasks.reacher,
  'half_cheetah': mujoco_tasks.half_cheetah,
  'walker2d': mujoco_tasks.walker2d,
  'humanoid_standup': mujoco_tasks.humanoid_standup,
}
NAMES = tuple(_TASKS)


def named(name: str) -> task_lib.Task:
  """A task of the paper, at its usual size.

  Raises:
    ValueError: there is none of this name.
  """
  if name not in _TASKS:
    raise ValueError(f'no task {name!r}: choose one of {", ".join(NAMES)}')
  return _TASKS[name]()
