"""What every credit function promises, run over the contract table."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from tests.algorithms import contract_table

TABLE = contract_table.TABLE
LEADING = (8,)

over_table = pytest.mark.parametrize('row', TABLE, ids=[r.name for r in TABLE])


def close(left, right, tolerance=2e-5):
  jax.tree.map(
    functools.partial(
      np.testing.assert_allclose, rtol=tolerance, atol=tolerance
    ),
    left,
    right,
  )


def float_leaves(tree):
  return [
    x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)
  ]


@over_table
def test_dtype_and_shape(row):
  arguments = contract_table.arguments(row, LEADING)
  result = row.call(*arguments)
  for leaf in float_leaves(result):
    assert leaf.dtype == jnp.float32
  if row.integers == 'anchors':
    for leaf in jax.tree.leaves(result):
      assert leaf.shape == LEADING + row.shape


@over_table
def test_jit_equals_plain(row):
  arguments = contract_table.arguments(row, LEADING)
  with jax.disable_jit():
    plain = row.call(*arguments)
  close(jax.jit(row.call)(*arguments), plain)


@over_table
def test_vmap_equals_leading_axes(row):
  if row.over_batch:
    pytest.skip('statistics over the batch are the method')
  arguments = contract_table.arguments(row, LEADING)
  close(jax.vmap(row.call)(*arguments), row.call(*arguments))


@over_table
def test_more_leading_axes(row):
  arguments = contract_table.arguments(row, (2, 4))
  flat = jax.tree.map(lambda x: x.reshape(8, *x.shape[2:]), arguments)
  expected = row.call(*flat)
  result = row.call(*arguments)
  close(
    jax.tree.map(lambda x, e: x.reshape(e.shape), result, expected), expected
  )


@over_table
def test_float64_agrees(row):
  floats, mask, integers = contract_table.arguments(row, LEADING)
  single = row.call(floats, mask, integers)
  with jax.enable_x64(True):
    double = row.call(
      tuple(f.astype(np.float64) for f in floats), mask, integers
    )
    for leaf in float_leaves(double):
      assert leaf.dtype == jnp.float64
  close(single, jax.tree.map(np.asarray, double), 1e-4)


@over_table
@pytest.mark.parametrize('kind', ['Auto', 'Explicit'])
def test_sharded_equals_unsharded(row, kind):
  assert jax.device_count() == 8
  mesh = jax.make_mesh((8,), ('data',), axis_types=(getattr(AxisType, kind),))
  arguments = contract_table.arguments(row, (16,))
  expected = row.call(*arguments)
  placed = jax.tree.map(
    lambda x: jax.device_put(
      x, NamedSharding(mesh, PartitionSpec('data', *[None] * (x.ndim - 1)))
    ),
    arguments,
  )
  with jax.set_mesh(mesh):
    close(row.call(*placed), expected)
    close(jax.jit(row.call)(*placed), expected)


@over_table
def test_inside_shard_map_equals_outside(row):
  if row.over_batch:
    pytest.skip('statistics over the batch are the method')
  mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
  arguments = contract_table.arguments(row, (16,))
  data = PartitionSpec('data')
  inside = jax.shard_map(row.call, mesh=mesh, in_specs=data, out_specs=data)
  close(jax.jit(inside)(*arguments), row.call(*arguments))


@over_table
def test_second_call_does_not_compile(row):
  # A function of its own: jit shares its cache among wrappers of one function.
  call = jax.jit(lambda *arguments: row.call(*arguments))
  call(*contract_table.arguments(row, LEADING, seed=0))
  row.call(*contract_table.arguments(row, LEADING, seed=0))
  call(*contract_table.arguments(row, LEADING, seed=1))
  assert call._cache_size() == 1
  # The functions are jitted where they are defined, too.
  compiled = []

  def listen(name, *unused, **kwargs):
    if 'backend_compile' in name:
      compiled.append(name)

  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    row.call(*contract_table.arguments(row, LEADING, seed=2))
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)
  assert not compiled


@over_table
def test_masked_entries_do_no_harm(row):
  floats, mask, integers = contract_table.arguments(row, LEADING)
  poisoned = tuple(np.where(mask, f, np.nan).astype(f.dtype) for f in floats)
  result = row.call(poisoned, mask, integers)
  close(result, row.call(floats, mask, integers), 0)
  if not row.name.startswith('policy_loss') and row.gradient:
    for leaf in float_leaves(result):
      if leaf.shape == mask.shape:
        assert not np.asarray(leaf)[~mask].any()


@over_table
def test_gradients_are_finite(row):
  if not row.gradient:
    pytest.skip('not differentiable')
  floats, mask, integers = contract_table.arguments(row, LEADING)
  # Groups of equal members are where deviations have infinite slopes.
  first = floats[0].copy()
  first[0] = 1.0
  poisoned = np.where(mask, first, np.nan).astype(first.dtype)

  def total(x):
    result = row.call((x, *floats[1:]), mask, integers)
    return sum(jnp.sum(leaf**2) for leaf in float_leaves(result))

  gradient = np.asarray(jax.grad(total)(poisoned))
  assert np.isfinite(gradient).all()
  assert not gradient[~mask].any()


@over_table
def test_all_masked_gives_zero(row):
  floats, mask, integers = contract_table.arguments(row, LEADING)
  result = row.call(
    tuple(np.full_like(f, np.nan) for f in floats),
    np.zeros_like(mask),
    integers,
  )
  for leaf in float_leaves(result):
    assert np.isin(np.asarray(leaf), (0.0, 1.0)).all()  # ratios are 1


@over_table
def test_bad_rewards_stay_visible(row):
  if not row.gradient:
    pytest.skip('no floats come out')
  for bad in (np.nan, np.inf):
    floats, mask, integers = contract_table.arguments(row, LEADING)
    mask = np.ones_like(mask)
    first = ('gigpo', 'rein', 'spa_place', 'spa_step')
    index = 0 if row.name.startswith(first) else -1
    changed = [f.copy() for f in floats]
    target = 2 if row.name.startswith('policy_loss') else 0
    changed[target][1, ..., index] = bad
    if row.integers == 'steps':
      integers = np.zeros_like(integers)
    result = row.call(tuple(changed), mask, integers)
    main = jax.tree.leaves(result)[0]
    assert not np.isfinite(np.asarray(main)).all(), bad


@over_table
def test_wrong_mask_shape(row):
  floats, mask, integers = contract_table.arguments(row, LEADING)
  with pytest.raises(ValueError, match=r'mask has shape .*must be equal'):
    row.call(floats, mask[..., :-1], integers)
