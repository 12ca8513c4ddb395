"""The tasks of LaRe's experiments, and what each method rewards with."""

import dataclasses
import pathlib

import jax
import numpy as np

from jaxcredit import options
from jaxcredit.agents import reward_decomposition, reward_sources
from jaxcredit.environments import functional
from jaxcredit.latent_rewards import (
  examples,
  interpreter,
  language,
  stored,
  tasks,
  transitions,
)
from jaxcredit.latent_rewards import particle_tasks as latent_particles
from jaxcredit.networks.heads import reward_decoder
from jaxcredit.rollouts import functional_episodes

PARTICLES = ('cooperative_navigation', 'predator_prey', 'triangle_area')
# brax's names, by those of the tasks.
ROBOTS = {
  'reacher': 'reacher',
  'half_cheetah': 'halfcheetah',
  'walker2d': 'walker2d',
  'humanoid_standup': 'humanoidstandup',
}
# Gymnasium's, on the host.
MUJOCO_ROBOTS = {
  'reacher': 'Reacher-v5',
  'half_cheetah': 'HalfCheetah-v5',
  'walker2d': 'Walker2d-v5',
  'humanoid_standup': 'HumanoidStandup-v5',
}
TASKS = (*PARTICLES, *ROBOTS)
METHODS = {
  'dense': 'dense reward (reference)',
  'episodic': 'episodic reward',
  'ircr': 'IRCR',
  'rd': 'RD',
  'rrd': 'RRD',
  'lare': 'LaRe',
  'lare_rrd': 'LaRe on RRD',
}


def particles(name: str, agents: int, reward: str):
  """A task in the plane.

  Raises:
    ValueError: it does not come with so many agents or that reward.
    ModuleNotFoundError: the extra control is not installed.
  """
  from jaxcredit.environments import particles as particles_lib

  if name == 'triangle_area':
    return particles_lib.TriangleArea(agents, reward)
  kinds = {
    'cooperative_navigation': particles_lib.CooperativeNavigation,
    'predator_prey': particles_lib.PredatorPrey,
  }
  return kinds[name](agents, reward)


def environment(name: str, agents: int, reward: str, backend: str):
  """A task of TASKS; `agents` and `reward` are for particles, `backend` is for
  robots: 'mujoco', one robot on the host, or one of brax's."""
  if name in PARTICLES:
    return particles(name, agents, reward)
  if backend == 'mujoco':
    from jaxcredit.environments import gymnasium_robots

    return gymnasium_robots.GymnasiumRobots(MUJOCO_ROBOTS[name], 1)
  from jaxcredit.environments import brax_robots

  return brax_robots.BraxRobot(ROBOTS[name], backend)


def described(name: str, environment: functional.Environment):
  """The task as a language model is told about it."""
  if name == 'cooperative_navigation':
    n = environment.agents
    return latent_particles.cooperative_navigation(n, n)
  if name == 'predator_prey':
    return latent_particles.predator_prey(
      environment.agents, environment.prey, environment.obstacles
    )
  return tasks.named(name)


def random_policy(
  environment: functional.Environment,
) -> functional_episodes.Policy:
  """Actions that are drawn alike, whatever is observed."""

  def act(observation, key):
    agents, size = observation.shape[0], environment.action_size
    if environment.discrete:
      action = jax.random.randint(key, (agents,), 0, size)
    else:
      action = jax.random.uniform(key, (agents, size), minval=-1.0)
    return action, jax.numpy.zeros(agents)

  return act


def on_host(environment) -> bool:
  """Whether its steps are taken by the host, not by a compiled program."""
  return hasattr(environment, 'restart')


def random_episodes(
  environment: functional.Environment, episodes: int, seed: int = 0
) -> functional_episodes.Episodes:
  """Episodes of actions that are drawn alike.

  Args:
    environment: the task, on the device or one robot on the host.
    episodes: how many.
    seed: of everything random.
  """
  if on_host(environment):
    from jaxcredit.agents import td3_on_host
    from jaxcredit.environments import gymnasium_robots

    robots = gymnasium_robots.GymnasiumRobots(environment.name, episodes)
    rng = np.random.default_rng(seed)
    size = (episodes, robots.action_size)
    played = td3_on_host.play(
      robots, lambda seen: rng.uniform(-1, 1, size).astype(np.float32), seed
    )
    robots.close()
    return played
  return jax.jit(
    lambda key: functional_episodes.play(
      environment, random_policy(environment), key, episodes
    )
  )(jax.random.key(seed))


def random_transitions(
  environment: functional.Environment,
  parameters: tuple[str, ...],
  *,
  episodes: int = 12,
  seed: int = 0,
) -> transitions.Transitions:
  """What random actions lead to, on which a function is verified.

  Args:
    environment: the task.
    parameters: of the function: the observation after a step, or the one before
      it and the action.
    episodes: how many.
    seed: of everything random.
  """
  played = random_episodes(environment, episodes, seed)
  mask = np.broadcast_to(np.asarray(played.mask)[:, None], played.rewards.shape)
  if len(parameters) == 1:
    return transitions.Transitions(
      (np.asarray(played.observations[:, :, 1:])[mask],)
    )
  before = np.asarray(played.observations[:, :, :-1])[mask]
  return transitions.Transitions((before, np.asarray(played.actions)[mask]))


