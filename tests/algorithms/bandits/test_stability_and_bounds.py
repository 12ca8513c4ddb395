"""Spectral radius, Phi, what the agent is told, and its warnings."""

import warnings

import numpy as np
import pytest

from jaxcredit import dynlin_ucb
from jaxcredit.algorithms.bandits import (
  action_sets,
  bounds,
  linear_system,
  stability,
)
from jaxcredit.environments import linear_dynamical_system
from tests.algorithms.bandits import problems


def test_constants_of_the_paper():
  system, actions = problems.paper_problem()
  told = bounds.of_system(system, actions, sigma=0.01, x='released')
  assert told.rho == 0.2  # and not float32's 0.2
  assert told.phi == 1
  assert told.omega == pytest.approx(1.00499, abs=1e-5)
  assert told.theta == pytest.approx(0.50990, abs=1e-5)
  assert told.u == pytest.approx(1.11803, abs=1e-5)
  assert told.x == pytest.approx(1.39754, abs=1e-5)
  assert told.transient == pytest.approx(2.27692, abs=1e-5)
  assert told.parameter == pytest.approx(1.07521, abs=1e-5)
  assert told.noise == pytest.approx(2.052e-4, abs=1e-7)


def test_constants_of_the_advertising_system():
  A = np.asarray(linear_dynamical_system.advertising().A, np.float64)
  assert stability.spectral_radius(A) == pytest.approx(0.6669, abs=5e-5)
  assert stability.phi(A) == pytest.approx(2.781, abs=5e-4)


def test_spectral_radius_is_a_modulus():
  # A rotation: the largest real part is 0, the modulus is not.
  A = 0.8 * np.array([[0.0, -1.0], [1.0, 0.0]])
  assert stability.spectral_radius(A) == pytest.approx(0.8)
  assert stability.phi(A) == pytest.approx(1)


def test_phi_bounds_every_power():
  rng = np.random.default_rng(0)
  A = rng.standard_normal((5, 5))
  A *= 0.9 / stability.spectral_radius(A)
  for rho in (0.9, 0.95):
    phi = stability.phi(A, rho)
    power = np.eye(5)
    ratios = []
    for tau in range(200):
      ratios.append(np.linalg.norm(power, 2) / rho**tau)
      power = power @ A
    assert max(ratios) <= phi * (1 + 1e-9)
    assert max(ratios) > phi * (1 - 1e-3)
  assert stability.phi(A, 0.95) < stability.phi(A, 0.9)


def test_nilpotent_systems_need_a_bound_on_rho():
  system = linear_dynamical_system.delayed([0.2, 0.5, 0.8], 4)
  actions = linear_dynamical_system.one_hot_actions(3)
  A = np.asarray(system.A)
  assert stability.spectral_radius(A) == 0
  with pytest.raises(ValueError, match='Phi.A. is infinite: A is nilpotent'):
    bounds.of_system(system, actions)
  told = bounds.of_system(system, actions, rho=0.5)
  # ||A^tau|| is 1 up to tau = 3 and 0 from then on.
  assert told.phi == pytest.approx(0.5**-3)
  config = dynlin_ucb.configure(system, actions, 100, bounds=told)
  assert np.asarray(config.ends).sum() < 100


def test_a_hidden_nilpotent_matrix_is_one_too():
  # Rounding moves its eigenvalues to about 1e-4.
  rng = np.random.default_rng(0)
  change = np.linalg.qr(rng.standard_normal((5, 5)))[0]
  A = change @ np.eye(5, k=1) @ change.T
  assert np.abs(np.linalg.eigvals(A)).max() > 1e-6
  assert stability.spectral_radius(A) == 0


def test_a_double_pole_has_an_infinite_phi():
  A = np.array([[0.5, 1.0], [0.0, 0.5]])
  with pytest.raises(ValueError, match='multiple pole'):
    stability.phi(A)
  assert np.isfinite(stability.phi(A, 0.6))
  with pytest.raises(ValueError, match='below the spectral radius'):
    stability.phi(A, 0.4)


def test_a_bound_below_the_truth_warns_of_what_it_means():
  system, actions = problems.paper_problem()
  with pytest.warns(
    bounds.RadiusBoundWarning, match='epochs end before the system has settled'
  ):
    told = bounds.of_system(system, actions, rho=0.1)
  assert told.rho == 0.1 and told.phi == 1
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    assert bounds.of_system(system, actions, rho=0.2).rho == 0.2
    bounds.of_system(system, actions, rho=0.4)


def test_rho_zero_uses_every_reward():
  system, actions = problems.paper_problem()
  with pytest.warns(bounds.RadiusBoundWarning):
    told = bounds.of_system(system, actions, rho=0.0)
  config = dynlin_ucb.configure(system, actions, 50, bounds=told)
  assert np.asarray(config.ends).all()
  # A system without memory needs no warning and no bound.
  still = linear_dynamical_system.random(0, rho=0.0)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    assert bounds.of_system(still, actions).rho == 0


def test_the_bound_on_states_holds_and_the_released_one_need_not():
  system = linear_dynamical_system.advertising(0.0)
  actions = action_sets.finite(action_sets.budget_shares(3, 1.5, 1.0))
  told = bounds.of_system(system, actions)
  A, B = np.asarray(system.A), np.asarray(system.B)
  for arm in np.asarray(actions.arms):
    x = np.zeros(3)
    for _ in range(60):
      x = A @ x + B @ arm
      assert np.linalg.norm(x) <= told.x
  strong = linear_system.create([[0.5]], [[8.0]], [1.0], [0.0])
  one = action_sets.finite([[1.0]])
  limit = 8 / (1 - 0.5)
  assert bounds.of_system(strong, one).x >= limit
  assert bounds.of_system(strong, one, x='released').x < limit
  assert bounds.of_system(strong, one, x=3.5).x == 3.5


@pytest.mark.parametrize(
  ('options', 'words'),
  [
    ({'x': 'loose'}, "x must be a number or one of .*not 'loose'"),
    ({'rho': 1.0}, r'must be in \[0, 1\), not 1.0'),
    ({'rho': -0.1}, r'must be in \[0, 1\), not -0.1'),
    ({'phi': 0.5}, 'phi must be at least 1, not 0.5'),
    ({'sigma': -1.0}, 'sigma must be finite and not negative'),
    ({'x': float('inf')}, 'bound x must be finite'),
  ],
)
def test_what_an_agent_cannot_be_told(options, words):
  system, actions = problems.paper_problem()
  with pytest.raises(ValueError, match=words):
    bounds.of_system(system, actions, **options)


def test_actions_must_fit_the_system():
  system, _ = problems.paper_problem()
  with pytest.raises(ValueError, match='actions have dimension 2, but the sys'):
    bounds.of_system(system, action_sets.finite(np.eye(2)))
