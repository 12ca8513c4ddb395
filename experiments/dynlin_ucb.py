"""DynLin-UCB and its baselines on dynamical linear bandits.

  python -m experiments.dynlin_ucb \
      --flagfile=experiments/flagfiles/dynlin_ucb/synthetic.cfg
  python -m experiments.dynlin_ucb --run=runs/mine --horizon=100000 --seeds=10

The same command resumes an experiment that was stopped: what is finished is
not run again. The folder gets figures (PNG and PDF), the curves and the final
regret of every run (CSV), and a table beside the paper's values.

Exit status: 0 complete, 1 an error, 130 stopped by Ctrl-C, 143 by SIGTERM; the
last two save what is done.
"""

import pathlib
import sys
import warnings

from absl import app, flags, logging

from experiments.bandits import algorithms as bandit_algorithms
from experiments.bandits import figures as bandit_figures
from experiments.bandits import runs as bandit_runs
from experiments.bandits import scaling as bandit_scaling
from experiments.run import console, interruption, process_flags, seed_shards
from experiments.run import folder as run_folder
from jaxcredit.algorithms.bandits import bounds
from jaxcredit.distributed import processes
from jaxcredit.reports import study_data, study_page

# So that --help shows them too.
flags.adopt_module_key_flags(process_flags)

_RUN = flags.DEFINE_string('run', 'runs/dynlin', 'Folder of the experiment.')
_STUDY = flags.DEFINE_enum(
  'study',
  'comparison',
  ['comparison', 'rho_bound', 'scaling'],
  'Algorithms side by side; DynLin-UCB told wrong spectral radii; or how its '
  'regret scales.',
)
_SEED = flags.DEFINE_integer('seed', 0, 'Seed of everything random.')
_SEEDS = flags.DEFINE_integer('seeds', 50, 'Runs of each algorithm.', 1)
_HORIZON = flags.DEFINE_integer('horizon', 1_000_000, 'Rounds of a run.', 2)
_SYSTEM = flags.DEFINE_enum(
  'system',
  'synthetic',
  list(bandit_algorithms.SYSTEMS),
  'Section 5.1, or the system that was identified from advertising data.',
)
_SIGMA = flags.DEFINE_multi_float(
  'sigma', [0.01], 'Scale of the noise; several give several panels.'
)
_ALGORITHMS = flags.DEFINE_multi_enum(
  'algorithm',
  [
    'dynlin_log', 'dynlin_1', 'lin_log', 'lin_1', 'd_lin_log', 'd_lin_1',
    'ar2', 'exp3', 'exp3_k', 'exp3_k_aligned', 'optimum',
  ],
  list(bandit_algorithms.ALGORITHMS),
  'What to compare.',
)  # fmt: skip
_RECORD_EVERY = flags.DEFINE_integer(
  'record_every', None, 'Rounds between records; a few hundred by default.', 1
)

# How closely to follow the released script.
_START = flags.DEFINE_enum(
  'start',
  'released',
  ['released', 'paper'],
  'Epoch 1 of two rounds and a uniform first action, or as in Algorithm 1.',
)
_STATE_BOUND = flags.DEFINE_enum(
  'state_bound',
  'released',
  list(reversed(bounds.STATE_BOUNDS)),
  'Bound X on the states: U / (1 - rho), or one that holds.',
)
_OUTPUTS = flags.DEFINE_integer(
  'outputs',
  3,
  'How many noises of scale sigma the reward sums; the script has 3, the paper '
  '1. The agents are told sigma either way.',
  1,
)
_RADIUS = flags.DEFINE_enum(
  'radius',
  'modulus',
  ['modulus', 'released'],
  'Settings of Exp3-k, Exp3 and AR2 from the spectral radius, or from a '
  'complex eigenvalue as in the script.',
)

