"""Anchor groups as people read them: which states repeat, and what came after.

GiGPO compares steps that were taken in one state by their discounted return.
"""

import collections
from collections.abc import Sequence
from typing import Any


def returns(episode: dict[str, Any], discount: float) -> list[float]:
  """Discounted sum of rewards from each step on (GiGPO, Eq. 5)."""
  found, following = [], 0.0
  for step in reversed(episode['steps']):
    following = step['reward'] + discount * following
    found.append(following)
  return found[::-1]


def table(
  members: Sequence[dict[str, Any]], discount: float
) -> tuple[list[dict[str, Any]], int]:
  """States of a group that were met more than once.

  Args:
    members: records of its episodes; those that were lost take no part.
    discount: of the returns, in the environment's own units.

  Returns:
    States, those first whose returns lie farthest apart: there is credit to
    give. Each has state, its number; size; rollouts, how many of them came
    there; observation; low, high of the returns; and actions, a list with
    action, returns and mean, the best first. Beside them the number of states
    that were met once.
  """
  by_state = collections.defaultdict(list)
  for episode in members:
    if episode['failure']:
      continue
    followed = returns(episode, discount)
    for step, value in zip(episode['steps'], followed, strict=True):
      by_state[step['anchor_group']].append((episode['rollout'], step, value))
  rows = []
  for state, visits in by_state.items():
    if len(visits) < 2:
      continue
    by_action = collections.defaultdict(list)
    for _, step, value in visits:
      by_action[step['action']].append(value)
    values = [value for _, _, value in visits]
    actions = [
      {
        'action': action,
        'returns': sorted(some, reverse=True),
        'mean': sum(some) / len(some),
      }
      for action, some in by_action.items()
    ]
    rows.append(
      {
        'state': state,
        'size': len(visits),
        'rollouts': len({rollout for rollout, _, _ in visits}),
        'observation': visits[0][1]['observation'],
        'low': min(values),
        'high': max(values),
        'actions': sorted(actions, key=lambda a: -a['mean']),
      }
    )
  rows.sort(key=lambda r: (r['low'] - r['high'], -r['size'], r['state']))
  return rows, len(by_state) - len(rows)
