"""What every credit function promises, run over the contract table."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxcredit import lare
from tests.algorithms import contract_row, contract_table, test_docstrings

TABLE = contract_table.TABLE
LEADING = (8,)

FIRST = [row for row in TABLE if not row.options_of]


def over(rows):
  return pytest.mark.parametrize('row', rows, ids=[row.name for row in rows])


over_table = over(TABLE)
# Options do not change what sharding and tracing do: one row a function.
over_functions = over(FIRST)


def test_every_option_row_has_its_functions_row():
  functions = {row.name: row.function for row in FIRST}
  assert len({row.name for row in TABLE}) == len(TABLE)
  for row in TABLE:
    if row.options_of:
      assert functions[row.options_of] is row.function


def test_every_public_function_has_a_row_or_a_reason():
  under_contract = {row.function for row in TABLE}
  missing = [
    name
    for name, function in test_docstrings.FUNCTIONS.items()
    if function not in under_contract
    and not name.startswith(('bandits', 'dynlin_ucb'))
    and name not in contract_table.WITHOUT_ROW
    and name.split('.')[0] not in contract_table.WITHOUT_ROW
  ]
  assert not missing


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
  arguments = contract_row.arguments(row, LEADING)
  result = row.call(*arguments)
  for leaf in float_leaves(result):
    assert leaf.dtype == jnp.float32
  if row.integers == 'anchors':
    for leaf in jax.tree.leaves(result):
      assert leaf.shape == LEADING + row.shape


@over_functions
def test_jit_equals_plain(row):
  arguments = contract_row.arguments(row, LEADING)
  with jax.disable_jit():
    plain = row.call(*arguments)
  close(jax.jit(row.call)(*arguments), plain)


@over_table
def test_vmap_equals_leading_axes(row):
  if row.over_batch:
    pytest.skip('statistics over the batch are the method')
  arguments = contract_row.arguments(row, LEADING)
  close(jax.vmap(row.call)(*arguments), row.call(*arguments))


@over_table
def test_more_leading_axes(row):
  arguments = contract_row.arguments(row, (2, 4))
  flat = jax.tree.map(lambda x: x.reshape(8, *x.shape[2:]), arguments)
  expected = row.call(*flat)
  result = row.call(*arguments)
  close(
    jax.tree.map(lambda x, e: x.reshape(e.shape), result, expected), expected
  )


@over_table
def test_float64_agrees(row):
  floats, mask, integers = contract_row.arguments(row, LEADING)
  single = row.call(floats, mask, integers)
  with jax.enable_x64(True):
    double = row.call(
      tuple(f.astype(np.float64) for f in floats), mask, integers
    )
    for leaf in float_leaves(double):
      assert leaf.dtype == jnp.float64
  close(single, jax.tree.map(np.asarray, double), 1e-4)


@over_functions
@pytest.mark.parametrize('kind', ['Auto', 'Explicit'])
def test_sharded_equals_unsharded(row, kind):
  assert jax.device_count() == 8
  mesh = jax.make_mesh((8,), ('data',), axis_types=(getattr(AxisType, kind),))
  arguments = contract_row.arguments(row, (16,))
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


@over_functions
def test_inside_shard_map_equals_outside(row):
  if row.over_batch:
    pytest.skip('statistics over the batch are the method')
  mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
  arguments = contract_row.arguments(row, (16,))
  data = PartitionSpec('data')
  inside = jax.shard_map(row.call, mesh=mesh, in_specs=data, out_specs=data)
  close(jax.jit(inside)(*arguments), row.call(*arguments))


@over_table
def test_second_call_does_not_compile(row):
  # A function of its own: jit shares its cache among wrappers of one function.
  call = jax.jit(lambda *arguments: row.call(*arguments))
  call(*contract_row.arguments(row, LEADING, seed=0))
  row.call(*contract_row.arguments(row, LEADING, seed=0))
  call(*contract_row.arguments(row, LEADING, seed=1))
  assert call._cache_size() == 1
  # The functions are jitted where they are defined, too.
  compiled = []

  def listen(name, *unused, **kwargs):
    if 'backend_compile' in name:
      compiled.append(name)

  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    row.call(*contract_row.arguments(row, LEADING, seed=2))
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)
  assert not compiled


@over_table
def test_masked_entries_do_no_harm(row):
  floats, mask, integers = contract_row.arguments(row, LEADING)
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
  floats, mask, integers = contract_row.arguments(row, LEADING)
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
  floats, mask, integers = contract_row.arguments(row, LEADING)
  result = row.call(
    tuple(np.full_like(f, np.nan) for f in floats),
    np.zeros_like(mask),
    integers,
  )
  for leaf in float_leaves(result):
    leaf = np.asarray(leaf)
    undefined = row.undefined & np.isnan(leaf)
    assert (undefined | np.isin(leaf, (0.0, 1.0))).all()  # ratios are 1


@over_table
def test_bad_rewards_stay_visible(row):
  if not row.gradient:
    pytest.skip('no floats come out')
  for bad in (np.nan,) if row.bounded else (np.nan, np.inf):
    floats, mask, integers = contract_row.arguments(row, LEADING)
    mask = np.ones_like(mask)
    first = ('gigpo', 'rein', 'place', 'step_advantages')
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
  floats, mask, integers = contract_row.arguments(row, LEADING)
  with pytest.raises(ValueError, match=r'mask has shape .*must be equal'):
    row.call(floats, mask[..., :-1], integers)


def calls(row, leading=LEADING, dtype=np.float32):
  """Positional and keyword arguments of a row's function, by name."""
  floats, mask, integers = contract_row.arguments(row, leading, dtype=dtype)
  positional, options = row.given(floats, mask, integers)
  signature = inspect.signature(row.function)
  return dict(signature.bind(*positional, **options).arguments)


