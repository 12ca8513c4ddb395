"""Robots by brax as functional environments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.latent_rewards import tasks
from tests import distribution

if not distribution.has_control():
  pytest.skip("brax is missing (extra 'control')", allow_module_level=True)

from jaxcredit.environments import brax_robots


def test_reacher_is_told_by_the_layout_of_version_5():
  robot = brax_robots.BraxRobot('reacher')
  assert (robot.horizon, robot.action_size) == (50, 2)
  sizes = (robot.observation_size, robot.action_size)
  assert tasks.named('reacher').sizes == sizes
  state, seen = robot.reset(jax.random.key(0))
  after = jax.jit(robot.step)(state, jnp.asarray([[0.5, -0.5]]))
  now = np.asarray(after.observation)[0]
  angles = np.asarray(after.state.pipeline_state.q)
  np.testing.assert_allclose(now[:2], np.cos(angles[:2]), atol=1e-5)
  np.testing.assert_allclose(now[2:4], np.sin(angles[:2]), atol=1e-5)
  np.testing.assert_allclose(now[4:6], angles[2:4], atol=1e-5)
  np.testing.assert_allclose(now[6:8], after.state.pipeline_state.qd[:2])
  # The distance of the fingertip, and what the torque costs.
  expected = -np.hypot(*now[8:10]) - 0.5
  assert float(after.reward[0]) == pytest.approx(expected, abs=1e-4)
  assert not after.terminated


@pytest.mark.parametrize(
  ('name', 'task'), [('halfcheetah', 'half_cheetah'), ('walker2d', 'walker2d')]
)
def test_layouts(name, task):
  robot = brax_robots.BraxRobot(name)
  sizes = (robot.observation_size, robot.action_size)
  assert tasks.named(task).sizes == sizes


def test_what_is_refused():
  with pytest.raises(ValueError, match='name must be one of'):
    brax_robots.BraxRobot('hopper')
