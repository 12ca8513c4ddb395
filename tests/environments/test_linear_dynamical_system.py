"""The functional environment, and the families of systems."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.algorithms.bandits import (
  action_sets,
  linear_system,
  stability,
)
from jaxcredit.environments import linear_dynamical_system


def rewards(system, actions, key=None):
  """Rewards of a sequence of actions [T, d], in one compiled scan."""

  @jax.jit
  def play(state, actions):
    def body(state, action):
      result = linear_dynamical_system.step(system, state, action)
      return result.state, result.reward

    return jax.lax.scan(body, state, actions)[1]

  key = jax.random.key(0) if key is None else key
  state = linear_dynamical_system.reset(system, key)
  return np.asarray(play(state, jnp.asarray(actions)))


def test_reward_comes_before_the_state_moves():
  system = linear_system.create(
    [[0.5]], [[2.0]], [3.0], [0.1], state_noise=0, reward_noise=0,
    initial_state=[1.0],
  )  # fmt: skip
  # x = 1, 0.5 + 2, 1.25 + 0; y = 3 x + 0.1 u.
  np.testing.assert_allclose(
    rewards(system, [[1.0], [0.0], [0.0]]), [3.1, 7.5, 3.75]
  )


def test_noise_has_the_deviation_that_was_asked_for():
  system = linear_system.create(
    [[0.0]], [[0.0]], [1.0], [0.0], state_noise=0.3, reward_noise=0.4
  )
  y = rewards(system, np.zeros((20_000, 1)))
  # omega eps_{t-1} + eta_t
  assert y.std() == pytest.approx(0.5, rel=0.03)
  assert abs(y.mean()) < 0.02
  other = rewards(system, np.zeros((20_000, 1)), jax.random.key(1))
  assert (y != other).any()


def test_states_of_many_systems_under_vmap():
  systems = [linear_dynamical_system.random(seed) for seed in range(3)]
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *systems)
  keys = jax.random.split(jax.random.key(0), 3)
  state = jax.vmap(linear_dynamical_system.reset)(stacked, keys)
  action = jnp.ones(3)
  batch = jax.vmap(linear_dynamical_system.step, in_axes=(0, 0, None))(
    stacked, state, action
  )
  for i, system in enumerate(systems):
    one = linear_dynamical_system.step(
      system, linear_dynamical_system.reset(system, keys[i]), action
    )
    np.testing.assert_allclose(batch.reward[i], one.reward, rtol=1e-5)
    np.testing.assert_allclose(
      batch.state.hidden[i], one.state.hidden, rtol=1e-5, atol=1e-7
    )


def test_outputs_are_summed_and_their_noises_with_them():
  # Appendix E.2, as the released configuration has it.
  system = linear_dynamical_system.from_outputs(
    [[0.38, 0.33, 0.60], [0.07, 0.76, -0.54], [0.18, 0.34, 0.05]],
    [[0.14, 0.34, -0.05], [-0.17, 0.03, -0.01], [0.04, -0.09, 0.17]],
    [[0.25, -0.14, 0.01], [-0.55, 0.2, -0.13], [-0.31, -0.1, -0.01]],
    [[0.11, 0.1, 0.01], [0.01, 0.36, 0.01], [0.01, -0.05, 0.0]],
    sigma=0.01,
  )
  ours = linear_dynamical_system.advertising(0.01, outputs=3)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, atol=1e-7), system, ours
  )
  one = linear_dynamical_system.advertising(0.01)
  assert float(ours.reward_noise / one.reward_noise) == pytest.approx(3**0.5)
  with pytest.raises(ValueError, match='C and D must have shapes'):
    linear_dynamical_system.from_outputs(
      [[0.1]], [[1.0]], [[1.0], [1.0]], [[1.0]], sigma=0.1
    )


def test_a_delay_delays():
  system = linear_dynamical_system.delayed([0.2, 0.5], 3, sigma=0.0)
  arms = np.eye(2)
  np.testing.assert_allclose(
    rewards(system, arms[[1, 0, 0, 0, 0, 0]]), [0, 0, 0, 0.5, 0.2, 0.2]
  )
  h = linear_system.cumulative_markov_parameter(system)
  np.testing.assert_allclose(h, [0.2, 0.5], rtol=1e-6)


def test_composite_feedback_comes_in_parts():
  system = linear_dynamical_system.composite(
    [1.0, 2.0], [0.5, 0.3, 0.2], sigma=0.0
  )
  actions = np.zeros((5, 2))
  actions[0, 1] = 1
  np.testing.assert_allclose(
    rewards(system, actions), [0, 1.0, 0.6, 0.4, 0], atol=1e-7
  )


def test_autoregressive_rewards_go_on():
  system = linear_dynamical_system.spread([1.0, 2.0], [0.5, 0.25], sigma=0.0)
  actions = np.zeros((5, 2))
  actions[0, 0] = 1
  # x_2 = 1, x_3 = .5, x_4 = .25 + .25, x_5 = .25 + .125
  np.testing.assert_allclose(
    rewards(system, actions), [0, 1, 0.5, 0.5, 0.375], rtol=1e-6
  )


def test_random_systems_are_normalised():
  for seed in range(5):
    for symmetric in (False, True):
      system = linear_dynamical_system.random(
        seed, states=4, dimension=2, rho=0.9, size=2.0, symmetric=symmetric
      )
      A = np.asarray(system.A, np.float64)
      assert stability.spectral_radius(A) == pytest.approx(0.9, rel=1e-5)
      h = np.asarray(linear_system.cumulative_markov_parameter(system))
      assert 2 * np.linalg.norm(h) == pytest.approx(1, rel=1e-3)
      if symmetric:
        assert stability.phi(A) == pytest.approx(1, rel=1e-4)
  with pytest.raises(ValueError, match='rho must be in'):
    linear_dynamical_system.random(0, rho=1.0)


def test_the_hard_systems_reward_the_right_signs():
  system = linear_dynamical_system.lower_bound([1, -1, 1], 0.8, 0.05)
  h = np.asarray(linear_system.cumulative_markov_parameter(system))
  np.testing.assert_allclose(h, [1, 0.2 / 0.25, 1], rtol=1e-5)


def test_the_best_plan_of_a_short_horizon_is_not_constant():
  # The first arm pays 0.4 at once, the second 1.0 two rounds later.
  A = np.eye(2, k=-1)
  system = linear_system.create(
    A, [[0.0, 1.0], [0.0, 0.0]], [0.0, 1.0], [0.4, 0.0],
    state_noise=0, reward_noise=0,
  )  # fmt: skip
  actions = action_sets.finite(np.eye(2))
  plan = linear_dynamical_system.best_plan(system, actions, 5)
  np.testing.assert_allclose(plan, np.eye(2)[[1, 1, 1, 0, 0]])
  constant, value = linear_dynamical_system.best_action(system, actions)
  np.testing.assert_allclose(constant, [0, 1])
  assert float(value) == pytest.approx(1.0)
  every = np.array([np.eye(2)[list(c)] for c in np.ndindex(*(2,) * 5)])
  state = linear_dynamical_system.reset(system, jax.random.key(0))

  def total(actions):
    def body(state, action):
      result = linear_dynamical_system.step(system, state, action)
      return result.state, result.reward

    return jax.lax.scan(body, state, actions)[1].sum()

  totals = np.asarray(jax.jit(jax.vmap(total))(every))
  assert totals.max() == pytest.approx(rewards(system, plan).sum())


@pytest.mark.parametrize(
  ('make', 'words'),
  [
    (
      lambda: linear_dynamical_system.delayed([1.0], 0),
      'delay must be at least 1',
    ),
    (
      lambda: linear_dynamical_system.composite([[1.0]], [1.0]),
      'means and weights must have shapes',
    ),
    (
      lambda: linear_dynamical_system.spread([1.0], [[0.1]]),
      'means and coefficients must have shapes',
    ),
    (
      lambda: linear_dynamical_system.spread([1.0], [0.7, 0.4]),
      'the system is not stable',
    ),
  ],
)
def test_systems_that_are_refused(make, words):
  with pytest.raises(ValueError, match=words):
    make()
