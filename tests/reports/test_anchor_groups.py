"""States that repeat within a group, by hand."""

import pytest

from jaxcredit.reports import anchor_groups
from tests.reports import run_files


def step(state, action, reward=0.0):
  return run_files.step(
    0, 0, anchor_group=state, action=action, reward=reward,
    observation=f'state {state}',
  )  # fmt: skip


def test_returns_are_discounted():
  steps = [step(0, 'a'), step(1, 'a', 1.0), step(2, 'a', 2.0)]
  episode = run_files.episode(0, 0, steps)
  assert anchor_groups.returns(episode, 0.5) == pytest.approx([1.0, 2.0, 2.0])


def test_states_by_hand():
  members = [
    run_files.episode(0, 0, [step(0, 'left'), step(1, 'take', 1.0)]),
    run_files.episode(0, 1, [step(0, 'right'), step(2, 'x'), step(0, 'left')]),
    run_files.episode(0, 2, [step(3, 'x'), step(3, 'x')]),
    run_files.episode(0, 3, [step(0, 'left')], failure='lost'),
  ]
  rows, singletons = anchor_groups.table(members, 0.5)
  assert singletons == 2
  # The state where returns differ comes first, though 3 was met as well.
  assert [row['state'] for row in rows] == [0, 3]
  first = rows[0]
  assert (first['size'], first['rollouts']) == (3, 2)
  assert (first['low'], first['high']) == (0.0, 0.5)
  assert first['observation'] == 'state 0'
  assert first['actions'] == [
    {'action': 'left', 'returns': [0.5, 0.0], 'mean': 0.25},
    {'action': 'right', 'returns': [0.0], 'mean': 0.0},
  ]
  assert (rows[1]['size'], rows[1]['rollouts']) == (2, 1)


def test_no_state_repeats():
  members = [run_files.episode(0, 0, [step(0, 'a'), step(1, 'a')])]
  assert anchor_groups.table(members, 0.9) == ([], 2)
