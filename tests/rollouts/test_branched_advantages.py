"""Advantages by branching, against dynamic programming."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.environments import tabular
from jaxcredit.environments.tabular import dynamic_programming
from jaxcredit.rollouts import branched_advantages, tabular_episodes


def case():
  task = tabular.random_rewards(
    tabular.key_door(size=2, horizon=7, slip=0.2), 0.05
  )
  policy = dynamic_programming.softmax_policy(task, jax.random.key(0))
  return task, policy


def estimates(task, policy, branches, key, horizon=7):
  """Of every action of every state at every time but the last."""
  time, state, action = (
    x.reshape(-1)
    for x in np.meshgrid(
      np.arange(horizon), np.arange(task.states - 1), np.arange(4),
      indexing='ij',
    )
  )  # fmt: skip

  @jax.jit
  def estimate(key):
    begin = tabular.State(
      jnp.asarray(state, jnp.int32), jax.random.split(key, len(state))
    )
    return branched_advantages.estimate(
      task,
      lambda state, key: tabular_episodes.draw(policy, state, key),
      begin,
      jnp.asarray(action, jnp.int32),
      jnp.asarray(horizon - time, jnp.int32),
      key,
      branches=branches,
      at_once=50,
    )

  q, v = dynamic_programming.values(task, policy)
  exact = np.asarray(q - v[:-1, :, None])[time, state, action]
  return estimate(key), exact, np.asarray(v)[time, state]


def test_intervals_hold_the_exact_advantage():
  task, policy = case()
  found, exact, value = estimates(task, policy, 300, jax.random.key(1))
  off = (np.asarray(found.advantage) - exact) / np.asarray(found.error)
  # 224 steps: the share within 1.96 errors has a deviation of 0.015.
  assert 0.9 < (abs(off) < 1.96).mean() < 0.995
  assert abs(off.mean()) < 0.25 and 0.85 < off.std() < 1.15
  assert np.corrcoef(np.asarray(found.value), value)[0, 1] > 0.98
  fewer, *_ = estimates(task, policy, 75, jax.random.key(2))
  ratio = np.asarray(fewer.error).mean() / np.asarray(found.error).mean()
  assert 1.8 < ratio < 2.2


def test_without_chance_there_is_no_error():
  task = tabular.key_door(size=2, horizon=7)
  best = dynamic_programming.optimal_actions(task)
  policy = jax.nn.one_hot(best, 4)
  found, exact, _ = estimates(task, policy, 2, jax.random.key(0))
  np.testing.assert_allclose(found.advantage, exact, atol=1e-6)
  assert not np.asarray(found.error).any()
  assert (exact < 0).any()


def test_episodes_follow_policy_and_chance():
  task, policy = case()
  episodes = jax.jit(
    lambda key: tabular_episodes.play(task, policy, 1, key, 4000)
  )(jax.random.key(3))
  first = np.bincount(np.asarray(episodes.actions[:, 0]), minlength=4) / 4000
  np.testing.assert_allclose(first, policy[1], atol=0.03)
  _, v = dynamic_programming.values(task, policy)
  np.testing.assert_allclose(
    episodes.rewards.sum(axis=-1).mean(), v[0, 1], atol=0.03
  )
  assert (episodes.states[:, 0] == 1).all()
  mask = np.asarray(episodes.mask)
  assert (np.diff(mask.astype(int), axis=1) <= 0).all() and mask[:, 0].all()
  assert not np.asarray(episodes.rewards)[~mask].any()
  assert 0 < (~mask).mean() < 1


def test_what_has_no_probability_is_never_drawn():
  policy = jnp.array([[0.0, 1.0, 0.0]])
  state = tabular.State(jnp.int32(0), jax.random.key(0))
  drawn = jax.vmap(lambda key: tabular_episodes.draw(policy, state, key))(
    jax.random.split(jax.random.key(0), 10_000)
  )
  assert (drawn == 1).all()


def test_one_branch_has_no_error_to_tell():
  task, policy = case()
  with pytest.raises(ValueError, match='branches must be at least 2'):
    estimates(task, policy, 1, jax.random.key(0))
