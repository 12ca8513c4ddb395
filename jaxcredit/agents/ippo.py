"""Independent PPO of agents that share one policy (de Witt et al. 2020).

One iteration plays E whole episodes, rewards their steps by a source
(`reward_sources`), and takes PPO's steps; all of it is one compiled program.

  program = Ippo(environment, source, Options())
  state = program.init(key)
  state, metrics = jax.jit(program.iterate, donate_argnums=0)(state)

Defaults are those of the code released with LaRe for particles. It differs in
three points: there, the value of the last state overwrites that of the state
before it; values are normalised until the first iteration alone; and its
entropy bonus is a mean over the actions taken in place of the entropy.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxcredit import options as options_lib
from jaxcredit.agents import (
  episode_buffer,
  reward_decomposition,
  reward_sources,
)
from jaxcredit.algorithms import losses, ppo, running_statistics
from jaxcredit.algorithms.internal.masked_mean import masked_mean
from jaxcredit.environments import functional
from jaxcredit.networks import mlp
from jaxcredit.rollouts import functional_episodes

Params = dict[str, mlp.Params]
Metrics = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Options:
  """Options of training; the defaults are those of the released code."""

  episodes: int = options_lib.option(82, 'Episodes of an iteration.', 1)
  iterations: int = options_lib.option(
    1000, 'Iterations after which what decays has come to 0.', 1
  )
  decay: bool = options_lib.option(
    True, 'Let learning rate and clip range fall to 0.'
  )
  learning_rate: float = options_lib.option(
    1e-4, 'Learning rate of Adam.', above=0
  )
  clip: float = options_lib.option(0.5, 'Clip range of the ratio.', above=0)
  discount: float = options_lib.option(1.0, 'Discount of rewards.', 0, 1)
  gae_lambda: float = options_lib.option(0.95, 'Lambda of advantages.', 0, 1)
  entropy_coefficient: float = options_lib.option(
    0.01, 'Weight of the entropy bonus; 0: off.', 0
  )
  value_coefficient: float = options_lib.option(
    0.5, "Weight of the critic's loss.", above=0
  )
  huber: float = options_lib.option(
    10.0, "Error at which the critic's loss turns linear.", above=0
  )
  epochs: int = options_lib.option(10, 'Passes over the batch.', 1)
  minibatch: int = options_lib.option(
    128, 'Steps, of all agents, of an optimizer step.', 1
  )
  clip_norm: float = options_lib.option(
    10.0, "Bound on the gradient's norm.", above=0
  )
  hidden: int = options_lib.option(
    64, 'Width of the two hidden layers of each network.', 1
  )
  normalise_values: bool = options_lib.option(
    True, 'Learn returns in units of their recent deviation.'
  )
  buffer: int = options_lib.option(
    15_000, 'Episodes that rewards are learned from.', 1
  )

  def __post_init__(self):
    options_lib.check(self)
    if self.buffer < self.episodes:
      raise ValueError(
        f'buffer must hold the episodes of an iteration, {self.episodes}; it '
        f'is {self.buffer}'
      )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """What training changes.

  Attributes:
    params: of 'actor' and 'critic'.
    optimizer: state of the optimizer.
    returns: statistics of the returns that the critic learns.
    source: state of the reward source.
    buffer: of episodes, for the source.
    key: of everything random; never changes.
    iteration: int32 [], iterations done.
  """

  params: Params
  optimizer: Any
  returns: running_statistics.RunningStatistics
  source: Any
  buffer: episode_buffer.EpisodeBuffer
  key: jax.Array
  iteration: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Batch:
  """What PPO learns from, [steps, N, ...]."""

  observations: jax.Array
  actions: jax.Array
  log_probs: jax.Array
  advantages: jax.Array
  targets: jax.Array
  mask: jax.Array


def correlation(x: jax.Array, y: jax.Array, mask: jax.Array) -> jax.Array:
  """Pearson's, over entries that count; 0 where either does not vary."""
  x, y = x - masked_mean(x, mask), y - masked_mean(y, mask)
  size = jnp.sqrt(masked_mean(x * x, mask) * masked_mean(y * y, mask))
  return jnp.where(
    size > 0, masked_mean(x * y, mask) / jnp.where(size > 0, size, 1), 0
  )