# The study of wrong bounds.
_RHO_BOUND = flags.DEFINE_multi_float(
  'rho_bound', [0.4, 0.2, 0.1, 0.05, 0.0], 'What DynLin-UCB is told.'
)

# The study of scaling.
_SCALING_RHO = flags.DEFINE_multi_float(
  'scaling_rho',
  [0.2, 0.5, 0.75, 0.875, 0.9375, 0.96875],
  'Spectral radii.',
)
_SCALING_HORIZON = flags.DEFINE_multi_integer(
  'scaling_horizon',
  [3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000],
  'Horizons.',
  2,
)
_SCALING_SYSTEMS = flags.DEFINE_integer(
  'scaling_systems', 32, 'Random systems for each spectral radius.', 1
)
_SCALING_STATES = flags.DEFINE_integer('scaling_states', 3, 'n.', 1)
_SCALING_DIMENSION = flags.DEFINE_integer('scaling_dimension', 3, 'd.', 1, 8)

_MAY_CHANGE = {'run'}


def _own_flags() -> dict[str, object]:
  """Values of the flags of this file."""
  own = flags.FLAGS.flags_by_module_dict()[sys.argv[0]]
  return {flag.name: flag.value for flag in own}


def _problem(sigma: float, rho: float | None = None):
  """A problem of the comparison; `rho` is what the agents are told."""
  system = bandit_algorithms.SYSTEMS[_SYSTEM.value](
    sigma, outputs=_OUTPUTS.value
  )
  actions = bandit_algorithms.actions()
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always', bounds.RadiusBoundWarning)
    told = bounds.of_system(
      system, actions, sigma=sigma, rho=rho, x=_STATE_BOUND.value
    )
  for warning in caught:
    console.console.print(f'note: {warning.message}', soft_wrap=True)
  options = bandit_algorithms.Options(_START.value, _RADIUS.value)
  return bandit_algorithms.Problem(
    system, actions, told, _HORIZON.value, options
  )


def _curves(name: str, problems, folder: pathlib.Path, file: str, stop):
  """Runs an algorithm on all problems, unless that was done before."""
  path = folder / 'runs' / f'{file}.npz'
  curves = bandit_runs.load(path)
  entry = bandit_algorithms.ALGORITHMS[name]
  if curves is not None:
    console.console.print(f'{entry.label}: found in {path}', soft_wrap=True)
    return curves
  curves = bandit_runs.simulate(
    entry.label,
    entry.algorithm,
    [problem.system for problem in problems],
    [entry.configure(problem) for problem in problems],
    horizon=_HORIZON.value,
    seeds=_SEEDS.value,
    seed=_SEED.value,
    record_every=_RECORD_EVERY.value,
    stop=stop,
  )
  bandit_runs.save(curves, path)
  finals = ', '.join(f'{x:,.0f}' for x in curves.offline[..., -1].mean(axis=1))
  console.console.print(f'{entry.label}: regret {finals}')
  return curves


def _comparison(folder: pathlib.Path, stop) -> str:
  """Algorithms side by side, a panel for each sigma."""
  problems = [_problem(sigma) for sigma in _SIGMA.value]
  by_panel = {sigma: [] for sigma in _SIGMA.value}
  for name in _ALGORITHMS.value:
    entry = bandit_algorithms.ALGORITHMS[name]
    curves = _curves(name, problems, folder, name, stop)
    for setting, sigma in enumerate(_SIGMA.value):
      paper = ''
      if _HORIZON.value == bandit_algorithms.PAPER_HORIZON:
        values = bandit_algorithms.PAPER.get((_SYSTEM.value, sigma), {})
        paper = values.get(name, '')
      by_panel[sigma].append(
        bandit_figures.series_of(
          curves,
          setting,
          panel=f'{_SYSTEM.value} system, sigma = {sigma:g}',
          name=name,
          label=entry.label,
          line=entry.line,
          paper=paper,
        )
      )
  series = [s for members in by_panel.values() for s in members]
  cut = _SYSTEM.value == 'synthetic'
  return bandit_figures.write(series, folder, cut=cut)


