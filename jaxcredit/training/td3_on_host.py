"""TD3 with robots on the host: the loop of `Td3.iterate`, outside of it.

  robots = gymnasium_robots.GymnasiumRobots('Reacher-v5', options.environments)
  loop = HostLoop(td3.Td3(robots, source, options), robots, seed=0)
  metrics = loop.iterate()

Networks, replay and source of rewards stay on the device, which gets a step of
all robots at a time.
"""

import jax
import numpy as np

from jaxcredit.environments import gymnasium_robots
from jaxcredit.training import td3


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
    self._act = jax.jit(program.act)
    self._record = jax.jit(program.record, donate_argnums=0)
    self._learn = jax.jit(program.learn, donate_argnums=0)
    self._policy = jax.jit(program.policy)
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

  def evaluate(
    self, robots: gymnasium_robots.GymnasiumRobots, seed: int
  ) -> np.ndarray:
    """Returns of an episode of each of other robots, without noise."""
    seen = robots.reset(seed)
    alive = np.ones(len(seen), bool)
    total = np.zeros(len(seen))
    for _ in range(robots.horizon):
      params = self.state.networks.params['actor']
      seen, reward, terminated = robots.step(
        np.asarray(self._policy(params, seen))
      )
      total += np.where(alive, reward, 0)
      alive &= ~terminated
      if not alive.any():
        break
    return total
