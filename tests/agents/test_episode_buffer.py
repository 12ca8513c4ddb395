"""The ring of episodes against a list."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.agents import episode_buffer, reward_decomposition


def batch(first, count):
  number = jnp.arange(first, first + count, dtype=jnp.float32)
  return reward_decomposition.Episodes(
    jnp.broadcast_to(number[:, None, None, None], (count, 2, 3, 1)),
    number,
    jnp.ones((count, 2, 3), bool),
  )


def test_the_oldest_make_room():
  add = jax.jit(episode_buffer.add, donate_argnums=0)
  buffer = episode_buffer.init(7, 2, 3, 1)
  kept = collections.deque(maxlen=7)
  for turn in range(6):
    buffer = add(buffer, batch(1 + 3 * turn, 3))
    kept.extend(range(1 + 3 * turn, 4 + 3 * turn))
    size = int(buffer.size)
    assert size == len(kept)
    held = buffer.episodes
    assert sorted(held.returns[:size].tolist()) == sorted(kept)
    np.testing.assert_array_equal(held.features[:, 1, 2, 0], held.returns)
    assert held.mask[:size].all() and not held.mask[size:].any()


def test_what_does_not_fit():
  with pytest.raises(ValueError, match='3 episodes do not fit'):
    episode_buffer.add(episode_buffer.init(2, 2, 3, 1), batch(0, 3))
  with pytest.raises(ValueError, match='capacity must be'):
    episode_buffer.init(0, 2, 3, 1)