def _rho_bound(folder: pathlib.Path, stop) -> str:
  """DynLin-UCB told several spectral radii, beside Lin-UCB."""
  if len(_SIGMA.value) > 1:
    raise app.UsageError('--study=rho_bound takes one --sigma')
  sigma = _SIGMA.value[0]
  problems = [_problem(sigma, rho) for rho in _RHO_BOUND.value]
  at_paper = _HORIZON.value == bandit_algorithms.PAPER_RHO_HORIZON
  panel = f'{_SYSTEM.value} system, sigma = {sigma:g}'
  curves = _curves('dynlin_log', problems, folder, 'dynlin_log', stop)
  series = [
    bandit_figures.series_of(
      curves,
      setting,
      panel=panel,
      name=f'rho_bound_{rho:g}',
      label=f'DynLin-UCB (log T), bound {rho:g}',
      line='-',
      paper=bandit_algorithms.PAPER_RHO.get(rho, '') if at_paper else '',
    )
    for setting, rho in enumerate(_RHO_BOUND.value)
  ]
  lin = _curves('lin_log', [_problem(sigma)], folder, 'lin_log', stop)
  series.append(
    bandit_figures.series_of(
      lin,
      0,
      panel=panel,
      name='lin_log',
      label='Lin-UCB (log T)',
      line='--',
      paper=bandit_algorithms.PAPER_RHO_LIN if at_paper else '',
    )
  )
  return bandit_figures.write(series, folder, cut=False)


def _scaling(folder: pathlib.Path, stop) -> str:
  """Regret against horizon and spectral radius."""
  if len(_SIGMA.value) > 1:
    raise app.UsageError('--study=scaling takes one --sigma')
  study = bandit_scaling.Study(
    rhos=tuple(sorted(_SCALING_RHO.value)),
    horizons=tuple(sorted(_SCALING_HORIZON.value)),
    systems=_SCALING_SYSTEMS.value,
    states=_SCALING_STATES.value,
    dimension=_SCALING_DIMENSION.value,
    sigma=_SIGMA.value[0],
    seed=_SEED.value,
  )
  regrets = bandit_scaling.run(study, folder, stop)
  return bandit_scaling.write(study, regrets, folder)


_STUDIES = {
  'comparison': _comparison,
  'rho_bound': _rho_bound,
  'scaling': _scaling,
}


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'unknown arguments: {" ".join(argv[1:])}')
  logging.set_verbosity(logging.ERROR)
  return process_flags.together(_run)


def _run() -> int:
  """What `main` does in each process."""
  folder = pathlib.Path(_RUN.value).expanduser()
  stop = interruption.Interruption()
  try:
    # Whether the runs can be shared out is known before there is a folder.
    scaling = _STUDY.value == 'scaling'
    seed_shards.make_mesh(_SCALING_SYSTEMS.value if scaling else _SEEDS.value)
    if run_folder.open_together(folder, _own_flags(), _MAY_CHANGE):
      console.console.print(f'{folder} holds this experiment: going on')
    with stop:
      text = _STUDIES[_STUDY.value](folder, lambda: stop.requested)
  except bandit_runs.InterruptedRunError:
    console.console.print(f'stopped; the same command goes on from {folder}')
    return stop.exit_status
  except KeyboardInterrupt:
    return stop.at_once(folder)
  except (OSError, ValueError, FloatingPointError) as error:
    words = run_folder.error_in_words(error, folder)
    print(f'error: {words}', file=sys.stderr)
    return 1
  if processes.is_first():
    print(text)
    page = study_page.save(study_data.read(folder))
    console.console.print(f'figures, CSV and table: {folder}', soft_wrap=True)
    console.console.print(f'report: {page}', soft_wrap=True)
  return 0


if __name__ == '__main__':
  app.run(main)
