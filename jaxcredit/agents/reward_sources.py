"""What a policy is rewarded with, where the task's reward comes at the end.

  Dense     the reward of each step, which only a reference gets
  Episodic  the team's return, at the last step
  Ircr      the return of the episode for each of its steps (`ircr`)
  Decoded   what a network predicts from features of the step, learned from
            returns: RD and RRD from the transition itself, LaRe from factors
            that a language model's program computes (`lare`)

A source is a static value; what it learns is a pytree:

  state = source.init(key)
  state, metrics = source.fit(state, buffer, size, key)
  rewards = source.rewards(state, steps)

All of it compiles with the learner. Buffers hold what `source.features` makes
of transitions.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from jaxcredit.agents import reward_decomposition
from jaxcredit.algorithms import ircr, lare
from jaxcredit.networks.heads import reward_decoder
from jaxcredit.rollouts import functional_episodes

# (observation [..., O], action [..., A], observation after it) -> [..., d].
Features = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
Metrics = dict[str, jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Steps:
  """Steps of any leading axes: [E, N, S] of whole episodes, or [B] of some.

  Attributes:
    features: float [..., d], as `source.features` makes them.
    rewards: float [...], which only `Dense` looks at.
    returns: float [...], of the episode (of the team), repeated.
    lengths: int32 [...], steps of the episode, repeated.
    last: bool [...], whether the episode ended with it.
    mask: bool [...], steps that were taken.
  """

  features: jax.Array
  rewards: jax.Array
  returns: jax.Array
  lengths: jax.Array
  last: jax.Array
  mask: jax.Array


def steps_of(
  episodes: functional_episodes.Episodes,
  features: Features,
  actions: jax.Array,
) -> Steps:
  """Whole episodes as sources see them, [E, N, S].

  Args:
    episodes: as they were played.
    features: of the source.
    actions: float [E, N, S, A], theirs.
  """
  shape = episodes.rewards.shape
  lengths = episodes.mask.sum(axis=-1)[:, None, None]
  seen = episodes.observations
  return Steps(
    features=features(seen[:, :, :-1], actions, seen[:, :, 1:]),
    rewards=episodes.rewards,
    returns=jnp.broadcast_to(episodes.team_return[:, None, None], shape),
    lengths=jnp.broadcast_to(lengths, shape),
    last=jnp.broadcast_to(jnp.arange(shape[-1]) == lengths - 1, shape),
    mask=jnp.broadcast_to(episodes.mask[:, None], shape),
  )


def no_features(observation, action, next_observation):
  """float [..., 0]."""
  del action, next_observation
  return observation[..., :0]


class Source(Protocol):
  """See the module.

  Attributes:
    size: d, of the features.
    needs_end: whether a step of an episode that goes on has no reward yet.
    features: of a step.
  """

  size: int
  needs_end: bool
  features: Features

  def init(self, key: jax.Array) -> Any:
    """What it has learned before it saw anything."""

  def fit(
    self,
    state: Any,
    buffer: reward_decomposition.Episodes,
    size: jax.Array,
    key: jax.Array,
  ) -> tuple[Any, Metrics]:
    """Learns from the first `size` episodes of a buffer."""

  def rewards(self, state: Any, steps: Steps) -> jax.Array:
    """Rewards of steps, float [...], 0 where masked."""


@dataclasses.dataclass(frozen=True)
class _Unlearned:
  """A source that learns nothing and looks at no features."""

  size = 0
  needs_end = False
  features = staticmethod(no_features)

  def init(self, key):
    del key
    return ()

  def fit(self, state, buffer, size, key):
    del buffer, size, key
    return state, {}


@dataclasses.dataclass(frozen=True)
class Dense(_Unlearned):
  """Each agent's own reward for each step."""

  def rewards(self, state, steps):
    del state
    return jnp.where(steps.mask, steps.rewards, 0)


@dataclasses.dataclass(frozen=True)
class Episodic(_Unlearned):
  """The team's return at the last step, and nothing before."""

  def rewards(self, state, steps):
    del state
    return jnp.where(steps.last & steps.mask, steps.returns, 0)


@dataclasses.dataclass(frozen=True)
class Ircr:
  """R / L, normalised by the least and the greatest of the buffer."""

  size = 0
  needs_end = True
  features = staticmethod(no_features)

  def init(self, key):
    del key
    return jnp.zeros(()), jnp.zeros(())

  def fit(self, state, buffer, size, key):
    del state, size, key
    mask = buffer.mask
    mask = mask.any(axis=1) if mask.ndim == 3 else mask
    return ircr.return_bounds(buffer.returns, mask), {}

  def rewards(self, state, steps):
    low, high = state
    per_step = steps.returns / jnp.maximum(steps.lengths, 1)
    normal = ircr.guidance_rewards(
      per_step.reshape(-1),
      steps.mask.reshape(-1, 1),
      per_step=False,
      low=low,
      high=high,
    )
    return normal.reshape(steps.mask.shape)


@dataclasses.dataclass(frozen=True, eq=False)
class Decoded:
  """Rewards that a network predicts, in place of the return.

  Attributes:
    features: what the network sees of a step.
    size: d, how much that is.
    hidden, layers: of the network.
    options: of its loss.
    learning_rate, l2: see `reward_decomposition.make_optimizer`.
    normalise: whether features are normalised by statistics of the buffer's.
    updates: optimizer steps of a `fit`.
    batch: episodes of an optimizer step.
    scaling: of whole episodes' rewards; see `lare.redistributed_rewards`.
    share: whether the agents of a team share the mean of their rewards, the
      ablation of LaRe without credit between agents.
  """

  features: Features
  size: int
  hidden: int = 64
  layers: int = 5
  options: reward_decomposition.Options = reward_decomposition.Options(
    k=None, form='sum'
  )
  learning_rate: float = 5e-4
  l2: float = 1e-5
  normalise: bool = True
  updates: int = 5
  batch: int = 256
  scaling: str = 'none'
  share: bool = False

  needs_end = False

  @property
  def config(self) -> reward_decoder.RewardDecoderConfig:
    return reward_decoder.RewardDecoderConfig(
      self.size, self.hidden, self.layers
    )

  @property
  def _optimizer(self) -> optax.GradientTransformation:
    return reward_decomposition.make_optimizer(self.learning_rate, l2=self.l2)

  def init(self, key):
    return reward_decomposition.init(
      key, self.config, self._optimizer, normalise=self.normalise
    )

  def fit(self, state, buffer, size, key):
    run = reward_decomposition.make_updates(
      self.config,
      self._optimizer,
      self.options,
      updates=self.updates,
      batch=self.batch,
    )
    state, metrics = run(state, buffer, key, size)
    return state, {
      'decoder_loss': metrics['loss'].mean(),
      'decoder_skipped': state.skipped.astype(jnp.float32),
    }

  def observe(self, state, features, mask):
    """Takes new features into the statistics that normalise them."""
    return reward_decomposition.observe(state, features, mask)

  def rewards(self, state, steps):
    predicted = reward_decomposition.step_rewards(
      state, self.config, steps.features, steps.mask
    )
    if steps.mask.ndim < 3:
      return jax.lax.stop_gradient(predicted)
    if self.share:
      predicted = lare.shared_rewards(predicted, steps.mask)
    return lare.redistributed_rewards(
      predicted,
      steps.mask,
      scaling=self.scaling,
      returns=steps.returns[:, 0, 0],
      agents=True,
    )
