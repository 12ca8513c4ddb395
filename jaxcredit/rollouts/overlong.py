"""Completions that the token limit cut off, and those that came near it.

DAPO (Yu et al. 2025, arXiv 2503.14476, section 3.4) has two remedies for the
noise that a cut answer's reward is:

* overlong filtering leaves the rows of such episodes out of the loss; their
  returns stay in the statistics of their groups;
* the soft overlong penalty is added to the rewards of long completions, see
  `dapo.overlong_penalty`. The group filter looks at returns without it.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxcredit import types
from jaxcredit.algorithms import dapo
from jaxcredit.rollouts import episodes as episodes_lib


def completion_lengths(
  episodes: Sequence[episodes_lib.Episode], group_size: int, max_steps: int
) -> np.ndarray:
  """Counts the tokens that the policy sampled in each step.

  Args:
    episodes: P * G of them, those of a group side by side.
    group_size: G.
    max_steps: S.

  Returns:
    int32 [P, G, S]; 0 for steps that were not taken.
  """
  lengths = np.zeros((len(episodes), max_steps), np.int32)
  for index, episode in enumerate(episodes):
    for row in episode.rows:
      step = np.asarray(row.step_of_token, np.int32)
      lengths[index] += np.bincount(step[step >= 0], minlength=max_steps)
  return lengths.reshape(-1, group_size, max_steps)


def penalise(
  trajectories: types.Trajectories,
  lengths: np.ndarray,
  *,
  limit: int,
  buffer: int,
  weight: float = 1.0,
) -> types.Trajectories:
  """Adds the soft overlong penalty to the rewards.

  Args:
    trajectories: of P groups of G episodes.
    lengths: int [P, G, S], from `completion_lengths`.
    limit: tokens of a completion at most.
    buffer: tokens in front of the limit over which the penalty grows.
    weight: of the penalty, which is 1 at the limit; rewards may be scaled.

  Returns:
    The trajectories with other rewards.

  Raises:
    ValueError: limit or buffer out of range.
  """
  penalty = dapo.overlong_penalty(
    lengths, trajectories.mask, limit=limit, buffer=buffer
  )
  rewards = trajectories.rewards + weight * np.asarray(penalty)
  return dataclasses.replace(
    trajectories, rewards=rewards.astype(trajectories.rewards.dtype)
  )


def leave_out(
  rows: types.Rows, episodes: Sequence[episodes_lib.Episode]
) -> types.Rows:
  """Leaves the rows of episodes that were cut off out of the loss.

  To be applied behind the credit, which needs all rows.

  Args:
    rows: N numpy rows.
    episodes: P * G, numbered as `rows.trajectory` is.

  Returns:
    The rows; tokens that were cut off are `types.NOT_LEARNED`.
  """
  cut = np.array([episode.cut_off for episode in episodes], bool)
  left_out = (rows.trajectory >= 0) & cut[np.maximum(rows.trajectory, 0)]
  sampled = left_out[:, None] & (rows.step_of_token >= 0)
  return dataclasses.replace(
    rows,
    step_of_token=np.where(sampled, types.NOT_LEARNED, rows.step_of_token),
  )


def metrics(
  episodes: Sequence[episodes_lib.Episode],
  lengths: np.ndarray,
  *,
  limit: int,
  buffer: int,
) -> dict[str, float]:
  """What a run logs.

  Args:
    episodes: of a batch; lost ones do not count.
    lengths: int [P, G, S], from `completion_lengths`.
    limit: see `penalise`; likewise the next.
    buffer: tokens in front of the limit over which the penalty grows.

  Returns:
    'cut_off_share' of the episodes, 'mean_completion_tokens' of a step, and
    the mean 'overlong_penalty' of a step, from -1 to 0; NaN where none is
    there.
  """
  kept = [e.cut_off for e in episodes if not e.failure]
  taken = lengths > 0
  if not kept or not taken.any():
    nothing = float('nan')
    return {
      'cut_off_share': nothing,
      'mean_completion_tokens': nothing,
      'overlong_penalty': nothing,
    }
  penalty = dapo.overlong_penalty(lengths, taken, limit=limit, buffer=buffer)
  return {
    'cut_off_share': float(np.mean(kept)),
    'mean_completion_tokens': float(lengths[taken].mean()),
    'overlong_penalty': float(np.asarray(penalty)[taken].mean()),
  }
