"""Triangular algebra of small matrices, written out entry by entry.

A batched LAPACK call costs about a microsecond a matrix, and small arrays that
are sliced and stacked again fuse badly. Up to LARGEST, matrices are therefore
tuples of rows of scalars, which compile to one loop over the batch; above it
they are arrays. Whatever can be indexed as `matrix[i][j]` may be passed in.
"""

import jax
import jax.numpy as jnp

LARGEST = 6

Matrix = jax.Array | tuple[tuple[jax.Array, ...], ...]
Vector = jax.Array | tuple[jax.Array, ...]


def gram(weights: jax.Array, vectors: jax.Array) -> Matrix:
  """sum_k w_k u_k u_k^T, of which the lower part holds.

  Args:
    weights: float [K].
    vectors: float [K, d].

  Returns:
    Matrix [d, d], dtype of the arguments.

  Example:
    >>> from jaxcredit.algorithms.bandits import small_matrices
    >>> vectors = jnp.array([[1.0, 0], [1, 1]])
    >>> matrix = small_matrices.gram(jnp.ones(2), vectors)
    >>> print([[float(entry) for entry in row] for row in matrix])
    [[2.0], [1.0, 1.0]]
  """
  d = vectors.shape[-1]
  if d > LARGEST:
    return jnp.einsum('k,ki,kj->ij', weights, vectors, vectors)
  columns = [vectors[:, i] for i in range(d)]
  return tuple(
    tuple((weights * (columns[i] * columns[j])).sum() for j in range(i + 1))
    for i in range(d)
  )


def moments(weights: jax.Array, vectors: jax.Array) -> Vector:
  """sum_k w_k u_k.

  Args:
    weights: float [K].
    vectors: float [K, d].

  Returns:
    Vector of d entries, dtype of the arguments.

  Example:
    >>> from jaxcredit.algorithms.bandits import small_matrices
    >>> vectors = jnp.array([[1.0, 0], [1, 1]])
    >>> print([float(x) for x in small_matrices.moments(jnp.ones(2), vectors)])
    [2.0, 1.0]
  """
  d = vectors.shape[-1]
  if d > LARGEST:
    return weights @ vectors
  return tuple((weights * vectors[:, i]).sum() for i in range(d))


def cholesky(matrix: Matrix, ridge: jax.Array) -> Matrix:
  """Lower L with L L^T = matrix + ridge I.

  Args:
    matrix: Matrix [d, d], positive semidefinite; its lower part is read.
    ridge: float [].

  Returns:
    Matrix [d, d], its lower part.

  Example:
    >>> from jaxcredit.algorithms.bandits import small_matrices
    >>> vectors = jnp.array([[1.0, 0], [1, 1]])
    >>> matrix = small_matrices.gram(jnp.ones(2), vectors)
    >>> factor = small_matrices.cholesky(matrix, 0.0)
    >>> print(small_matrices.dense(factor).round(2))
    [[1.41 0.  ]
     [0.71 0.71]]
  """
  d = len(matrix)
  if d > LARGEST:
    return jnp.linalg.cholesky(matrix + ridge * jnp.eye(d, dtype=matrix.dtype))
  factor: list[tuple[jax.Array, ...]] = []
  for i in range(d):
    row: list[jax.Array] = []
    for j in range(i):
      rest = matrix[i][j]
      for k in range(j):
        rest = rest - row[k] * factor[j][k]
      row.append(rest / factor[j][j])
    rest = matrix[i][i] + ridge
    for k in range(i):
      rest = rest - row[k] * row[k]
    factor.append((*row, jnp.sqrt(rest)))
  return tuple(factor)


def diagonal(factor: Matrix) -> jax.Array:
  """The diagonal of a factor.

  Args:
    factor: Matrix [d, d].

  Returns:
    float [d].

  Example:
    >>> from jaxcredit.algorithms.bandits import small_matrices
    >>> vectors = jnp.array([[1.0, 0], [1, 1]])
    >>> matrix = small_matrices.gram(jnp.ones(2), vectors)
    >>> factor = small_matrices.cholesky(matrix, 0.0)
    >>> print(small_matrices.diagonal(factor).round(2))
    [1.41 0.71]
  """
  return jnp.stack([row[i] for i, row in enumerate(factor)])


