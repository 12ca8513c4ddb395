"""A household as a table, against the engine that plays it."""

import jax
import numpy as np
import pytest

from jaxcredit.environments import household
from jaxcredit.environments.household import enumeration, expert
from jaxcredit.environments.tabular import dynamic_programming

GAME = household.generate_game(2, 'pick_clean_then_place_in_recep')


@pytest.fixture(scope='module')
def process():
  return enumeration.enumerate_states(GAME, 12)


def test_walks_are_those_of_the_engine(process):
  names = enumeration.commands(GAME, 5, 0)
  tables = [
    np.asarray(x)
    for x in (
      process.successors[..., 0], process.rewards[..., 0], process.ended,
      process.admissible, process.observed,
    )
  ]  # fmt: skip
  successors, rewards, ended, admissible, observed = tables
  best = np.asarray(dynamic_programming.optimal_actions(process))
  rng = np.random.default_rng(0)
  texts, won = {}, 0
  for _ in range(40):
    environment = household.HouseholdEnvironment()
    answer = environment.reset(GAME)
    state = 0
    for _ in range(12):
      assert texts.setdefault(int(observed[state]), answer.anchor) == (
        answer.anchor
      )
      allowed = [a for a, name in enumerate(names) if name in answer.admissible]
      np.testing.assert_array_equal(np.flatnonzero(admissible[state]), allowed)
      action = best[state] if rng.random() < 0.7 else rng.choice(allowed)
      answer = environment.step(names[action])
      assert answer.reward == rewards[state, action]
      state = successors[state, action]
      assert answer.terminated == ended[state]
      if answer.terminated:
        won += 1
        break
  assert 5 < won and len(set(texts.values())) == len(texts) > 5
  # Some states look alike.
  assert len(np.unique(observed)) < process.states


def test_the_plan_is_the_best_course(process):
  environment = household.HouseholdEnvironment()
  environment.reset(GAME)
  plan = expert.plan(environment)
  best = np.asarray(dynamic_programming.optimal_actions(process))
  state, steps = 0, 0
  while not process.ended[state]:
    state = int(process.successors[state, best[state], 0])
    steps += 1
  assert steps <= len(plan)


def test_branching_the_engine_gives_the_exact_value(process):
  names = enumeration.commands(GAME, 5, 0)
  policy = np.asarray(
    dynamic_programming.softmax_policy(
      process, jax.random.key(0), competence=2.5
    ),
    np.float64,
  )
  policy /= policy.sum(axis=-1, keepdims=True)
  _, v = dynamic_programming.values(process, policy)
  environment = household.HouseholdEnvironment()
  environment.reset(GAME)
  state = 0
  # The first two steps of the plan, then rollouts of copies.
  for action in range(2):
    environment.step(names[action])
    state = int(process.successors[state, action, 0])
  rng = np.random.default_rng(0)
  returns = []
  for _ in range(300):
    here, copy = state, environment.fork()
    total = 0.0
    for _ in range(10):
      action = rng.choice(len(names), p=policy[here])
      answer = copy.step(names[action])
      total += answer.reward
      here = int(process.successors[here, action, 0])
      if answer.terminated:
        break
    returns.append(total)
  error = np.std(returns) / np.sqrt(len(returns))
  assert 0.1 < np.mean(returns) < 0.9
  assert abs(np.mean(returns) - float(v[2, state])) < 3 * error


def test_distractors_are_more_commands():
  few, many = (enumeration.commands(GAME, n, 0) for n in (1, 6))
  assert len(many) == len(few) + 5 and set(few[:-2]) < set(many)
  assert enumeration.commands(GAME, 6, 1) != many


def test_errors_for_people():
  with pytest.raises(ValueError, match='more than 10 states'):
    enumeration.enumerate_states(GAME, 12, limit=10)
