"""Methods of the table on answers to a question, by hand."""

import json

import numpy as np
import pytest

from experiments.text import answer_records
from jaxcredit import methods, types
from jaxcredit.methods import arrays
from jaxcredit.methods import tempo as tempo_method
from jaxcredit.reports import prefix_tree_records
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.training import loop as loop_lib

# A group of four: three tokens of prompt, then answers; one reads two tokens
# of the environment in between, one was lost.
PROMPT = [5, 6, 7]
ANSWERS = ([1, 2, 3], [1, 2, 4], [1, 3], None)
REWARDS = (1.0, 0.0, 0.0, 1.0)


def make_batch() -> loop_lib.Batch:
  episodes = []
  for answer, reward in zip(ANSWERS, REWARDS, strict=True):
    row = episodes_lib.TokenRow()
    row.read(PROMPT)
    size = len(answer or [9])
    entropies = [0.5, 2.0, 1.0][:size]
    row.sample(answer or [9], [-1.0] * size, 0, entropies)
    step = episodes_lib.Step('q', 'a', 'r', reward, True, True, 'x')
    episodes.append(
      episodes_lib.Episode(
        task='q',
        group=0,
        rollout=len(episodes),
        steps=[step],
        rows=[row],
        failure='' if answer else 'it died',
      )  # fmt: skip
    )
  trajectories = episodes_lib.pack_trajectories(episodes, 4, 1)
  return loop_lib.Batch(episodes, trajectories, 4)


def of_table(method, values=None, batch=None, **options):
  """Credit of the batch as a method of the table gives it."""
  batch = batch or make_batch()
  rows = episodes_lib.pack_rows(
    [
      episodes_lib.TokenRow() if e.failure else e.rows[0]
      for e in batch.episodes
    ],
    range(4),
    6,
  )
  found = methods.TABLE[method]
  given = methods.Batch(batch.trajectories, rows, values)
  return methods.compiled(found, found.options(**options))(given)


def credit(method, values=None, **options):
  """Total and returns of tokens, [4, 6]."""
  given = of_table(method, values, **options)
  total, returns = np.asarray(given.total)[0], given.returns
  if methods.TABLE[method].unit != 'token':
    drawn = np.zeros((4, 6), bool)
    drawn[:2, 3:], drawn[2, 3:5] = True, True
    total = np.where(drawn, total, 0)
  return methods.Credit(
    total, returns=None if returns is None else np.asarray(returns)[0]
  )


def test_tempo_by_hand():
  # V: root 1/3; [1] 1/3; [1,2] 1/2; [1,2,3] 1; [1,2,4] 0; [1,3] 0.
  third = 1 / 3
  expected = np.zeros((4, 6))
  expected[0, 3:] = [1 - third, 1 - third + 1 / 6, 1 - third + 0.5]
  expected[1, 3:] = [-third, -third + 1 / 6, -third - 0.5]
  expected[2, 3:5] = [-third, -third - third]
  given = credit('tempo', scale='none')
  np.testing.assert_allclose(given.total, expected, atol=1e-6)
  assert given.returns is None
  # A deviation of a third of its root divides both parts.
  scaled = credit('tempo')
  np.testing.assert_allclose(scaled.total, expected * 3**0.5, atol=1e-4)


def test_nodes_may_be_steps():
  # An answer is one step: each is a branch of its own from the root on, and
  # leaves with its first token.
  third = 1 / 3
  given = credit('tempo', scale='none', nodes='steps')
  drawn = np.array(credit('grpo').total) != 0
  relative = np.array([1 - third, -third, -third, 0])[:, None]
  np.testing.assert_allclose(
    given.total, np.where(drawn, 2 * relative, 0), atol=1e-6
  )
  with pytest.raises(ValueError, match='nodes must be one of tokens, steps'):
    methods.TABLE['tempo'].options(nodes='words')


def test_without_the_td_term_it_is_grpo():
  given = credit('tempo', td_weight=0.0)
  np.testing.assert_allclose(given.total, credit('grpo').total, atol=1e-6)
  assert np.abs(given.total).max() > 0.5


def test_hepo_keeps_the_tokens_of_highest_entropy():
  # Of eight tokens the three in second place are the least certain.
  given = credit('hepo', rho=3 / 8)
  expected = np.array(credit('grpo').total)
  expected[:, [3, 5]] = 0
  np.testing.assert_array_equal(given.total, expected)
  assert np.count_nonzero(given.total) == 3
  assert np.count_nonzero(credit('hepo', rho=1.0).total) == 8


def test_ppo_by_hand():
  values = np.full((4, 6), 0.25, np.float32)
  given = credit('ppo', values, whiten=False)
  drawn = np.zeros((4, 6), bool)
  drawn[:2, 3:], drawn[2, 3:5] = True, True
  returns = np.where(drawn, np.array([1, 0, 0, 0])[:, None], 0)
  np.testing.assert_allclose(given.returns, returns, atol=1e-6)
  np.testing.assert_allclose(
    given.total, np.where(drawn, returns - 0.25, 0), atol=1e-6
  )
  discounted = credit('ppo', values, whiten=False, discount=0.5)
  np.testing.assert_allclose(discounted.returns[0, 3:], [0.25, 0.5, 1])
  near = credit('ppo', values, whiten=False, gae_lambda=0.0)
  np.testing.assert_allclose(near.total[0, 3:], [0, 0, 0.75])
  white = np.asarray(credit('ppo', values).total)[drawn]
  assert abs(white.mean()) < 1e-6
  assert white.std(ddof=1) == pytest.approx(1, abs=1e-4)