def dense(factor: Matrix) -> jax.Array:
  """A lower factor as an array.

  Args:
    factor: Matrix [d, d].

  Returns:
    float [d, d], 0 above the diagonal.

  Example:
    >>> from jaxcredit.algorithms.bandits import small_matrices
    >>> vectors = jnp.array([[1.0, 0], [1, 1]])
    >>> matrix = small_matrices.gram(jnp.ones(2), vectors)
    >>> factor = small_matrices.cholesky(matrix, 0.0)
    >>> small_matrices.dense(factor).shape
    (2, 2)
  """
  if not isinstance(factor, tuple):
    return factor
  d = len(factor)
  zero = jnp.zeros_like(factor[0][0])
  rows = [jnp.stack((*row, *[zero] * (d - len(row)))) for row in factor]
  return jnp.stack(rows)


def solve_lower(factor: Matrix, right: Vector) -> Vector:
  """L^-1 right.

  Args:
    factor: L, Matrix [d, d].
    right: d entries, scalars or arrays of one shape.

  Returns:
    d entries of that shape.

  Example:
    >>> from jaxcredit.algorithms.bandits import small_matrices
    >>> vectors = jnp.array([[1.0, 0], [1, 1]])
    >>> matrix = small_matrices.gram(jnp.ones(2), vectors)
    >>> factor = small_matrices.cholesky(matrix, 0.0)
    >>> half = small_matrices.solve_lower(factor, jnp.array([2.0, 2]))
    >>> print([round(float(x), 2) for x in half])
    [1.41, 1.41]
  """
  if not isinstance(factor, tuple):
    flat = right.reshape(right.shape[0], -1)
    solved = jax.scipy.linalg.solve_triangular(factor, flat, lower=True)
    return solved.reshape(right.shape)
  solved: list[jax.Array] = []
  for i, row in enumerate(factor):
    rest = right[i]
    for k in range(i):
      rest = rest - row[k] * solved[k]
    solved.append(rest / row[i])
  return tuple(solved)


def solve_upper(factor: Matrix, right: Vector) -> Vector:
  """L^-T right.

  Args:
    factor: L, Matrix [d, d].
    right: d entries, scalars or arrays of one shape.

  Returns:
    d entries of that shape.

  Example:
    >>> from jaxcredit.algorithms.bandits import small_matrices
    >>> vectors = jnp.array([[1.0, 0], [1, 1]])
    >>> matrix = small_matrices.gram(jnp.ones(2), vectors)
    >>> factor = small_matrices.cholesky(matrix, 0.0)
    >>> half = small_matrices.solve_lower(factor, jnp.array([3.0, 2]))
    >>> solved = small_matrices.solve_upper(factor, half)
    >>> print([round(float(x), 2) for x in solved])
    [1.0, 1.0]
  """
  if not isinstance(factor, tuple):
    flat = right.reshape(right.shape[0], -1)
    solved = jax.scipy.linalg.solve_triangular(
      factor, flat, lower=True, trans=1
    )
    return solved.reshape(right.shape)
  d = len(factor)
  solved: list[jax.Array | None] = [None] * d
  for i in reversed(range(d)):
    rest = right[i]
    for k in range(i + 1, d):
      rest = rest - factor[k][i] * solved[k]
    solved[i] = rest / factor[i][i]
  return tuple(solved)


def dot(left: Vector, right: Vector) -> jax.Array:
  """sum_i left[i] right[i].

  Args:
    left: d entries, scalars or arrays.
    right: d entries that broadcast against them.

  Returns:
    A scalar, or an array of their shape.

  Example:
    >>> from jaxcredit.algorithms.bandits import small_matrices
    >>> print(small_matrices.dot(jnp.array([1.0, 2]), jnp.array([3.0, 4])))
    11.0
  """
  total = left[0] * right[0]
  for i in range(1, len(left)):
    total = total + left[i] * right[i]
  return total
