"""LaRe and its baselines on tasks whose reward comes at the episode's end.

  python -m experiments.lare \
      --flagfile=experiments/flagfiles/lare/spread_quick.cfg
  python -m experiments.lare --run=runs/mine --task=predator_prey \
      --method=lare --method=rrd --method=episodic --seed=0 --seed=1

The same command resumes an experiment that was stopped. The folder gets curves
of all methods with confidence bands over seeds, a table, every number as CSV,
and for methods with a network a chart of the factors and decoded rewards of an
episode. Needs the extra control.

Exit status: 0 complete, 1 an error, 130 stopped by Ctrl-C, 143 by SIGTERM; the
last two save what is done.
"""

import dataclasses
import pathlib
import sys

import jax
import numpy as np
from absl import app, flags, logging

from experiments.control import agents as lare_policies
from experiments.control import figures as lare_figures
from experiments.control import host_runs as lare_host_runs
from experiments.control import runs as lare_runs
from experiments.control import tasks as lare_tasks
from experiments.run import console, interruption, process_flags
from experiments.run import folder as run_folder
from jaxcredit.agents import ippo, reward_sources, td3
from jaxcredit.distributed import processes
from jaxcredit.reports import study_data, study_page

# So that --help shows them too.
flags.adopt_module_key_flags(lare_policies)
flags.adopt_module_key_flags(process_flags)

_RUN = flags.DEFINE_string('run', 'runs/lare', 'Folder of the experiment.')
_TASK = flags.DEFINE_enum(
  'task', 'cooperative_navigation', list(lare_tasks.TASKS), 'The task.'
)
_AGENTS = flags.DEFINE_integer('agents', 3, 'Agents that learn.', 2)
_REWARD = flags.DEFINE_enum(
  'reward',
  'released',
  ['released', 'standard'],
  "Rewards of steps, whose sum comes at the end: those of LaRe's code, or of "
  'jaxmarl.',
)
_BACKEND = flags.DEFINE_enum(
  'backend',
  'spring',
  ['spring', 'positional', 'generalized', 'mjx', 'mujoco'],
  "brax's simulation of robots, in the compiled program; or Gymnasium's with "
  'MuJoCo, on the host.',
)
_METHODS = flags.DEFINE_multi_enum(
  'method',
  ['dense', 'episodic', 'rrd', 'lare'],
  list(lare_tasks.METHODS),
  'What steps are rewarded with; several are compared.',
)
_SEEDS = flags.DEFINE_multi_integer('seed', [0], 'Seeds, a run each.', 0)
_ITERATIONS = flags.DEFINE_integer('iterations', 1000, 'Of a run.', 1)
_LATENT = flags.DEFINE_string(
  'latent',
  'good',
  "The function that makes LaRe's factors: a recorded example (good, partial, "
  'poor), or a file.',
)

# The network that predicts rewards.
_DECODER_HIDDEN = flags.DEFINE_integer(
  'decoder_hidden', None, 'Width of the network.', 1
)
_DECODER_LAYERS = flags.DEFINE_integer(
  'decoder_layers', None, 'Its linear layers.', 1
)
_DECODER_LEARNING_RATE = flags.DEFINE_float(
  'decoder_learning_rate', None, "Adam's.", 0.0
)
_DECODER_L2 = flags.DEFINE_float('decoder_l2', None, 'Penalty.', 0.0)
_DECODER_UPDATES = flags.DEFINE_integer(
  'decoder_updates',
  None,
  'Optimizer steps an iteration; the released 50 every 10 are as many.',
  1,
)
_DECODER_BATCH = flags.DEFINE_integer(
  'decoder_batch', None, 'Episodes of an optimizer step.', 1
)
_DECODER_STEPS = flags.DEFINE_integer(
  'decoder_steps', None, 'Steps of an episode that RRD draws.', 1
)
_UNBIASED = flags.DEFINE_bool(
  'unbiased', None, "Take the variance of RRD's draws off."
)
_FORM = flags.DEFINE_enum(
  'form', None, ['sum', 'mean'], 'Of the loss: of returns, or R / L.'
)
_VARIANCE_WEIGHT = flags.DEFINE_float(
  'variance_weight', 0.0, 'Of the variance of rewards over time.', 0.0
)
_NORMALISE_FACTORS = flags.DEFINE_bool(
  'normalise_factors', None, 'Features in units of their deviation.'
)
_SCALING = flags.DEFINE_enum(
  'scaling',
  None,
  ['none', 'length', 'exact'],
  'Of decoded rewards: none, times agents and steps (released), or shifted to '
  'add up to the return.',
)
_SHARE = flags.DEFINE_bool(
  'share_rewards', False, 'One reward for all agents of a step (ablation).'
)

# The run itself. Checkpoints may come more or less often when it is resumed.
_RECORD_EVERY = flags.DEFINE_integer(
  'record_every', 10, 'Iterations between evaluations.', 1
)
_EVALUATION_EPISODES = flags.DEFINE_integer(
  'evaluation_episodes', 50, 'Episodes of an evaluation.', 1
)
_CHECKPOINT_EVERY = flags.DEFINE_integer(
  'checkpoint_every', 10, 'Evaluations between checkpoints.', 1
)

