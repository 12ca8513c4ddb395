"""Tasks as tables: against closed forms, plain Python and hand-made cases."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.environments import tabular
from jaxcredit.environments.tabular import dynamic_programming, two_arms
from jaxcredit.rollouts import functional_episodes


def random_policy(process, seed=0):
  return dynamic_programming.softmax_policy(
    process, jax.random.key(seed), competence=0.0, roughness=1.0
  )


def advantages(process, policy):
  q, v = dynamic_programming.values(process, policy)
  return np.asarray(q - v[:-1, :, None])


def expectation(process, policy, state, time):
  """The value of a state, in plain Python, by every path there is."""
  if time == process.horizon or process.ended[state]:
    return 0.0
  total = 0.0
  for a in range(process.action_size):
    for after, chance, reward in zip(
      *(
        np.asarray(table[state, a])
        for table in (
          process.successors, process.probabilities, process.rewards
        )
      ),
      strict=True,
    ):  # fmt: skip
      total += (
        float(policy[state, a])
        * float(chance)
        * (float(reward) + expectation(process, policy, int(after), time + 1))
      )
  return total


@pytest.mark.parametrize('length', [1, 2, 5])
@pytest.mark.parametrize('delay', [0, 3])
def test_two_arms_in_closed_form(length, delay):
  chances = (0.3, 0.9)
  task = tabular.two_armed(length=length, chances=chances)
  policy = random_policy(task)
  closed = np.asarray(two_arms.advantages(policy, chances))
  later = tabular.pay_later(task, delay)
  longer = random_policy(later, 1)
  longer = longer.at[: task.states].set(policy)
  found = advantages(later, longer)
  assert found.shape[0] == length + delay
  # The choice is made at the beginning, where all of the time is left.
  np.testing.assert_allclose(found[0, 0], closed[0], atol=1e-6)
  assert abs(closed[0]).max() > 0.1
  np.testing.assert_allclose(found[0, 1:], 0, atol=1e-6)
  assert closed[1:].any() == False  # noqa: E712


@pytest.mark.parametrize('slip', [0.0, 0.4])
def test_grid_against_every_path(slip):
  task = tabular.grid_world(size=2, horizon=4 if not slip else 3, slip=slip)
  policy = random_policy(task)
  _, v = dynamic_programming.values(task, policy)
  for state in range(3):
    for time in (0, 2):
      np.testing.assert_allclose(
        v[time, state], expectation(task, policy, state, time), rtol=1e-5
      )


def walk(task, state, actions):
  """States and rewards of a walk without chance."""
  here = tabular.State(jnp.int32(state), jax.random.key(0))
  states, rewards, ended = [], [], []
  for action in actions:
    here, reward, end = task.move(here, jnp.int32(action))
    states.append(int(here.index))
    rewards.append(float(reward))
    ended.append(bool(end))
  return states, rewards, ended


def test_key_and_door_by_hand():
  left, right, up, down = range(4)
  task = tabular.key_door(size=2)
  # Cells 0 1 / 2 3: the key in 0, the door in 3; with the key 4 more.
  states, rewards, ended = walk(task, 1, [down, left, up, up, right, down])
  assert states == [3, 2, 4, 4, 5, 8]
  assert rewards == [0, 0, 0, 0, 0, 1]
  assert ended == [False] * 5 + [True]
  assert not task.initial[0] and not task.initial[4:].any()
  # Only the step that takes the key has that factor.
  np.testing.assert_array_equal(task.factors[2, up], [1, 1, 1])
  np.testing.assert_array_equal(task.factors[5, down], [0, 1, 1])


def test_paid_later_is_worth_the_same():
  task = tabular.key_door(size=2, horizon=6)
  later = tabular.pay_later(task, 3)
  policy = random_policy(later)
  _, v = dynamic_programming.values(task, policy[: task.states])
  _, w = dynamic_programming.values(later, policy)
  np.testing.assert_allclose(v[:-1], w[:6, : task.states], atol=1e-6)
  *_, up, down = range(4)
  _, rewards, ended = walk(later, 5, [down, up, up, up])
  assert rewards == [0, 0, 0, 1] and ended == [False] * 3 + [True]
  assert tabular.pay_later(task, 0) is task


def test_random_rewards_are_no_credit():
  task = tabular.grid_world(size=3, horizon=5)
  noisy = tabular.random_rewards(task, 0.5)
  policy = random_policy(task)
  np.testing.assert_allclose(
    advantages(task, policy), advantages(noisy, policy), atol=1e-6
  )
  episodes = functional_episodes.play(
    noisy,
    lambda seen, key: (jnp.ones(1, jnp.int32), jnp.zeros(1)),
    jax.random.key(0),
    200,
  )
  # To the right the goal is reached from the last row; then nothing comes.
  assert set(np.unique(episodes.rewards).tolist()) == {-0.5, 0, 0.5, 1.5}
  assert tabular.random_rewards(task, 0.0) is task


def test_a_functional_environment():
  task = tabular.key_door(slip=0.3, horizon=7)

  def act(observation, key):
    assert observation.shape == (1, task.observation_size)
    return jax.random.randint(key, (1,), 0, 4), jnp.zeros(1)

  episodes = jax.jit(lambda key: functional_episodes.play(task, act, key, 50))(
    jax.random.key(0)
  )
  states = np.asarray(episodes.observations[:, 0]).argmax(-1)
  for e in range(50):
    for t in range(7):
      if episodes.mask[e, t]:
        action = int(episodes.actions[e, 0, t])
        after = np.asarray(task.successors[states[e, t], action])
        assert states[e, t + 1] in after
  assert not task.ended[states[:, 0]].any()


def test_filled_up_tasks_are_the_same_tasks():
  tasks = [tabular.two_armed(length=4), tabular.grid_world(size=2, horizon=4)]
  stacked = tabular.stack(tasks, states=20, actions=5, outcomes=3, factors=6)
  assert stacked.successors.shape == (2, 20, 5, 3)
  assert stacked.factors.shape == (2, 20, 5, 6)
  for d, task in enumerate(tasks):
    filled = jax.tree.map(lambda x, d=d: x[d], stacked)
    policy = random_policy(filled)
    assert not policy[: task.states, task.action_size :].any()
    small = policy[: task.states, : task.action_size]
    np.testing.assert_allclose(
      advantages(filled, policy)[:, : task.states, : task.action_size],
      advantages(task, small),
      atol=1e-6,
    )
  with pytest.raises(ValueError, match='horizons must be equal'):
    tabular.stack([tasks[0], dataclasses.replace(tasks[1], horizon=9)])


def test_the_best_way_is_the_shortest():
  task = tabular.grid_world(size=3, horizon=4)
  best = np.asarray(dynamic_programming.optimal_actions(task))
  for start in range(8):
    states, *_ = walk(task, start, [best[start]])
    steps = 1
    while states[-1] != 8:
      states, *_ = walk(task, states[-1], [best[states[-1]]])
      steps += 1
    assert steps == (2 - start // 3) + (2 - start % 3)
  policy = dynamic_programming.softmax_policy(
    task, jax.random.key(0), competence=2.0, roughness=0.0
  )
  np.testing.assert_allclose(
    policy[0, best[0]], np.exp(2) / (np.exp(2) + 3), rtol=1e-5
  )


def test_errors_for_people():
  with pytest.raises(ValueError, match='size must be at least 2, not 1'):
    tabular.grid_world(size=1)
  with pytest.raises(ValueError, match='slip must be a probability'):
    tabular.key_door(slip=1.5)
  with pytest.raises(ValueError, match='length must be positive'):
    tabular.two_armed(length=0)
  with pytest.raises(ValueError, match='two probabilities'):
    tabular.two_armed(chances=(0.5,))
  with pytest.raises(ValueError, match='delay must not be negative'):
    tabular.pay_later(tabular.two_armed(), -1)
  with pytest.raises(ValueError, match='horizon must be positive'):
    tabular.grid_world(horizon=0)
