"""The loop where answers branch off each other."""

import jax.numpy as jnp
import numpy as np

from jaxcredit import methods, types
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
  """Rows that credit sees, and those that are learned."""

  def of_batch(batch):
    seen = batch.rows.step_of_token
    shape = (*batch.trajectories.mask.shape[:2], -1)
    return methods.Credit(
      jnp.ones(seen.shape).reshape(shape), parts={'seen': seen.reshape(shape)}
    )

  learner, collector = WatchingLearner(), test_loop.ScriptedCollector()
  loop = loop_lib.Loop(
    collector,
    learner,
    test_loop.method_of(of_batch, unit='token'),
    methods.NoOptions(),
    tasks,
    loop_lib.LoopOptions(
      groups=1, group_size=4, max_steps=3, tree=PLAN, **options
    ),
    lengths=[test_loop.ROW_TOKENS],
  )
  _, metrics, _, credit = loop.run(test_loop.init_state(), 0)
  seen = np.asarray(credit.parts['seen'])[0]
  return seen, learner.rows, collector, metrics


def test_a_token_is_learned_in_the_answer_that_drew_it():
  credited, learned, collector, metrics = run()
  assert collector.tree is PLAN
  # Credit sees whole answers.
  expected = np.array([[-1, 0, -1, 1, -1, 2, -1, -1]] * 4)
  np.testing.assert_array_equal(credited, expected)
  expected[1:, 1] = types.NOT_LEARNED
  np.testing.assert_array_equal(learned.step_of_token, expected)
  assert metrics['sampled_tokens'] == 4 * 3 - 3


def test_or_in_all_answers():
  credited, learned, _, metrics = run(learn_shared_prefix=True)
  np.testing.assert_array_equal(learned.step_of_token, credited)
  assert metrics['sampled_tokens'] == 4 * 3 - 3


def test_answers_that_share_nothing_stay():
  credited, learned, _, metrics = run(tasks=('mixed',))
  np.testing.assert_array_equal(learned.step_of_token, credited)
  assert metrics['sampled_tokens'] == 12


def test_credit_of_steps_learns_a_shared_token_once():
  learner = WatchingLearner()
  loop = loop_lib.Loop(
    test_loop.ScriptedCollector(),
    learner,
    test_loop.method_of(test_loop.credit),
    methods.NoOptions(),
    ('mixed branching',),
    loop_lib.LoopOptions(groups=1, group_size=4, max_steps=3, tree=PLAN),
    lengths=[test_loop.ROW_TOKENS],
  )
  _, _, _, credit = loop.run(test_loop.init_state(), 0)
  assert credit.total.shape == (1, 4, 3)
  assert (learner.rows.step_of_token[1:, 1] == types.NOT_LEARNED).all()
