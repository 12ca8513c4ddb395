"""Running mean and deviation, against NumPy on everything at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcredit import running_statistics as rs


@given(
  st.lists(st.integers(0, 5), min_size=1, max_size=4),
  st.integers(0, 99),
  st.floats(-1e3, 1e3),
)
def test_batches_in_any_cut_are_the_whole(sizes, seed, offset):
  rng = np.random.default_rng(seed)
  with jax.enable_x64(True):
    state, kept = rs.init((2,)), []
    for size in sizes:
      values = rng.normal(size=(5, 2)) + offset
      mask = np.arange(5) < size
      kept.append(values[mask])
      state = rs.update(state, np.where(mask[:, None], values, np.nan), mask)
    kept = np.concatenate(kept)
    assert float(state.count) == len(kept)
    for ddof in (0, 1):
      expected = kept.std(axis=0, ddof=ddof) if len(kept) > ddof else [0, 0]
      np.testing.assert_allclose(
        rs.deviation(state, ddof=ddof), expected, atol=1e-9
      )
    mean = kept.mean(axis=0) if len(kept) else [0, 0]
    np.testing.assert_allclose(state.mean, mean, atol=1e-9)


def test_welford_one_by_one_and_merged():
  values = np.random.default_rng(0).normal(size=20)
  with jax.enable_x64(True):
    parts = []
    for half in (values[:7], values[7:]):
      state = rs.init(())
      for value in half:
        state = rs.update(state, value)
      parts.append(state)
    for merged in (rs.merge(*parts), rs.merge(*parts[::-1])):
      np.testing.assert_allclose(merged.mean, values.mean(), atol=1e-12)
      np.testing.assert_allclose(rs.deviation(merged), values.std(), atol=1e-12)
    nothing = rs.merge(rs.init(()), rs.init(()))
    assert [float(x) for x in jax.tree.leaves(nothing)] == [0, 0, 0]


def test_far_from_zero_in_single_precision():
  # Sums of squares would lose all digits.
  values = np.random.default_rng(0).normal(size=(4, 500)) + 1e4
  state = rs.init(())
  for part in values.astype(np.float32):
    state = rs.update(state, part)
  assert float(rs.deviation(state)) == pytest.approx(values.std(), rel=1e-3)


@pytest.mark.parametrize('constant', [0.7, -1e5, 0.0])
def test_a_feature_that_never_varied(constant):
  # In float32 the mean of seven times 0.7 is not 0.7.
  values = np.full((15, 2), constant, np.float32)
  values[:, 1] = np.arange(15)
  state = rs.init((2,))
  for cut in (slice(0, 7), slice(7, 8), slice(8, 15)):
    state = rs.update(state, values[cut])
  assert rs.deviation(state)[0] == 0
  result = np.asarray(rs.apply(state, values))
  assert not result[:, 0].any()
  assert result[:, 1].std() == pytest.approx(1, rel=1e-4)
  # Another value is not blown up.
  assert rs.apply(state, values + 1)[0, 0] == pytest.approx(1, rel=1e-2)


def test_apply_by_hand():
  state = rs.update(rs.init((2,)), np.array([[1.0, 10], [3, 10], [5, 70]]))
  mask = np.array([True, False])
  values = np.array([[5.0, -1e6], [np.nan, np.nan]], np.float32)
  deviation = np.std([1, 3, 5])
  result = rs.apply(state, values, mask, eps=0.0, clip=4.0)
  np.testing.assert_allclose(result, [[2 / deviation, -4], [0, 0]], rtol=1e-6)
  with_eps = rs.apply(state, values, mask, eps=1.0, ddof=1)
  assert float(with_eps[0, 0]) == pytest.approx(2 / (2 + 1))
  # Before anything was seen, values are left as they are.
  np.testing.assert_array_equal(
    rs.apply(rs.init((2,)), values, mask), [values[0], [0, 0]]
  )


def test_no_gradient_through_the_statistics():
  def total(values):
    state = rs.update(rs.init(()), values)
    return (rs.apply(state, values, eps=0.0) * jnp.arange(3.0)).sum()

  values = jnp.array([1.0, 2.0, 4.0])
  deviation = np.std(np.asarray(values))
  np.testing.assert_allclose(
    jax.grad(total)(values), np.arange(3) / deviation, rtol=1e-5
  )


def test_what_is_not_finite_stays_in_its_feature():
  state = rs.update(rs.init((2,)), np.array([[np.nan, 1.0], [0, 3]]))
  state = rs.update(state, np.ones((3, 2)))
  result = np.asarray(rs.apply(state, np.ones((1, 2), np.float32)))
  assert np.isnan(result[0, 0])
  assert np.isfinite(result[0, 1])
  infinite = rs.update(rs.init(()), np.array([np.inf, 1.0]))
  assert np.isnan(rs.apply(infinite, np.float32(1)))


@pytest.mark.parametrize('kind', ['Auto', 'Explicit'])
def test_on_a_mesh(kind):
  values = np.random.default_rng(0).normal(size=(16, 3, 2)).astype(np.float32)
  mask = np.random.default_rng(1).random((16, 3)) < 0.5
  state = rs.update(rs.init((2,)), values, mask)
  expected = rs.apply(state, values, mask)
  mesh = jax.make_mesh(
    (8,), ('data',), axis_types=(getattr(jax.sharding.AxisType, kind),)
  )
  sharding = jax.NamedSharding(mesh, jax.sharding.PartitionSpec('data'))
  placed, placed_mask = jax.device_put((values, mask), sharding)
  with jax.set_mesh(mesh):
    given = rs.update(rs.init((2,)), placed, placed_mask)
    result = rs.apply(given, placed, placed_mask)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), given, state
  )
  np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_dtypes():
  state = rs.update(rs.init((2,)), jnp.ones((3, 2), jnp.bfloat16))
  assert {x.dtype for x in jax.tree.leaves(state)} == {jnp.dtype('float32')}
  result = rs.apply(state, jnp.ones((3, 2), jnp.bfloat16))
  assert result.dtype == jnp.bfloat16


def test_what_cannot_be():
  state = rs.init((2,))
  with pytest.raises(ValueError, match=r'entries of shape \(2,\)'):
    rs.update(state, np.zeros((4, 3)))
  with pytest.raises(ValueError, match='mask has shape'):
    rs.update(state, np.zeros((4, 2)), np.ones(3))
  with pytest.raises(ValueError, match='ddof'):
    rs.deviation(state, ddof=2)
  with pytest.raises(ValueError, match='eps'):
    rs.apply(state, np.zeros((4, 2)), eps=-1.0)
  with pytest.raises(ValueError, match='clip must'):
    rs.apply(state, np.zeros((4, 2)), clip=0.0)
