"""LaRe and its baselines on tasks whose reward comes at the episode's end.

  python -m experiments.lare \
      --flagfile=experiments/flagfiles/lare_spread_quick.cfg
  python -m experiments.lare --run=runs/mine --task=predator_prey \
      --method=lare --method=rrd --method=episodic --seed=0 --seed=1

The same command resumes an experiment that was stopped. The folder gets curves
of all methods with confidence bands over seeds, a table, every number as CSV,
and for methods with a network a chart of the factors and decoded rewards of an
episode. Needs the extra control.
"""

import dataclasses
import pathlib
import sys

import jax
import numpy as np
from absl import app, flags, logging

from experiments import (
  console,
  interruption,
  lare_figures,
  lare_runs,
  lare_tasks,
  run_folder,
)
from jaxcredit.training import ippo, reward_sources

_RUN = flags.DEFINE_string('run', 'runs/lare', 'Folder of the experiment.')
_TASK = flags.DEFINE_enum(
  'task', 'cooperative_navigation', list(lare_tasks.PARTICLES), 'The task.'
)
_AGENTS = flags.DEFINE_integer('agents', 3, 'Agents that learn.', 2)
_REWARD = flags.DEFINE_enum(
  'reward',
  'released',
  ['released', 'standard'],
  "Rewards of steps, whose sum comes at the end: those of LaRe's code, or of "
  'jaxmarl.',
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

# Policy.
_DEFAULTS = ippo.Options()
_EPISODES = flags.DEFINE_integer(
  'episodes', _DEFAULTS.episodes, 'Episodes of an iteration.', 1
)
_LEARNING_RATE = flags.DEFINE_float(
  'learning_rate', _DEFAULTS.learning_rate, "Adam's at the start.", 0.0
)
_DECAY = flags.DEFINE_bool(
  'decay', True, 'Let learning rate and clip range fall to 0.'
)
_CLIP = flags.DEFINE_float('clip', _DEFAULTS.clip, 'Clip range.', 0.0)
_DISCOUNT = flags.DEFINE_float('discount', _DEFAULTS.discount, '', 0.0, 1.0)
_GAE_LAMBDA = flags.DEFINE_float(
  'gae_lambda', _DEFAULTS.gae_lambda, 'Of advantages.', 0.0, 1.0
)
_ENTROPY = flags.DEFINE_float(
  'entropy_coefficient', _DEFAULTS.entropy_coefficient, 'Weight of the bonus.'
)
_VALUE = flags.DEFINE_float(
  'value_coefficient', _DEFAULTS.value_coefficient, "Of the critic's loss.", 0.0
)
_HUBER = flags.DEFINE_float(
  'huber', _DEFAULTS.huber, "Where the critic's loss turns linear.", 1e-6
)
_EPOCHS = flags.DEFINE_integer(
  'epochs', _DEFAULTS.epochs, 'Passes over the batch.', 1
)
_MINIBATCH = flags.DEFINE_integer(
  'minibatch', _DEFAULTS.minibatch, 'Steps of an optimizer step.', 1
)
_CLIP_NORM = flags.DEFINE_float(
  'clip_norm', _DEFAULTS.clip_norm, 'Bound on the gradient.', 1e-6
)
_HIDDEN = flags.DEFINE_integer(
  'hidden', _DEFAULTS.hidden, 'Width of policy and critic.', 1
)
_NORMALISE_VALUES = flags.DEFINE_bool(
  'normalise_values', True, 'Let the critic learn returns in unit deviation.'
)
_BUFFER = flags.DEFINE_integer(
  'buffer', _DEFAULTS.buffer, 'Episodes that rewards are learned from.', 1
)

# The network that predicts rewards.
_NET = lare_tasks.DecoderOptions()
_DECODER_HIDDEN = flags.DEFINE_integer(
  'decoder_hidden', _NET.hidden, 'Width of the network.', 1
)
_DECODER_LAYERS = flags.DEFINE_integer(
  'decoder_layers', _NET.layers, 'Its linear layers.', 1
)
_DECODER_LEARNING_RATE = flags.DEFINE_float(
  'decoder_learning_rate', _NET.learning_rate, "Adam's.", 0.0
)
_DECODER_L2 = flags.DEFINE_float('decoder_l2', _NET.l2, 'Penalty.', 0.0)
_DECODER_UPDATES = flags.DEFINE_integer(
  'decoder_updates',
  _NET.updates,
  'Optimizer steps an iteration; the released 50 every 10 are as many.',
  1,
)
_DECODER_BATCH = flags.DEFINE_integer(
  'decoder_batch', _NET.batch, 'Episodes of an optimizer step.', 1
)
_DECODER_STEPS = flags.DEFINE_integer(
  'decoder_steps', _NET.steps, 'Steps of an episode that RRD draws.', 1
)
_UNBIASED = flags.DEFINE_bool(
  'unbiased', _NET.unbiased, "Take the variance of RRD's draws off."
)
_FORM = flags.DEFINE_enum(
  'form', _NET.form, ['sum', 'mean'], 'Of the loss: of returns, or R / L.'
)
_VARIANCE_WEIGHT = flags.DEFINE_float(
  'variance_weight', 0.0, 'Of the variance of rewards over time.', 0.0
)
_NORMALISE_FACTORS = flags.DEFINE_bool(
  'normalise_factors', _NET.normalise, 'Features in units of their deviation.'
)
_SCALING = flags.DEFINE_enum(
  'scaling',
  _NET.scaling,
  ['none', 'length', 'exact'],
  'Of decoded rewards: none, times agents and steps (released), or shifted to '
  'add up to the return.',
)
_SHARE = flags.DEFINE_bool(
  'share_rewards', False, 'One reward for all agents of a step (ablation).'
)

# These may change when a run is resumed.
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
  """Values of the flags of this file."""
  module = flags.FLAGS.find_module_defining_flag('decoder_hidden')
  own = flags.FLAGS.flags_by_module_dict()[module]
  return {flag.name: flag.value for flag in own}


def program(method: str) -> ippo.Ippo:
  """The learner that the flags say."""
  environment = lare_tasks.particles(_TASK.value, _AGENTS.value, _REWARD.value)
  latent = None
  if method.startswith('lare'):
    latent = lare_tasks.latent_program(_TASK.value, environment, _LATENT.value)
  source = lare_tasks.source(
    method,
    environment,
    lare_tasks.DecoderOptions(
      hidden=_DECODER_HIDDEN.value,
      layers=_DECODER_LAYERS.value,
      learning_rate=_DECODER_LEARNING_RATE.value,
      l2=_DECODER_L2.value,
      updates=_DECODER_UPDATES.value,
      batch=_DECODER_BATCH.value,
      scaling=_SCALING.value,
      share=_SHARE.value,
      normalise=_NORMALISE_FACTORS.value,
      steps=_DECODER_STEPS.value,
      unbiased=_UNBIASED.value,
      form=_FORM.value,
      variance_weight=_VARIANCE_WEIGHT.value,
    ),
    latent,
  )
  options = ippo.Options(
    episodes=_EPISODES.value,
    iterations=_ITERATIONS.value,
    decay=_DECAY.value,
    learning_rate=_LEARNING_RATE.value,
    clip=_CLIP.value,
    discount=_DISCOUNT.value,
    gae_lambda=_GAE_LAMBDA.value,
    entropy_coefficient=_ENTROPY.value,
    value_coefficient=_VALUE.value,
    huber=_HUBER.value,
    epochs=_EPOCHS.value,
    minibatch=_MINIBATCH.value,
    clip_norm=_CLIP_NORM.value,
    hidden=_HIDDEN.value,
    normalise_values=_NORMALISE_VALUES.value,
    buffer=_BUFFER.value,
  )
  return ippo.Ippo(environment, source, options)


def schedule() -> lare_runs.Schedule:
  """How long the flags say."""
  return lare_runs.Schedule(
    _ITERATIONS.value,
    _RECORD_EVERY.value,
    _EVALUATION_EPISODES.value,
    _CHECKPOINT_EVERY.value,
  )


def _chart(method, learner, state, folder: pathlib.Path) -> None:
  """Factors and rewards along an episode of the first seed."""
  if not isinstance(learner.source, reward_sources.Decoded):
    return

  @jax.jit
  def episode(state):
    played = learner.evaluate(state, jax.random.key(0), 1)
    steps = learner.steps(played)
    return steps, learner.source.rewards(state.source, steps)

  first = jax.tree.map(lambda x: x[0], state)
  steps, decoded = jax.tree.map(lambda x: np.asarray(x)[0], episode(first))
  if steps.features.shape[-1] > 12:
    # A transition itself: too much to draw, and nothing to read.
    steps = steps.__class__(
      **{**vars(steps), 'features': steps.features[..., :0]}
    )
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
  seeds = list(_SEEDS.value)
  results = {}
  for method in dict.fromkeys(_METHODS.value):
    learner = program(method)
    label = lare_tasks.METHODS[method]
    result = lare_runs.train(
      label, learner, seeds, schedule(), folder / 'checkpoints' / method, stop
    )
    results[method] = result
    last = result.curves['evaluation'][:, -1].mean()
    console.console.print(f'{label}: return {last:.2f}')
    _chart(method, learner, result.state, folder)
  title = f'{_TASK.value}, {_AGENTS.value} agents, {len(seeds)} seeds'
  return lare_figures.write(results, seeds, folder, title)


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'unknown arguments: {" ".join(argv[1:])}')
  logging.set_verbosity(logging.ERROR)
  folder = pathlib.Path(_RUN.value).expanduser()
  new = False
  try:
    if len(set(_SEEDS.value)) < len(_SEEDS.value):
      raise ValueError('--seed: each seed is a run of its own, give it once')
    new = not run_folder.open_run(folder, own_flags(), _MAY_CHANGE)
    if not new:
      console.console.print(f'{folder} holds this experiment: going on')
    with interruption.Interruption() as stop:
      text = _experiment(folder, lambda: stop.requested)
  except lare_runs.InterruptedRunError:
    console.console.print(f'stopped; the same command goes on from {folder}')
    return 130
  except (
    OSError,
    ValueError,
    FloatingPointError,
    ModuleNotFoundError,
  ) as error:
    if new:
      run_folder.forget_unbegun(folder)
    print(f'error: {error}', file=sys.stderr)
    return 1
  print(text)
  console.console.print(f'figures, CSV and table: {folder}', soft_wrap=True)
  return 0


if __name__ == '__main__':
  app.run(main)
