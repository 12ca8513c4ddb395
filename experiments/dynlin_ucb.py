"""DynLin-UCB and its baselines on dynamical linear bandits.

  python -m experiments.dynlin_ucb \
      --flagfile=experiments/flagfiles/dynlin_ucb/synthetic.cfg
  python -m experiments.dynlin_ucb --run=runs/mine --horizon=100000 --seeds=10

The same command resumes a stopped experiment without repeating finished runs.
The folder gets figures (PNG and PDF), the curves and the final regret of every
run (CSV), and a table beside the paper's values.

Exit status: 0 complete, 1 an error, 130 stopped by Ctrl-C, 143 by SIGTERM; the
last two save what is done.
"""

import pathlib

from absl import flags

from experiments.bandits import settings, studies
from experiments.run import interruption, option_flags, script, study_report

flags.adopt_module_key_flags(script)

_SETTINGS = option_flags.define(settings.Settings)

SHORT = {
  'Study': ('study', 'system', 'sigma', 'horizon', 'algorithm'),
  'After the released script, or the paper': (
    'start', 'state_bound', 'outputs', 'radius',
  ),
  'Wrong spectral radii': ('rho_bound',),
  'Scaling': (
    'scaling_rho', 'scaling_horizon', 'scaling_systems', 'scaling_states',
    'scaling_dimension',
  ),
  'Run': (*script.SHORT, 'seed', 'seeds', 'record_every'),
}  # fmt: skip


def build() -> studies.Experiment:
  """The experiment that the flags describe."""
  return studies.build(_SETTINGS.read())


def execute(
  parts: studies.Experiment,
  stop: interruption.Interruption,
  folder: pathlib.Path,
) -> bool:
  """Plays the study."""
  studies.run(parts, folder, lambda: stop.requested)
  return True


def main(argv):
  return script.run(
    argv,
    module=__name__,
    build=build,
    execute=execute,
    report=study_report.show,
  )


if __name__ == '__main__':
  script.start(main, SHORT)
