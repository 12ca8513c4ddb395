"""TD3 (Fujimoto et al. 2018, 1802.09477) with a reward that is handed in.

  y = r + discount (1 - terminated) min_k Q_k'(s', clip(pi'(s') + noise))
  both critics learn y; every `delay` updates the actor climbs Q_1, and the
  targets follow by `follow`

Rewards r come from a source (`reward_sources`) whenever a transition is drawn,
so that old ones get what the newest network says. Blocks of steps in E
environments take turns with blocks of updates; all is one compiled program:

  program = Td3(environment, source, Options())
  state = program.init(key)
  state, metrics = jax.jit(program.iterate, donate_argnums=0)(state)

With an environment on the host, `act`, `record` and `learn` are the parts of
the same loop. Defaults are those of the code released with LaRe, whose episodic
reward leaves out the reward of the last step; here it is the whole return.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxcredit import options as options_lib
from jaxcredit.agents import replay as replay_lib
from jaxcredit.agents import reward_sources
from jaxcredit.environments import functional
from jaxcredit.networks import mlp
from jaxcredit.rollouts import functional_episodes

Metrics = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Options:
  """Options of training; the defaults are those of the released code."""

  environments: int = options_lib.option(8, 'Environments side by side.', 1)
  block: int = options_lib.option(
    8, 'Steps of each environment between updates.', 1
  )
  updates: int = options_lib.option(
    64,
    'Updates of the critics after a block, a multiple of the delay; as many as '
    'steps were released.',
    1,
  )
  blocks: int = options_lib.option(16, 'Blocks of an iteration.', 1)
  rounds: int = options_lib.option(
    125, 'Episodes that are kept of each environment.', 2
  )
  random_steps: int = options_lib.option(
    10_000, 'Steps in all with random actions, before anything is learned.', 0
  )
  learning_rate: float = options_lib.option(
    3e-4, 'Learning rate of Adam.', above=0
  )
  batch: int = options_lib.option(256, 'Transitions of an update.', 1)
  discount: float = options_lib.option(0.99, 'Discount of rewards.', 0, 1)
  follow: float = options_lib.option(
    0.005,
    'Share that targets move towards their networks an update.',
    high=1,
    above=0,
  )
  noise: float = options_lib.option(
    0.1, 'Deviation of the noise of exploration; 0 for none.', 0
  )
  target_noise: float = options_lib.option(
    0.2, 'Deviation of the noise of target actions; 0 for none.', 0
  )
  target_clip: float = options_lib.option(
    0.5, 'Bound on the noise of target actions; 0 for no noise.', 0
  )
  delay: int = options_lib.option(2, 'Critic updates for one of the actor.', 1)
  hidden: int = options_lib.option(
    256, 'Width of the two hidden layers of each network.', 1
  )

  def __post_init__(self):
    options_lib.check(self)
    if self.updates % self.delay:
      raise ValueError(
        f'updates must be a positive multiple of delay, not {self.updates} '
        f'with delay {self.delay}'
      )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Networks:
  """What an update changes.

  Attributes:
    params: 'actor', and 'critics' with a leading axis of two.
    targets: likewise.
    optimizers: states for 'actor' and 'critics'.
  """

  params: dict[str, mlp.Params]
  targets: dict[str, mlp.Params]
  optimizers: dict[str, Any]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """What training changes.

  Attributes:
    networks: of the policy.
    source: state of the source of rewards.
    replay: of transitions.
    environment: states of E environments; None where they are on the host.
    observation: float [E, O], theirs; None likewise.
    steps: int32 [], environment steps taken.
    finished_return: float [], mean return of the episodes that ended last.
    key: of everything random.
  """

  networks: Networks
  source: Any
  replay: replay_lib.Replay
  environment: Any
  observation: Any
  steps: jax.Array
  finished_return: jax.Array
  key: jax.Array


@dataclasses.dataclass(frozen=True, eq=False)
class Td3:
  """The program, a static value.

  Attributes:
    environment: the task, of one agent with actions in [-1, 1]; for `init`,
      `iterate` and `evaluate` on the device.
    source: of rewards.
    options: of training.
  """

  environment: functional.Environment
  source: reward_sources.Source
  options: Options = Options()

  def __post_init__(self):
    if self.environment.discrete or self.environment.agents != 1:
      raise ValueError('TD3 is for one agent with continuous actions')

  @property
  def _optimizer(self) -> optax.GradientTransformation:
    return optax.adam(self.options.learning_rate)

  def init(self, key: jax.Array, *, on_host: bool = False) -> State:
    """The state before the first step.

    Args:
      key: random key.
      on_host: whether environments are stepped by the caller.
    """
    task, options = self.environment, self.options
    count = options.environments
    actor_key, critic_key, source_key, start_key, key = jax.random.split(key, 5)
    hidden = (options.hidden, options.hidden)
    sizes = (task.observation_size + task.action_size, *hidden, 1)
    params = {
      'actor': mlp.init(
        actor_key, (task.observation_size, *hidden, task.action_size)
      ),
      'critics': jax.vmap(lambda k: mlp.init(k, sizes))(
        jax.random.split(critic_key)
      ),
    }
    environment = observation = None
    if not on_host:
      environment, observation = jax.vmap(task.reset)(
        jax.random.split(start_key, count)
      )
      observation = observation[:, 0]
    return State(
      networks=Networks(
        params,
        jax.tree.map(jnp.copy, params),
        {name: self._optimizer.init(params[name]) for name in params},
      ),
      source=self.source.init(source_key),
      replay=replay_lib.init(
        environments=count,
        rounds=options.rounds,
        horizon=task.horizon,
        observation=task.observation_size,
        action=task.action_size,
        features=self.source.size,
      ),
      environment=environment,
      observation=observation,
      steps=jnp.zeros((), jnp.int32),
      finished_return=jnp.zeros(()),
      key=key,
    )

  def policy(self, params: mlp.Params, observation: jax.Array) -> jax.Array:
    """float [..., O] -> [..., A], in [-1, 1]."""
    return jnp.tanh(mlp.apply(params, observation))

  def values(self, params, observation, action) -> jax.Array:
    """Of both critics: float [B, O], [B, A] -> [2, B]."""
    inputs = jnp.concatenate([observation, action], axis=-1)
    return jax.vmap(lambda p: mlp.apply(p, inputs))(params)[..., 0]

  def act(self, state: State, observation: jax.Array, key) -> jax.Array:
    """Actions to explore with: [E, O] -> [E, A]; random at first."""
    noise_key, random_key = jax.random.split(key)
    action = self.policy(state.networks.params['actor'], observation)
    noise = self.options.noise * jax.random.normal(noise_key, action.shape)
    action = jnp.clip(action + noise, -1, 1)
    random = jax.random.uniform(random_key, action.shape, minval=-1.0)
    return jnp.where(state.steps < self.options.random_steps, random, action)

  def record(
    self, state, observation, action, reward, next_observation, terminated
  ) -> tuple[State, jax.Array]:
    """Keeps a step of each environment, arrays [E, ...].

    Returns:
      The state, and bool [E], which environments must begin anew.
    """
    features = self.source.features(observation, action, next_observation)
    count = self.options.environments
    slot = state.replay.round * count + jnp.arange(count)
    returns = state.replay.returns[slot] + reward
    replay, ended = replay_lib.add(
      state.replay,
      observation,
      action,
      features,
      reward,
      next_observation,
      terminated,
    )
    source = state.source
    if isinstance(self.source, reward_sources.Decoded):
      source = self.source.observe(source, features, None)
    total = jnp.where(ended, returns, 0).sum() / jnp.maximum(ended.sum(), 1)
    return dataclasses.replace(
      state,
      replay=replay,
      source=source,
      steps=state.steps + count,
      finished_return=jnp.where(ended.any(), total, state.finished_return),
    ), ended

  def _step(self, state: State, key: jax.Array) -> tuple[State, None]:
    """A step of each environment on the device."""
    act_key, reset_key = jax.random.split(key)
    action = self.act(state, state.observation, act_key)
    after = jax.vmap(self.environment.step)(state.environment, action[:, None])
    seen = after.observation[:, 0]
    state, ended = self.record(
      state,
      state.observation,
      action,
      after.reward[:, 0],
      seen,
      after.terminated,
    )
    anew, first = jax.vmap(self.environment.reset)(
      jax.random.split(reset_key, self.options.environments)
    )

    def choose(new, old):
      return jnp.where(ended.reshape(-1, *(1,) * (old.ndim - 1)), new, old)

    return dataclasses.replace(
      state,
      environment=jax.tree.map(choose, anew, after.state),
      observation=choose(first[:, 0], seen),
    ), None

  def learn(self, state: State, key: jax.Array) -> tuple[State, Metrics]:
    """The updates after a block: of the source, then of the policy."""
    source_key, update_key = jax.random.split(key)
    buffer, size = replay_lib.episodes(state.replay)
    source, metrics = self.source.fit(state.source, buffer, size, source_key)
    state = dataclasses.replace(state, source=source)
    networks, losses = jax.lax.scan(
      functools.partial(self._update, state),
      state.networks,
      jax.random.split(update_key, self.options.updates // self.options.delay),
    )
    # Until there is something to learn from, nothing has been learned.
    begun = state.steps >= self.options.random_steps
    networks = jax.tree.map(
      lambda new, old: jnp.where(begun, new, old), networks, state.networks
    )
    return dataclasses.replace(state, networks=networks), {
      **metrics,
      **jax.tree.map(jnp.mean, losses),
    }

  def _update(self, state, networks, key):
    """`delay` updates of the critics, one of actor and targets."""
    options = self.options

    def draw(key):
      batch = replay_lib.sample(
        state.replay, key, options.batch, finished=self.source.needs_end
      )
      return batch, self.source.rewards(state.source, batch.steps)

    def critic(carry, key):
      params, optimizer = carry
      sample_key, noise_key = jax.random.split(key)
      batch, rewards = draw(sample_key)
      target = self.policy(networks.targets['actor'], batch.next_observations)
      noise = options.target_noise * jax.random.normal(noise_key, target.shape)
      noise = jnp.clip(noise, -options.target_clip, options.target_clip)
      after = self.values(
        networks.targets['critics'],
        batch.next_observations,
        jnp.clip(target + noise, -1, 1),
      ).min(axis=0)
      goal = rewards + options.discount * jnp.where(batch.terminated, 0, after)

      def loss(params):
        values = self.values(params, batch.observations, batch.actions)
        return ((values - goal) ** 2).mean(axis=-1).sum()

      error, gradients = jax.value_and_grad(loss)(params)
      changes, optimizer = self._optimizer.update(gradients, optimizer, params)
      return (optax.apply_updates(params, changes), optimizer), error

    actor_key, *critic_keys = jax.random.split(key, options.delay + 1)
    (critics, critic_optimizer), errors = jax.lax.scan(
      critic,
      (networks.params['critics'], networks.optimizers['critics']),
      jnp.stack(critic_keys),
    )
    batch, _ = draw(actor_key)

    def loss(params):
      action = self.policy(params, batch.observations)
      return -self.values(critics, batch.observations, action)[0].mean()

    value, gradients = jax.value_and_grad(loss)(networks.params['actor'])
    changes, actor_optimizer = self._optimizer.update(
      gradients, networks.optimizers['actor'], networks.params['actor']
    )
    params = {
      'actor': optax.apply_updates(networks.params['actor'], changes),
      'critics': critics,
    }
    networks = Networks(
      params,
      optax.incremental_update(params, networks.targets, options.follow),
      {'actor': actor_optimizer, 'critics': critic_optimizer},
    )
    return networks, {'critic_loss': errors.mean(), 'value': -value}

  def iterate(self, state: State) -> tuple[State, Metrics]:
    """`blocks` times a block of steps and its updates.

    Args:
      state: before; may be donated.

    Returns:
      The state after, and metrics, float [] each.
    """

    def block(state, _):
      key, step_key, learn_key = jax.random.split(state.key, 3)
      state = dataclasses.replace(state, key=key)
      state, _ = jax.lax.scan(
        self._step, state, jax.random.split(step_key, self.options.block)
      )
      return self.learn(state, learn_key)

    state, metrics = jax.lax.scan(block, state, length=self.options.blocks)
    metrics = jax.tree.map(jnp.mean, metrics)
    return state, {'team_return': state.finished_return, **metrics}

  def evaluate(
    self, state: State, key: jax.Array, episodes: int
  ) -> functional_episodes.Episodes:
    """Plays episodes with the policy as it is, without noise."""

    def act(observation, key):
      del key
      action = self.policy(state.networks.params['actor'], observation)
      return action, jnp.zeros(observation.shape[:1])

    return functional_episodes.play(self.environment, act, key, episodes)

  def steps(
    self, episodes: functional_episodes.Episodes
  ) -> reward_sources.Steps:
    """Episodes as sources see them, [E, 1, S]."""
    return reward_sources.steps_of(
      episodes, self.source.features, episodes.actions
    )
