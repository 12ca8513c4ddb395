"""Particles: their physics, rewards and views, from plain Python."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import distribution

if not distribution.has_control():
  pytest.skip("jaxmarl is missing (extra 'control')", allow_module_level=True)

from jaxcredit.environments import particles
from jaxcredit.environments.particles import predator_prey, triangle_area
from jaxcredit.latent_rewards import particle_tasks

MOVES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))


def distance(a, b):
  return math.hypot(a[0] - b[0], a[1] - b[1])


def moved(positions, velocities, actions, radius, push, speed, collides):
  """A step of the particles, body by body."""
  count, agents = len(positions), len(actions)
  force = [[0.0, 0.0] for _ in range(count)]
  for i in range(agents):
    force[i] = [push[i] * MOVES[actions[i]][k] for k in (0, 1)]
  for i in range(count):
    for j in range(count):
      if i == j or not (collides[i] and collides[j]) or i >= agents:
        continue
      apart = distance(positions[i], positions[j])
      depth = 1e-3 * np.logaddexp(0, -(apart - radius[i] - radius[j]) / 1e-3)
      for k in (0, 1):
        force[i][k] += 100 * depth * (positions[i][k] - positions[j][k]) / apart
  after, speeds = [], []
  for i in range(count):
    after.append([positions[i][k] + 0.1 * velocities[i][k] for k in (0, 1)])
    v = [0.75 * velocities[i][k] + 0.1 * force[i][k] for k in (0, 1)]
    size = math.hypot(*v)
    if i < agents and 0 <= speed[i] < size:
      v = [x / size * speed[i] for x in v]
    speeds.append(v if i < agents else [0.0, 0.0])
  return after, speeds


@pytest.fixture(scope='module')
def navigation():
  return particles.CooperativeNavigation(3)


def crowded(environment, key=0):
  """A state in which bodies touch, some of them moving."""
  state, _ = environment.reset(jax.random.key(key))
  generator = np.random.default_rng(key)
  place = generator.uniform(-0.15, 0.15, state.p_pos.shape)
  speed = generator.uniform(-1, 1, state.p_vel.shape)
  speed[environment.task.num_agents :] = 0
  return state.replace(
    p_pos=jnp.asarray(place, jnp.float32), p_vel=jnp.asarray(speed, jnp.float32)
  )


def test_navigation_step_by_step(navigation):
  state = crowded(navigation)
  actions = [1, 4, 0]
  result = jax.jit(navigation.step)(state, jnp.asarray(actions))
  positions, velocities = moved(
    state.p_pos.tolist(),
    state.p_vel.tolist(),
    actions,
    [0.15] * 3 + [0.05] * 3,
    [5.0] * 3,
    [-1] * 3,
    [True] * 3 + [False] * 3,
  )
  np.testing.assert_allclose(result.state.p_pos, positions, atol=1e-5)
  np.testing.assert_allclose(
    result.state.p_vel, velocities, rtol=1e-3, atol=1e-3
  )
  assert not result.terminated

  here, there = positions[:3], positions[3:]
  touched = [
    sum(distance(a, b) < 0.3 for b in here if b is not a) for a in here
  ]
  assert sum(touched)
  cover = sum(min(distance(a, l) for a in here) for l in there)
  np.testing.assert_allclose(
    result.reward, [-0.5 * t - 0.5 * cover for t in touched], rtol=1e-4
  )
  released = particles.CooperativeNavigation(3, 'released').rewards(
    result.state
  )
  near = [min(distance(a, l) for l in there) for a in here]
  np.testing.assert_allclose(
    released, [-n - t for n, t in zip(near, touched, strict=True)], rtol=1e-4
  )
  for i in range(3):
    others = [j for j in range(3) if j != i]
    relative = [np.subtract(x, here[i]) for x in there]
    relative += [np.subtract(here[j], here[i]) for j in others]
    expected = [*velocities[i], *here[i], *np.concatenate(relative), 0, 0, 0, 0]
    np.testing.assert_allclose(
      result.observation[i], expected, rtol=1e-3, atol=1e-3
    )


def test_predators_prey_and_obstacles():
  environment = particles.PredatorPrey(3, 'released')
  state = crowded(environment, 1)
  actions = [2, 0, 3]
  prey = state.p_pos[3:4]
  fleeing = predator_prey.flee(prey, state.p_pos[:3], 1.0).tolist()
  result = environment.step(state, jnp.asarray(actions))
  positions, velocities = moved(
    state.p_pos.tolist(),
    state.p_vel.tolist(),
    [*actions, *fleeing],
    [0.075] * 3 + [0.05] + [0.2] * 2,
    [3.0] * 3 + [4.0],
    [1.0] * 3 + [1.3],
    [True] * 6,
  )
  np.testing.assert_allclose(result.state.p_pos, positions, atol=1e-5)
  np.testing.assert_allclose(
    result.state.p_vel, velocities, rtol=1e-3, atol=1e-3
  )
  apart = [distance(p, positions[3]) for p in positions[:3]]
  np.testing.assert_allclose(
    result.reward, [10 * (d < 0.125) - 0.1 * d for d in apart], rtol=1e-4
  )
  standard = particles.PredatorPrey(3)
  close = result.state.replace(
    p_pos=result.state.p_pos.at[:2].set(result.state.p_pos[3] + 0.05)
  )
  # Two touch, and all three are paid for both.
  touching = 2 + (distance(positions[2], positions[3]) < 0.125)
  np.testing.assert_allclose(standard.rewards(close), [10.0 * touching] * 3)


def test_prey_run_from_predators_and_from_the_border():
  def flee(prey, predators):
    action = predator_prey.flee(
      jnp.asarray([prey]), jnp.asarray(predators), 1.0
    )
    return MOVES[int(action[0])]

  assert flee([0.0, 0.0], [[0.3, 0.0], [3.0, 1.0]]) == (-1, 0)
  assert flee([0.0, 0.0], [[0.0, 0.2], [0.4, 0.0]]) == (0, -1)
  assert flee([0.99, 0.0], [[0.4, 0.0]]) == (-1, 0)


def test_triangle():
  environment = particles.TriangleArea()
  corners = jnp.asarray([[0.0, 0.0], [2.0, 0.0], [0.5, 3.0]])
  assert float(triangle_area.area(corners)) == pytest.approx(3.0)
  line = jnp.asarray([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]])
  assert 0 <= float(triangle_area.area(line)) < 1e-6
  keys = jax.random.split(jax.random.key(0), 50)
  states, seen = jax.jit(jax.vmap(environment.reset))(keys)
  places = np.asarray(states.p_pos)
  apart = np.linalg.norm(places[:, :3, None] - places[:, None, 3:], axis=-1)
  assert apart.min() >= 0.55 and np.abs(places[:, 3:]).max() <= 2
  rewards = jax.vmap(environment.rewards)(states)
  np.testing.assert_allclose(
    rewards, [[0.1 * float(triangle_area.area(p[:3]))] * 3 for p in places],
    atol=1e-6,
  )  # fmt: skip
  np.testing.assert_allclose(
    seen[0, 1, 10:], np.concatenate([places[0, 0] - places[0, 1],
                                     places[0, 2] - places[0, 1]]), atol=1e-6,
  )  # fmt: skip
  state = jax.tree.map(lambda x: x[0], states)
  hit = state.replace(p_pos=state.p_pos.at[3].set(state.p_pos[0] + 0.1))
  lower = environment.rewards(hit) - environment.rewards(state)
  assert float(lower[0]) == pytest.approx(-1)


@pytest.mark.parametrize('agents', [3, 6, 15])
def test_views_are_those_that_latent_rewards_are_told_of(agents):
  hunt = particles.PredatorPrey(agents)
  assert hunt.prey == agents // 3
  told = particle_tasks.predator_prey(agents, hunt.prey, hunt.obstacles)
  cover = particles.CooperativeNavigation(agents)
  for environment, task in (
    (hunt, told),
    (cover, particle_tasks.cooperative_navigation(agents, agents)),
  ):
    seen = jax.eval_shape(environment.reset, jax.random.key(0))[1]
    assert seen.shape == (agents, environment.observation_size)
    assert task.sizes == (environment.observation_size,)


def test_arena_grows_with_the_team():
  key = jax.random.key(3)
  small = particles.CooperativeNavigation(3).reset(key)[0].p_pos
  large = particles.CooperativeNavigation(15).reset(key)[0].p_pos
  assert np.abs(small).max() <= 1 < np.abs(large).max() <= 2.2


@pytest.mark.parametrize(
  'make',
  [
    lambda: particles.CooperativeNavigation(1),
    lambda: particles.PredatorPrey(3, 'mine'),
    lambda: particles.TriangleArea(4),
  ],
)
def test_what_is_refused(make):
  with pytest.raises(ValueError, match='not'):
    make()
