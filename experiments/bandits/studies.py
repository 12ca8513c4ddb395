"""The studies of bandits: what is played, and what is drawn of it."""

import dataclasses
import pathlib
import warnings
from collections.abc import Callable

from experiments.bandits import algorithms, figures, runs, scaling
from experiments.bandits import settings as settings_lib
from experiments.run import console, seed_shards
from jaxcredit.algorithms.bandits import bounds

# Says whether the user wants to stop.
Stop = Callable[[], bool]


@dataclasses.dataclass(frozen=True, eq=False)
class Experiment:
  """What an experiment plays.

  Attributes:
    settings: of the experiment.
    problems: of the algorithms side by side, a panel each; or of the spectral
      radii that DynLin-UCB is told.
    right: of the study of wrong radii, the problem with the right one.
    study: of scaling.
  """

  settings: settings_lib.Settings
  problems: tuple[algorithms.Problem, ...] = ()
  right: algorithms.Problem | None = None
  study: scaling.Study | None = None


def _problem(
  settings: settings_lib.Settings, sigma: float, rho: float | None = None
) -> algorithms.Problem:
  """A problem; `rho` is the spectral radius that the agents are told."""
  system = algorithms.SYSTEMS[settings.system](sigma, outputs=settings.outputs)
  actions = algorithms.actions()
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always', bounds.RadiusBoundWarning)
    told = bounds.of_system(
      system, actions, sigma=sigma, rho=rho, x=settings.state_bound
    )
  for warning in caught:
    console.console.print(f'note: {warning.message}', soft_wrap=True)
  options = algorithms.Options(settings.start, settings.radius)
  return algorithms.Problem(system, actions, told, settings.horizon, options)


def build(settings: settings_lib.Settings) -> Experiment:
  """What the settings describe.

  Raises:
    ValueError: values that no system has, or runs that cannot be shared out.
  """
  # Whether they can is known before there is a folder.
  seed_shards.make_mesh(settings.runs)
  if settings.study == 'scaling':
    study = scaling.Study(
      rhos=tuple(sorted(settings.scaling_rho)),
      horizons=tuple(sorted(settings.scaling_horizon)),
      systems=settings.scaling_systems,
      states=settings.scaling_states,
      dimension=settings.scaling_dimension,
      sigma=settings.sigma[0],
      seed=settings.seed,
    )
    return Experiment(settings, study=study)
  if settings.study == 'rho_bound':
    (sigma,) = settings.sigma
    problems = [_problem(settings, sigma, rho) for rho in settings.rho_bound]
    return Experiment(settings, tuple(problems), _problem(settings, sigma))
  problems = [_problem(settings, sigma) for sigma in settings.sigma]
  return Experiment(settings, tuple(problems))


def _curves(
  settings: settings_lib.Settings,
  name: str,
  problems: tuple[algorithms.Problem, ...],
  folder: pathlib.Path,
  stop: Stop,
) -> runs.Curves:
  """Runs an algorithm on all problems, unless that was done before."""
  path = folder / 'runs' / f'{name}.npz'
  curves = runs.load(path)
  entry = algorithms.ALGORITHMS[name]
  if curves is not None:
    console.console.print(f'{entry.label}: found in {path}', soft_wrap=True)
    return curves
  curves = runs.simulate(
    entry.label,
    entry.algorithm,
    [problem.system for problem in problems],
    [entry.configure(problem) for problem in problems],
    horizon=settings.horizon,
    seeds=settings.seeds,
    seed=settings.seed,
    record_every=settings.record_every,
    stop=stop,
  )
  runs.save(curves, path)
  finals = ', '.join(f'{x:,.0f}' for x in curves.offline[..., -1].mean(axis=1))
  console.console.print(f'{entry.label}: regret {finals}')
  return curves


def _comparison(
  experiment: Experiment, folder: pathlib.Path, stop: Stop
) -> None:
  """Algorithms side by side, a panel for each sigma."""
  settings = experiment.settings
  panels = {sigma: [] for sigma in settings.sigma}
  for name in settings.algorithm:
    entry = algorithms.ALGORITHMS[name]
    curves = _curves(settings, name, experiment.problems, folder, stop)
    for setting, sigma in enumerate(settings.sigma):
      paper = {}
      if settings.horizon == algorithms.PAPER_HORIZON:
        paper = algorithms.PAPER.get((settings.system, sigma), {})
      panels[sigma].append(
        figures.series_of(
          curves,
          setting,
          panel=f'{settings.system} system, sigma = {sigma:g}',
          name=name,
          label=entry.label,
          line=entry.line,
          paper=paper.get(name, ''),
        )
      )
  series = [one for members in panels.values() for one in members]
  figures.write(series, folder, cut=settings.system == 'synthetic')


def _rho_bound(
  experiment: Experiment, folder: pathlib.Path, stop: Stop
) -> None:
  """DynLin-UCB told several spectral radii, beside Lin-UCB."""
  settings = experiment.settings
  at_paper = settings.horizon == algorithms.PAPER_RHO_HORIZON
  panel = f'{settings.system} system, sigma = {settings.sigma[0]:g}'
  curves = _curves(settings, 'dynlin_log', experiment.problems, folder, stop)
  series = [
    figures.series_of(
      curves,
      setting,
      panel=panel,
      name=f'rho_bound_{rho:g}',
      label=f'DynLin-UCB (log T), bound {rho:g}',
      line='-',
      paper=algorithms.PAPER_RHO.get(rho, '') if at_paper else '',
    )
    for setting, rho in enumerate(settings.rho_bound)
  ]
  lin = _curves(settings, 'lin_log', (experiment.right,), folder, stop)
  series.append(
    figures.series_of(
      lin,
      0,
      panel=panel,
      name='lin_log',
      label='Lin-UCB (log T)',
      line='--',
      paper=algorithms.PAPER_RHO_LIN if at_paper else '',
    )
  )
  figures.write(series, folder, cut=False)


def _scaling(experiment: Experiment, folder: pathlib.Path, stop: Stop) -> None:
  """Regret against horizon and spectral radius."""
  regrets = scaling.run(experiment.study, folder, stop)
  scaling.write(experiment.study, regrets, folder)


_STUDIES = {
  'comparison': _comparison,
  'rho_bound': _rho_bound,
  'scaling': _scaling,
}


def run(experiment: Experiment, folder: pathlib.Path, stop: Stop) -> None:
  """Plays what is not played yet, and writes figures, CSV and table.md.

  Raises:
    interruption.InterruptedRunError: the user wants to stop.
    FloatingPointError: a regret is not finite.
  """
  _STUDIES[experiment.settings.study](experiment, folder, stop)
