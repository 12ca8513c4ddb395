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


def named(name: str, agents: int | None = None) -> task_lib.Task:
  """A task of the paper.

  Args:
    name: one of NAMES.
    agents: how many learn, of tasks in the plane whose size is free, with as
      many landmarks or a third as many prey. None: the usual size.

  Raises:
    ValueError: there is none of this name, or not of this size.
  """
  if name not in _TASKS:
    raise ValueError(f'no task {name!r}: choose one of {", ".join(NAMES)}')
  if agents is None:
    return _TASKS[name]()
  if agents < 2:
    raise ValueError(f'a team has at least 2 agents, not {agents}')
  if name == 'cooperative_navigation':
    return particle_tasks.cooperative_navigation(agents, agents)
  if name == 'predator_prey':
    return particle_tasks.predator_prey(agents, max(agents // 3, 1))
  raise ValueError(f'{name} comes in one size: leave the number of agents out')
