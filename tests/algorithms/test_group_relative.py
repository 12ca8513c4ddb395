"""GRPO, RLOO, REINFORCE++ and the filter: by hand and by slow reference."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.benchmarks.references import (
  plain_python_credit as slow_reference,
)
from jaxcredit import dapo, grpo, reinforce_plus_plus, returns, rloo

scores = st.lists(
  st.integers(-20, 20).map(lambda x: x / 4), min_size=1, max_size=9
)


def pad(values, size=9):
  """A list as an array of fixed size, which compiles once, and its mask."""
  array = np.full(size, np.nan, np.float32)
  array[: len(values)] = values
  return array, np.arange(size) < len(values)


def test_grpo_by_hand():
  # mean 2, unbiased deviation 2.
  result = grpo.advantages(jnp.array([0.0, 2.0, 4.0]), eps=0.0)
  np.testing.assert_allclose(result, [-1, 0, 1])
  # Biased deviation sqrt(8 / 3).
  result = grpo.advantages(jnp.array([0.0, 2.0, 4.0]), ddof=0, eps=0.0)
  np.testing.assert_allclose(result, np.array([-2, 0, 2]) / np.sqrt(8 / 3))


def test_dr_grpo_by_hand():
  result = grpo.advantages(jnp.array([1.0, 0.0, 0.0, 0.0]), scale='none')
  np.testing.assert_allclose(result, [0.75, -0.25, -0.25, -0.25])


def test_rloo_by_hand():
  result = rloo.advantages(jnp.array([1.0, 0.0, 0.5]))
  np.testing.assert_allclose(result, [0.75, -0.75, 0.0], atol=1e-7)


def test_lone_rollout():
  assert grpo.advantages(jnp.array([3.0])) == 0
  assert grpo.advantages(jnp.array([3.0]), singleton='score') == 3
  assert rloo.advantages(jnp.array([3.0])) == 0


@pytest.mark.parametrize('scale', ['std', 'none'])
@pytest.mark.parametrize('ddof', [0, 1])
@given(scores)
def test_grpo_slow_reference(scale, ddof, values):
  array, mask = pad(values)
  result = grpo.advantages(array, mask, scale=scale, ddof=ddof)
  expected = slow_reference.grpo(values, scale=scale, ddof=ddof)
  np.testing.assert_allclose(result[: len(values)], expected, atol=2e-5)
  assert not np.asarray(result[len(values) :]).any()


@given(scores)
def test_rloo_slow_reference(values):
  array, mask = pad(values)
  result = rloo.advantages(array, mask)
  np.testing.assert_allclose(
    result[: len(values)], slow_reference.rloo(values), atol=1e-5
  )


@given(
  st.integers(2, 400), st.floats(-1e4, 1e4, width=32).filter(lambda x: x == x)
)
def test_equal_members_give_exactly_zero(size, value):
  array = np.full(400, np.nan, np.float32)
  array[:size] = value
  assert not np.asarray(grpo.advantages(array, np.arange(400) < size)).any()


def test_returns_of_a_discounted_success_give_exactly_zero():
  # The case in which a released code gives up to 0.65.
  for n in range(2, 65):
    values = 10 * np.float32(0.95) ** np.arange(50, dtype=np.float32)
    group = np.repeat(values[:, None], 64, axis=1)
    mask = np.broadcast_to(np.arange(64) < n, group.shape)
    assert not np.asarray(grpo.advantages(group, mask)).any()


def test_members_equal_up_to_rounding_give_zero():
  value = np.float32(9.025)
  above = np.nextafter(value, np.float32(10))
  group = jnp.array([value, above, value, value])
  assert not np.asarray(grpo.advantages(group)).any()


@given(scores, st.randoms())
def test_permutation_of_rollouts(values, random):
  order = list(range(len(values)))
  random.shuffle(order)
  plain = np.asarray(grpo.advantages(*pad(values)))
  permuted = np.asarray(grpo.advantages(*pad([values[i] for i in order])))
  np.testing.assert_allclose(permuted[: len(order)], plain[order], atol=1e-5)


@given(scores, st.floats(0, 1), st.floats(0, 1), st.floats(-3, 3))
def test_gae_slow_reference(rewards, discount, gae_lambda, bootstrap):
  values = [((7 * i) % 5) / 2 - 1 for i in range(len(rewards))]
  array, mask = pad(rewards)
  result = returns.gae(
    array,
    pad(values)[0],
    mask,
    discount=discount,
    gae_lambda=gae_lambda,
    bootstrap=bootstrap,
  )
  expected = slow_reference.gae(
    rewards, values, discount, gae_lambda, bootstrap
  )
  np.testing.assert_allclose(
    result[: len(rewards)], expected, rtol=1e-4, atol=1e-4
  )


@given(scores, st.floats(0, 1))
def test_returns_slow_reference(rewards, discount):
  array, mask = pad(rewards)
  result = returns.discounted_returns(array, mask, discount=discount)
  np.testing.assert_allclose(
    result[: len(rewards)],
    slow_reference.discounted(rewards, discount),
    rtol=1e-4,
    atol=1e-4,
  )


def test_gae_limits():
  rewards = jnp.array([1.0, 0.0, 2.0])
  values = jnp.array([0.5, 0.25, 1.0])
  all_of_it = returns.gae(rewards, values, discount=0.9, gae_lambda=1.0)
  expected = returns.discounted_returns(rewards, discount=0.9) - values
  np.testing.assert_allclose(all_of_it, expected, atol=1e-6)
  one_step = returns.gae(rewards, values, discount=0.9, gae_lambda=0.0)
  np.testing.assert_allclose(
    one_step, [1 + 0.9 * 0.25 - 0.5, 0.9 - 0.25, 1.0], atol=1e-6
  )


def test_holes_in_the_mask_are_skipped():
  rewards = jnp.array([1.0, np.nan, 2.0])
  mask = jnp.array([True, False, True])
  result = returns.discounted_returns(rewards, mask, discount=0.5)
  np.testing.assert_allclose(result, [2.0, 0.0, 2.0])


def test_reinforce_plus_plus_by_hand():
  rewards = jnp.array([[0.0, 1.0], [0.0, 3.0]])
  result = reinforce_plus_plus.advantages(rewards, discount=1.0, eps=0.0)
  # Returns 1, 1, 3, 3: mean 2, unbiased variance 4 / 3.
  expected = np.array([[-1, -1], [1, 1]]) / np.sqrt(4 / 3)
  np.testing.assert_allclose(result, expected, atol=1e-6)


def test_reinforce_plus_plus_baseline_by_hand():
  rewards = jnp.array([[[0.0, 1.0], [0.0, 3.0]], [[5.0, 0.0], [5.0, 0.0]]])
  result = reinforce_plus_plus.baseline_advantages(rewards, eps=0.0)
  centred = np.array([[[-1, -1], [1, 1]], [[0, 0], [0, 0]]])
  np.testing.assert_allclose(
    result, centred / np.std(centred, ddof=1), atol=1e-6
  )


def test_group_filter():
  groups = jnp.array([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 5.0, 0.0]])
  mask = jnp.array([[1, 1, 1], [1, 1, 1], [1, 0, 1]], bool)
  assert dapo.group_filter(groups, mask).tolist() == [False, True, False]
  assert dapo.group_filter(jnp.array([[np.nan, 1.0]])).tolist() == [True]
  assert dapo.group_filter(jnp.array([[2.0]])).tolist() == [False]


def test_overlong_penalty_by_hand():
  lengths = jnp.array([0, 80, 85, 90, 100, 101, 500])
  penalty = dapo.overlong_penalty(lengths, limit=100, buffer=20)
  expected = [0, 0, -0.25, -0.5, -1, -1, -1]
  np.testing.assert_allclose(penalty, expected, atol=1e-7)
  half = dapo.overlong_penalty(
    lengths.astype(jnp.bfloat16), lengths < 90, limit=100, buffer=20
  )
  assert half.dtype == jnp.bfloat16
  assert half.tolist() == [0, 0, -0.25, 0, 0, 0, 0]
  for limit, buffer in ((0, 1), (100, 0), (100, 101)):
    with pytest.raises(ValueError, match='must be'):
      dapo.overlong_penalty(lengths, limit=limit, buffer=buffer)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'scale': 'var'}, "scale must be one of 'std', 'none', not 'var'"),
    ({'ddof': 2}, 'ddof must be one of 0, 1'),
    ({'eps': -1.0}, 'eps must be a finite number'),
    ({'singleton': 'x'}, 'singleton must be one of'),
  ],
)
def test_wrong_options(options, message):
  with pytest.raises(ValueError, match=message):
    grpo.advantages(jnp.zeros(3), **options)


def test_wrong_shapes():
  with pytest.raises(ValueError, match='returns must have at least 1 axis'):
    grpo.advantages(jnp.zeros(()))
  with pytest.raises(ValueError, match=r'values has shape \(2,\)'):
    returns.gae(jnp.zeros(3), jnp.zeros(2), discount=1.0, gae_lambda=1.0)
  with pytest.raises(ValueError, match='bootstrap must be a scalar'):
    returns.gae(
      jnp.zeros((2, 3)),
      jnp.zeros((2, 3)),
      discount=1.0,
      gae_lambda=1.0,
      bootstrap=jnp.zeros(3),
    )
  with pytest.raises(ValueError, match='must be real'):
    grpo.advantages(jnp.zeros(3, jnp.complex64))


def test_integer_scores_become_floats():
  result = grpo.advantages(np.array([0, 2, 4]), eps=0.0)
  np.testing.assert_allclose(result, [-1, 0, 1])


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
def test_half_precision_is_widened_inside(dtype):
  # In bfloat16 these differ by 14 units in the last place, not by rounding.
  scores = jnp.array([10.0, 9.0, 10.0, 9.0], dtype)
  result = grpo.advantages(scores)
  assert result.dtype == dtype
  np.testing.assert_allclose(
    np.asarray(result, np.float32), [0.866, -0.866, 0.866, -0.866], rtol=1e-2
  )
  rewards = jnp.ones(500, dtype)
  total = returns.discounted_returns(rewards, discount=1.0)
  assert total.dtype == dtype
  assert float(total[0]) == 500


def test_a_lone_bad_score_stays_visible():
  for bad in (np.nan, np.inf):
    assert np.isnan(np.asarray(grpo.advantages(jnp.array([bad])))).all()
    assert np.isnan(np.asarray(rloo.advantages(jnp.array([bad])))).all()


def test_released_code_keeps_the_score_of_a_lone_rollout():
  scores = jnp.array([[3.0, 7.0], [1.0, 2.0]])
  mask = jnp.array([[1, 0], [1, 1]], bool)
  for function in (grpo.advantages, rloo.advantages):
    assert function(scores, mask)[0].tolist() == [0, 0]
    assert function(scores, mask, singleton='score')[0].tolist() == [3, 0]
  rewards = jnp.array([[[4.0, 0.0]], [[0.0, 0.0]]])
  plain = reinforce_plus_plus.baseline_advantages(rewards)
  assert not np.asarray(plain).any()
  released = reinforce_plus_plus.baseline_advantages(rewards, singleton='score')
  np.testing.assert_allclose(
    released, np.array([[[1, 1]], [[-1, -1]]]) * np.sqrt(3) / 2, rtol=1e-6
  )


def test_whitening_equal_returns_without_eps():
  rewards = jnp.ones((2, 1))
  result = reinforce_plus_plus.advantages(rewards, eps=0.0)
  assert result.tolist() == [[0], [0]]


def test_the_filter_decides_in_half_precision_as_in_float32():
  """One unit in the last place of bfloat16 is a difference; rounding is not."""
  rows = np.array([[1.0, 1.0078125], [1.0, 1.0], [100.0, 100.5]])
  for dtype in (jnp.bfloat16, jnp.float16, jnp.float32):
    kept = dapo.group_filter(jnp.asarray(rows, dtype))
    np.testing.assert_array_equal(kept, [True, False, True])
