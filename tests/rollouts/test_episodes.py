"""Records of episodes become arrays."""

import numpy as np
import pytest

from jaxcredit import gigpo, types
from jaxcredit.algorithms import fingerprints
from jaxcredit.rollouts import episodes as episodes_lib


def make_step(reward=0.0, valid=True, admissible=True, anchor='here'):
  return episodes_lib.Step(
    'saw', 'did', 'heard', reward, valid, admissible, anchor
  )


def make_episode(*steps, **changes):
  return episodes_lib.Episode(
    task='task', group=0, rollout=0, steps=list(steps), **changes
  )


def make_row(*parts):
  """A row of ('read', tokens) and (step, tokens) parts."""
  row = episodes_lib.TokenRow()
  for kind, tokens in parts:
    if kind == 'read':
      row.read(tokens)
    else:
      row.sample(tokens, [-0.1 * t for t in tokens], kind)
  return row


def test_return_success_and_end_of_an_episode():
  lost = make_episode(make_step(), make_step(-0.5), terminated=True)
  assert (lost.episode_return, lost.success, lost.finished) == (
    -0.5,
    False,
    True,
  )
  won = make_episode(make_step(0.25), make_step(0.5), terminated=True)
  assert (won.episode_return, won.success) == (0.75, True)
  # A reward alone is no success, where a limit ended the episode.
  assert not make_episode(make_step(1.0), truncated=True).success
  assert not make_episode(make_step(1.0)).finished
  # Where the environment says so, the return does not count.
  poor = make_episode(make_step(0.8), terminated=True, solved=False)
  assert (poor.episode_return, poor.success) == (0.8, False)
  assert make_episode(make_step(), terminated=True, solved=True).success
  assert make_episode(failure='it died').finished
  assert make_episode(truncated=True).finished


def test_rows_remember_who_wrote_each_token():
  row = make_row(('read', [5, 6]), (0, [7, 8]), ('read', [9]), (1, [3]))
  assert row.tokens == [5, 6, 7, 8, 9, 3]
  assert row.step_of_token == [-1, -1, 0, 0, -1, 1]
  np.testing.assert_allclose(row.log_probs, [0, 0, -0.7, -0.8, 0, -0.3])
  row.skip([4, 4])
  assert row.tokens[-2:] == [4, 4]
  assert row.step_of_token[-2:] == [types.NOT_LEARNED] * 2
  assert row.log_probs[-2:] == [0, 0]


EPISODES = [
  make_episode(
    make_step(0.0, valid=False, admissible=False, anchor='a'),
    make_step(1.0, admissible=False, anchor='b'),
    terminated=True,
  ),
  make_episode(make_step(-1.0, anchor='a'), truncated=True),
  make_episode(make_step(1.0, valid=False, anchor='a'), failure='it died'),
  make_episode(
    make_step(0.5, anchor='b'), make_step(anchor='a'), truncated=True
  ),
]


def test_trajectories_by_hand():
  packed = episodes_lib.pack_trajectories(EPISODES, 2, 3)
  np.testing.assert_array_equal(
    packed.rewards, [[[0, 1, 0], [-1, 0, 0]], [[0, 0, 0], [0.5, 0, 0]]]
  )
  np.testing.assert_array_equal(
    packed.mask,
    np.array([[[1, 1, 0], [1, 0, 0]], [[0, 0, 0], [1, 1, 0]]], bool),
  )
  np.testing.assert_array_equal(packed.terminated, [[1, 0], [0, 0]])
  np.testing.assert_array_equal(packed.truncated, [[0, 1], [0, 1]])
  assert not packed.penalties.any()
  a, b = fingerprints.text_fingerprints(['a', 'b'])
  assert (a != b).any()
  anchors = packed.anchors
  assert anchors.dtype == np.uint32
  np.testing.assert_array_equal(anchors[0, 0], [a, b, [0, 0]])
  np.testing.assert_array_equal(anchors[0, 1], [a, [0, 0], [0, 0]])
  np.testing.assert_array_equal(anchors[1, 1], [b, a, [0, 0]])
  np.testing.assert_array_equal(
    gigpo.anchor_groups(packed.anchors, packed.mask),
    [[[0, 1, -1], [0, -1, -1]], [[-1, -1, -1], [3, 4, -1]]],
  )


