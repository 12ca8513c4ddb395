"""The dynamical linear bandit's system (Mussi et al. 2023, 2211.08997).

  y_t     = <omega, x_t> + <theta, u_t> + eta_t          reward, first
  x_{t+1} = A x_t + B u_t + eps_t                        then the state moves

A constant action u earns J(u) = <h, u> in the long run, with the cumulative
Markov parameter

  h = theta + B^T (I - A)^{-T} omega = sum_s h{s},
  h{0} = theta,   h{s} = B^T (A^{s-1})^T omega,

and no policy earns more than the best constant action (Theorem 2.1).

Everything here is pure and may be traced, differentiated and vmapped over
systems; `create` checks, on the host, what a caller can get wrong.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.algorithms.bandits import stability


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LinearSystem:
  """A stable linear system with n states and actions of dimension d.

  Attributes:
    A: float [n, n], how the state moves.
    B: float [n, d], how an action moves it.
    omega: float [n], what the state earns.
    theta: float [d], what the action earns at once.
    state_noise: float [] or [n], standard deviation of eps_t.
    reward_noise: float [], standard deviation of eta_t.
    initial_state: float [n], x_1.
  """

  A: jax.Array
  B: jax.Array
  omega: jax.Array
  theta: jax.Array
  state_noise: jax.Array
  reward_noise: jax.Array
  initial_state: jax.Array

  @property
  def states(self) -> int:
    """n."""
    return self.A.shape[-1]

  @property
  def dimension(self) -> int:
    """d."""
    return self.theta.shape[-1]


def _finite(name: str, array) -> np.ndarray:
  array = np.asarray(array, np.float64)
  if not np.isfinite(array).all():
    raise ValueError(f'{name} must be finite, but is {array.tolist()}')
  return array


def create(
  A,
  B,
  omega,
  theta,
  *,
  state_noise=0.01,
  reward_noise=0.01,
  initial_state=None,
  dtype=None,
) -> LinearSystem:
  """A system, checked.

  Args:
    A: [n, n], spectral radius below 1.
    B: [n, d].
    omega: [n].
    theta: [d].
    state_noise: standard deviation of the state's noise, a number or [n].
    reward_noise: standard deviation of the reward's noise.
    initial_state: [n]; None for 0.
    dtype: of the arrays; None for JAX's default float.

  Returns:
    LinearSystem.

  Raises:
    ValueError: shapes that do not fit, entries that are not finite, negative
      noise, or a system that is not stable.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> system.states, system.dimension
    (1, 2)
  """
  A, B = _finite('A', A), _finite('B', B)
  omega, theta = _finite('omega', omega), _finite('theta', theta)
  if A.ndim != 2 or A.shape[0] != A.shape[1] or not A.size:
    raise ValueError(f'A must be square, [n, n], but has shape {A.shape}')
  n = A.shape[0]
  if theta.ndim != 1 or not theta.size:
    raise ValueError(
      f'theta must have shape [d], one entry for each entry of an action, but '
      f'has shape {theta.shape}'
    )
  start = np.zeros(n) if initial_state is None else initial_state
  start = _finite('initial_state', start)
  for name, array, shape in (
    ('B', B, (n, theta.size)),
    ('omega', omega, (n,)),
    ('initial_state', start, (n,)),
  ):
    if array.shape != shape:
      raise ValueError(
        f'{name} has shape {array.shape}, but must have shape {shape}: A has '
        f'shape {A.shape} and theta {theta.shape}'
      )
  state_noise = _finite('state_noise', state_noise)
  reward_noise = _finite('reward_noise', reward_noise)
  if state_noise.shape not in ((), (n,)) or reward_noise.shape != ():
    raise ValueError(
      f'state_noise must be a number or have shape {(n,)}, and reward_noise a '
      f'number, but they have shapes {state_noise.shape} and '
      f'{reward_noise.shape}'
    )
  if (state_noise < 0).any() or reward_noise < 0:
    raise ValueError('standard deviations of noise must not be negative')
  radius = stability.spectral_radius(A)
  if radius >= 1:
    raise ValueError(
      f'the system is not stable: the spectral radius of A is {radius:.6g}, '
      'but must be below 1, or no constant action has a long-run reward'
    )
  dtype = dtype or jnp.result_type(float)
  return LinearSystem(
    *(
      jnp.asarray(array, dtype)
      for array in (A, B, omega, theta, state_noise, reward_noise, start)
    )
  )


def times(matrix: jax.Array, vector: jax.Array) -> jax.Array:
  """Matrix times vector.

  A sum of products fuses with what stands around it, also under vmap; a dot of
  this size costs a call of its own.

  Args:
    matrix: float [m, n].
    vector: float [n].

  Returns:
    float [m].

  Example:
    >>> from jaxcredit import bandits
    >>> matrix = jnp.array([[1.0, 2], [3, 4]])
    >>> print(bandits.linear_system.times(matrix, jnp.array([1.0, 1])))
    [3. 7.]
  """
  return (matrix * vector).sum(axis=-1)


def reward(system: LinearSystem, state, action, noise) -> jax.Array:
  """y_t = <omega, x_t> + <theta, u_t> + eta_t.

  Args:
    system: the system.
    state: float [n], x_t.
    action: float [d], u_t.
    noise: float [], standard normal.

  Returns:
    float [].

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> state, action = jnp.array([2.0]), jnp.array([0.0, 1])
    >>> print(bandits.linear_system.reward(system, state, action, 0.0))
    3.0
  """
  return (
    (system.omega * state).sum(axis=-1)
    + (system.theta * action).sum(axis=-1)
    + system.reward_noise * noise
  )


def next_state(system: LinearSystem, state, action, noise) -> jax.Array:
  """x_{t+1} = A x_t + B u_t + eps_t.

  Args:
    system: the system.
    state: float [n], x_t.
    action: float [d], u_t.
    noise: float [n], standard normal.

  Returns:
    float [n].

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> state, action = jnp.array([2.0]), jnp.array([1.0, 0])
    >>> print(bandits.linear_system.next_state(system, state, action, 0.0))
    [2.]
  """
  moved = times(system.A, state) + times(system.B, action)
  return moved + system.state_noise * noise


def cumulative_markov_parameter(system: LinearSystem) -> jax.Array:
  """h = theta + B^T (I - A)^{-T} omega, what each entry of an action earns.

  Args:
    system: the system.

  Returns:
    float [d], in units of the reward per unit of the action.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> print(bandits.linear_system.cumulative_markov_parameter(system))
    [2. 1.]
  """
  remaining = jnp.eye(system.states, dtype=system.A.dtype) - system.A.T
  return system.theta + system.B.T @ jnp.linalg.solve(remaining, system.omega)


def markov_parameters(system: LinearSystem, count: int) -> jax.Array:
  """h{0}, ..., h{count - 1}: what an action earns that many rounds later.

  Args:
    system: the system.
    count: rounds; static.

  Returns:
    float [count, d].

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> print(bandits.linear_system.markov_parameters(system, 3))
    [[0.  1. ]
     [1.  0. ]
     [0.5 0. ]]
  """

  def step(weights, _):
    return system.A.T @ weights, system.B.T @ weights

  _, later = jax.lax.scan(step, system.omega, length=max(count - 1, 0))
  return jnp.concatenate([system.theta[None], later])[:count]


def steady_value(system: LinearSystem, action: jax.Array) -> jax.Array:
  """J(u) = <h, u>, what a constant action earns in the long run.

  Args:
    system: the system.
    action: float [..., d].

  Returns:
    float [...], in units of the reward, per round.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> print(bandits.linear_system.steady_value(system, jnp.eye(2)))
    [2. 1.]
  """
  return action @ cumulative_markov_parameter(system)
