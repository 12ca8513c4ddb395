"""TD3 with robots on the host: the loop of `Td3.iterate`, outside of it.

  robots = gymnasium_robots.GymnasiumRobots('Reacher-v5', options.environments)
  loop = HostLoop(td3.Td3(robots, source, options), robots, seed=0)
  metrics = loop.iterate()

Networks, replay and source of rewards stay on the device, which gets a step of
all robots at a time.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxcredit.agents import td3
from jaxcredit.environments import gymnasium_robots
from jaxcredit.rollouts import functional_episodes


@functools.lru_cache(maxsize=8)
def _compiled(program: td3.Td3):
  """Parts of the loop, compiled once for all seeds of a program."""
  return (
    jax.jit(program.act),
    jax.jit(program.record, donate_argnums=0),
    jax.jit(program.learn, donate_argnums=0),
    jax.jit(program.policy),
  )


class HostLoop:
  """A learner and its robots.

  Args:
    program: the learner, whose environment describes the robots.
    robots: as many as the program's environments.
    seed: of everything random.
  """

  def __init__(
    self,
    program: td3.Td3,
    robots: gymnasium_robots.GymnasiumRobots,
    seed: int,
  ):
    self._program = program
    self._robots = robots
    self._act, self._record, self._learn, self._policy = _compiled(program)
    self._seed = seed
    key, self._key = jax.random.split(jax.random.key(seed))
    self.state = program.init(key, on_host=True)
    self._seen = robots.reset(seed)

  def iterate(self) -> dict[str, float]:
    """`blocks` times a block of steps and its updates; means of metrics."""
    options = self._program.options
    found = []
    for _ in range(options.blocks):
      for _ in range(options.block):
        self._key, key = jax.random.split(self._key)
        action = self._act(self.state, self._seen, key)
        after, reward, terminated = self._robots.step(np.asarray(action))
        self.state, ended = self._record(
          self.state, self._seen, action, reward, after, terminated
        )
        self._seen = self._robots.restart(np.asarray(ended), after)
      self._key, key = jax.random.split(self._key)
      self.state, metrics = self._learn(self.state, key)
      found.append(metrics)
    means = jax.tree.map(lambda *x: float(np.mean(x)), *found)
    return {'team_return': float(self.state.finished_return), **means}

  def saved(self) -> dict[str, Any]:
    """All that an iteration changes, arrays alone but for the key."""
    return {
      'state': self.state,
      'key': self._key,
      'seen': self._seen,
      'robots': self._robots.state(),
    }

  def go_on(self, saved: dict[str, Any]) -> None:
    """Goes on from where `saved` was taken by a loop with the same seed."""
    self.state = saved['state']
    self._key = saved['key']
    self._seen = np.array(saved['seen'], np.float32)
    self._robots.go_on(self._seed, saved['robots'])

  def play(
    self, robots: gymnasium_robots.GymnasiumRobots, seed: int
  ) -> functional_episodes.Episodes:
    """An episode of each of other robots, without noise."""
    params = self.state.networks.params['actor']
    return play(
      robots, lambda seen: np.asarray(self._policy(params, seen)), seed
    )

  def evaluate(
    self, robots: gymnasium_robots.GymnasiumRobots, seed: int
  ) -> np.ndarray:
    """Returns of an episode of each of other robots, without noise."""
    return self.play(robots, seed).team_return


def play(
  robots: gymnasium_robots.GymnasiumRobots,
  policy: Callable[[np.ndarray], np.ndarray],
  seed: int,
) -> functional_episodes.Episodes:
  """Plays an episode of each robot from its beginning, numpy arrays.

  Args:
    robots: E of them.
    policy: float [E, O] -> actions [E, A] in [-1, 1].
    seed: of the beginnings.
  """
  seen = robots.reset(seed)
  alive = np.ones(len(seen), bool)
  observations, record = [seen], []
  for _ in range(robots.horizon):
    action = policy(seen)
    seen, reward, terminated = robots.step(action)
    observations.append(seen)
    record.append((action, np.where(alive, reward, 0), alive))
    alive = alive & ~terminated
  actions, rewards, mask = (
    np.stack(x, axis=1) for x in zip(*record, strict=True)
  )
  return functional_episodes.Episodes(
    observations=np.stack(observations, axis=1)[:, None],
    actions=actions[:, None].astype(np.float32),
    log_probs=np.zeros_like(rewards, np.float32)[:, None],
    rewards=rewards[:, None].astype(np.float32),
    mask=mask,
    terminated=~alive,
  )
