"""The newest episodes, for networks that learn from returns.

A ring of static size: the oldest episodes make room. It lies on the device and
changes inside compiled programs. (Flashbax's item buffer would do as much; here
whole episodes are needed in the form that `reward_decomposition` draws from.)
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit.agents import reward_decomposition


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EpisodeBuffer:
  """Up to M episodes of N agents.

  Attributes:
    episodes: features [M, N, S, d], returns [M], mask [M, N, S]; what was never
      filled is masked.
    position: int32 [], where the next episode goes.
    size: int32 [], episodes that there are.
  """

  episodes: reward_decomposition.Episodes
  position: jax.Array
  size: jax.Array


def init(
  capacity: int, agents: int, steps: int, features: int
) -> EpisodeBuffer:
  """An empty buffer of M = `capacity` episodes."""
  if capacity < 1:
    raise ValueError(f'capacity must be at least 1, not {capacity}')
  shape = (capacity, agents, steps)
  return EpisodeBuffer(
    reward_decomposition.Episodes(
      jnp.zeros((*shape, features)), jnp.zeros(capacity), jnp.zeros(shape, bool)
    ),
    jnp.zeros((), jnp.int32),
    jnp.zeros((), jnp.int32),
  )


def add(
  buffer: EpisodeBuffer, episodes: reward_decomposition.Episodes
) -> EpisodeBuffer:
  """Puts in E episodes, in place of the oldest where there is no room.

  Raises:
    ValueError: E is more than the buffer holds.
  """
  capacity = buffer.episodes.returns.shape[0]
  count = episodes.returns.shape[0]
  if count > capacity:
    raise ValueError(
      f'{count} episodes do not fit into a buffer of {capacity}: make it larger'
    )
  where = (buffer.position + jnp.arange(count)) % capacity
  return EpisodeBuffer(
    jax.tree.map(
      lambda old, new: old.at[where].set(new), buffer.episodes, episodes
    ),
    (buffer.position + count) % capacity,
    jnp.minimum(buffer.size + count, capacity),
  )
