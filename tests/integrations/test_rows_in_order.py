"""Rows in order get the credit of their groups."""

import doctest

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import grpo, methods, rloo, tempo
from jaxcredit.integrations import rows_in_order


def test_estimator_by_hand():
  rewards = np.array([1.0, 0, 0, 0, 3, 1], np.float32)
  estimate = rows_in_order.estimator(grpo.advantages, scale='none')
  np.testing.assert_allclose(
    estimate(rewards=rewards, num_generations=3),
    [2 / 3, -1 / 3, -1 / 3, -4 / 3, 5 / 3, -1 / 3],
    atol=1e-6,
  )


def test_groups_do_not_see_each_other():
  rewards = np.array([1.0, 0, 5, 5], np.float32)
  leave_one_out = rows_in_order.estimator(rloo.advantages)
  np.testing.assert_array_equal(
    leave_one_out(rewards=rewards, num_generations=2), [1, -1, 0, 0]
  )


def test_tempo_is_that_of_each_group():
  tokens = np.array([[5, 6, 7], [5, 8, 0], [1, 2, 3], [1, 2, 4]])
  mask = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 1, 1]])
  rewards = np.array([1.0, 0, 0, 1], np.float32)
  credit = rows_in_order.tempo_advantages(tokens, mask, rewards, 2)
  assert credit.shape == (4, 3) and credit.dtype == jnp.float32
  for group in (slice(0, 2), slice(2, 4)):
    alone = tempo.advantages(tokens[group], mask[group] == 1, rewards[group])
    np.testing.assert_allclose(credit[group], alone.total, atol=1e-6)
  assert credit[1, 2] == 0
  # The third token of the last group decides: twice GRPO's credit there.
  np.testing.assert_allclose(credit[3], [0.7071, 0.7071, 1.4142], atol=1e-3)


def test_options_are_handed_on():
  tokens, mask = np.array([[1, 2], [1, 3]]), np.ones((2, 2))
  rewards = np.array([1.0, 0], np.float32)
  without = rows_in_order.tempo_advantages(
    tokens, mask, rewards, 2, td_weight=0.0, scale='none'
  )
  np.testing.assert_allclose(without, [[0.5, 0.5], [-0.5, -0.5]], atol=1e-6)


@pytest.mark.parametrize('num_generations', [0, 3])
def test_incomplete_groups_are_refused(num_generations):
  estimate = rows_in_order.estimator(grpo.advantages)
  with pytest.raises(ValueError, match='4 rows, which is no multiple of'):
    estimate(rewards=np.zeros(4), num_generations=num_generations)


def test_examples_run():
  result = doctest.testmod(rows_in_order)
  assert result.attempted >= 5 and not result.failed


@pytest.mark.parametrize(
  'name',
  [
    name
    for name, method in methods.TABLE.items()
    if method.unit == 'episode' and not method.needs
  ],
)
def test_methods_that_judge_episodes_are_estimators(name):
  method = methods.TABLE[name]
  rewards = np.array([1.0, 0, 0, 1, 1, 0, 0.5, 0.25], np.float32)
  given = rows_in_order.of_method(method)(rewards, 4)
  steps = rewards.reshape(2, 4, 1)
  batch = methods.Batch(methods.trajectories(steps, np.ones_like(steps)))
  expected = method.credit(batch, method.options()).total
  np.testing.assert_allclose(given, np.ravel(expected), atol=1e-6)
  assert np.abs(given).max() > 0.1


def test_other_methods_are_no_estimators_of_rewards():
  for name in ('gigpo', 'tempo', 'ppo'):
    with pytest.raises(ValueError, match='given rewards alone'):
      rows_in_order.of_method(methods.TABLE[name])
  for name in ('grpo', 'hepo', 'spa'):
    with pytest.raises(ValueError, match='needs more than tokens'):
      rows_in_order.of_token_method(methods.TABLE[name])


def test_methods_of_tokens():
  rng = np.random.default_rng(0)
  tokens = rng.integers(0, 3, (8, 6)).astype(np.int32)
  mask = np.arange(6) < rng.integers(1, 7, (8, 1))
  rewards = rng.normal(size=8).astype(np.float32)
  given = rows_in_order.of_token_method(methods.TABLE['tempo'])(
    tokens, mask, rewards, 4
  )
  expected = rows_in_order.tempo_advantages(tokens, mask, rewards, 4)
  np.testing.assert_allclose(given, expected, atol=1e-6)
  tree = rows_in_order.of_token_method(methods.TABLE['treerpo'])(
    tokens, mask, rewards, 4
  )
  assert np.isfinite(tree).all() and not np.asarray(tree)[~mask].any()
