"""Training of the network that redistributes returns (RD, RRD, LaRe).

  options = Options(k=64)
  state = init(key, config, optimizer)
  updates = make_updates(config, optimizer, options, updates=50, batch=4)
  state, metrics = updates(state, buffer, key)
  rewards = step_rewards(state, config, features, mask)

All updates of a call are one compiled scan, which draws episodes, then steps,
and reads the features of those steps alone. Nothing goes through the host.

On a mesh (with Auto axes) the episodes lie along its axes, the parameters
everywhere; losses are means over all episodes, not over a device's.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxcredit.algorithms import lare, running_statistics
from jaxcredit.algorithms.internal import arguments
from jaxcredit.networks.heads import reward_decoder

Config = reward_decoder.RewardDecoderConfig
Metrics = dict[str, jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Episodes:
  """Episodes to learn from: a batch, or a buffer of which batches are drawn.

  Attributes:
    features: float [M, S, d]; [M, N, S, d] of N agents.
    returns: float [M]; of the team, where there are agents.
    mask: bool [M, S] or [M, N, S], steps that were taken.
  """

  features: jax.Array
  returns: jax.Array
  mask: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """What training changes.

  Attributes:
    params: of the network.
    optimizer: state of the optimizer.
    statistics: of the features; None if they are taken as they are.
    updates: int32, updates that were applied.
    skipped: int32, updates that were not, for a loss or gradient that is not
      finite: they change nothing.
  """

  params: reward_decoder.Params
  optimizer: Any
  statistics: running_statistics.RunningStatistics | None
  updates: jax.Array
  skipped: jax.Array


@dataclasses.dataclass(frozen=True)
class Options:
  """Options of the loss; defaults are those of LaRe on RRD, unbiased.

  Attributes:
    k: steps that stand for an episode; None for all of them (RD).
    form: see `lare.decomposition_loss`.
    unbiased: see `lare.subsampled_loss`.
    short: see `lare.sample_steps`.
    variance_weight: of `lare.temporal_variance`.
  """

  k: int | None = 64
  form: str = 'mean'
  unbiased: bool = True
  short: str = 'all'
  variance_weight: float = 0.0

  def __post_init__(self):
    arguments.one_of('form', self.form, lare.FORMS)
    arguments.one_of('short', self.short, lare.SHORT)
    arguments.number('variance_weight', self.variance_weight, 0)
    if self.k is not None and self.k < (2 if self.unbiased else 1):
      raise ValueError(
        f'k must be None or at least {2 if self.unbiased else 1}, not {self.k}'
      )


def make_optimizer(
  learning_rate: float = 3e-4, *, l2: float = 0.0
) -> optax.GradientTransformation:
  """Adam as released: 3e-4 for MuJoCo; 5e-4 with l2 1e-5 for particles.

  Args:
    learning_rate: of Adam.
    l2: penalty l2/2 |params|^2, coupled: its gradient goes through Adam, unlike
      AdamW's decay.
  """
  adam = optax.adam(learning_rate)
  return optax.chain(optax.add_decayed_weights(l2), adam) if l2 else adam


def init(
  key: jax.Array,
  config: Config,
  optimizer: optax.GradientTransformation,
  *,
  normalise: bool = False,
) -> State:
  """The state before the first update.

  Args:
    key: random key.
    config: of the network.
    optimizer: as given to `make_updates`.
    normalise: whether features are normalised by the statistics of those that
      `observe` was given. The released code takes them as they are.
  """
  params = reward_decoder.init(key, config)
  statistics = running_statistics.init((config.inputs,)) if normalise else None
  # One buffer each: the state is donated, and a buffer cannot be donated twice.
  return State(
    params=params,
    optimizer=optimizer.init(params),
    statistics=statistics,
    updates=jnp.zeros((), jnp.int32),
    skipped=jnp.zeros((), jnp.int32),
  )


def observe(
  state: State, features: jax.Array, mask: jax.Array | None = None
) -> State:
  """Updates the statistics, if there are any, with new features [..., d].

  The outputs of the network change with them.
  """
  if state.statistics is None:
    return state
  statistics = running_statistics.update(state.statistics, features, mask)
  return dataclasses.replace(state, statistics=statistics)


def _predict(params, statistics, config, features, mask):
  if statistics is not None:
    features = running_statistics.apply(statistics, features, mask)
  return reward_decoder.step_rewards(params, config, features, mask)


@functools.partial(jax.jit, static_argnames=('config',))
def step_rewards(
  state: State,
  config: Config,
  features: jax.Array,
  mask: jax.Array | None = None,
) -> jax.Array:
  """Rewards of steps, for `lare.redistributed_rewards` or as they are.

  Args:
    state: of training.
    config: of the network.
    features: float [..., d].
    mask: bool [...]; None for all.

  Returns:
    float32 [...], 0 where masked.
  """
  return _predict(state.params, state.statistics, config, features, mask)


def _check(episodes: Episodes, config: Config) -> None:
  """Raises ValueError where the arrays do not belong together."""
  shape = jnp.shape(episodes.features)
  if len(shape) not in (3, 4) or shape[-1] != config.inputs:
    raise ValueError(
      f'features have shape {shape}: they must be [M, S, {config.inputs}] or, '
      f'with agents, [M, N, S, {config.inputs}]'
    )
  for name, array, expected in (
    ('mask', episodes.mask, shape[:-1]),
    ('returns', episodes.returns, shape[:1]),
  ):
    if jnp.shape(array) != expected:
      raise ValueError(
        f'{name} has shape {jnp.shape(array)}, but features of shape {shape} '
        f'need {expected}'
      )


def _draw_steps(episodes, chosen, key, options):
  """Features and mask of k steps of the chosen episodes, and the sample.

  Args:
    chosen: int32 [B], episodes.
  """
  mask = jnp.asarray(episodes.mask)[chosen] != 0
  agents = mask.ndim == 3
  taken = mask.any(axis=1) if agents else mask
  sample = lare.sample_steps(key, taken, options.k, short=options.short)
  # At once from the buffer: whole episodes are never copied.
  if agents:
    where = (
      chosen[:, None, None],
      jnp.arange(mask.shape[1])[:, None],
      sample.indices[:, None],
    )
    drawn = sample.mask[:, None]
  else:
    where = (chosen[:, None], sample.indices)
    drawn = sample.mask
  features = jnp.asarray(episodes.features)[where]
  mask = jnp.take_along_axis(
    mask, jnp.broadcast_to(where[-1], features.shape[:-1]), axis=-1
  )
  return features, mask & drawn, sample


def _loss(params, statistics, config, options, episodes, chosen, key):
  """Loss of the chosen episodes."""
  returns = jnp.asarray(episodes.returns)[chosen]
  if options.k is None:
    features = jnp.asarray(episodes.features)[chosen]
    mask = jnp.asarray(episodes.mask)[chosen] != 0
  else:
    features, mask, sample = _draw_steps(episodes, chosen, key, options)
  rewards = _predict(params, statistics, config, features, mask)
  if mask.ndim == 3:
    rewards, mask = lare.team_rewards(rewards, mask), mask.any(axis=1)
  if options.k is None:
    loss = lare.decomposition_loss(rewards, returns, mask, form=options.form)
  else:
    mask = sample.mask
    loss = lare.subsampled_loss(
      rewards,
      returns,
      sample.lengths,
      mask,
      form=options.form,
      unbiased=options.unbiased,
    )
  if options.variance_weight:
    variance = lare.temporal_variance(rewards, mask)
    loss = loss + options.variance_weight * variance
  return loss


def _update(state, config, optimizer, options, episodes, chosen, key):
  """One step of the optimizer; none where loss or gradient are not finite."""
  loss, gradients = jax.value_and_grad(_loss)(
    state.params, state.statistics, config, options, episodes, chosen, key
  )
  norm = optax.tree.norm(gradients)
  changes, optimizer_state = optimizer.update(
    gradients, state.optimizer, state.params
  )
  params = optax.apply_updates(state.params, changes)
  finite = jnp.isfinite(loss) & jnp.isfinite(norm)

  def keep(new, old):
    return jax.tree.map(lambda x, y: jnp.where(finite, x, y), new, old)

  state = dataclasses.replace(
    state,
    params=keep(params, state.params),
    optimizer=keep(optimizer_state, state.optimizer),
    updates=state.updates + finite,
    skipped=state.skipped + ~finite,
  )
  return state, {'loss': loss, 'gradient_norm': norm}


def make_update(
  config: Config,
  optimizer: optax.GradientTransformation,
  options: Options = Options(),
) -> Callable[[State, Episodes, jax.Array], tuple[State, Metrics]]:
  """Returns an update from a batch of episodes, compiled once for its shapes.

  Args:
    config: of the network.
    optimizer: that made the state.
    options: of the loss.

  Returns:
    (state, which is donated, episodes, key) -> state, metrics: `loss` and
    `gradient_norm`, float [].
  """

  @functools.partial(jax.jit, donate_argnums=0)
  def update(state, episodes, key):
    _check(episodes, config)
    chosen = jnp.arange(episodes.returns.shape[0])
    return _update(state, config, optimizer, options, episodes, chosen, key)

  return update


def make_updates(
  config: Config,
  optimizer: optax.GradientTransformation,
  options: Options = Options(),
  *,
  updates: int,
  batch: int,
) -> Callable[..., tuple[State, Metrics]]:
  """Returns many updates in one call, each from episodes drawn from a buffer.

  Args:
    config: of the network.
    optimizer: that made the state.
    options: of the loss.
    updates: in a call.
    batch: episodes of an update, drawn with replacement.

  Returns:
    (state, which is donated, buffer, key, size=None) -> state, metrics, float
    [updates]. Of the buffer's episodes the first `size` are drawn from, all if
    it is None; it may change without recompilation.
  """
  for name, value in (('updates', updates), ('batch', batch)):
    if value < 1:
      raise ValueError(f'{name} must be at least 1, not {value}')

  @functools.partial(jax.jit, donate_argnums=0)
  def run(state, buffer, key, size=None):
    _check(buffer, config)
    size = buffer.returns.shape[0] if size is None else size

    def one(state, key):
      episode_key, step_key = jax.random.split(key)
      chosen = jax.random.randint(episode_key, (batch,), 0, size)
      return _update(
        state, config, optimizer, options, buffer, chosen, step_key
      )

    return jax.lax.scan(one, state, jax.random.split(key, updates))

  return run
