"""What an experiment with late rewards in control is: task, methods, length."""

import dataclasses

import numpy as np

from experiments.control import tasks
from jaxcredit import options


@dataclasses.dataclass(frozen=True)
class Settings:
  """Options of an experiment; see `tasks` for task and methods."""

  task: str = options.option(
    'cooperative_navigation', 'The task.', choices=tasks.TASKS
  )
  agents: int = options.option(
    3, 'Agents that learn, in tasks with several.', 2, 1000
  )
  reward: str = options.option(
    'released',
    "Rewards of steps, whose sum comes at the end: those of LaRe's code, or of "
    'jaxmarl.',
    choices=('released', 'standard'),
  )
  backend: str = options.option(
    'spring',
    "Simulation of robots: brax's, in the compiled program, or Gymnasium's "
    'with MuJoCo, on the host.',
    choices=('spring', 'positional', 'generalized', 'mjx', 'mujoco'),
  )
  method: tuple[str, ...] = options.option(
    ('dense', 'episodic', 'rrd', 'lare'),
    'Sources of step rewards; several are compared.',
    choices=tuple(tasks.METHODS),
  )
  latent: str = options.option(
    'good',
    "The function that makes LaRe's factors: a recorded example (good, "
    'partial, poor), or a file.',
  )
  seed: tuple[int, ...] = options.option(
    (0,), 'Seeds, a run each.', 0, 2**32 - 1
  )
  iterations: int = options.option(1000, 'Iterations of a run.', 1)
  record_every: int = options.option(10, 'Iterations between evaluations.', 1)
  evaluation_episodes: int = options.option(
    50, 'Episodes of an evaluation.', 1, 100_000
  )
  checkpoint_every: int = options.option(
    10, 'Evaluations between checkpoints.', 1
  )

  def __post_init__(self):
    options.check(self)
    if not self.method or not self.seed:
      raise ValueError('an experiment takes one method and one seed at least')
    if len(set(self.seed)) < len(self.seed):
      raise ValueError('--seed: each seed is one run, give it once')
    if self.iterations % self.record_every:
      raise ValueError(
        f'--iterations={self.iterations} must be a multiple of '
        f'--record_every={self.record_every}'
      )

  @property
  def records(self) -> int:
    return self.iterations // self.record_every

  @property
  def recorded(self) -> np.ndarray:
    """int [R], iterations done at each record."""
    return self.record_every * (1 + np.arange(self.records))