def latent_program(
  name: str,
  environment: functional.Environment,
  latent: str,
) -> language.Program:
  """The function that makes factors of steps.

  Args:
    name: of the task.
    environment: the task.
    latent: 'good', 'partial' or 'poor' for a recorded example, or a file that
      was written by `stored.save`.

  Raises:
    ValueError: the function does not fit the task, or is not accepted.
    OSError: the file cannot be read.
  """
  task = described(name, environment)
  if latent not in examples.QUALITIES:
    recorded = random_transitions(environment, task.parameters)
    return stored.load(pathlib.Path(latent), task, recorded).program
  agents = environment.agents if name in examples.LARGER_TEAMS else None
  try:
    source = examples.source(name, latent, agents)
  except ValueError as error:
    raise ValueError(
      f'{error}; name a file with --latent (python -m '
      'experiments.tools.write_latent_reward makes one)'
    ) from None
  return language.check(source, task.parameters)


@dataclasses.dataclass(frozen=True)
class DecoderOptions:
  """Options of the network that predicts rewards; see `Decoded`.

  The defaults are those of the released code for particles.
  """

  hidden: int = options.option(64, 'Width of the reward network.', 1)
  layers: int = options.option(5, 'Linear layers of the reward network.', 1)
  learning_rate: float = options.option(
    5e-4, 'Learning rate of Adam, of the reward network.', above=0
  )
  l2: float = options.option(
    1e-5, 'L2 penalty of the reward network; 0: off.', 0
  )
  updates: int = options.option(
    5,
    'Optimizer steps of the reward network an iteration; the released 50 every '
    '10 are as many.',
    1,
  )
  batch: int = options.option(256, 'Episodes of such an optimizer step.', 1)
  scaling: str = options.option(
    'none',
    'Scaling of decoded rewards: none, times agents and steps (released), or '
    'shifted to add up to the return.',
    choices=('none', 'length', 'exact'),
  )
  share: bool = options.option(
    False, 'Give all agents of a step one reward (ablation).'
  )
  normalise: bool = options.option(
    True, 'Learn features in units of their deviation.'
  )
  steps: int = options.option(12, 'Steps of an episode that RRD draws.', 1)
  unbiased: bool = options.option(
    True, "Subtract the variance of RRD's estimate."
  )
  form: str = options.option(
    'sum',
    'Target of the loss: the return, or return / length.',
    choices=('sum', 'mean'),
  )
  variance_weight: float = options.option(
    0.0, 'Weight of the variance of rewards over time; 0: off.', 0
  )

  __post_init__ = options.check


# As released.
PARTICLES_DECODER = DecoderOptions()
ROBOTS_DECODER = DecoderOptions(
  hidden=256,
  layers=3,
  learning_rate=3e-4,
  l2=0.0,
  updates=64,
  batch=4,
  steps=64,
  form='mean',
  normalise=True,
)


def transition_features(observation, action, next_observation):
  """What RD and RRD see: the transition, as released for MuJoCo."""
  return reward_decoder.transition_features(
    observation, action, next_observation
  )


def source(
  method: str,
  environment: functional.Environment,
  decoder: DecoderOptions,
  program: language.Program | None,
) -> reward_sources.Source:
  """What a method rewards with.

  Args:
    method: one of METHODS.
    environment: the task.
    decoder: options of the network.
    program: of factors, for LaRe. It sees the observation to which a step led
      and, if it has a second argument, the action.
  """
  plain = {
    'dense': reward_sources.Dense,
    'episodic': reward_sources.Episodic,
    'ircr': reward_sources.Ircr,
  }
  if method in plain:
    return plain[method]()
  features = transition_features
  if method.startswith('lare'):

    def features(observation, action, next_observation):
      if len(program.parameters) == 1:
        return interpreter.encode(program, next_observation)
      return interpreter.encode(program, observation, action)

  sees = jax.ShapeDtypeStruct((environment.observation_size,), np.float32)
  does = jax.ShapeDtypeStruct((environment.action_size,), np.float32)
  size = jax.eval_shape(features, sees, does, sees).shape[-1]
  loss = reward_decomposition.Options(
    k=decoder.steps if method.endswith('rrd') else None,
    form=decoder.form,
    unbiased=decoder.unbiased,
    variance_weight=decoder.variance_weight,
  )
  return reward_sources.Decoded(
    features,
    size,
    hidden=decoder.hidden,
    layers=decoder.layers,
    options=loss,
    learning_rate=decoder.learning_rate,
    l2=decoder.l2,
    normalise=decoder.normalise,
    updates=decoder.updates,
    batch=decoder.batch,
    scaling=decoder.scaling,
    share=decoder.share,
  )