def test_what_the_environment_wrote_has_no_credit_but_a_place():
  rows = types.Rows(
    tokens=np.array([[5, 1, 8, 2, 0], [5, 1, 9, 3, 4]], np.int32),
    step_of_token=np.array([[-1, 0, -1, 1, -1], [-1, 0, -1, 1, 1]], np.int32),
    trajectory=np.arange(2, dtype=np.int32),
    length=np.array([4, 5], np.int32),
    log_probs=np.zeros((2, 5), np.float32),
  )
  ones = np.ones((1, 2, 2), np.float32)
  batch = methods.Batch(methods.trajectories(ones, ones), rows)
  drawn, read = arrays.sampled(batch)[0], arrays.environment(batch)[0]
  np.testing.assert_array_equal(drawn, rows.step_of_token >= 0)
  np.testing.assert_array_equal(
    read,
    [[False, False, True, False, False], [False, False, True] + 2 * [False]],
  )


def test_penalties_cost_the_episode():
  batch = make_batch()
  batch.trajectories.penalties[0, 0, 0] = 0.25
  np.testing.assert_allclose(
    arrays.scores(methods.Batch(batch.trajectories)), [[0.75, 0, 0, 0]]
  )


def test_figures():
  figures = of_table('tempo').metrics
  # [1, 2] | [1, 3] and [1, 2, 3] | [1, 2, 4]: five branch tokens of eight, and
  # the lost episode's answer is no part of it.
  assert figures['branch_share'] == pytest.approx(5 / 8)
  assert figures['branch_points'] == 2
  td = [1 / 6, 1 / 2, 1 / 6, 1 / 2, 1 / 3]
  relative = [2 / 3, 1 / 3, 1 / 3]
  assert figures['td_share'] == pytest.approx(np.mean(td) / np.mean(relative))


class Letters:
  """Tokens are letters; 4 ends an answer."""

  eos_id = 4
  stop_ids = (4,)

  def decode(self, tokens):
    return ''.join('.abcdefghi'[t] for t in tokens)


def records(method, batch, **options):
  given = of_table(method, np.zeros((4, 6), np.float32), batch, **options)
  return answer_records.answer_records(
    7, batch, given, methods.TABLE[method], Letters()
  )


@pytest.mark.parametrize('method', ['ppo', 'tempo', 'grpo'])
def test_trees_that_are_kept(method, tmp_path):
  (record,) = records(method, make_batch())
  assert record['iteration'] == 7
  path = tmp_path / 'prefix_trees.jsonl'
  path.write_text(json.dumps(record) + '\n')
  (group,) = prefix_tree_records.read(path)
  assert group.title == 'iteration 7'
  assert group.method == methods.TABLE[method].label
  first, second, third, lost = group.answers
  assert (''.join(first.tokens), ''.join(third.tokens)) == ('abc', 'ac')
  assert [a.ended for a in group.answers] == [False, True, False, False]
  assert [a.reward for a in group.answers] == [1, 0, 0, 0]
  assert lost.tokens == []
  # The tree is the group's, the credit the method's, beside GRPO's.
  third_of = 1 / 3
  np.testing.assert_allclose(first.values, [third_of, third_of, 0.5, 1])
  np.testing.assert_allclose(first.td, [0, 1 / 6, 0.5], atol=1e-6)
  assert first.branch == [False, True, True]
  values = np.zeros((4, 6), np.float32)
  expected = credit(method, values).total
  np.testing.assert_allclose(first.total, expected[0, 3:], atol=1e-6)
  np.testing.assert_allclose(third.total, expected[2, 3:5], atol=1e-6)
  grpo = credit('grpo').total
  np.testing.assert_allclose(
    [a.grpo for a in group.answers], grpo[:, 3], atol=1e-5
  )


def test_a_group_that_was_lost_has_no_tree():
  batch = make_batch()
  for episode in batch.episodes:
    episode.failure = 'it died'
  assert records('tempo', batch) == []


def test_branch_points_against_a_count_of_prefixes():
  rng = np.random.default_rng(0)
  tokens = rng.integers(0, 2, (6, 5))
  drawn = np.arange(5) < rng.integers(1, 6, 6)[:, None]
  texts = [tuple(t[d].tolist()) for t, d in zip(tokens, drawn, strict=True)]
  prefixes = {t[:n] for t in texts for n in range(len(t) + 1)}
  expected = sum(
    sum((*prefix, token) in prefixes for token in (0, 1)) == 2
    for prefix in prefixes
  )
  assert tempo_method.branch_points(tokens, drawn) == expected > 0


def test_a_method_that_is_not_there():
  with pytest.raises(
    ValueError, match="no method 'tempi'; did you mean 'tempo'?"
  ):
    methods.choose('tempi')
