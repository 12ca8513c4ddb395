"""The dynamical linear bandit as a functional environment, and its systems.

  system = linear_dynamical_system.synthetic()
  state = linear_dynamical_system.reset(system, key)
  result = linear_dynamical_system.step(system, state, action)

`reset` and `step` are pure: they compile under jit and batch under vmap, over
states and over systems alike. The systems are those of the paper (Mussi et al.
2023, 2211.08997) and families of them; all are checked to be stable. The
mathematics lies in `algorithms.bandits.linear_system` (Markov parameters) and
`.stability` (spectral radius, Phi).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.algorithms.bandits import action_sets, linear_system

LinearSystem = linear_system.LinearSystem


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """What changes.

  Attributes:
    hidden: float [n], x_t, which an agent does not see.
    key: of the noise to come.
  """

  hidden: jax.Array
  key: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Transition:
  """What a step gives.

  Attributes:
    state: after it.
    reward: float [], y_t.
  """

  state: State
  reward: jax.Array


def reset(system: LinearSystem, key: jax.Array) -> State:
  """The initial state; the key is consumed."""
  return State(system.initial_state, key)


def step(system: LinearSystem, state: State, action: jax.Array) -> Transition:
  """One round: the reward of the present state, then the state moves.

  Args:
    system: the system.
    state: before the round.
    action: float [d].
  """
  key, now = jax.random.split(state.key)
  noise = jax.random.normal(now, (1 + system.states,), system.A.dtype)
  reward = linear_system.reward(system, state.hidden, action, noise[0])
  hidden = linear_system.next_state(system, state.hidden, action, noise[1:])
  return Transition(State(hidden, key), reward)


def best_action(
  system: LinearSystem, actions: action_sets.Actions
) -> tuple[jax.Array, jax.Array]:
  """The best constant action, float [d], and its long-run reward J*, []."""
  h = linear_system.cumulative_markov_parameter(system)
  action = actions.vector(actions.best(h))
  return action, (action * h).sum()


def best_plan(
  system: LinearSystem, actions: action_sets.Actions, horizon: int
) -> jax.Array:
  """The best actions of `horizon` rounds in all, float [horizon, d].

  With H rounds to go the best action maximises <h{0} + ... + h{H - 1}, u>: what
  comes after the end does not count (Theorem C.1).
  """
  parameters = linear_system.markov_parameters(system, horizon)
  to_come = jnp.cumsum(parameters, axis=0)[::-1]
  return jax.vmap(lambda h: actions.vector(actions.best(h)))(to_come)


def from_outputs(A, B, C, D, *, sigma: float, dtype=None) -> LinearSystem:
  """A system whose reward is the sum of m outputs C x + D u.

  Each output has its own noise, so that the reward's has the standard
  deviation sqrt(m) sigma: the convention of the released script.

  Args:
    A: [n, n].
    B: [n, d].
    C: [m, n].
    D: [m, d].
    sigma: standard deviation of every noise.
    dtype: see `linear_system.create`.

  Raises:
    ValueError: C and D differ in their number of outputs, and whatever
      `linear_system.create` raises.
  """
  C, D = np.asarray(C, np.float64), np.asarray(D, np.float64)
  if C.ndim != 2 or D.ndim != 2 or len(C) != len(D):
    raise ValueError(
      f'C and D must have shapes [m, n] and [m, d], but have shapes {C.shape} '
      f'and {D.shape}'
    )
  return linear_system.create(
    A,
    B,
    C.sum(axis=0),
    D.sum(axis=0),
    state_noise=sigma,
    reward_noise=np.sqrt(len(C)) * sigma,
    dtype=dtype,
  )


def _reward_noise(sigma: float, outputs: int) -> float:
  return float(np.sqrt(outputs)) * sigma


def synthetic(
  sigma: float = 0.01, *, outputs: int = 1, dtype=None
) -> LinearSystem:
  """The synthetic system of Section 5.1.

  B has .45 in its first entry. The paper prints .25, which contradicts the h
  that it gives; its script has .45.

  Args:
    sigma: standard deviation of the noise.
    outputs: how many noises the reward sums; 3 in the released script.
    dtype: see `linear_system.create`.
  """
  return linear_system.create(
    np.diag([0.2, 0.0, 0.1]),
    np.diag([0.45, 0.0, 0.1]),
    [1.0, 0.0, 0.1],
    [0.0, 0.5, 0.1],
    state_noise=sigma,
    reward_noise=_reward_noise(sigma, outputs),
    dtype=dtype,
  )


# Spend on three platforms over two years, in the currency of the data.
ADVERTISING_SPEND = (1641952.0, 259591273.0, 716354611.0)


def advertising(
  sigma: float = 0.01, *, outputs: int = 1, dtype=None
) -> LinearSystem:
  """The system that was identified from advertising data (Appendix E.2).

  The state of a campaign on three platforms, with daily budgets as actions and
  conversions as rewards. Arguments as in `synthetic`.
  """
  return linear_system.create(
    [[0.38, 0.33, 0.60], [0.07, 0.76, -0.54], [0.18, 0.34, 0.05]],
    [[0.14, 0.34, -0.05], [-0.17, 0.03, -0.01], [0.04, -0.09, 0.17]],
    [-0.61, -0.04, -0.13],
    [0.13, 0.41, 0.02],
    state_noise=sigma,
    reward_noise=_reward_noise(sigma, outputs),
    dtype=dtype,
  )


def composite(
  means, weights, *, sigma: float = 0.01, dtype=None
) -> LinearSystem:
  """Arms whose reward arrives in parts: w_s of it s rounds later.

  A shift register (Appendix A.1). Its actions are one-hot vectors, its spectral
  radius is 0, and its Phi infinite: the agent's bound rho must be positive.

  Args:
    means: [K], expected reward of each arm.
    weights: [tau], w_1, ..., w_tau.
    sigma: standard deviation of the reward's noise.
    dtype: see `linear_system.create`.

  Raises:
    ValueError: shapes that do not fit.
  """
  means, weights = np.asarray(means, float), np.asarray(weights, float)
  if means.ndim != 1 or weights.ndim != 1 or not means.size * weights.size:
    raise ValueError(
      f'means and weights must have shapes [K] and [tau], but have shapes '
      f'{means.shape} and {weights.shape}'
    )
  tau = weights.size
  control = np.zeros((tau, means.size))
  control[0] = means
  return linear_system.create(
    np.eye(tau, k=-1),
    control,
    weights,
    np.zeros(means.size),
    state_noise=0.0,
    reward_noise=sigma,
    dtype=dtype,
  )


def delayed(
  means, delay: int, *, sigma: float = 0.01, dtype=None
) -> LinearSystem:
  """Arms whose reward arrives `delay` rounds later; see `composite`."""
  if delay < 1:
    raise ValueError(f'delay must be at least 1, not {delay}')
  return composite(means, np.eye(delay)[-1], sigma=sigma, dtype=dtype)


def spread(
  means, coefficients, *, sigma: float = 0.01, dtype=None
) -> LinearSystem:
  """Arms whose reward goes on, autoregressive of order m (Appendix A.1).

    x_{t+1} = sum_i a_i x_{t+1-i} + <means, u_t>,   y_t = x_t

  Args:
    means: [K].
    coefficients: [m], a_1, ..., a_m.
    sigma: standard deviation of either noise.
    dtype: see `linear_system.create`.
  """
  means, first = np.asarray(means, float), np.asarray(coefficients, float)
  if means.ndim != 1 or first.ndim != 1 or not means.size * first.size:
    raise ValueError(
      f'means and coefficients must have shapes [K] and [m], but have shapes '
      f'{means.shape} and {first.shape}'
    )
  m = first.size
  companion = np.eye(m, k=-1)
  companion[0] = first
  control = np.zeros((m, means.size))
  control[0] = means
  noise = np.zeros(m)
  noise[0] = sigma
  return linear_system.create(
    companion,
    control,
    np.eye(m)[0],
    np.zeros(means.size),
    state_noise=noise,
    reward_noise=sigma,
    dtype=dtype,
  )


def one_hot_actions(count: int, dtype=None) -> action_sets.FiniteActions:
  """The actions of `composite`, `delayed` and `spread`."""
  return action_sets.finite(np.eye(count), dtype)


def random(
  seed: int,
  *,
  states: int = 3,
  dimension: int = 3,
  rho: float = 0.5,
  sigma: float = 0.01,
  size: float = 1.0,
  symmetric: bool = False,
  dtype=None,
) -> LinearSystem:
  """A random system with a given spectral radius.

  B is scaled by 1 - rho, as in the paper's lower bound, so that the long-run
  rewards do not grow with the memory, and all of it by |J(u)| <= 1 for ||u|| <=
  `size`.

  Args:
    seed: of the host's generator.
    states: n.
    dimension: d.
    rho: spectral radius of A.
    sigma: standard deviation of either noise.
    size: bound on actions.
    symmetric: whether A is symmetric, so that Phi(A) = 1.
    dtype: see `linear_system.create`.
  """
  if not 0 <= rho < 1:
    raise ValueError(f'rho must be in [0, 1), not {rho}')
  rng = np.random.default_rng(seed)
  A = rng.standard_normal((states, states))
  if symmetric:
    A = A + A.T
  A *= rho / np.abs(np.linalg.eigvals(A)).max()
  B = (1 - rho) * rng.standard_normal((states, dimension))
  omega = rng.standard_normal(states)
  theta = rng.standard_normal(dimension)
  h = theta + B.T @ np.linalg.solve(np.eye(states) - A.T, omega)
  scale = 1 / (size * np.linalg.norm(h))
  # Half of the scale each on what the state earns and on what moves it.
  return linear_system.create(
    A,
    np.sqrt(scale) * B,
    np.sqrt(scale) * omega,
    scale * theta,
    state_noise=sigma,
    reward_noise=sigma,
    dtype=dtype,
  )


def lower_bound(
  signs, rho: float, gap: float, *, sigma: float = 1.0, dtype=None
) -> LinearSystem:
  """A hard system of Theorem 2.2, for actions in {-1, 1}^d.

  A is diagonal with rho where the sign is positive and rho - gap elsewhere,
  B = (1 - rho) I, omega is all ones and theta 0.

  Args:
    signs: [d].
    rho: spectral radius.
    gap: epsilon.
    sigma: standard deviation of either noise.
    dtype: see `linear_system.create`.
  """
  signs = np.asarray(signs)
  d = signs.size
  return linear_system.create(
    np.diag(np.where(signs > 0, rho, rho - gap)),
    (1 - rho) * np.eye(d),
    np.ones(d),
    np.zeros(d),
    state_noise=sigma,
    reward_noise=sigma,
    dtype=dtype,
  )
