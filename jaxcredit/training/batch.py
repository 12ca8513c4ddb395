"""The data of an iteration, and its metrics."""

import dataclasses
from typing import Any

import numpy as np

from jaxcredit import types
from jaxcredit.environments import protocol
from jaxcredit.rollouts import episodes as episodes_lib


@dataclasses.dataclass
class Batch:
  """The data of an iteration.

  Attributes:
    episodes: P * G, group by group.
    trajectories: their numpy arrays [P, G, S].
    generated: number of episodes that were played, including dropped ones.
  """

  episodes: list[episodes_lib.Episode]
  trajectories: types.Trajectories
  generated: int


def metrics(batch: Batch) -> dict[str, Any]:
  """Means over the episodes that were not lost, and counts."""
  episodes = [e for e in batch.episodes if not e.failure]
  steps = [s for e in episodes for s in e.steps]
  return {
    'success_rate': _mean([e.success for e in episodes]),
    'mean_return': _mean([e.episode_return for e in episodes]),
    'episode_length': _mean([len(e.steps) for e in episodes]),
    'invalid_share': _mean([not s.valid for s in steps]),
    'inadmissible_share': _mean([not s.admissible for s in steps]),
    # Answers that count as wrong because their check failed.
    'unchecked_share': _mean(
      [s.next_observation.startswith(protocol.UNCHECKED) for s in steps]
    ),
    'grounding_accuracy': episodes_lib.grounding_accuracy(episodes),
    'truncated_share': _mean([e.truncated for e in episodes]),
    'failed_episodes': len(batch.episodes) - len(episodes),
    'generated_episodes': batch.generated,
    'sampled_tokens': sum(
      sum(step >= 0 for r in e.rows for step in r.step_of_token)
      - e.shared_prefix_length
      for e in episodes
    ),
    'steps': len(steps),
    'tokens': sum(len(r.tokens) for e in episodes for r in e.rows),
  }


def _mean(values) -> float:
  return float(np.mean(values)) if len(values) else float('nan')
