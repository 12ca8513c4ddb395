"""Records of episodes with the credit of each step, for the report.

A step's record holds what the method saw of it (reward, penalty, anchor group)
and the credit that the gradient used; a report needs no flag to draw it.
"""

from typing import Any

import jax
import numpy as np

from jaxcredit import gigpo, methods

FILE_NAME = 'episodes.jsonl'


def _description(task: Any) -> str:
  """A description of a task for people."""
  for name in ('task_description', 'description', 'instruction'):
    if hasattr(task, name):
      return getattr(task, name)
  return str(task)


def step_credit(
  credit: methods.Credit, step_of_token: np.ndarray | None, steps: int
) -> dict[str, np.ndarray]:
  """Credit per step, with its parts per step.

  Args:
    credit: of the method.
    step_of_token: int [P, G, L], where credit is of tokens; else None. The
      credit of a step is then the mean of its tokens'.
    steps: S.

  Returns:
    'total' and the names of parts -> [P, G, S].
  """
  host = jax.device_get((credit.total, credit.parts))
  total, parts = (jax.tree.map(np.asarray, x) for x in host)
  if step_of_token is not None:
    total = _means(total, step_of_token, steps)
  parts = {
    name: part
    for name, part in parts.items()
    if part.shape == total.shape and np.issubdtype(part.dtype, np.floating)
  }
  return {'total': total, **parts}


def _means(values, step_of_token, steps) -> np.ndarray:
  """Means over the tokens of each step, 0 for one without tokens."""
  sums = np.zeros((*values.shape[:2], steps + 1))
  counts = np.zeros_like(sums)
  p, g, _ = np.indices(values.shape)
  # What is no token of a step goes to the last place, which is cut off.
  where = (p, g, np.where(step_of_token >= 0, step_of_token, steps))
  np.add.at(sums, where, values)
  np.add.at(counts, where, 1)
  return (sums / np.maximum(counts, 1))[..., :steps]


def episode_records(
  iteration: int,
  batch,
  credit: dict[str, np.ndarray],
  method: str,
) -> list[dict[str, Any]]:
  """Episodes with the credit of every step, for the report.

  Args:
    iteration: its number.
    batch: what was played, see `loop.Batch`.
    credit: of `step_credit`.
    method: its name.
  """
  t = batch.trajectories
  anchor_group = np.asarray(gigpo.anchor_groups(t.anchors, t.mask))
  group_size = anchor_group.shape[1]
  records = []
  for index, episode in enumerate(batch.episodes):
    p, g = divmod(index, group_size)
    groups = anchor_group[p]
    valid = groups[groups >= 0]
    steps = []
    for s, step in enumerate(episode.steps):
      name = int(groups[g, s])
      steps.append(
        {
          'observation': step.observation,
          'action': step.action,
          'answer': step.next_observation,
          'reward': step.reward,
          'scaled_reward': float(t.rewards[p, g, s]),
          'penalty': float(t.penalties[p, g, s]),
          'valid': step.valid,
          'admissible': step.admissible,
          'grounded': step.grounded,
          'anchor_group': name,
          'anchor_size': int((valid == name).sum()) if name >= 0 else 0,
          'credit': {
            method: {
              part: float(numbers[p, g, s]) for part, numbers in credit.items()
            }
          },
        }
      )
    records.append(
      {
        'iteration': iteration,
        'group': p,
        'rollout': g,
        'task': _description(episode.task),
        'task_type': getattr(episode.task, 'task_type', ''),
        'success': episode.success,
        'return': episode.episode_return,
        'failure': episode.failure,
        'initial_observation': episode.initial_observation,
        'steps': steps,
      }
    )
  return records