def arrays_of(given):
  return {
    name: np.asarray(value)
    for name, value in given.items()
    if hasattr(value, 'shape') and np.ndim(value)
  }


def outcome(row, given):
  signature = inspect.signature(row.function)
  bound = signature.bind_partial()
  bound.arguments.update(given)
  return row.result(row.function(*bound.args, **bound.kwargs))


@over_functions
def test_lists_do(row):
  given = calls(row)
  lists = {name: x.tolist() for name, x in arrays_of(given).items()}
  assert lists
  close(outcome(row, given | lists), outcome(row, given), 1e-6)


@over_functions
def test_what_are_no_numbers_is_refused(row):
  given = calls(row)
  for name, array in arrays_of(given).items():
    for bad in (array.astype(str), np.full(array.shape, None), 'text', {}):
      with pytest.raises(ValueError, match=rf'{name} must be (an array|int)'):
        outcome(row, given | {name: bad})
    if array.ndim > 1:
      ragged = [[1.0], [1.0, 2.0]]
      with pytest.raises(ValueError, match=f'{name} must be an array'):
        outcome(row, given | {name: ragged})


@over_functions
def test_wrong_shapes_are_refused(row):
  given = calls(row)
  arrays = arrays_of(given)
  if len(arrays) < 2:
    pytest.skip('there is nothing for a shape to differ from')
  names = '|'.join(inspect.signature(row.function).parameters)
  for name, array in arrays.items():
    changed = [array[1:], np.concatenate([array, array], axis=0)]
    # The number of words, and of steps beside returns, may be any.
    free = ('anchors', 'tokens', 'step_of_token', 'step_rewards')
    alone = name == 'mask' and row.function.__module__.endswith('ircr')
    if array.ndim > 1 and name not in free and not alone:
      changed.append(array[..., 1:])
    for bad in changed:
      with pytest.raises(ValueError, match=rf'\b({names})\b'):
        outcome(row, given | {name: bad})


@over_functions
def test_nothing_in_gives_nothing_out(row):
  for axis in range(-1, len(row.shape)):
    shape, leading = row.shape, (2,)
    if axis < 0:
      leading = (0,)
    else:
      shape = (*shape[:axis], 0, *shape[axis + 1 :])
    floats = (np.zeros((*leading, *shape), np.float32),) * row.floats
    mask = np.zeros((*leading, *shape), bool)
    integers = None
    if row.integers:
      words = (2,) if row.integers == 'anchors' else ()
      integers = np.zeros((*leading, *shape, *words), np.int32)
    if row.function is lare.subsampled_loss and axis == 0:
      with pytest.raises(ValueError, match='the variance of a single draw'):
        row.call(floats, mask, integers)
      continue
    for leaf in float_leaves(row.call(floats, mask, integers)):
      leaf = np.asarray(leaf)
      undefined = row.undefined & np.isnan(leaf)
      assert (undefined | np.isin(leaf, (0.0, 1.0))).all()


@over_functions
def test_discounts_are_checked_whatever_their_type(row):
  given = calls(row)
  names = {'discount', 'gae_lambda'} & set(
    inspect.signature(row.function).parameters
  )
  for name in names:
    for value in (2.0, -0.5, np.nan):
      for kind in (float, np.float32, np.float64, jnp.asarray, np.array):
        with pytest.raises(ValueError, match=f'{name} must be a finite number'):
          outcome(row, given | {name: kind(value)})
    with pytest.raises(ValueError, match=f'{name} must be an array of numbers'):
      outcome(row, given | {name: 'much'})


@over_functions
def test_a_mask_with_nan_is_refused(row):
  given = calls(row)
  mask = np.asarray(given['mask']).astype(np.float32)
  mask[0] = np.nan
  for bad in (mask, jnp.asarray(mask), mask.tolist(), mask.astype(np.float16)):
    with pytest.raises(ValueError, match='mask holds NaN'):
      outcome(row, given | {'mask': bad})


@over_functions
def test_half_precision_decides_as_float32(row):
  given = calls(row)
  halves = {
    name: jnp.asarray(array, jnp.bfloat16)
    for name, array in arrays_of(given).items()
    if array.dtype == np.float32
  }
  same = {name: half.astype(jnp.float32) for name, half in halves.items()}
  result, expected = outcome(row, given | halves), outcome(row, given | same)
  for half, whole in zip(
    jax.tree.leaves(result), jax.tree.leaves(expected), strict=True
  ):
    if jnp.issubdtype(whole.dtype, jnp.floating):
      assert half.dtype == jnp.bfloat16
      whole = whole.astype(jnp.bfloat16).astype(jnp.float32)
      close(half.astype(jnp.float32), whole, 1e-2)
    else:
      np.testing.assert_array_equal(half, whole)


@over_table
@pytest.mark.parametrize('size', [2.0**66, 2.0**124])
def test_large_values_as_in_float64(row, size):
  """Nothing becomes 0 in silence where a square would overflow."""
  floats, mask, integers = contract_row.arguments(row, LEADING)
  large = tuple(f * np.float32(size) for f in floats)
  single = row.call(large, mask, integers)
  with jax.enable_x64(True):
    double = row.call(
      tuple(f.astype(np.float64) for f in large), mask, integers
    )
  for left, right in zip(
    jax.tree.leaves(single), jax.tree.leaves(double), strict=True
  ):
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    known = np.isfinite(left)
    largest = np.abs(right[known]).max(initial=1e-30)
    np.testing.assert_allclose(
      left[known], right[known], rtol=1e-4, atol=1e-5 * largest
    )
    beyond = ~(np.abs(right) <= np.finfo(np.float32).max / 8)
    assert (known | beyond | row.squares).all()
