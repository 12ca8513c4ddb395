"""How fast a linear system forgets: rho(A) and Phi(A), on the host.

  rho(A) = largest modulus of an eigenvalue
  Phi(A; rho) = sup_{tau >= 0} ||A^tau||_2 / rho^tau

so that ||A^tau|| <= Phi rho^tau. With rho = rho(A) this is the paper's Phi(A),
which is infinite for nilpotent matrices (a fixed delay) and for defective ones
(a double pole at the spectral radius): those need a larger rho.
"""

import numpy as np

# Powers that are looked at. The ratio is bounded by the eigenvectors' condition
# number and almost periodic; the released script looks at 999.
POWERS = 4096


def is_nilpotent(matrix: np.ndarray) -> bool:
  """Whether the n-th power of a matrix is 0, up to rounding.

  Args:
    matrix: [n, n].

  Returns:
    bool.

  Example:
    >>> from jaxcredit import bandits
    >>> bandits.stability.is_nilpotent([[0, 1], [0, 0]])
    True
  """
  matrix = np.asarray(matrix, np.float64)
  n = matrix.shape[0]
  size = np.linalg.norm(matrix, 2)
  if size == 0:
    return True
  power = np.linalg.matrix_power(matrix / size, n)
  return bool(np.linalg.norm(power, 2) <= 1e-14 * n)


def spectral_radius(matrix: np.ndarray) -> float:
  """Largest modulus of an eigenvalue; exactly 0 for a nilpotent matrix.

  Rounding moves the eigenvalues of a nilpotent matrix from 0 to about 1e-16 to
  the power 1 / n.

  Args:
    matrix: A, [n, n].

  Returns:
    rho(A), a float of the host (float64).

  Example:
    >>> from jaxcredit import bandits
    >>> bandits.stability.spectral_radius([[0.5, 0], [0, 0.25]])
    0.5
  """
  if is_nilpotent(matrix):
    return 0.0
  return float(np.abs(np.linalg.eigvals(np.asarray(matrix, np.float64))).max())


def phi(matrix: np.ndarray, rho: float | None = None) -> float:
  """Phi(A; rho), at least 1.

  Args:
    matrix: A, [n, n].
    rho: None for rho(A).

  Returns:
    A float of the host (float64).

  Raises:
    ValueError: Phi is infinite; the message says which rho would do.

  Example:
    >>> from jaxcredit import bandits
    >>> bandits.stability.phi(np.array([[0.5, 0], [0, 0.25]]))
    1.0
  """
  matrix = np.asarray(matrix, np.float64)
  radius = spectral_radius(matrix)
  if not matrix.any():
    return 1.0
  rho = radius if rho is None else rho
  if rho == 0:
    raise ValueError(
      'Phi(A) is infinite: A is nilpotent (a delay line, say), its spectral '
      'radius is 0 but A is not. Give a bound rho > 0 on the spectral radius; '
      f'Phi is then finite (for rho = 0.5 it is {phi(matrix, 0.5):.4g})'
    )
  if rho < radius * (1 - 1e-9):
    raise ValueError(
      f'Phi(A; rho) is infinite for rho = {rho:.6g}, which is below the '
      f'spectral radius {radius:.6g}'
    )
  scaled, power, largest, half = matrix / rho, np.eye(len(matrix)), 1.0, 1.0
  for tau in range(1, POWERS + 1):
    power = power @ scaled
    norm = np.linalg.norm(power, 2)
    largest = max(largest, norm)
    if tau == POWERS // 2:
      half = largest
    if norm < 1e-12:
      half = largest
      break
  # Growing like tau^k or a whole power of it: 2^k from one half to the other.
  if largest > 1.5 * half:
    raise ValueError(
      f'Phi(A; rho) is infinite for rho = {rho:.6g}: ||A^tau|| / rho^tau still '
      f'grows at tau = {POWERS} (A has a multiple pole there). Give a bound on '
      f'the spectral radius above {rho:.6g}'
    )
  return float(largest)
