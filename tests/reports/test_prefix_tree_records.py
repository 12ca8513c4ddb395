"""Records of prefix trees: what goes in comes out, and what is refused."""

import copy
import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcredit import grpo, tempo
from jaxcredit.reports import prefix_tree_records as records
from tests.reports import prefix_tree_groups

G = 4
rows = st.lists(st.tuples(st.integers(0, 1), st.booleans()), max_size=5)
rewards = st.sampled_from([0.0, 1.0, 1.0, -0.5])
groups = st.lists(st.tuples(rows, rewards), min_size=G, max_size=G)


def group_of(answers):
  # Who wrote a token goes by its id: rows alike are so in both.
  return records.Group(
    'q',
    [
      records.Answer(
        [f'{token}' for token, _ in row],
        [2 * token + own for token, own in row],
        [own for _, own in row],
        reward,
      )
      for row, reward in answers
    ],
  )


@given(groups)
def test_nodes_have_the_mean_reward_of_their_answers(answers):
  group = records.with_tempo(group_of(answers), ddof=0)
  taking_part = [any(a.mask) for a in group.answers]
  for node in records.nodes(group):
    assert all(taking_part[m] for m in node.members)
    mean = np.mean([group.answers[m].reward for m in node.members])
    for m in node.members:
      np.testing.assert_allclose(
        group.answers[m].values[node.end], mean, atol=1e-6
      )
  records.to_record(group)


def test_the_credit_is_that_of_tempo_and_grpo():
  group = prefix_tree_groups.pens()
  ids = np.zeros((4, 9), int)
  mask, environment = np.zeros((2, 4, 9), bool)
  for g, answer in enumerate(group.answers):
    size = len(answer.tokens)
    ids[g, :size] = answer.token_ids
    mask[g, :size] = answer.mask
    environment[g, :size] = ~mask[g, :size]
  scores = np.array([1.0, 0, 0, 0], np.float32)
  credit = tempo.advantages(ids, mask, scores, environment=environment)
  for g, answer in enumerate(group.answers):
    size = len(answer.tokens)
    for name in ('total', 'td', 'branch', 'values'):
      expected = getattr(credit, name)[g, : size + (name == 'values')]
      np.testing.assert_allclose(getattr(answer, name), expected, err_msg=name)
  np.testing.assert_allclose(
    [a.grpo for a in group.answers], grpo.advantages(scores)
  )
  # By hand: 'multiply' is in three answers with a mean of 1/3, from 1/4.
  np.testing.assert_allclose(group.answers[0].td[2], 1 / 3 - 1 / 4, atol=1e-6)
  assert group.answers[0].branch[2] and not group.answers[0].branch[1]
  # The same through the credit that a training loop has at hand.
  bare = dataclasses.replace(
    group,
    answers=[dataclasses.replace(a, total=(), grpo=0) for a in group.answers],
  )
  again = records.with_credit(bare, credit, grpo.advantages(scores))
  assert again == group


def test_options_reach_tempo():
  bare = prefix_tree_groups.pens()
  plain = records.with_tempo(bare, scale='none', td_weight=0.0)
  assert plain.answers[0].total[2] == plain.answers[0].grpo == 0.75
  stays = records.with_tempo(bare, ended='stays')
  # The last answer ends where two others go on, and stays among them.
  assert stays.answers[0].values[5] == pytest.approx(1 / 3)
  assert bare.answers[0].values[5] == pytest.approx(1 / 2)
  records.to_record(stays)
  with pytest.raises(ValueError, match='ended'):
    records.with_tempo(bare, ended='sometimes')


def test_written_and_read_back(tmp_path):
  path = tmp_path / records.NAME
  groups = [prefix_tree_groups.pens(), prefix_tree_groups.odd()]
  records.append(path, groups[:1])
  records.append(path, groups[1:])
  assert records.read(path) == groups
  assert path.read_bytes().isascii()
  # A record of arrays is that of lists.
  answer = groups[0].answers[0]
  arrays = dataclasses.replace(
    answer,
    **{
      name: np.array(getattr(answer, name), dtype)
      for name, dtype in (('td', float), ('mask', bool), ('token_ids', int))
    },
    reward=np.float32(1),
  )
  group = dataclasses.replace(
    groups[0], answers=[arrays, *groups[0].answers[1:]]
  )
  assert records.to_record(group) == records.to_record(groups[0])


def test_the_line_that_a_run_is_writing_is_left_out(tmp_path):
  path = tmp_path / records.NAME
  records.append(path, [prefix_tree_groups.pens()] * 2)
  whole = path.read_bytes()
  path.write_bytes(whole[:-10])
  assert len(records.read(path)) == 1
  # But a last line that lacks no more than its end is one.
  path.write_bytes(whole[:-1])
  assert len(records.read(path)) == 2


