"""The system's mathematics, and what `create` refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.algorithms.bandits import action_sets, linear_system
from jaxcredit.environments import linear_dynamical_system
from tests.algorithms.bandits import problems


def test_cumulative_markov_parameter_of_the_paper():
  # Section 5.1 prints h = (0.56, 0.5, 0.11); with B11 = .25 it would not be.
  system = linear_dynamical_system.synthetic()
  h = linear_system.cumulative_markov_parameter(system)
  np.testing.assert_allclose(h, [0.5625, 0.5, 1 / 9], rtol=1e-6)
  arms = action_sets.finite(action_sets.budget_shares(3, 1.5, 1.0))
  action, value = linear_dynamical_system.best_action(system, arms)
  np.testing.assert_allclose(action, [1, 0.5, 0])
  assert float(value) == pytest.approx(0.8125)


def test_cumulative_markov_parameter_of_the_advertising_system():
  system = linear_dynamical_system.advertising()
  h = linear_system.cumulative_markov_parameter(system)
  np.testing.assert_allclose(h, [0.2515, -0.0363, 0.1061], atol=5e-5)
  arms = action_sets.finite(action_sets.budget_shares(3, 1.5, 1.0))
  action, value = linear_dynamical_system.best_action(system, arms)
  np.testing.assert_allclose(action, [1, 0, 0.5])
  assert float(value) == pytest.approx(0.30459, abs=1e-5)


def test_markov_parameters_sum_to_the_cumulative_one():
  system, _ = problems.random_problem(0, rho=0.5)
  parameters = linear_system.markov_parameters(system, 60)
  assert parameters.shape == (60, problems.DIMENSION)
  A, B = np.asarray(system.A), np.asarray(system.B)
  np.testing.assert_allclose(parameters[0], system.theta)
  np.testing.assert_allclose(
    parameters[3], B.T @ np.linalg.matrix_power(A.T, 2) @ system.omega,
    rtol=1e-4,
  )  # fmt: skip
  np.testing.assert_allclose(
    parameters.sum(axis=0),
    linear_system.cumulative_markov_parameter(system),
    rtol=1e-4,
    atol=1e-6,
  )
  assert linear_system.markov_parameters(system, 1).shape[0] == 1


def test_a_constant_action_earns_its_steady_value_in_the_long_run():
  system, actions = problems.random_problem(1, rho=0.5, sigma=0.0)
  action = actions.vector(2)
  state = system.initial_state
  for _ in range(80):
    reward = linear_system.reward(system, state, action, 0.0)
    state = linear_system.next_state(
      system, state, action, jnp.zeros(problems.STATES)
    )
  assert float(reward) == pytest.approx(
    float(linear_system.steady_value(system, action)), abs=1e-5
  )


def test_systems_batch_under_vmap():
  systems = [problems.random_problem(seed)[0] for seed in range(3)]
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *systems)
  h = jax.vmap(linear_system.cumulative_markov_parameter)(stacked)
  for one, system in zip(h, systems, strict=True):
    np.testing.assert_allclose(
      one, linear_system.cumulative_markov_parameter(system), rtol=1e-4
    )


GOOD = {
  'A': np.diag([0.5, 0.2]),
  'B': np.ones((2, 3)),
  'omega': np.ones(2),
  'theta': np.zeros(3),
}


@pytest.mark.parametrize(
  ('changes', 'words'),
  [
    ({'A': np.diag([1.0, 0.2])}, 'not stable: the spectral radius of A is 1'),
    ({'A': [[0.0, 1.2], [-1.2, 0.0]]}, 'spectral radius of A is 1.2'),
    ({'A': np.ones((2, 3))}, r'A must be square.*\(2, 3\)'),
    ({'B': np.ones((3, 2))}, r'B has shape \(3, 2\).*\(2, 3\)'),
    ({'omega': np.ones(3)}, r'omega has shape \(3,\).*\(2,\)'),
    ({'theta': np.zeros((1, 3))}, r'theta must have shape \[d\]'),
    ({'initial_state': [0.0]}, r'initial_state has shape \(1,\)'),
    ({'A': np.diag([np.nan, 0.2])}, 'A must be finite'),
    ({'state_noise': [0.1, 0.1, 0.1]}, r'state_noise must be a number or'),
    ({'reward_noise': -0.1}, 'must not be negative'),
  ],
)
def test_what_does_not_fit_is_refused(changes, words):
  linear_system.create(**GOOD)
  with pytest.raises(ValueError, match=words):
    linear_system.create(**{**GOOD, **changes})
