"""What the agent is told of the system: the bounds of Assumptions 2.1 and 2.2.

From them follow the constants of the confidence radius (Section 3):

  c1    = U Omega Phi (U B / (1 - rho) + X)      what the transient may bias
  c2    = Theta + Omega B Phi / (1 - rho)        bound on ||h||
  sbar2 = sigma^2 (1 + Omega^2 Phi^2 / (1 - rho^2))
  xi    = (Theta + Omega B / (1 - rho)) U        bound on rewards (Exp3)
"""

import dataclasses
import math
import warnings

import numpy as np

from jaxcredit.algorithms.bandits import action_sets, linear_system, stability

STATE_BOUNDS = ('derived', 'released')


class RadiusBoundWarning(UserWarning):
  """The bound on the spectral radius is below the true one."""


@dataclasses.dataclass(frozen=True)
class Bounds:
  """Upper bounds, as numbers of the host.

  Attributes:
    rho: on the spectral radius of A.
    phi: on sup ||A^tau|| / rho^tau.
    theta: on ||theta||.
    omega: on ||omega||.
    b: on ||B||_2.
    u: on ||u||.
    x: on ||x||.
    sigma: subgaussian scale of either noise.
  """

  rho: float
  phi: float
  theta: float
  omega: float
  b: float
  u: float
  x: float
  sigma: float

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if not (math.isfinite(value) and value >= 0):
        raise ValueError(
          f'the bound {field.name} must be finite and not negative, not {value}'
        )
    if self.rho >= 1:
      raise ValueError(
        f'the bound rho on the spectral radius must be below 1, not {self.rho}'
      )
    if self.phi < 1:
      raise ValueError(f'the bound phi must be at least 1, not {self.phi}')

  @property
  def transient(self) -> float:
    """c1."""
    steady = self.u * self.b / (1 - self.rho)
    return self.u * self.omega * self.phi * (steady + self.x)

  @property
  def parameter(self) -> float:
    """c2."""
    return self.theta + self.omega * self.b * self.phi / (1 - self.rho)

  @property
  def noise(self) -> float:
    """sbar2."""
    filtered = (self.omega * self.phi) ** 2 / (1 - self.rho**2)
    return self.sigma**2 * (1 + filtered)

  @property
  def reward(self) -> float:
    """xi."""
    return (self.theta + self.omega * self.b / (1 - self.rho)) * self.u


def _decimals(array) -> np.ndarray:
  """The array in float64, each entry the shortest decimal that it stands for.

  A float32 system that was written with 0.2 has the spectral radius 0.2 then,
  and not the float32 next to it: epochs change length at exact powers.
  """
  array = np.asarray(array)
  flat = [float(str(entry)) for entry in array.reshape(-1)]
  return np.array(flat).reshape(array.shape)


def of_system(
  system: linear_system.LinearSystem,
  actions: action_sets.Actions,
  *,
  sigma: float | None = None,
  rho: float | None = None,
  phi: float | None = None,
  x: str | float = 'derived',
) -> Bounds:
  """The tightest bounds, from the system itself.

  Args:
    system: not traced, without leading axes.
    actions: its actions.
    sigma: scale of the noise that the agent is told; None for the largest of
      the system's. (The released script's reward is a sum of three outputs, so
      that its true scale is sqrt(3) of what the agent is told.)
    rho: bound on the spectral radius; None for the true one. A bound below the
      true one gives a RadiusBoundWarning.
    phi: bound on sup ||A^tau|| / rho^tau; None for the true one, where rho is
      the spectral radius or above it, and for that of the spectral radius
      where rho is below it (as the supremum is then infinite).
    x: bound on the states: 'derived' is ||x_1|| Phi + Phi B U / (1 - rho), what
      a system without noise cannot exceed; 'released' is the script's
      U / (1 - rho), which is not a bound where B Phi > 1; or a number.

  Returns:
    Bounds, numbers of the host (float64).

  Raises:
    ValueError: shapes that do not fit, a rho that is not in [0, 1), or an
      infinite Phi (nilpotent A with rho 0: give a positive rho).

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> bounds = bandits.bounds.of_system(system, arms)
    >>> bounds.rho, bounds.phi, bounds.reward
    (0.5, 1.0, 3.0)
  """
  check_shapes(system, actions)
  if isinstance(x, str) and x not in STATE_BOUNDS:
    raise ValueError(f'x must be a number or one of {STATE_BOUNDS}, not {x!r}')
  A, B = _decimals(system.A), _decimals(system.B)
  radius = stability.spectral_radius(A)
  bound = radius if rho is None else float(rho)
  if not 0 <= bound < 1:
    raise ValueError(
      f'the bound rho on the spectral radius must be in [0, 1), not {bound}'
    )
  below = bound < radius
  if below:
    warnings.warn(
      f'the bound rho = {bound:.6g} is below the spectral radius '
      f'{radius:.6g}: epochs end before the system has settled, the confidence '
      'radius need not cover the truth, and the regret bound does not hold',
      RadiusBoundWarning,
      stacklevel=2,
    )
  if phi is None:
    phi = stability.phi(A, radius if below else max(bound, radius))
  norm_b = float(np.linalg.norm(B, 2))
  norm_u = float(actions.norm_bound())
  if x == 'derived':
    start = float(np.linalg.norm(_decimals(system.initial_state)))
    x = phi * (start + norm_b * norm_u / (1 - bound))
  elif x == 'released':
    x = norm_u / (1 - bound)
  if sigma is None:
    noises = (system.state_noise, system.reward_noise)
    sigma = max(float(_decimals(noise).max()) for noise in noises)
  return Bounds(
    rho=bound,
    phi=float(phi),
    theta=float(np.linalg.norm(_decimals(system.theta))),
    omega=float(np.linalg.norm(_decimals(system.omega))),
    b=norm_b,
    u=norm_u,
    x=float(x),
    sigma=float(sigma),
  )


def check_shapes(
  system: linear_system.LinearSystem, actions: action_sets.Actions
) -> None:
  """Checks that actions fit the system.

  Args:
    system: that takes actions of dimension d.
    actions: the set.

  Raises:
    ValueError: dimensions differ.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> bandits.bounds.check_shapes(system, bandits.action_sets.ball(1.0, 2))
  """
  if actions.dimension != system.dimension:
    raise ValueError(
      f'actions have dimension {actions.dimension}, but the system takes '
      f'actions of dimension {system.dimension} (theta has shape '
      f'{tuple(system.theta.shape)})'
    )