@pytest.mark.parametrize(
  ('penalise', 'first'), [('format', [0.1, 0]), ('inadmissible', [0.1, 0.1])]
)
def test_penalties_by_hand(penalise, first):
  packed = episodes_lib.pack_trajectories(
    EPISODES, 2, 3, invalid_penalty=0.1, penalise=penalise
  )
  np.testing.assert_allclose(packed.penalties[0, 0], [*first, 0])
  assert not packed.penalties[0, 1].any()
  # An episode that was lost, and one that did all well.
  assert not packed.penalties[1].any()


def test_reward_scale_leaves_penalties_alone():
  packed = episodes_lib.pack_trajectories(
    EPISODES, 2, 3, invalid_penalty=0.1, reward_scale=10.0
  )
  np.testing.assert_allclose(
    packed.rewards[:, :, :2], [[[0, 10], [-10, 0]], [[0, 0], [5, 0]]]
  )
  np.testing.assert_allclose(packed.penalties.max(), 0.1)


def test_a_failed_episode_takes_no_part_in_its_group():
  packed = episodes_lib.pack_trajectories(EPISODES, 4, 3, invalid_penalty=0.1)
  without = episodes_lib.pack_trajectories(
    [e for e in EPISODES if not e.failure], 3, 3, invalid_penalty=0.1
  )

  def credit(trajectories):
    return np.asarray(
      gigpo.advantages(
        trajectories.rewards,
        trajectories.mask,
        trajectories.anchors,
        penalties=trajectories.penalties,
      ).total
    )

  together = credit(packed)
  assert not together[0, 2].any()
  np.testing.assert_allclose(
    np.delete(together, 2, axis=1), credit(without), atol=1e-6
  )


def test_an_episode_without_steps_is_masked_and_gets_no_credit():
  packed = episodes_lib.pack_trajectories(
    [make_episode(truncated=True), EPISODES[0], EPISODES[1]], 3, 2
  )
  assert not packed.mask[0, 0].any()
  total = gigpo.advantages(packed.rewards, packed.mask, packed.anchors).total
  assert np.asarray(total)[0, 0].tolist() == [0, 0]
  assert np.asarray(total)[0, 1].all()


def test_rows_by_hand():
  rows = [make_row(('read', [5]), (0, [7])), make_row((2, [3, 4, 1]))]
  packed = episodes_lib.pack_rows(rows, [4, 1], 4, count=3)
  np.testing.assert_array_equal(
    packed.tokens, [[5, 7, 0, 0], [3, 4, 1, 0], [0, 0, 0, 0]]
  )
  np.testing.assert_array_equal(
    packed.step_of_token, [[-1, 0, -1, -1], [2, 2, 2, -1], [-1] * 4]
  )
  np.testing.assert_allclose(
    packed.log_probs, [[0, -0.7, 0, 0], [-0.3, -0.4, -0.1, 0], [0] * 4]
  )
  assert packed.trajectory.tolist() == [4, 1, -1]
  assert packed.length.tolist() == [2, 3, 0]
  assert episodes_lib.pack_rows(rows, [0, 1], 4).tokens.shape == (2, 4)
  assert episodes_lib.pack_rows([], [], 4).tokens.shape == (0, 4)


def test_wrong_arguments():
  with pytest.raises(ValueError, match='4 episodes cannot be cut'):
    episodes_lib.pack_trajectories(EPISODES, 3, 3)
  with pytest.raises(ValueError, match='groups of 0'):
    episodes_lib.pack_trajectories(EPISODES, 0, 3)
  with pytest.raises(ValueError, match="or 'inadmissible', not 'all'"):
    episodes_lib.pack_trajectories(EPISODES, 2, 3, penalise='all')
  with pytest.raises(ValueError, match='episode 0 has 2 steps, more than 1'):
    episodes_lib.pack_trajectories(EPISODES, 2, 1)
  row = make_row((0, [1, 2, 3]))
  with pytest.raises(ValueError, match='row 0 has 3 tokens, more than 2'):
    episodes_lib.pack_rows([row], [0], 2)
  with pytest.raises(ValueError, match='1 rows and 2 trajectories'):
    episodes_lib.pack_rows([row], [0, 1], 4)
  with pytest.raises(ValueError, match='do not fit a batch of 1'):
    episodes_lib.pack_rows([row, row], [0, 1], 4, count=1)
