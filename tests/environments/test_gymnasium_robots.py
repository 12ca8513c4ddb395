"""Robots on the host against Gymnasium itself, and TD3 with them."""

import jax
import numpy as np
import pytest

from jaxcredit.agents import reward_sources, td3, td3_on_host
from jaxcredit.latent_rewards import tasks
from tests import distribution

if not distribution.has_control():
  pytest.skip("MuJoCo is missing (extra 'control')", allow_module_level=True)

from jaxcredit.environments import gymnasium_robots


@pytest.mark.parametrize(
  ('name', 'task'),
  [
    ('Reacher-v5', 'reacher'),
    ('HalfCheetah-v5', 'half_cheetah'),
    ('Walker2d-v5', 'walker2d'),
    ('HumanoidStandup-v5', 'humanoid_standup'),
  ],
)
def test_layouts_and_steps(name, task):
  import gymnasium

  robots = gymnasium_robots.GymnasiumRobots(name, 2)
  sizes = (robots.observation_size, robots.action_size)
  assert tasks.named(task).sizes == sizes
  seen = robots.reset(seed=4)
  direct = gymnasium.make(name)
  np.testing.assert_allclose(
    seen[1], direct.reset(seed=5)[0].astype(np.float32)
  )
  action = np.linspace(-1, 1, robots.action_size, dtype=np.float32)
  after, reward, terminated = robots.step(np.stack([action] * 2))
  # Humanoids take less than 1.
  scaled = action.astype(np.float64) * direct.action_space.high
  expected, value, end, *_ = direct.step(scaled)
  np.testing.assert_allclose(after[1], expected, rtol=1e-5, atol=1e-5)
  assert float(reward[1]) == pytest.approx(value, rel=1e-5)
  assert bool(terminated[1]) == end
  begun = robots.restart([True, False], after)
  assert (begun[0] != after[0]).any()
  np.testing.assert_array_equal(begun[1], after[1])
  robots.close()


def test_no_time_limit_but_the_callers():
  robots = gymnasium_robots.GymnasiumRobots('Reacher-v5', 1)
  robots.reset(0)
  for _ in range(60):
    *_, terminated = robots.step(np.zeros((1, 2)))
    assert not terminated[0]
  with pytest.raises(ValueError, match='no horizon is known'):
    gymnasium_robots.GymnasiumRobots('Hopper-v5', 1)


@pytest.mark.parametrize('name', ['Reacher-v5', 'HumanoidStandup-v5'])
def test_robots_go_on_where_they_were(name):
  robots = gymnasium_robots.GymnasiumRobots(name, 2)
  seen = robots.reset(seed=7)
  rng = np.random.default_rng(0)
  actions = rng.uniform(-1, 1, (8, 2, robots.action_size))
  for action in actions[:3]:
    seen, *_ = robots.step(action)
  seen = robots.restart([True, False], seen)
  seen, *_ = robots.step(actions[3])
  state = robots.state()

  def rest(robots, seen):
    found = []
    for t, action in enumerate(actions[4:]):
      seen, reward, _ = robots.step(action)
      found.append((seen, reward))
      # Robot 0 begins its third episode, robot 1 its second.
      seen = robots.restart([t == 1, t == 1], seen)
      found.append((seen,))
    return found

  whole = rest(robots, seen)
  other = gymnasium_robots.GymnasiumRobots(name, 2)
  other.reset(seed=99)
  other.go_on(7, state)
  again = rest(other, seen)
  for one, two in zip(whole, again, strict=True):
    for x, y in zip(one, two, strict=True):
      np.testing.assert_array_equal(x, y)
  # Both robots began anew, each in its own way.
  assert (whole[3][0] != whole[2][0]).any(axis=1).all()
  assert (whole[3][0][0] != whole[3][0][1]).any()


def test_td3_keeps_what_the_robots_did():
  options = td3.Options(
    environments=2, block=5, updates=2, blocks=3, rounds=4, random_steps=4,
    batch=4, hidden=8,
  )  # fmt: skip
  robots = gymnasium_robots.GymnasiumRobots('Reacher-v5', 2, horizon=6)
  program = td3.Td3(robots, reward_sources.Episodic(), options)
  loop = td3_on_host.HostLoop(program, robots, seed=3)
  before = jax.tree.map(np.asarray, loop.state.networks.params)
  metrics = loop.iterate()
  replay = loop.state.replay
  assert int(loop.state.steps) == 30
  np.testing.assert_array_equal(replay.lengths[:6], [6, 6, 6, 6, 3, 3])
  np.testing.assert_allclose(
    replay.returns, replay.rewards.sum(axis=1), rtol=1e-4
  )
  assert metrics['team_return'] == pytest.approx(
    float(replay.returns[2:4].mean()), rel=1e-5
  )
  # The robots of an episode's slot, played again with the actions kept.
  again = gymnasium_robots.GymnasiumRobots('Reacher-v5', 2)
  seen = again.reset(3)
  for t in range(6):
    np.testing.assert_allclose(replay.observations[:2, t], seen, atol=1e-5)
    seen, reward, _ = again.step(np.asarray(replay.actions[:2, t]))
    np.testing.assert_allclose(replay.rewards[:2, t], reward, rtol=1e-5)
  np.testing.assert_allclose(replay.observations[:2, 6], seen, atol=1e-5)
  moved = jax.tree.map(
    lambda x, y: (x != y).any(), before, loop.state.networks.params
  )
  assert all(jax.tree.leaves(moved))
  assert loop.evaluate(again, 0).shape == (2,)
