"""Long completions: who was cut off, what it costs, and what is learned."""

import numpy as np
import pytest

from jaxcredit import types
from jaxcredit.algorithms import dapo
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.rollouts import overlong
from tests.rollouts import test_collector


def make_episode(*lengths, cut_off=False, failure=''):
  """Steps of so many tokens, each behind two that were read."""
  row = episodes_lib.TokenRow()
  steps = []
  for number, length in enumerate(lengths):
    row.read([1, 2])
    row.sample([3] * length, [-0.5] * length, number)
    steps.append(episodes_lib.Step('', '', '', 1.0, True, True, ''))
  return episodes_lib.Episode(
    'task', 0, 0, steps=steps, rows=[row], cut_off=cut_off, failure=failure,
    truncated=True,
  )  # fmt: skip


EPISODES = [
  make_episode(80),
  make_episode(90, 10),
  make_episode(100, cut_off=True),
  make_episode(5, failure='it died'),
]


def test_the_penalty_is_added_to_each_step():
  lengths = overlong.completion_lengths(EPISODES, 2, 3)
  assert lengths.tolist() == [
    [[80, 0, 0], [90, 10, 0]],
    [[100, 0, 0], [5, 0, 0]],
  ]
  trajectories = episodes_lib.pack_trajectories(EPISODES, 2, 3)
  given = overlong.penalise(
    trajectories, lengths, limit=100, buffer=20, weight=2.0
  )
  assert given.rewards.dtype == trajectories.rewards.dtype
  expected = [[[1, 0, 0], [0, 1, 0]], [[-1, 0, 0], [0, 0, 0]]]
  np.testing.assert_allclose(given.rewards, expected, atol=1e-6)
  # The filter of groups goes on looking at the returns without it.
  returns = np.array([[e.episode_return for e in EPISODES[1:3]]])
  assert dapo.group_filter(returns).tolist() == [True]


def test_rows_that_were_cut_off_are_not_learned():
  rows = episodes_lib.pack_rows(
    [e.rows[0] for e in EPISODES[:3]], [0, 1, 2], 120, 4
  )
  left = overlong.leave_out(rows, EPISODES)
  np.testing.assert_array_equal(
    left.step_of_token[[0, 1, 3]], rows.step_of_token[[0, 1, 3]]
  )
  assert (left.step_of_token[2, 2:102] == types.NOT_LEARNED).all()
  assert (left.step_of_token[2, :2] == -1).all()
  assert (left.step_of_token[2, 102:] == -1).all()


def test_what_is_logged():
  lengths = overlong.completion_lengths(EPISODES[:3], 1, 2)
  given = overlong.metrics(EPISODES, lengths, limit=100, buffer=20)
  assert given == pytest.approx(
    {
      'cut_off_share': 1 / 3,
      'mean_completion_tokens': 70,
      'overlong_penalty': -1.5 / 4,
    }
  )
  nothing = overlong.metrics(
    EPISODES[3:], np.zeros((1, 1, 1)), limit=9, buffer=1
  )
  assert np.isnan(list(nothing.values())).all()


def test_the_collector_says_who_was_cut_off():
  episodes = test_collector.collect()
  limit = test_collector.LIMITS.new_tokens
  assert {e.cut_off for e in episodes} == {False, True}
  for episode in episodes:
    if episode.rows and not episode.failure:
      row = episode.rows[-1]
      last = max(row.step_of_token)
      sampled = [
        t
        for t, s in zip(row.tokens, row.step_of_token, strict=True)
        if s == last
      ]
      cut = len(sampled) == limit and sampled[-1] != 0
      assert episode.cut_off == cut
