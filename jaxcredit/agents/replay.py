"""Replay of transitions that know their episodes, on the device.

What a step is worth may only be known when its episode has ended, and changes
while a network of rewards learns. So transitions lie in their episodes: E
environments side by side fill Q slots each in turn, S steps long, and a
transition is drawn with the return and length of its episode. An episode that
ends early leaves the rest of its slot empty.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit.agents import reward_decomposition, reward_sources


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Replay:
  """M = Q E slots; that of environment e in round q is number q E + e.

  Attributes:
    observations: float [M, S + 1, O], before each step and after the last.
    actions: float [M, S, A].
    features: float [M, S, d], what a source of rewards sees.
    rewards: float [M, S].
    lengths: int32 [M], steps so far.
    returns: float [M], sum of rewards so far.
    finished: bool [M].
    terminated: bool [M], whether the environment ended it, not the horizon.
    round: int32 [E], q of the slot that each environment fills.
    rounds: int32 [E], episodes that each environment has begun.
  """

  observations: jax.Array
  actions: jax.Array
  features: jax.Array
  rewards: jax.Array
  lengths: jax.Array
  returns: jax.Array
  finished: jax.Array
  terminated: jax.Array
  round: jax.Array
  rounds: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
  """B transitions.

  Attributes:
    observations: float [B, O].
    actions: float [B, A].
    next_observations: float [B, O].
    terminated: bool [B], whether nothing comes after; not at the horizon.
    steps: what a source of rewards sees, [B].
  """

  observations: jax.Array
  actions: jax.Array
  next_observations: jax.Array
  terminated: jax.Array
  steps: reward_sources.Steps


def init(
  *,
  environments: int,
  rounds: int,
  horizon: int,
  observation: int,
  action: int,
  features: int,
) -> Replay:
  """An empty replay of `environments` times `rounds` episodes."""
  if min(environments, rounds, horizon) < 1 or rounds < 2:
    raise ValueError(
      'environments and horizon must be at least 1 and rounds at least 2, not '
      f'{environments}, {horizon} and {rounds}'
    )
  slots = environments * rounds
  return Replay(
    observations=jnp.zeros((slots, horizon + 1, observation)),
    actions=jnp.zeros((slots, horizon, action)),
    features=jnp.zeros((slots, horizon, features)),
    rewards=jnp.zeros((slots, horizon)),
    lengths=jnp.zeros(slots, jnp.int32),
    returns=jnp.zeros(slots),
    finished=jnp.zeros(slots, bool),
    terminated=jnp.zeros(slots, bool),
    round=jnp.zeros(environments, jnp.int32),
    rounds=jnp.ones(environments, jnp.int32),
  )


def add(
  replay: Replay,
  observation: jax.Array,
  action: jax.Array,
  features: jax.Array,
  reward: jax.Array,
  next_observation: jax.Array,
  terminated: jax.Array,
) -> tuple[Replay, jax.Array]:
  """Puts in a step of each environment.

  Args:
    replay: before.
    observation: float [E, O].
    action: float [E, A].
    features: float [E, d].
    reward: float [E].
    next_observation: float [E, O], of the same episode.
    terminated: bool [E].

  Returns:
    The replay after, and bool [E], whose episode ended, here or at the horizon:
    these environments must begin anew.
  """
  count = replay.round.shape[0]
  horizon = replay.rewards.shape[1]
  slot = replay.round * count + jnp.arange(count)
  now = replay.lengths[slot]
  lengths = now + 1
  ended = terminated | (lengths == horizon)
  # The slot of the next episode, which makes the oldest give way.
  rounds = replay.rewards.shape[0] // count
  after = jnp.where(ended, (replay.round + 1) % rounds, replay.round)
  fresh = jnp.where(
    ended, after * count + jnp.arange(count), len(replay.lengths)
  )
  return Replay(
    observations=replay.observations.at[slot, now]
    .set(observation)
    .at[slot, lengths]
    .set(next_observation),
    actions=replay.actions.at[slot, now].set(action),
    features=replay.features.at[slot, now].set(features),
    rewards=replay.rewards.at[slot, now].set(reward),
    lengths=replay.lengths.at[slot].set(lengths).at[fresh].set(0, mode='drop'),
    returns=replay.returns.at[slot].add(reward).at[fresh].set(0, mode='drop'),
    finished=replay.finished.at[slot]
    .set(ended)
    .at[fresh]
    .set(False, mode='drop'),
    terminated=replay.terminated.at[slot].set(terminated),
    round=after,
    rounds=replay.rounds + ended,
  ), ended


def sample(
  replay: Replay, key: jax.Array, batch: int, *, finished: bool = False
) -> Batch:
  """Draws transitions, each as likely as any other.

  Args:
    replay: not empty; where it is, transitions of zeros are drawn, masked.
    key: random key, consumed.
    batch: B.
    finished: whether only episodes that have ended count.
  """
  lengths = replay.lengths
  if finished:
    lengths = jnp.where(replay.finished, lengths, 0)
  ends = jnp.cumsum(lengths)
  total = ends[-1]
  drawn = jax.random.randint(key, (batch,), 0, jnp.maximum(total, 1))
  slot = jnp.searchsorted(ends, drawn, side='right')
  slot = jnp.minimum(slot, len(lengths) - 1)
  now = jnp.where(total > 0, drawn - (ends - lengths)[slot], 0)
  last = replay.finished[slot] & (now == lengths[slot] - 1)
  return Batch(
    observations=replay.observations[slot, now],
    actions=replay.actions[slot, now],
    next_observations=replay.observations[slot, now + 1],
    terminated=last & replay.terminated[slot],
    steps=reward_sources.Steps(
      features=replay.features[slot, now],
      rewards=replay.rewards[slot, now],
      returns=replay.returns[slot],
      lengths=replay.lengths[slot],
      last=last,
      mask=jnp.broadcast_to(total > 0, (batch,)),
    ),
  )


def episodes(
  replay: Replay,
) -> tuple[reward_decomposition.Episodes, jax.Array]:
  """Episodes that have ended, as a network of rewards learns from them.

  Returns:
    All slots, of which those of unfinished episodes are masked; and the number
    of slots that were ever begun, int32 []: these come first.
  """
  steps = jnp.arange(replay.rewards.shape[1])
  mask = replay.finished[:, None] & (steps < replay.lengths[:, None])
  begun = replay.rounds.max() * replay.round.shape[0]
  return (
    reward_decomposition.Episodes(replay.features, replay.returns, mask),
    jnp.minimum(begun, len(replay.lengths)),
  )
