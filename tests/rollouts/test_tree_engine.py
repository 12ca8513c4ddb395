"""Episodes whose answers grow as a tree."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxcredit.environments import completion
from jaxcredit.networks.sampling import tree_sampling
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import tree_engine
from tests.rollouts import test_collector

PLAN = tree_sampling.Plan(first=2, skip_last=0)
TASKS = ('a left', 'go right', 'b up')
LIMITS = collector_lib.RolloutLimits(
  steps=1, new_tokens=8, row_tokens=100, chunks=(64,)
)


def collect(pool=16, tasks=TASKS, plan=PLAN, group_size=5, steps=1):
  with test_collector.make_pool(pool) as environments:
    limits = dataclasses.replace(LIMITS, steps=steps)
    collector = test_collector.make_collector(environments, limits)
    return collector.collect(
      test_collector.build_params(),
      tasks,
      group_size,
      jax.random.key(3),
      tree=plan,
    )


@pytest.fixture(scope='module')
def episodes():
  return collect()


def test_answers_are_those_of_tree_sampling(episodes):
  keys = collector_lib._turn_keys(
    jax.random.key(3), np.arange(3), *np.zeros((2, 3), np.int32)
  )
  rows = [episode.rows[0] for episode in episodes[::5]]
  prompts = [row.tokens[: row.step_of_token.index(0)] for row in rows]
  trees = tree_sampling.sample(
    test_collector.build_params(),
    test_collector.CONFIG,
    prompts,
    keys,
    plan=tree_sampling.Plan(group_size=5, first=2, skip_last=0),
    new_tokens=LIMITS.new_tokens,
    stop_tokens=(test_collector.ToyTokenizer().eos_id,),
  )
  assert any(e.shared_prefix_length for e in episodes)
  for episode in episodes:
    answer = trees[episode.group][episode.rollout]
    row = episode.rows[0]
    begin = len(prompts[episode.group])
    assert row.tokens[begin:] == answer.tokens
    assert episode.shared_prefix_length == answer.position
    np.testing.assert_allclose(
      row.log_probs[begin:], answer.log_probs, atol=1e-5
    )
    np.testing.assert_allclose(
      row.entropies[begin:], answer.entropies, atol=1e-5
    )
    assert row.entropies[:begin] == [0.0] * begin
    # The action is read from the whole answer, what was taken over included.
    text = test_collector.ToyTokenizer().decode(answer.tokens)
    assert episode.steps[0].action == completion.said(text).text.strip()
  assert any(e.steps[0].action for e in episodes if e.shared_prefix_length)


def test_branches_begin_as_an_earlier_answer(episodes):
  for episode in episodes:
    size = episode.shared_prefix_length
    if not size:
      continue
    row = episode.rows[0]
    begin = row.step_of_token.index(0)
    head = row.tokens[: begin + size]
    group = [e for e in episodes if e.group == episode.group]
    assert any(
      e.rows[0].tokens[: begin + size] == head
      for e in group
      if e.rollout < episode.rollout
    )


def test_few_environments_make_no_difference(episodes):
  again = collect(pool=3)
  for one, other in zip(episodes, again, strict=True):
    assert one.rows[0].tokens == other.rows[0].tokens
    assert one.shared_prefix_length == other.shared_prefix_length


def test_a_lost_episode_costs_no_other(episodes):
  lost = collect(tasks=('a left', 'broken right', 'b up'))
  for one, other in zip(episodes, lost, strict=True):
    if one.group == 1:
      assert other.failure and not other.rows
    else:
      assert one.rows[0].tokens == other.rows[0].tokens


def test_episodes_of_more_steps_are_refused():
  with pytest.raises(ValueError, match='episodes of one step, not of up to 3'):
    collect(steps=3)


def test_prompts_that_differ_are_refused():
  engine = tree_engine.TreeEngine(
    None, PLAN, None, lambda name: (0, name), new_tokens=4
  )
  with pytest.raises(ValueError, match='prompts of group 0 differ'):
    engine.submit([0, 1], [[1, 2], [1, 3]], None)


def test_what_is_released_is_not_answered():
  engine = tree_engine.TreeEngine(
    None, PLAN, None, lambda name: (0, name), new_tokens=4
  )
  engine.submit([0, 1], [[1, 2], [1, 2]], None)
  engine.release(0)
  engine.release('unknown')
  assert engine.answering == 1
