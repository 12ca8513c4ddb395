"""Sets of actions, and the optimistic action in each.

The optimistic action maximises <h, u> + radius * ||u||_{V^-1}, which is convex
in u, so that a maximum lies at an extreme point:

* FiniteActions: all K are looked at. Ties go to the lowest index.
* Box: all 2^d corners are looked at, up to d = 12; beyond that, flipping one
  coordinate at a time from several corners until no flip gains (a local
  maximum; the exact problem is NP-hard).
* Ball: exact. The maximum is radius_of_ball * max ||g|| over the confidence
  ellipsoid ||g - h||_V <= radius, whose stationary points solve one secular
  equation in the eigenbasis of V.

An action is an int32 index in a finite set and a float vector [d] elsewhere.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.algorithms.bandits import small_matrices

CORNERS = 12  # the largest dimension of a box whose corners are enumerated


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FiniteActions:
  """K actions.

  Attributes:
    arms: float [K, d].
  """

  arms: jax.Array

  @property
  def count(self) -> int:
    """K."""
    return self.arms.shape[-2]

  @property
  def dimension(self) -> int:
    """d."""
    return self.arms.shape[-1]

  def blank(self) -> jax.Array:
    """An action of the right shape and dtype."""
    return jnp.zeros((), jnp.int32)

  def vector(self, action: jax.Array) -> jax.Array:
    """The action as float [d]."""
    return self.arms[action]

  def at_random(self, draw: jax.Array) -> jax.Array:
    """A uniform action from a uniform number in [0, 1)."""
    index = jnp.floor(draw * self.count).astype(jnp.int32)
    return jnp.minimum(index, self.count - 1)

  def norm_bound(self) -> jax.Array:
    """U, the largest Euclidean norm."""
    return jnp.sqrt((self.arms**2).sum(axis=-1).max())

  def best(self, weights: jax.Array) -> jax.Array:
    """Maximises <weights, u>."""
    return jnp.argmax(self.values(weights)).astype(jnp.int32)

  def values(self, weights: jax.Array) -> jax.Array:
    """<weights, u> of every action, [K]."""
    return (self.arms * weights).sum(axis=-1)

  def optimistic(self, estimate, radius: jax.Array) -> jax.Array:
    """The optimistic action of a `ridge.Estimate` and a radius []."""
    scores = estimate.optimistic_values(self.arms, radius)
    return jnp.argmax(scores).astype(jnp.int32)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Box:
  """low <= u <= high, entry by entry.

  Attributes:
    low, high: float [d].
  """

  low: jax.Array
  high: jax.Array

  @property
  def dimension(self) -> int:
    """d."""
    return self.low.shape[-1]

  def blank(self) -> jax.Array:
    """An action of the right shape and dtype."""
    return jnp.zeros_like(self.low)

  def vector(self, action: jax.Array) -> jax.Array:
    """The action itself."""
    return action

  def _corner(self, upper: jax.Array) -> jax.Array:
    return jnp.where(upper, self.high, self.low)

  def at_random(self, draw: jax.Array) -> jax.Array:
    """A corner from a uniform number in [0, 1): its bits, up to 24."""
    bits = jnp.floor(draw * 2**24).astype(jnp.int32)
    return self._corner((bits >> (jnp.arange(self.dimension) % 24)) & 1 == 1)

  def norm_bound(self) -> jax.Array:
    """U, the largest Euclidean norm."""
    return jnp.linalg.norm(jnp.maximum(abs(self.low), abs(self.high)))

  def best(self, weights: jax.Array) -> jax.Array:
    """Maximises <weights, u>."""
    return self._corner(weights > 0)

  def _corners(self) -> jax.Array:
    choices = np.array(
      list(itertools.product((False, True), repeat=self.dimension))
    )
    return self._corner(choices)

  def _climbed(self, start, score):
    """Flips the most gainful coordinate until none gains."""
    flips = jnp.eye(self.dimension, dtype=bool)

    def step(carry):
      upper, value, _ = carry
      neighbours = upper ^ flips
      scores = score(self._corner(neighbours))
      best = jnp.argmax(scores)
      better = scores[best] > value
      upper = jnp.where(better, neighbours[best], upper)
      return upper, jnp.maximum(value, scores[best]), better

    value = score(self._corner(start)[None])[0]
    upper, value, _ = jax.lax.while_loop(
      lambda carry: carry[2], step, (start, value, jnp.bool_(True))
    )
    return self._corner(upper), value

  def optimistic(self, estimate, radius: jax.Array) -> jax.Array:
    """The optimistic action of a `ridge.Estimate` and a radius []."""

    def score(vectors):
      return estimate.optimistic_values(vectors, radius)

    if self.dimension <= CORNERS:
      corners = self._corners()
      return corners[jnp.argmax(score(corners))]
    # The corner that is best without a bonus, and those that are best in the
    # directions along which V is known least.
    factor = small_matrices.dense(estimate.factor)
    _, directions = jnp.linalg.eigh(factor @ factor.T)
    least = directions[:, :4].T
    greedy = estimate.parameter[None] > 0
    starts = jnp.concatenate([greedy, least > 0, least < 0])
    corners, values = jax.vmap(lambda start: self._climbed(start, score))(
      starts
    )
    return corners[jnp.argmax(values)]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ball:
  """||u|| <= size.

  Attributes:
    size: float [].
    dimension: d.
  """

  size: jax.Array
  dimension: int = dataclasses.field(metadata={'static': True})

  def blank(self) -> jax.Array:
    """An action of the right shape and dtype."""
    return jnp.zeros((self.dimension,), jnp.result_type(self.size))

  def vector(self, action: jax.Array) -> jax.Array:
    """The action itself."""
    return action

  def at_random(self, draw: jax.Array) -> jax.Array:
    """One of the 2 d points on the axes from a uniform number in [0, 1)."""
    index = jnp.floor(draw * 2 * self.dimension).astype(jnp.int32)
    axis = jnp.minimum(index // 2, self.dimension - 1)
    sign = jnp.where(index % 2 == 0, self.size, -self.size)
    return jnp.where(jnp.arange(self.dimension) == axis, sign, 0.0)

  def norm_bound(self) -> jax.Array:
    """U."""
    return self.size

  def best(self, weights: jax.Array) -> jax.Array:
    """Maximises <weights, u>; the first axis where all weights are 0."""
    norm = jnp.linalg.norm(weights)
    axis = jnp.zeros_like(weights).at[0].set(1)
    direction = jnp.where(
      norm > 0, weights / jnp.where(norm > 0, norm, 1), axis
    )
    return self.size * direction

  def optimistic(self, estimate, radius: jax.Array) -> jax.Array:
    """The optimistic action of a `ridge.Estimate` and a radius [].

    In the eigenbasis of V = diag(v), g = h + z maximises ||g|| subject to
    sum v_i z_i^2 = radius^2 where z_i = h_i / (mu v_i - 1) for the one mu >
    1 / min v that meets the constraint. If h has nothing along the smallest v,
    mu may reach 1 / min v, and what is left of the radius goes there.
    """
    factor = small_matrices.dense(estimate.factor)
    v, basis = jnp.linalg.eigh(factor @ factor.T)
    h = basis.T @ estimate.parameter
    # Scaled so that min v = 1 and mu = 1 + s, s > 0.
    floor = v[0]
    w = v / floor
    budget = radius**2 / floor
    tiny = jnp.finfo(h.dtype).tiny

    def z(s):
      return h / jnp.maximum((w - 1) + s * w, tiny)

    def used(s):
      return (w * z(s) ** 2).sum()

    # As w >= 1, used(s) <= ||h||^2 / s^2: at this end within the budget.
    high = jnp.sqrt((h**2).sum() / jnp.maximum(budget, tiny)) + tiny
    low = high * jnp.finfo(h.dtype).eps ** 2

    def halve(_, ends):
      low, high = ends
      middle = jnp.sqrt(low * high)  # s spans many orders of magnitude
      above = used(middle) > budget
      return jnp.where(above, middle, low), jnp.where(above, high, middle)

    _, high = jax.lax.fori_loop(0, 96, halve, (low, high))
    step = z(high)
    left = jnp.maximum(budget - (w * step**2).sum(), 0)
    sign = jnp.where(h[0] < 0, -1.0, 1.0).astype(h.dtype)
    # The rest of the radius goes along the smallest v, on the side where h is.
    along = sign * jnp.sqrt(step[0] ** 2 + left)
    return self.best(basis @ (h + step.at[0].set(along)))


Actions = FiniteActions | Box | Ball


def finite(arms, dtype=None) -> FiniteActions:
  """K actions, checked.

  Args:
    arms: [K, d].
    dtype: of the array; None for JAX's default float.

  Returns:
    FiniteActions.

  Raises:
    ValueError: not a matrix, empty, or entries that are not finite.

  Example:
    >>> from jaxcredit import bandits
    >>> bandits.action_sets.finite([[1, 0], [0, 1], [1, 1]]).count
    3
  """
  arms = np.asarray(arms, np.float64)
  if arms.ndim != 2 or not arms.size:
    raise ValueError(
      f'arms must have shape [K, d], one row an action, but have shape '
      f'{arms.shape}'
    )
  if not np.isfinite(arms).all():
    raise ValueError('arms must be finite')
  return FiniteActions(jnp.asarray(arms, dtype or jnp.result_type(float)))


def box(low, high, dtype=None) -> Box:
  """A box, checked.

  Args:
    low: [d].
    high: [d].
    dtype: of the arrays; None for JAX's default float.

  Returns:
    Box.

  Raises:
    ValueError: shapes differ, low above high, or entries that are not finite.

  Example:
    >>> from jaxcredit import bandits
    >>> print(bandits.action_sets.box([0, 0], [3, 4]).norm_bound())
    5.0
  """
  low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
  if low.ndim != 1 or low.shape != high.shape or not low.size:
    raise ValueError(
      f'low and high must both have shape [d], but have shapes {low.shape} and '
      f'{high.shape}'
    )
  if not (np.isfinite(low).all() and np.isfinite(high).all()):
    raise ValueError('low and high must be finite')
  if (low > high).any():
    raise ValueError(
      f'low must not exceed high: {low.tolist()}, {high.tolist()}'
    )
  dtype = dtype or jnp.result_type(float)
  return Box(jnp.asarray(low, dtype), jnp.asarray(high, dtype))


def ball(size: float, dimension: int, dtype=None) -> Ball:
  """A Euclidean ball around 0, checked.

  Args:
    size: its radius, above 0.
    dimension: d.
    dtype: of the size; None for JAX's default float.

  Returns:
    Ball.

  Raises:
    ValueError: a size that is not positive, or a dimension below 1.

  Example:
    >>> from jaxcredit import bandits
    >>> print(bandits.action_sets.ball(2.0, 2).best(jnp.array([3.0, 0])))
    [2. 0.]
  """
  if not (np.isfinite(size) and size > 0) or dimension < 1:
    raise ValueError(
      f'a ball needs a positive size and dimension, not {size} and {dimension}'
    )
  return Ball(
    jnp.asarray(size, dtype or jnp.result_type(float)), int(dimension)
  )


def require_finite(actions: Actions, name: str) -> None:
  """Checks that a set of actions is finite.

  Args:
    actions: the set.
    name: of the algorithm, for the message.

  Raises:
    ValueError: it is a box or a ball.

  Example:
    >>> from jaxcredit import bandits
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> bandits.action_sets.require_finite(arms, 'Exp3')
  """
  if not isinstance(actions, FiniteActions):
    raise ValueError(
      f'{name} needs finitely many actions (action_sets.finite), not '
      f'{type(actions).__name__}'
    )


def budget_shares(dimension: int, total: float, cap: float) -> np.ndarray:
  """Extreme points of {u in [0, cap]^d, sum u = total}, in order.

  The actions of the paper's experiments: d = 3, total 1.5, cap 1 gives the
  permutations of (1, 0.5, 0).

  Args:
    dimension: d.
    total: what the entries sum to.
    cap: the largest entry.

  Returns:
    float64 [K, d].

  Raises:
    ValueError: the total cannot be spent.

  Example:
    >>> from jaxcredit import bandits
    >>> print(bandits.action_sets.budget_shares(2, 1.5, 1.0))
    [[0.5 1. ]
     [1.  0.5]]
  """
  if not 0 <= total <= dimension * cap:
    raise ValueError(
      f'{dimension} entries of at most {cap} cannot sum to {total}'
    )
  full = int(total // cap)
  share = [cap] * full + [total - full * cap] + [0.0] * dimension
  points = set(itertools.permutations(share[:dimension]))
  return np.array(sorted(points))