def broken(*path, value):
  """A record with one entry replaced, or taken out where value is None."""
  record = copy.deepcopy(records.to_record(prefix_tree_groups.pens()))
  place = record
  for key in path[:-1]:
    place = place[key]
  if value is None:
    del place[path[-1]]
  else:
    place[path[-1]] = value
  return record


@pytest.mark.parametrize(
  ('path', 'value', 'message'),
  [
    (('question',), None, 'the group lacks question'),
    (('question',), 5, 'question is 5, not a text'),
    (('title',), [], r'title is \[\], not a text'),
    (('answers',), [], 'at least one answer'),
    (('answers',), {}, 'at least one answer'),
    (('extra',), 1, 'unknown fields: extra'),
    (('answers', 1), 'text', 'answer 1 is "text", not an object'),
    (('answers', 1, 'td'), None, 'answer 1 lacks td'),
    (('answers', 1, 'tds'), [], 'answer 1 has unknown fields: tds; known are'),
    (('answers', 2, 'mask'), True, 'answer 2: mask is true, not a list'),
    (('answers', 2, 'mask', 3), 0, r'mask\[3\] is 0; mask holds booleans'),
    (('answers', 0, 'tokens', 0), 7, r'tokens\[0\] is 7; tokens holds texts'),
    (('answers', 0, 'token_ids', 1), 1.0, r'token_ids\[1\] is 1.0'),
    (('answers', 0, 'token_ids', 1), True, r'token_ids\[1\] is true'),
    (('answers', 0, 'td', 1), math.nan, r'td\[1\] is NaN; .* finite numbers'),
    (('answers', 0, 'total', 1), -math.inf, r'total\[1\] is -Infinity'),
    (('answers', 0, 'values', 6), None, 'values has 7 entries.*must have 8'),
    (('answers', 0, 'branch', 6), None, 'branch has 6 entries.*must have 7'),
    (('answers', 3, 'reward'), math.nan, 'answer 3: reward is NaN'),
    (('answers', 3, 'reward'), True, 'reward is true, not a finite number'),
    (('answers', 3, 'reward'), 10**400, 'reward is 1000.*, not a finite'),
    (('answers', 3, 'grpo'), '1', 'grpo is "1", not a finite number'),
    (('answers', 3, 'ended'), 1, 'ended is 1, not a boolean'),
    (
      ('answers', 1, 'values', 3),
      0.9,
      'answers 0 and 1 share their first 3 tokens, but the value of that '
      'prefix is 0.333333 in one and 0.9 in the other',
    ),
  ],
)
def test_errors_name_file_line_and_place(tmp_path, path, value, message):
  file = tmp_path / records.NAME
  records.append(file, [prefix_tree_groups.pens()])
  with file.open('a') as stream:
    stream.write(json.dumps(broken(*path, value=value)) + '\n')
  with pytest.raises(ValueError, match=message) as caught:
    records.read(file)
  assert str(caught.value).startswith(f'{file}:2: ')


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    (b'{"question": ', ':1: not JSON'),
    (b'', ':1: not JSON'),
    (b'\xff{}', ':1: not UTF-8'),
    (b'[]', r':1: the group is \[\], not an object'),
    (b'[' * 100_000, ':1: '),
  ],
)
def test_lines_that_are_no_records(tmp_path, line, message):
  file = tmp_path / records.NAME
  file.write_bytes(line + b'\n')
  with pytest.raises(ValueError, match=message):
    records.read(file)


def test_a_missing_file(tmp_path):
  with pytest.raises(FileNotFoundError, match='is no file'):
    records.read(tmp_path / 'none')


def test_the_writer_writes_nothing_that_cannot_be_read(tmp_path):
  file = tmp_path / records.NAME
  bare = records.Group('q', [prefix_tree_groups.answer('a b', 1.0)])
  with pytest.raises(ValueError, match='answer 0: values has 0 entries'):
    records.append(file, [prefix_tree_groups.pens(), bare])
  assert not file.exists()


def test_credit_of_the_wrong_shape_is_refused():
  group = prefix_tree_groups.pens()
  ids = np.zeros((4, 3), int)
  credit = tempo.advantages(ids, None, np.zeros(4, np.float32))
  with pytest.raises(ValueError, match=r'shape \(4, 3\).*up to 7 tokens'):
    records.with_credit(group, credit, np.zeros(4))
  credit = tempo.advantages(np.zeros((4, 9), int), None, np.zeros(4, 'f4'))
  with pytest.raises(ValueError, match=r'baseline has shape \(3,\)'):
    records.with_credit(group, credit, np.zeros(3))
  with pytest.raises(ValueError, match='has no answers'):
    records.with_tempo(records.Group('q', []))
  short = dataclasses.replace(group.answers[0], mask=[True])
  with pytest.raises(ValueError, match='7 token_ids and a mask of 1'):
    records.with_tempo(records.Group('q', [short]))
