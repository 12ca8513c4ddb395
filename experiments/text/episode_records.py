"""Episodes with the credit of each step, as the report reads them."""

from typing import Any

import jax
import numpy as np

FILE_NAME = 'episodes.jsonl'


def _in_words(task: Any) -> str:
  """A task of a household, of VirtualHome or of the shop, for people."""
  for name in ('task_description', 'description', 'instruction'):
    if hasattr(task, name):
      return getattr(task, name)
  return str(task)


def episode_records(
  iteration: int,
  batch,
  parts,
  grpo,
  group_size: int,
  more: dict[str, np.ndarray] | None = None,
) -> list[dict[str, Any]]:
  """Episodes with the credit of every step, for the report.

  Args:
    iteration: its number.
    batch: what was played, P groups of G.
    parts: GiGPO's credit, with its parts.
    grpo: GRPO's, [P, G, S].
    group_size: G.
    more: numbers of steps that stand beside them, by name: float [P, G, S].
  """
  host = jax.device_get(parts)
  grpo = np.asarray(grpo)
  records = []
  for index, episode in enumerate(batch.episodes):
    p, g = divmod(index, group_size)
    groups = host.anchor_group[p]
    valid = groups[groups >= 0]
    steps = []
    for s, step in enumerate(episode.steps):
      name = int(host.anchor_group[p, g, s])
      steps.append(
        {
          'observation': step.observation,
          'action': step.action,
          'answer': step.next_observation,
          'reward': step.reward,
          'valid': step.valid,
          'admissible': step.admissible,
          'grounded': step.grounded,
          'anchor_group': name,
          'anchor_size': int((valid == name).sum()) if name >= 0 else 0,
          'credit': {
            'grpo': {'total': float(grpo[p, g, s])},
            'gigpo': {
              'total': float(host.total[p, g, s]),
              'episode': float(host.episode[p, g, s]),
              'step': float(host.step[p, g, s]),
            },
            **{
              label: {'total': float(numbers[p, g, s])}
              for label, numbers in (more or {}).items()
            },
          },
        }
      )
    records.append(
      {
        'iteration': iteration,
        'group': p,
        'rollout': g,
        'task': _in_words(episode.task),
        'task_type': getattr(episode.task, 'task_type', ''),
        'success': episode.success,
        'return': episode.episode_return,
        'failure': episode.failure,
        'initial_observation': episode.initial_observation,
        'steps': steps,
      }
    )
  return records
