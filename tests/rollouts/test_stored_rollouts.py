"""Rollouts on disk come back as they were, and are never half written."""

import dataclasses

import numpy as np
import pytest

from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.rollouts import stored_rollouts, true_progress


def make_episode(steps, *, won=False, failure='', seed=0):
  rng = np.random.default_rng([steps, seed])
  row = episodes_lib.TokenRow()
  for number in range(steps):
    row.read(rng.integers(0, 9, 2).tolist())
    row.sample([int(rng.integers(0, 9))], [-0.5 * number], number)
  return episodes_lib.Episode(
    task='task',
    group=0,
    rollout=0,
    steps=[
      episodes_lib.Step(
        'saw', f'did {n}\0', f'heard {n}', float(won and n == steps - 1), True,
        True, '', [None, True, False][n % 3],
      )
      for n in range(steps)
    ],
    rows=[row] if steps else [],
    terminated=won,
    failure=failure,
  )  # fmt: skip


EPISODES = [
  make_episode(3, won=True),
  make_episode(1, failure='it died'),
  make_episode(2),
  make_episode(0),
]


def read(folder, **options):
  return stored_rollouts.read(
    folder, **{'row_tokens': 12, 'steps': 4, **options}
  )


def write_two(folder):
  stored_rollouts.append(
    folder, 0, EPISODES, [5, 6, 7, 8], [[0.25, 0.5, 1.0], None, None, None]
  )
  stored_rollouts.append(folder, 1, [make_episode(4)], [9])


def test_they_come_back(tmp_path):
  write_two(tmp_path / 'new' / 'rollouts')
  found = read(tmp_path / 'new' / 'rollouts')
  # What was lost is left out, with its task.
  assert found.task.tolist() == [5, 7, 9]
  assert found.outcome.tolist() == [1, 0, 0]
  assert found.success.tolist() == [True, False, False]
  assert found.mask.sum(-1).tolist() == [3, 2, 4]
  assert found.grounding.tolist() == [
    [True, True, False, False],
    [True, True, False, False],
    [True, True, False, True],
  ]
  np.testing.assert_array_equal(
    found.progress[0], np.float32([0.25, 0.5, 1, np.nan])
  )
  assert np.isnan(found.progress[1:]).all()
  assert found.actions[1] == ['did 0 ', 'did 1 ']
  expected = episodes_lib.pack_rows(
    [e.rows[0] for e in (EPISODES[0], EPISODES[2], make_episode(4))],
    range(3),
    12,
  )
  # The estimator has no use for entropies, and nothing is off-policy.
  unused = {'entropies', 'weights', 'support'}
  assert all(getattr(found.rows, name) is None for name in unused)
  for field in dataclasses.fields(expected):
    if field.name in unused:
      continue
    np.testing.assert_array_equal(
      getattr(found.rows, field.name), getattr(expected, field.name)
    )
    assert getattr(found.rows, field.name).dtype == (
      getattr(expected, field.name).dtype
    )


def test_batches_come_in_order_and_whole(tmp_path):
  assert stored_rollouts.count(tmp_path) == 0
  with pytest.raises(FileNotFoundError, match='holds no rollouts'):
    read(tmp_path)
  write_two(tmp_path)
  assert stored_rollouts.count(tmp_path) == 2
  with pytest.raises(ValueError, match='holds 2 batches: batch 1 is not the'):
    stored_rollouts.append(tmp_path, 1, EPISODES, [1, 2, 3, 4])
  # A batch that was cut off while it was written is none.
  (tmp_path / 'batch_00002.npz.tmp').write_bytes(b'half')
  assert stored_rollouts.count(tmp_path) == 2
  assert len(read(tmp_path).task) == 3
  stored_rollouts.append(tmp_path, 2, [make_episode(1)], [2])
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    f'batch_0000{n}.npz' for n in range(3)
  ]


def test_a_batch_that_was_lost_whole(tmp_path):
  stored_rollouts.append(tmp_path, 0, [EPISODES[1]], [3])
  write_path = tmp_path / 'batch_00000.npz'
  assert write_path.exists()
  assert len(read(tmp_path).task) == 0


def test_damaged_files(tmp_path):
  write_two(tmp_path)
  path = tmp_path / 'batch_00001.npz'
  whole = path.read_bytes()
  for number, damage in enumerate(
    [whole[:100], b'', b'\x80\x04K\x01.', whole[:60] + b'???' + whole[63:]]
  ):
    path.write_bytes(damage)
    with pytest.raises(ValueError, match='batch_00001.npz is not a batch of'):
      read(tmp_path)
    assert number < 4
  with np.load(tmp_path / 'batch_00000.npz') as file:
    arrays = dict(file)
  for name, value, words in (
    ('version', np.int32(2), 'is of version 2, not 1'),
    ('grounding', arrays['grounding'][1:], r'grounding has the shape \[4\]'),
  ):
    with open(path, 'wb') as file:
      np.savez(file, **{**arrays, name: value})
    with pytest.raises(ValueError, match=words):
      read(tmp_path)
  # Objects would be read by pickle, which is refused.
  with open(path, 'wb') as file:
    np.savez(file, **{**arrays, 'actions': np.array([{}] * 5, object)})
  with pytest.raises(ValueError, match='is not a batch of rollouts'):
    read(tmp_path)


def test_longer_episodes_than_asked_for(tmp_path):
  write_two(tmp_path)
  with pytest.raises(ValueError, match='an episode of 4 steps, more than 3'):
    read(tmp_path, steps=3)
  with pytest.raises(ValueError, match='an episode of 9 tokens, more than 8'):
    read(tmp_path, row_tokens=8)


def test_what_cannot_be_stored(tmp_path):
  several = make_episode(2)
  several.rows *= 2
  with pytest.raises(ValueError, match='has 2 rows: it can only be stored'):
    stored_rollouts.append(tmp_path, 0, [several], [0])
  with pytest.raises(ValueError, match='2 tasks for 1 episodes'):
    stored_rollouts.append(tmp_path, 0, [several], [0, 1])
  with pytest.raises(ValueError, match='progress of 1 steps for an episode of'):
    stored_rollouts.append(tmp_path, 0, [make_episode(2)], [0], [[0.5]])
  assert not list(tmp_path.iterdir())


class Counting:
  """Its progress is the share of four good actions."""

  def reset(self, task):
    self.done = 0

  def step(self, action):
    self.done += 'did' in action
    return episodes_lib.Step('', '', '', 0, True, True, '')

  def progress(self):
    return self.done / 4


def test_true_progress_by_playing_again():
  from jaxcredit.environments import protocol

  class Environment(Counting):
    said = 'heard'

    def step(self, action):
      super().step(action)
      return protocol.TextStep(
        f'{self.said} {self.done - 1}', 0.0, False, False, (), ''
      )

  environment = Environment()
  assert true_progress.replay(environment, make_episode(3)) == [
    0.25, 0.5, 0.75,
  ]  # fmt: skip
  assert true_progress.replay(environment, make_episode(2)) == [0.25, 0.5]
  assert true_progress.replay(environment, EPISODES[1]) is None
  assert true_progress.replay(object(), make_episode(1)) is None
  # An environment that answers otherwise tells nothing of that episode.
  environment.said = 'saw'
  assert true_progress.replay(environment, make_episode(3)) is None
