"""Rewards of steps on tokens: by hand, against loops, properties."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import spa
from tests.algorithms import step_rows


def slow_place(rewards, step_of_token, mask, weight):
  """One row, token by token, from the end."""
  result, seen = np.zeros(len(step_of_token)), set()
  for t in reversed(range(len(step_of_token))):
    step = int(step_of_token[t])
    if step < 0 or step >= len(rewards) or step in seen:
      continue
    seen.add(step)
    if mask[step]:
      later = sum(mask[step + 1 :]) if weight == 'remaining' else 1
      result[t] = rewards[step] * later
  return result


def test_place_by_hand():
  rewards = jnp.array([1.0, 2.0, 4.0, 8.0])
  # The first two stand side by side, the third was cut off, 9 is beyond.
  step_of_token = jnp.array([-1, 0, 0, 1, 1, -1, -2, 3, -1, 3, 9])
  given = spa.place(rewards, step_of_token)
  assert given.tolist() == [0, 0, 1, 0, 2, 0, 0, 0, 0, 8, 0]
  given = spa.place(rewards, step_of_token, placement='remaining')
  assert given.tolist() == [0, 0, 3, 0, 4, 0, 0, 0, 0, 0, 0]
  # Without the fourth step there is one less to come.
  mask = jnp.array([True, True, True, False])
  given = spa.place(rewards, step_of_token, mask, placement='remaining')
  assert given.tolist() == [0, 0, 2, 0, 2, 0, 0, 0, 0, 0, 0]


def test_an_episode_of_one_step_gets_its_reward():
  arguments = (jnp.array([[3.0]]), jnp.array([[-1, 0, 0, -1]]))
  assert spa.place(*arguments).tolist() == [[0, 0, 3, 0]]
  assert not spa.place(*arguments, placement='remaining').any()


def test_truncation_does_not_change_how_many_steps_remain():
  rewards = jnp.array([1.0, 1.0, 1.0])
  whole = spa.place(
    rewards, jnp.array([0, -1, 1, 1, -1, 2]), placement='remaining'
  )
  cut = spa.place(rewards, jnp.array([1, -1, 2]), placement='remaining')
  assert whole.tolist() == [2, 0, 0, 1, 0, 0]
  assert cut.tolist() == [1, 0, 0]


def test_a_row_may_hold_a_late_step_alone():
  rewards = jnp.array([[1.0, 2.0, 3.0]] * 2)
  given = spa.place(rewards, jnp.array([[2, 2], [-1, 0]]))
  assert given.tolist() == [[0, 3], [0, 1]]


def test_steps_in_any_order():
  given = spa.place(jnp.array([1.0, 2.0]), jnp.array([1, 0, 1, 0, -1]))
  assert given.tolist() == [0, 0, 2, 1, 0]


@pytest.mark.parametrize('weight', spa.PLACEMENTS)
@pytest.mark.parametrize('seed', range(4))
def test_place_against_a_loop(seed, weight):
  rewards, step_of_token, mask = step_rows.rows(seed, 8)
  with jax.enable_x64(True):
    given = spa.place(
      np.where(mask, rewards, np.nan), step_of_token, mask, placement=weight
    )
  expected = [
    slow_place(*arguments, weight)
    for arguments in zip(rewards, step_of_token, mask, strict=True)
  ]
  np.testing.assert_allclose(given, expected, rtol=1e-12)


@hypothesis.given(st.integers(0, 2**32 - 1))
def test_a_row_holds_the_rewards_of_its_steps(seed):
  rewards, step_of_token, mask = step_rows.rows(seed)
  given = np.asarray(spa.place(rewards, step_of_token, mask))
  for k in range(len(rewards)):
    held = [
      s for s in range(step_rows.STEPS) if s in step_of_token[k] and mask[k, s]
    ]
    assert given[k].sum() == pytest.approx(rewards[k][held].sum(), abs=1e-5)
    assert np.count_nonzero(given[k]) <= len(held)
    assert not given[k][step_of_token[k] < 0].any()


@hypothesis.given(st.integers(0, 2**32 - 1))
def test_first_tokens(seed):
  _, step_of_token, _ = step_rows.rows(seed)
  given = np.asarray(spa.first_tokens(step_of_token, step_rows.STEPS))
  for steps, first in zip(step_of_token, given, strict=True):
    expected = [
      step >= 0 and step not in steps[:t] for t, step in enumerate(steps)
    ]
    assert first.tolist() == expected


def test_first_tokens_of_the_steps_there_are():
  given = spa.first_tokens(jnp.array([-1, 7, 7, 2]), 5)
  assert given.tolist() == [False, False, False, True]
  assert spa.first_tokens(jnp.array([0, 0]), 0).tolist() == [False, False]


def test_nan_of_a_step_stays_with_the_step():
  rewards = jnp.array([np.nan, 1.0])
  given = spa.place(rewards, jnp.array([0, 0, 1, -1]))
  np.testing.assert_array_equal(given, [0, np.nan, 1, 0])


def test_gradient_reaches_the_steps_that_are_in_the_row():
  step_of_token = jnp.array([0, 0, -1, 2])

  def total(rewards):
    return spa.place(rewards, step_of_token, placement='remaining').sum()

  assert jax.grad(total)(jnp.ones(3)).tolist() == [2, 0, 0]


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'step_rewards': np.float32(1)}, 'step_rewards must have at least 1 axis'),
    ({'step_of_token': np.zeros((2, 4), int)}, r'has leading axes \(3,\)'),
    ({'step_of_token': np.int32(0)}, 'step_of_token must have at least 1 axis'),
    ({'step_of_token': np.zeros((3, 4))}, 'must be integers, not float'),
    ({'mask': np.ones((3, 4))}, r'mask has shape \(3, 4\)'),
    ({'placement': 'rest'}, "placement must be one of 'unit', 'remaining'"),
  ],
)
def test_wrong_arguments(change, message):
  arguments = {
    'step_rewards': np.zeros((3, 2)),
    'step_of_token': np.zeros((3, 4), int),
  }
  with pytest.raises(ValueError, match=message):
    spa.place(**{**arguments, **change})


def test_nothing_at_all():
  assert spa.place(jnp.zeros((2, 3)), jnp.zeros((2, 0), int)).shape == (2, 0)
  given = spa.place(jnp.zeros((2, 0)), jnp.zeros((2, 3), int))
  assert given.tolist() == [[0, 0, 0]] * 2
  assert spa.place(jnp.zeros((0, 3)), jnp.zeros((0, 4), int)).shape == (0, 4)