_MAY_CHANGE = {'run', 'method', 'checkpoint_every'}


def own_flags() -> dict[str, object]:
  """Values of the flags here and of those of the policies."""
  by_module = flags.FLAGS.flags_by_module_dict()
  modules = [
    flags.FLAGS.find_module_defining_flag(name)
    for name in ('decoder_hidden', 'epochs')
  ]
  return {flag.name: flag.value for m in modules for flag in by_module[m]}


def program(method: str) -> ippo.Ippo | td3.Td3:
  """The learner that the flags say."""
  environment = lare_tasks.environment(
    _TASK.value, _AGENTS.value, _REWARD.value, _BACKEND.value
  )
  latent = None
  if method.startswith('lare'):
    latent = lare_tasks.latent_program(_TASK.value, environment, _LATENT.value)
  given = {
    'hidden': _DECODER_HIDDEN.value,
    'layers': _DECODER_LAYERS.value,
    'learning_rate': _DECODER_LEARNING_RATE.value,
    'l2': _DECODER_L2.value,
    'updates': _DECODER_UPDATES.value,
    'batch': _DECODER_BATCH.value,
    'scaling': _SCALING.value,
    'share': _SHARE.value,
    'normalise': _NORMALISE_FACTORS.value,
    'steps': _DECODER_STEPS.value,
    'unbiased': _UNBIASED.value,
    'form': _FORM.value,
    'variance_weight': _VARIANCE_WEIGHT.value,
  }
  usual = lare_tasks.ROBOTS_DECODER
  if environment.discrete:
    usual = lare_tasks.PARTICLES_DECODER
  options = dataclasses.replace(
    usual, **{k: v for k, v in given.items() if v is not None}
  )
  source = lare_tasks.source(method, environment, options, latent)
  return lare_policies.learner(environment, source, _ITERATIONS.value)


def schedule() -> lare_runs.Schedule:
  """How long the flags say."""
  return lare_runs.Schedule(
    _ITERATIONS.value,
    _RECORD_EVERY.value,
    _EVALUATION_EPISODES.value,
    _CHECKPOINT_EVERY.value,
  )


def _chart(method, learner, result, folder: pathlib.Path) -> None:
  """Factors and rewards along an episode of the first seed."""
  if not isinstance(learner.source, reward_sources.Decoded):
    return

  @jax.jit
  def look(source, played):
    steps = learner.steps(played)
    return steps, learner.source.rewards(source, steps)

  steps, decoded = jax.tree.map(
    lambda x: np.asarray(x)[0], look(result.source, result.episode())
  )
  if steps.features.shape[-1] > 12:
    # A transition itself: too much to draw, and nothing to read.
    steps = dataclasses.replace(steps, features=steps.features[..., :0])
  lare_figures.save(
    lare_figures.draw_episode(
      steps.features,
      decoded,
      steps.rewards,
      f'{_TASK.value}, {lare_tasks.METHODS[method]}, seed {_SEEDS.value[0]}',
    ),
    folder,
    f'episode_{method}',
  )


def _experiment(folder: pathlib.Path, stop) -> str:
  """Trains all methods; the first process writes figures, and has a table."""
  seeds = list(_SEEDS.value)
  results = {}
  for method in dict.fromkeys(_METHODS.value):
    learner = program(method)
    label = lare_tasks.METHODS[method]
    train = lare_runs.train
    if lare_tasks.on_host(learner.environment):
      train = lare_host_runs.train
    result = train(
      label, learner, seeds, schedule(), folder / 'checkpoints' / method, stop
    )
    results[method] = result
    last = result.curves['evaluation'][:, -1].mean()
    console.console.print(f'{label}: return {last:.2f}')
    if processes.is_first():
      _chart(method, learner, result, folder)
  if not processes.is_first():
    return ''
  title = f'{_TASK.value}, {_AGENTS.value} agents, {len(seeds)} seeds'
  return lare_figures.write(results, seeds, folder, title)


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'unknown arguments: {" ".join(argv[1:])}')
  # Orbax logs with a traceback what it raises as well.
  logging.set_verbosity(logging.FATAL)
  return process_flags.together(_run)


def _run() -> int:
  """What `main` does in each process."""
  folder = pathlib.Path(_RUN.value).expanduser()
  new = False
  stop = interruption.Interruption()
  try:
    if len(set(_SEEDS.value)) < len(_SEEDS.value):
      raise ValueError('--seed: each seed is a run of its own, give it once')
    if processes.count() > 1 and _BACKEND.value == 'mujoco':
      raise ValueError(
        '--backend=mujoco takes one process: give some of the seeds to each of '
        'several commands, with a --run of its own'
      )
    new = not run_folder.open_together(folder, own_flags(), _MAY_CHANGE)
    if not new:
      console.console.print(f'{folder} holds this experiment: going on')
    with stop:
      text = _experiment(folder, lambda: stop.requested)
  except lare_runs.InterruptedRunError:
    console.console.print(f'stopped; the same command goes on from {folder}')
    return stop.exit_status
  except KeyboardInterrupt:
    return stop.at_once(folder)
  except (
    OSError,
    ValueError,
    FloatingPointError,
    ModuleNotFoundError,
  ) as error:
    if new and processes.is_first():
      run_folder.forget_unbegun(folder)
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
