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
  """sum_k w_k u_k u_k^T of weights [K] and vectors [K, d]; lower part."""
  d = vectors.shape[-1]
  if d > LARGEST:
    return jnp.einsum('k,ki,kj->ij', weights, vectors, vectors)
  columns = [vectors[:, i] for i in range(d)]
  return tuple(
    tuple((weights * (columns[i] * columns[j])).sum() for j in range(i + 1))
    for i in range(d)
  )


def moments(weights: jax.Array, vectors: jax.Array) -> Vector:
  """sum_k w_k u_k of weights [K] and vectors [K, d]."""
  d = vectors.shape[-1]
  if d > LARGEST:
    return weights @ vectors
  return tuple((weights * vectors[:, i]).sum() for i in range(d))


def cholesky(matrix: Matrix, ridge: jax.Array) -> Matrix:
  """Lower L with L L^T = matrix + ridge I, of which the lower part is read."""
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
  """The diagonal, [d]."""
  return jnp.stack([row[i] for i, row in enumerate(factor)])


def dense(factor: Matrix) -> jax.Array:
  """A lower factor as an array [d, d]."""
  if not isinstance(factor, tuple):
    return factor
  d = len(factor)
  zero = jnp.zeros_like(factor[0][0])
  rows = [jnp.stack((*row, *[zero] * (d - len(row)))) for row in factor]
  return jnp.stack(rows)


def solve_lower(factor: Matrix, right: Vector) -> Vector:
  """L^-1 right; `right` has d entries, scalars or arrays of one shape."""
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
  """L^-T right, likewise."""
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
  """sum_i left[i] right[i]; entries may be arrays."""
  total = left[0] * right[0]
  for i in range(1, len(left)):
    total = total + left[i] * right[i]
  return total
