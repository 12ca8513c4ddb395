"""LaRe and its baselines on tasks whose reward comes at the episode's end.

  python -m experiments.lare \
      --flagfile=experiments/flagfiles/lare/spread_quick.cfg
  python -m experiments.lare --run=runs/mine --task=predator_prey \
      --method=lare --method=rrd --method=episodic --seed=0 --seed=1

The same command resumes a stopped experiment. The folder gets curves of all
methods with confidence bands over seeds, a table, every number as CSV, and for
methods with a reward network a chart of the factors and decoded rewards of an
episode. It needs the extra `control`.

Exit status: 0 complete, 1 an error, 130 stopped by Ctrl-C, 143 by SIGTERM; the
last two save what is done.
"""

import pathlib

from absl import flags

from experiments.control import agents, experiment, settings, tasks
from experiments.run import interruption, option_flags, script, study_report

flags.adopt_module_key_flags(script)
flags.adopt_module_key_flags(agents)

_SETTINGS = option_flags.define(settings.Settings)
# What is not given is as released for the kind of task.
_DECODER = option_flags.define_union(
  {'': tasks.DecoderOptions},
  names={
    'share': 'share_rewards',
    'normalise': 'normalise_factors',
    **{
      name: f'decoder_{name}'
      for name in (
        'hidden', 'layers', 'learning_rate', 'l2', 'updates', 'batch', 'steps',
      )
    },
  },
)  # fmt: skip

# How often to save changes no number; methods may be added to a run.
MAY_CHANGE = ('method', 'checkpoint_every')
SHORT = {
  'Task': ('task', 'agents', 'reward', 'backend'),
  'Methods': ('method', 'latent', 'unbiased', 'form', 'scaling'),
  'Reward network': (
    'decoder_hidden', 'decoder_layers', 'decoder_learning_rate',
    'decoder_updates', 'decoder_batch', 'decoder_steps',
  ),
  'Policy': (
    'learning_rate', 'discount', 'hidden', 'episodes', 'epochs', 'minibatch',
    'buffer', 'environments', 'updates', 'batch',
  ),
  'Run': (
    *script.SHORT, 'seed', 'iterations', 'record_every', 'evaluation_episodes',
    'checkpoint_every',
  ),
}  # fmt: skip


def build() -> experiment.Experiment:
  """The experiment that the flags describe."""
  return experiment.build(_SETTINGS.read(), _DECODER.given())


def execute(
  parts: experiment.Experiment,
  stop: interruption.Interruption,
  folder: pathlib.Path,
) -> bool:
  """Trains all methods."""
  experiment.run(parts, folder, lambda: stop.requested)
  return True


def main(argv):
  return script.run(
    argv,
    module=__name__,
    build=build,
    execute=execute,
    report=study_report.show,
    may_change=MAY_CHANGE,
  )


if __name__ == '__main__':
  script.start(main, SHORT)
