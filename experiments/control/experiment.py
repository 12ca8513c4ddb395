"""Trains all methods of an experiment, and draws what came of them."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

import jax
import numpy as np

from experiments.control import (
  agents,
  figures,
  host_runs,
  runs,
  settings,
  tasks,
)
from experiments.run import console
from jaxcredit.agents import ippo, reward_sources, td3
from jaxcredit.distributed import processes

# Features of more numbers are too much to draw.
_MOST_DRAWN = 12


@dataclasses.dataclass(frozen=True)
class Experiment:
  """What an experiment trains.

  Attributes:
    settings: of all methods.
    learners: of each method.
  """

  settings: settings.Settings
  learners: Mapping[str, ippo.Ippo | td3.Td3]


def decoder_defaults(environment) -> tasks.DecoderOptions:
  """Options of the reward network as released for the task's kind."""
  if environment.discrete:
    return tasks.PARTICLES_DECODER
  return tasks.ROBOTS_DECODER


def build(
  chosen: settings.Settings, decoder: Mapping[str, object]
) -> Experiment:
  """The learners of an experiment.

  Args:
    chosen: the settings.
    decoder: options of the reward network that differ from the released ones.

  Raises:
    ValueError: options that do not go with the task.
    ModuleNotFoundError: the task's packages are not installed.
  """
  if processes.count() > 1 and chosen.backend == 'mujoco':
    raise ValueError(
      '--backend=mujoco takes one process: give some of the seeds to each of '
      'several commands, with a --run of its own'
    )
  learners = {}
  for method in dict.fromkeys(chosen.method):
    environment = tasks.environment(
      chosen.task, chosen.agents, chosen.reward, chosen.backend
    )
    latent = None
    if method.startswith('lare'):
      latent = tasks.latent_program(chosen.task, environment, chosen.latent)
    options = dataclasses.replace(decoder_defaults(environment), **decoder)
    source = tasks.source(method, environment, options, latent)
    learners[method] = agents.learner(environment, source, chosen.iterations)
  return Experiment(chosen, learners)


def _draw_episode(
  experiment: Experiment, method: str, result: runs.Result, folder: pathlib.Path
) -> None:
  """Factors and rewards along an episode of the first seed."""
  learner = experiment.learners[method]
  if not isinstance(learner.source, reward_sources.Decoded):
    return

  @jax.jit
  def look(source, played):
    steps = learner.steps(played)
    return steps, learner.source.rewards(source, steps)

  steps, decoded = jax.tree.map(
    lambda x: np.asarray(x)[0], look(result.source, result.episode())
  )
  factors = steps.features
  if factors.shape[-1] > _MOST_DRAWN:
    # A transition itself.
    factors = factors[..., :0]
  chosen = experiment.settings
  title = f'{chosen.task}, {tasks.METHODS[method]}, seed {chosen.seed[0]}'
  figures.save(
    figures.draw_episode(factors, decoded, steps.rewards, title),
    folder,
    f'episode_{method}',
  )


def run(
  experiment: Experiment, folder: pathlib.Path, stop: Callable[[], bool]
) -> None:
  """Trains all methods; the first process writes figures, CSV and table.md.

  Args:
    experiment: what is trained.
    folder: of the run.
    stop: says whether the user wants to stop.

  Raises:
    interruption.InterruptedRunError: the user wants to stop.
    FloatingPointError: a return is not finite.
    ValueError: the processes cannot all have as many seeds.
  """
  chosen = experiment.settings
  results = {}
  for method, learner in experiment.learners.items():
    label = tasks.METHODS[method]
    train = runs.train
    if tasks.on_host(learner.environment):
      train = host_runs.train
    checkpoints = folder / 'checkpoints' / method
    result = train(label, learner, chosen, checkpoints, stop)
    results[method] = result
    last = result.curves['evaluation'][:, -1].mean()
    console.console.print(f'{label}: return {last:.2f}')
    if processes.is_first():
      _draw_episode(experiment, method, result, folder)
  if processes.is_first():
    title = f'{chosen.task}, {chosen.agents} agents, {len(chosen.seed)} seeds'
    figures.write(results, chosen.seed, folder, title)
