"""Rows of a batch of episodes, for credit and for the learner."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxcredit import types
from jaxcredit.rollouts import episodes as episodes_lib

Episodes = Sequence[episodes_lib.Episode]


def _pack(rows, trajectories, lengths: Sequence[int]) -> types.Rows:
  """Packs rows to the least of the lengths that holds them."""
  longest = max([len(row.tokens) for row in rows] + [1])
  length = next((l for l in lengths if l >= longest), longest)
  return episodes_lib.pack_rows(rows, trajectories, length)


def all_rows(episodes: Episodes, lengths: Sequence[int]) -> types.Rows | None:
  """All rows of the episodes that were not lost; None where there is none.

  Args:
    episodes: E of them.
    lengths: that rows may be padded to, in rising order.
  """
  rows, trajectories = [], []
  for index, episode in enumerate(episodes):
    if not episode.failure:
      rows.extend(episode.rows)
      trajectories.extend([index] * len(episode.rows))
  return _pack(rows, trajectories, lengths) if rows else None


def one_row_each(
  episodes: Episodes, lengths: Sequence[int], method: str
) -> types.Rows:
  """One row for each episode, empty where it was lost.

  Args:
    episodes: E of them.
    lengths: that rows may be padded to, in rising order.
    method: that needs them, for people.

  Raises:
    ValueError: an episode has several rows.
  """
  rows, trajectories = [], []
  for index, episode in enumerate(episodes):
    taken = not episode.failure and bool(episode.rows)
    if taken and len(episode.rows) > 1:
      raise ValueError(
        f'an episode has {len(episode.rows)} rows: {method} needs a format '
        'that continues one text, not one that rebuilds its prompt'
      )
    rows.append(episode.rows[0] if taken else episodes_lib.TokenRow())
    trajectories.append(index if taken else -1)
  return _pack(rows, trajectories, lengths)


def without_shared_prefixes(rows: types.Rows, episodes: Episodes) -> types.Rows:
  """Rows in which a token of a tree is learned by the completion that drew it.

  Args:
    rows: [E, L], one an episode.
    episodes: E of them.
  """
  shared = np.array([episode.shared_prefix_length for episode in episodes])
  if not shared.any():
    return rows
  sampled = rows.step_of_token >= 0
  others = sampled & (np.cumsum(sampled, axis=1) <= shared[:, None])
  return dataclasses.replace(
    rows,
    step_of_token=np.where(others, types.NOT_LEARNED, rows.step_of_token),
  )


def have_credit(rows: types.Rows, used: np.ndarray) -> np.ndarray:
  """Tells which rows hold a step with credit.

  Args:
    rows: [N, L].
    used: bool [E, S], steps with credit.

  Returns:
    bool [N].
  """
  sampled = rows.step_of_token >= 0
  step = np.maximum(rows.step_of_token, 0)
  return (sampled & used[rows.trajectory[:, None], step]).any(axis=1)