@dataclasses.dataclass(frozen=True, eq=False)
class Ippo:
  """The program, a static value.

  Attributes:
    environment: the task.
    source: of rewards.
    options: of training.
  """

  environment: functional.Environment
  source: reward_sources.Source
  options: Options = Options()

  def __post_init__(self):
    if not self.environment.discrete:
      raise ValueError('IPPO is for discrete actions; take TD3 for others')
    steps = self.options.episodes * self.environment.horizon
    if self.options.minibatch > steps:
      raise ValueError(
        f'minibatch is {self.options.minibatch}, more than the {steps} steps '
        'of an iteration'
      )

  @property
  def _optimizer(self) -> optax.GradientTransformation:
    options = self.options
    rate = options.learning_rate
    if options.decay:
      steps = options.episodes * self.environment.horizon
      each = options.epochs * (steps // options.minibatch)
      rate = optax.linear_schedule(rate, 0.0, options.iterations * each)
    return optax.chain(
      optax.clip_by_global_norm(options.clip_norm), optax.adam(rate, eps=1e-5)
    )

  def init(self, key: jax.Array) -> State:
    """The state before the first iteration."""
    task, options = self.environment, self.options
    actor_key, critic_key, source_key, key = jax.random.split(key, 4)
    sizes = (task.observation_size, options.hidden, options.hidden)
    params = {
      'actor': mlp.init(
        actor_key,
        (*sizes, task.action_size),
        orthogonal=True,
        last_scale=0.01,
      ),
      'critic': mlp.init(
        critic_key, (*sizes, 1), orthogonal=True, last_scale=1.0
      ),
    }
    return State(
      params=params,
      optimizer=self._optimizer.init(params),
      returns=running_statistics.init(()),
      source=self.source.init(source_key),
      buffer=episode_buffer.init(
        options.buffer, task.agents, task.horizon, self.source.size
      ),
      key=key,
      iteration=jnp.zeros((), jnp.int32),
    )

  def log_probs(self, params: Params, observations: jax.Array) -> jax.Array:
    """float [..., O] -> [..., actions]."""
    logits = mlp.apply(params['actor'], observations, jnp.tanh)
    return jax.nn.log_softmax(logits)

  def sample(self, params: Params, observation: jax.Array, key: jax.Array):
    """Draws actions: [N, O] -> int32 [N], log-probabilities [N]."""
    log_probs = self.log_probs(params, observation)
    action = jax.random.categorical(key, log_probs)
    chosen = jnp.take_along_axis(log_probs, action[..., None], axis=-1)
    return action, chosen[..., 0]

  def likeliest(self, params: Params, observation: jax.Array, key: jax.Array):
    """The likeliest actions: [N, O] -> int32 [N], log-probabilities [N]."""
    del key
    log_probs = self.log_probs(params, observation)
    return jnp.argmax(log_probs, axis=-1), log_probs.max(axis=-1)

  def values(self, state: State, observations: jax.Array) -> jax.Array:
    """Values of states in units of rewards: [..., O] -> [...]."""
    normal = mlp.apply(state.params['critic'], observations, jnp.tanh)[..., 0]
    mean, unit = self._scale(state.returns)
    return normal * unit + mean

  def _scale(self, statistics):
    """Mean and deviation of returns; 0 and 1 where they are not to be used."""
    if not self.options.normalise_values:
      return jnp.zeros(()), jnp.ones(())
    deviation = running_statistics.deviation(statistics)
    return statistics.mean, jnp.where(deviation > 0, deviation, 1)

  def evaluate(
    self, state: State, key: jax.Array, episodes: int, greedy: bool = True
  ) -> functional_episodes.Episodes:
    """Plays episodes with the policy as it is."""
    act = self.likeliest if greedy else self.sample
    return functional_episodes.play(
      self.environment, functools.partial(act, state.params), key, episodes
    )

  def steps(
    self, episodes: functional_episodes.Episodes
  ) -> reward_sources.Steps:
    """Episodes as sources see them, [E, N, S]."""
    actions = jax.nn.one_hot(episodes.actions, self.environment.action_size)
    return reward_sources.steps_of(episodes, self.source.features, actions)

  def iterate(self, state: State) -> tuple[State, Metrics]:
    """Plays, learns rewards, and takes PPO's steps.

    Args:
      state: before; may be donated.

    Returns:
      The state after, and metrics, float [] each: `team_return` and others.
    """
    key = jax.random.fold_in(state.key, state.iteration)
    play_key, source_key, update_key = jax.random.split(key, 3)
    episodes = self.evaluate(
      state, play_key, self.options.episodes, greedy=False
    )
    steps = self.steps(episodes)
    buffer = episode_buffer.add(
      state.buffer,
      reward_decomposition.Episodes(
        steps.features, episodes.team_return, steps.mask
      ),
    )
    source = state.source
    if isinstance(self.source, reward_sources.Decoded):
      source = self.source.observe(source, steps.features, steps.mask)
    # Before the rewards: a network that has seen nothing would misguide.
    source, metrics = self.source.fit(
      source, buffer.episodes, buffer.size, source_key
    )
    rewards = self.source.rewards(source, steps)
    state = dataclasses.replace(state, source=source, buffer=buffer)
    state, learned = self._learn(state, episodes, rewards, steps, update_key)
    state = dataclasses.replace(state, iteration=state.iteration + 1)
    return state, {
      'team_return': episodes.team_return.mean(),
      'reward_correlation': correlation(rewards, episodes.rewards, steps.mask),
      **metrics,
      **learned,
    }

  def _learn(self, state, episodes, rewards, steps, key):
    """PPO's steps from one batch."""
    options = self.options
    values = self.values(state, episodes.observations)
    ended = episodes.terminated | self.environment.end_counts
    credit = ppo.advantages(
      rewards,
      values[..., :-1],
      steps.mask,
      discount=options.discount,
      gae_lambda=options.gae_lambda,
      bootstrap=jnp.where(ended[:, None], 0, values[..., -1]),
    )
    # What was returned many iterations ago is forgotten.
    recent = dataclasses.replace(
      state.returns, count=0.9 * state.returns.count, m2=0.9 * state.returns.m2
    )
    returns = running_statistics.update(recent, credit.returns, steps.mask)
    mean, unit = self._scale(returns)
    batch = _Batch(
      episodes.observations[:, :, :-1],
      episodes.actions,
      episodes.log_probs,
      credit.total,
      (credit.returns - mean) / unit,
      steps.mask,
    )
    # [E, N, S, ...] -> [E S, N, ...]
    batch = jax.tree.map(
      lambda x: jnp.moveaxis(x, 2, 1).reshape(-1, x.shape[1], *x.shape[3:]),
      batch,
    )
    left = 1 - state.iteration / options.iterations if options.decay else 1.0
    clip = options.clip * jnp.maximum(left, 0.0)
    total = batch.mask.shape[0]
    count = total // options.minibatch

    def minibatch(carry, chosen):
      params, optimizer = carry
      part = jax.tree.map(lambda x: x[chosen], batch)
      gradients, metrics = jax.grad(self._loss, has_aux=True)(
        params, part, clip
      )
      changes, optimizer = self._optimizer.update(gradients, optimizer, params)
      return (optax.apply_updates(params, changes), optimizer), metrics

    def epoch(carry, key):
      order = jax.random.permutation(key, total)[: count * options.minibatch]
      return jax.lax.scan(minibatch, carry, order.reshape(count, -1))

    (params, optimizer), metrics = jax.lax.scan(
      epoch,
      (state.params, state.optimizer),
      jax.random.split(key, options.epochs),
    )
    state = dataclasses.replace(
      state, params=params, optimizer=optimizer, returns=returns
    )
    return state, jax.tree.map(jnp.mean, metrics)

  def _loss(self, params, batch, clip):
    """PPO's loss; its clip range is traced, since it decays."""
    options = self.options
    log_probs = self.log_probs(params, batch.observations)
    chosen = jnp.take_along_axis(log_probs, batch.actions[..., None], axis=-1)
    difference = chosen[..., 0] - batch.log_probs
    ratio = jnp.exp(jnp.clip(difference, -20, 20))
    bound = jnp.clip(ratio, 1 - clip, 1 + clip)
    gain = jnp.minimum(ratio * batch.advantages, bound * batch.advantages)
    entropy = masked_mean(losses.entropy(log_probs), batch.mask)
    values = mlp.apply(params['critic'], batch.observations, jnp.tanh)[..., 0]
    error = optax.huber_loss(values, batch.targets, delta=options.huber)
    critic = masked_mean(error, batch.mask)
    loss = (
      -masked_mean(gain, batch.mask)
      - options.entropy_coefficient * entropy
      + options.value_coefficient * critic
    )
    clipped = (ratio != bound).astype(jnp.float32)
    return loss, {
      'entropy': entropy,
      'approximate_kl': masked_mean(-difference, batch.mask),
      'clip_share': masked_mean(clipped, batch.mask),
      'critic_loss': critic,
    }
