"""The optimistic action in finite sets, boxes and balls; ridge regression."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.algorithms.bandits import action_sets, ridge, small_matrices


def regression(d, seed, spread=1.0):
  """A random positive definite V [d, d] and h [d], and their Estimate."""
  rng = np.random.default_rng(seed)
  basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
  V = (basis * np.exp(spread * rng.standard_normal(d))) @ basis.T
  h = rng.standard_normal(d)
  factor = small_matrices.cholesky(jnp.asarray(V), 0.0)
  half = small_matrices.solve_lower(factor, jnp.asarray(V @ h))
  return V, h, ridge.Estimate(factor, half)


def objective(V, h, radius, actions):
  norms = np.sqrt(np.einsum('ki,ij,kj->k', actions, np.linalg.inv(V), actions))
  return actions @ h + radius * norms


@pytest.mark.parametrize('d', [1, 3, small_matrices.LARGEST + 2])
def test_small_matrices(d):
  with jax.enable_x64(True):
    V, h, estimate = regression(d, d)
    np.testing.assert_allclose(estimate.parameter, h, rtol=1e-9)
    factor = small_matrices.dense(estimate.factor)
    np.testing.assert_allclose(factor @ factor.T, V, rtol=1e-9, atol=1e-12)
    assert float(estimate.log_determinant(2.0)) == pytest.approx(
      np.linalg.slogdet(V / 2)[1]
    )
    arms = np.random.default_rng(0).standard_normal((5, d))
    np.testing.assert_allclose(
      estimate.optimistic_values(jnp.asarray(arms), 0.7),
      objective(V, h, 0.7, arms),
      rtol=1e-9,
    )


@pytest.mark.parametrize('d', [3, small_matrices.LARGEST + 2])
def test_arm_statistics_and_gram_statistics_agree(d):
  rng = np.random.default_rng(d)
  with jax.enable_x64(True):
    finite = action_sets.finite(rng.standard_normal((4, d)))
    box = action_sets.box(-np.ones(d), np.ones(d))
    by_arm = ridge.init(finite, jnp.float64)
    by_vector = ridge.init(box, jnp.float64)
    V, b = 0.5 * np.eye(d), np.zeros(d)
    for index in range(12):
      arm, y, use = rng.integers(4), rng.standard_normal(), index % 3 > 0
      u = finite.vector(arm)
      by_arm = ridge.add(by_arm, arm, y, use)
      by_vector = ridge.add(by_vector, u, y, use)
      if use:
        V, b = V + np.outer(u, u), b + np.asarray(u) * y
    assert int(by_arm.counts.sum()) == 8
    for statistics, actions in ((by_arm, finite), (by_vector, box)):
      estimate = ridge.estimate(statistics, actions, 0.5)
      factor = small_matrices.dense(estimate.factor)
      np.testing.assert_allclose(factor @ factor.T, V, rtol=1e-9, atol=1e-12)
      np.testing.assert_allclose(estimate.parameter, np.linalg.solve(V, b))


def test_compensated_sums_keep_what_float32_loses():
  value = np.float32(0.8)

  def add(carry, _):
    plain, summed = carry
    return (plain + value, summed.add(value)), None

  count = 2**21
  zeros = ridge.Compensated.zeros((), jnp.float32)
  (plain, summed), _ = jax.lax.scan(add, (jnp.float32(0), zeros), length=count)
  assert float(summed.total) / count == pytest.approx(0.8, rel=1e-6)
  assert abs(float(plain) / count - 0.8) > 1e-4


def test_finite_sets_take_the_lowest_of_equals():
  _, _, estimate = regression(2, 0)
  twice = action_sets.finite([[1.0, 0], [0.5, 2], [0.5, 2], [1, 0]])
  assert int(twice.optimistic(estimate, 1.0)) in (0, 1)
  assert int(twice.best(jnp.array([0.0, 1.0]))) == 1


@pytest.mark.parametrize('radius', [0.0, 0.3, 3.0])
@pytest.mark.parametrize('seed', range(4))
def test_ball_is_at_least_as_good_as_a_dense_search(seed, radius):
  d, size = 3, 1.7
  with jax.enable_x64(True):
    V, h, estimate = regression(d, seed)
    ball = action_sets.ball(size, d)
    action = np.asarray(ball.optimistic(estimate, radius))
  assert np.linalg.norm(action) == pytest.approx(size)
  points = np.random.default_rng(1).standard_normal((200_000, d))
  points *= size / np.linalg.norm(points, axis=1, keepdims=True)
  best = objective(V, h, radius, points).max()
  mine = objective(V, h, radius, action[None])[0]
  assert mine >= best - 1e-9
  assert mine <= best + 0.02 * abs(best)


@pytest.mark.parametrize('h', [[0.0, 0.5], [0.0, 0.0], [1e-14, 0.5]])
def test_ball_where_the_estimate_misses_the_least_known_direction(h):
  # The hard case: nothing of h along the smallest eigenvalue.
  V, h, radius = np.diag([0.5, 4.0]), np.array(h), 2.0
  with jax.enable_x64(True):
    factor = small_matrices.cholesky(jnp.asarray(V), 0.0)
    half = small_matrices.solve_lower(factor, jnp.asarray(V @ h))
    action = np.asarray(
      action_sets.ball(1.0, 2).optimistic(ridge.Estimate(factor, half), radius)
    )
  angle = np.linspace(0, 2 * np.pi, 100_001)
  points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
  best = objective(V, h, radius, points).max()
  assert objective(V, h, radius, action[None])[0] == pytest.approx(best)


def test_ball_in_float32():
  _, _, estimate = regression(3, 7)
  action = np.asarray(action_sets.ball(1.0, 3).optimistic(estimate, 1.0))
  with jax.enable_x64(True):
    _, _, precise = regression(3, 7)
    expected = action_sets.ball(1.0, 3).optimistic(precise, 1.0)
  np.testing.assert_allclose(action, expected, atol=1e-3)


def test_box_looks_at_every_corner():
  d = 4
  low, high = -np.arange(1.0, d + 1), np.arange(1.0, d + 1)[::-1]
  V, h, estimate = regression(d, 3)
  action = np.asarray(action_sets.box(low, high).optimistic(estimate, 1.0))
  corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
  best = corners[objective(V, h, 1.0, corners).argmax()]
  np.testing.assert_allclose(action, best, rtol=1e-6)


def test_large_box_climbs_to_a_local_maximum():
  d = action_sets.CORNERS + 2
  with jax.enable_x64(True):
    V, h, estimate = regression(d, 5)
    box = action_sets.box(-np.ones(d), np.ones(d))
    action = np.asarray(box.optimistic(estimate, 1.0))
  assert set(np.unique(action)) == {-1.0, 1.0}
  value = objective(V, h, 1.0, action[None])[0]
  flipped = np.where(np.eye(d, dtype=bool), -action, action)
  assert (objective(V, h, 1.0, flipped) <= value + 1e-9).all()
  # Not worse than the corner that is best without a bonus, and here global.
  assert value >= objective(V, h, 1.0, np.sign(h)[None])[0]
  corners = np.array(list(itertools.product((-1.0, 1.0), repeat=d)))
  assert value >= 0.98 * objective(V, h, 1.0, corners).max()


def test_best_and_random_actions_belong_to_the_set():
  weights = jnp.array([1.0, -2.0])
  box = action_sets.box([-1, -1], [2, 3])
  np.testing.assert_allclose(box.best(weights), [2, -1])
  ball = action_sets.ball(5.0, 2)
  np.testing.assert_allclose(
    ball.best(weights), 5 * weights / np.sqrt(5), rtol=1e-6
  )
  np.testing.assert_allclose(ball.best(jnp.zeros(2)), [5, 0])
  finite = action_sets.finite(np.eye(2))
  draws = [0.0, 0.3, 0.6, 0.99]
  corners = {tuple(np.asarray(box.at_random(d)).tolist()) for d in draws}
  assert corners <= {(-1, -1), (-1, 3), (2, -1), (2, 3)}
  axes = {tuple(np.asarray(ball.at_random(d)).tolist()) for d in draws}
  assert axes == {(5, 0), (-5, 0), (0, 5), (0, -5)}
  assert [int(finite.at_random(d)) for d in draws] == [0, 0, 1, 1]
  assert float(box.norm_bound()) == pytest.approx(np.sqrt(13))
  assert float(ball.norm_bound()) == 5
  assert float(finite.norm_bound()) == 1


def test_budget_shares_are_the_actions_of_the_paper():
  expected = sorted(itertools.permutations((0.0, 0.5, 1.0)))
  np.testing.assert_allclose(action_sets.budget_shares(3, 1.5, 1.0), expected)
  np.testing.assert_allclose(
    action_sets.budget_shares(3, 1.0, 1.0), np.eye(3)[::-1]
  )
  with pytest.raises(ValueError, match='cannot sum to 4'):
    action_sets.budget_shares(3, 4, 1.0)


@pytest.mark.parametrize(
  ('make', 'words'),
  [
    (lambda: action_sets.finite([1.0, 2.0]), r'shape \[K, d\].*\(2,\)'),
    (lambda: action_sets.finite([[np.nan]]), 'arms must be finite'),
    (lambda: action_sets.box([0, 0], [1]), r'\(2,\) and \(1,\)'),
    (lambda: action_sets.box([2.0], [1.0]), 'low must not exceed high'),
    (lambda: action_sets.box([-np.inf], [1.0]), 'must be finite'),
    (lambda: action_sets.ball(0.0, 2), 'positive size'),
  ],
)
def test_sets_that_are_refused(make, words):
  with pytest.raises(ValueError, match=words):
    make()
