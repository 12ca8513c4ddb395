"""Tiny functional environments whose best behaviour is known."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit.environments import functional


@dataclasses.dataclass(frozen=True, eq=False)
class Match:
  """Two agents see a number of 0 to 3 each, and are paid for naming it.

  With `fragile`, an episode ends when the first agent names 3.
  """

  horizon: int = 6
  fragile: bool = False

  agents = 2
  observation_size = 4
  action_size = 4
  discrete = True
  end_counts = True

  def reset(self, key):
    shown = jax.random.randint(key, (2,), 0, 4)
    return (shown, key), jax.nn.one_hot(shown, 4)

  def step(self, state, action):
    shown, key = state
    reward = (action == shown).astype(jnp.float32)
    key, now = jax.random.split(key)
    shown = jax.random.randint(now, (2,), 0, 4)
    return functional.Transition(
      (shown, key),
      jax.nn.one_hot(shown, 4),
      reward,
      self.fragile & (action[0] == 3),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
  """A point in [-1, 1] that is to be moved to 0: reward -|x| after the step."""

  horizon: int = 8

  agents = 1
  observation_size = 1
  action_size = 1
  discrete = False
  end_counts = False

  def reset(self, key):
    x = jax.random.uniform(key, (1,), minval=-1.0)
    return x, x[None]

  def step(self, state, action):
    x = jnp.clip(state + 0.5 * action[0], -1, 1)
    return functional.Transition(x, x[None], -jnp.abs(x), jnp.zeros((), bool))
