"""Ridge regression: V = lambda I + sum u u^T, b = sum u y, hhat = V^-1 b.

With finitely many actions, V and b follow from how often each was taken and
what it earned: the counts are exact, and V cannot drift. Elsewhere V and b
themselves are kept.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.bandits import action_sets, small_matrices


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Compensated:
  """A sum with the low part that rounding cut off (Kahan).

  A million rewards of 0.8 in float32, each rounded to the spacing of the sum,
  would have a mean of 0.8125.

  Attributes:
    total: float [...], the sum.
    excess: float [...], by how much it is too large.
  """

  total: jax.Array
  excess: jax.Array

  @classmethod
  def zeros(cls, shape, dtype) -> 'Compensated':
    """Nothing summed yet."""
    return cls(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

  def add(self, value: jax.Array) -> 'Compensated':
    """The sum with a value more."""
    value = value - self.excess
    total = self.total + value
    return Compensated(total, (total - self.total) - value)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ArmStatistics:
  """Of K actions.

  Attributes:
    counts: int32 [K], how often each was used.
    sums: float [K], rewards of each.
  """

  counts: jax.Array
  sums: Compensated


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GramStatistics:
  """Of actions that are vectors.

  Attributes:
    gram: float [d, d], sum u u^T.
    moments: float [d], sum u y.
  """

  gram: Compensated
  moments: Compensated


def init(actions: action_sets.Actions, dtype) -> ArmStatistics | GramStatistics:
  """Statistics of nothing.

  Args:
    actions: the set.
    dtype: floating.

  Returns:
    ArmStatistics for a finite set, else GramStatistics.

  Example:
    >>> from jaxcredit import bandits
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> nothing = bandits.ridge.init(arms, jnp.float32)
    >>> print(nothing.counts)
    [0 0]
  """
  if isinstance(actions, action_sets.FiniteActions):
    counts = jnp.zeros((actions.count,), jnp.int32)
    return ArmStatistics(counts, Compensated.zeros((actions.count,), dtype))
  d = actions.dimension
  return GramStatistics(
    Compensated.zeros((d, d), dtype), Compensated.zeros((d,), dtype)
  )


def add(statistics, action: jax.Array, reward: jax.Array, use: jax.Array):
  """The statistics with an action and its reward.

  Args:
    statistics: so far.
    action: int32 [] in a finite set, else float [d].
    reward: float [].
    use: bool [], whether the two count.

  Returns:
    Statistics of the same kind.

  Example:
    >>> from jaxcredit import bandits
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> nothing = bandits.ridge.init(arms, jnp.float32)
    >>> one = bandits.ridge.add(nothing, jnp.array(1), jnp.array(2.0), True)
    >>> print(one.counts, one.sums.total)
    [0 1] [0. 2.]
  """
  if isinstance(statistics, ArmStatistics):
    taken = (jnp.arange(statistics.counts.shape[-1]) == action) & use
    return ArmStatistics(
      statistics.counts + taken,
      statistics.sums.add(jnp.where(taken, reward, 0)),
    )
  action = jnp.where(use, action, 0)
  return GramStatistics(
    statistics.gram.add(action[:, None] * action),
    statistics.moments.add(action * jnp.where(use, reward, 0)),
  )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Estimate:
  """The regression, with V = L L^T.

  Attributes:
    factor: L, a small matrix [d, d].
    half: L^-1 b, d entries.
  """

  factor: small_matrices.Matrix
  half: small_matrices.Vector

  @property
  def parameter(self) -> jax.Array:
    """hhat = V^-1 b, float [d]."""
    return jnp.stack(list(small_matrices.solve_upper(self.factor, self.half)))

  def log_determinant(self, ridge: jax.Array) -> jax.Array:
    """log det(V / lambda), float []."""
    diagonal = small_matrices.diagonal(self.factor)
    return (2 * jnp.log(diagonal) - jnp.log(ridge)).sum()

  def optimistic_values(
    self, vectors: jax.Array, radius: jax.Array
  ) -> jax.Array:
    """<hhat, u> + radius ||u||_{V^-1} of vectors [K, d], float [K]."""
    solved = small_matrices.solve_lower(self.factor, vectors.T)
    norms = jnp.sqrt(small_matrices.dot(solved, solved))
    return small_matrices.dot(solved, self.half) + radius * norms


def estimate(
  statistics, actions: action_sets.Actions, ridge: jax.Array
) -> Estimate:
  """Solves the regression, hhat = (lambda I + sum u u^T)^-1 sum u y.

  Args:
    statistics: so far.
    actions: the set.
    ridge: lambda, float [], above 0.

  Returns:
    Estimate.

  Example:
    >>> from jaxcredit import bandits
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> nothing = bandits.ridge.init(arms, jnp.float32)
    >>> one = bandits.ridge.add(nothing, jnp.array(1), jnp.array(2.0), True)
    >>> solved = bandits.ridge.estimate(one, arms, jnp.array(1.0))
    >>> print(solved.parameter)
    [0. 1.]
  """
  if isinstance(statistics, ArmStatistics):
    sums = statistics.sums.total
    counts = statistics.counts.astype(sums.dtype)
    gram = small_matrices.gram(counts, actions.arms)
    moments = small_matrices.moments(sums, actions.arms)
  else:
    gram, moments = statistics.gram.total, statistics.moments.total
  factor = small_matrices.cholesky(gram, ridge)
  return Estimate(factor, small_matrices.solve_lower(factor, moments))
