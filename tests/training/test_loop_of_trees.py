"""The loop where answers branch off each other."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import types
from jaxcredit.networks.sampling import tree_sampling
from jaxcredit.training import loop as loop_lib
from tests.training import test_loop

PLAN = tree_sampling.Plan(first=2)


class WatchingLearner:
  """Keeps the rows that it is given."""

  def update(self, state, rows, extra, **options):
    self.rows = rows
    self.extra = extra
    return state, {}


def run(tasks=('mixed branching',), **options):
  seen = {}

  def token_credit(trajectories, rows, values):
    del trajectories, values
    seen['rows'] = rows
    return loop_lib.TokenAdvantages(jnp.ones(rows.tokens.shape))

  learner, collector = WatchingLearner(), test_loop.ScriptedCollector()
  loop = loop_lib.Loop(
    collector,
    learner,
    None,
    tasks,
    loop_lib.LoopOptions(
      groups=1, group_size=4, max_steps=3, tree=PLAN, **options
    ),
    row_tokens=test_loop.ROW_TOKENS,
    token_credit=token_credit,
  )
  _, metrics, _, _ = loop.run(test_loop.init_state(), 0)
  return seen['rows'], learner.rows, collector, metrics


def test_a_token_is_learned_in_the_answer_that_drew_it():
  credited, learned, collector, metrics = run()
  assert collector.tree is PLAN
  # Credit sees whole answers.
  expected = np.array([[-1, 0, -1, 1, -1, 2, -1, -1]] * 4)
  np.testing.assert_array_equal(credited.step_of_token, expected)
  expected[1:, 1] = types.NOT_LEARNED
  np.testing.assert_array_equal(learned.step_of_token, expected)
  np.testing.assert_array_equal(learned.tokens, credited.tokens)
  assert metrics['sampled_tokens'] == 4 * 3 - 3


def test_or_in_all_answers():
  credited, learned, _, metrics = run(learn_shared_prefix=True)
  np.testing.assert_array_equal(learned.step_of_token, credited.step_of_token)
  assert metrics['sampled_tokens'] == 4 * 3 - 3


def test_answers_that_share_nothing_stay():
  credited, learned, _, metrics = run(tasks=('mixed',))
  assert learned is credited
  assert metrics['sampled_tokens'] == 12


def test_credit_of_steps_takes_no_trees():
  with pytest.raises(ValueError, match='a tree need token_credit'):
    test_loop.make_loop(tree=PLAN)
