"""What an experiment with bandits is: the study, its systems and its length."""

import dataclasses
import os

from experiments.bandits import algorithms
from jaxcredit import options
from jaxcredit.algorithms.bandits import bounds

# Numbers of 8 bytes that are kept of each record: round, two regrets.
_KEPT = 3 * 8
# Records of a run where no number of rounds between them is given.
_RECORDS = 500


@dataclasses.dataclass(frozen=True)
class Settings:
  """Options of an experiment; see `studies`."""

  study: str = options.option(
    'comparison',
    'Algorithms side by side; DynLin-UCB told wrong spectral radii; or how its '
    'regret scales.',
    choices=('comparison', 'rho_bound', 'scaling'),
  )
  seed: int = options.option(0, 'Seed of everything random.', 0, 2**32 - 1)
  seeds: int = options.option(50, 'Runs of each algorithm.', 1, 1_000_000)
  horizon: int = options.option(1_000_000, 'Rounds of a run.', 2, 2_000_000_000)
  system: str = options.option(
    'synthetic',
    'Section 5.1, or the system that was identified from advertising data.',
    choices=tuple(algorithms.SYSTEMS),
  )
  sigma: tuple[float, ...] = options.option(
    (0.01,), 'Scale of the noise; several give several panels.', 0
  )
  algorithm: tuple[str, ...] = options.option(
    (
      'dynlin_log', 'dynlin_1', 'lin_log', 'lin_1', 'd_lin_log', 'd_lin_1',
      'ar2', 'exp3', 'exp3_k', 'exp3_k_aligned', 'optimum',
    ),
    'What to compare.',
    choices=tuple(algorithms.ALGORITHMS),
  )  # fmt: skip
  record_every: int | None = options.option(
    None, 'Rounds between records; a few hundred records by default.', 1
  )
  start: str = options.option(
    'released',
    'Epoch 1 of two rounds and a uniform first action, or as in Algorithm 1.',
    choices=('released', 'paper'),
  )
  state_bound: str = options.option(
    'released',
    'Bound X on the states: U / (1 - rho), or one that holds.',
    choices=tuple(reversed(bounds.STATE_BOUNDS)),
  )
  outputs: int = options.option(
    3,
    'How many noises of scale sigma the reward sums; the script has 3, the '
    'paper 1. The agents are told sigma either way.',
    1,
    1000,
  )
  radius: str = options.option(
    'modulus',
    'Settings of Exp3-k, Exp3 and AR2 from the spectral radius, or from a '
    'complex eigenvalue as in the script.',
    choices=('modulus', 'released'),
  )
  rho_bound: tuple[float, ...] = options.option(
    (0.4, 0.2, 0.1, 0.05, 0.0),
    'Spectral radii that DynLin-UCB is told in the study of wrong ones.',
    0,
  )
  scaling_rho: tuple[float, ...] = options.option(
    (0.2, 0.5, 0.75, 0.875, 0.9375, 0.96875),
    'Spectral radii of the study of scaling.',
    0,
  )
  scaling_horizon: tuple[int, ...] = options.option(
    (
      3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000,
      10_000_000,
    ),
    'Horizons of the study of scaling.',
    2,
    2_000_000_000,
  )  # fmt: skip
  scaling_systems: int = options.option(
    32, 'Random systems for each spectral radius.', 1, 1_000_000
  )
  scaling_states: int = options.option(
    3, 'States n of a random system.', 1, 1000
  )
  scaling_dimension: int = options.option(
    3, 'Dimension d of its actions.', 1, 8
  )

  def __post_init__(self):
    options.check(self)
    for name in ('sigma', 'algorithm', 'rho_bound', 'scaling_rho',
                 'scaling_horizon'):  # fmt: skip
      if not getattr(self, name):
        raise ValueError(f'--{name}: give one value at least')
    if self.study != 'comparison' and len(self.sigma) > 1:
      raise ValueError(f'--study={self.study} takes one --sigma')
    for name in ('rho_bound', 'scaling_rho'):
      radii = getattr(self, name)
      if not all(rho < 1 for rho in radii):
        raise ValueError(f'--{name} must be below 1, not {max(radii):g}')
    self._check_memory()

  @property
  def runs(self) -> int:
    """Runs side by side, which are shared out among devices."""
    return self.scaling_systems if self.study == 'scaling' else self.seeds

  def _check_memory(self) -> None:
    """Refuses curves that this machine's memory cannot hold."""
    if self.study == 'scaling':
      return
    settings = len(self.sigma)
    if self.study == 'rho_bound':
      settings = len(self.rho_bound)
    records = _RECORDS
    if self.record_every:
      records = -(-self.horizon // self.record_every)
    needed = settings * self.seeds * records * _KEPT
    there = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    if needed > there:
      raise ValueError(
        f'{settings} x {self.seeds} runs with {records} records each would '
        f'need {needed / 2**30:,.0f} GiB for their curves, and this machine '
        f'has {there / 2**30:,.0f}: take fewer --seeds, or a larger '
        '--record_every'
      )
