"""Lost episodes that are worth reading, picked by stated rules.

Each rule takes the episodes in which it holds most; an episode is picked once,
by the first rule of the list that takes it.
"""

import collections
from collections.abc import Sequence
from typing import Any

from jaxcredit.reports import prefix_tree_records

# Episodes that a rule picks at most.
_EACH = 2

RULES = (
  'near misses: it came to a state from which a rollout of its group won, with '
  'the fewest steps to go',
  'loops: it stood in one state the most often, three times at least',
  'refused actions: the most actions of wrong form, or that could not be '
  'carried out, two at least',
  'credit for losing: a step of it has the highest credit of all steps in '
  'lost episodes',
  'lost environments: the environment failed',
)


def _near_miss(episode, group) -> tuple[float, int, str] | None:
  """The state closest to the end of a rollout that won."""
  left: dict[int, int] = {}
  for other in group:
    if not other['success']:
      continue
    size = len(other['steps'])
    for s, step in enumerate(other['steps']):
      state = step['anchor_group']
      # Where all begin, nobody has come close to anything.
      if s and state >= 0:
        left[state] = min(left.get(state, size), size - s)
  there = [
    (left[step['anchor_group']], s)
    for s, step in enumerate(episode['steps'])
    if s and step['anchor_group'] in left
  ]
  if not there:
    return None
  togo, s = min(there)
  steps = 'one step' if togo == 1 else f'{togo} steps'
  reason = (
    f'near miss: before step {s + 1} it was in a state from which a rollout '
    f'of its group won with {steps} more'
  )
  return -togo, s, reason


def _loop(episode, group) -> tuple[float, int, str] | None:
  del group
  counts = collections.Counter(
    step['anchor_group'] for step in episode['steps'] if
    step['anchor_group'] >= 0
  )  # fmt: skip
  state, count = max(counts.items(), key=lambda i: i[1], default=(None, 0))
  if count < 3:
    return None
  where = [
    s for s, t in enumerate(episode['steps']) if t['anchor_group'] == state
  ]
  reason = (
    f'loop: {count} of its {len(episode["steps"])} steps were taken in one '
    f'state ({state})'
  )
  return count, where[1], reason


def _refused(episode, group) -> tuple[float, int, str] | None:
  del group
  wrong = [
    s
    for s, step in enumerate(episode['steps'])
    if not step['valid'] or step.get('grounded') is False
  ]
  if len(wrong) < 2:
    return None
  reason = (
    f'refused actions: {len(wrong)} of its {len(episode["steps"])} actions had '
    'the wrong form, or could not be carried out'
  )
  return len(wrong), wrong[0], reason


def _credit(method: str | None, label: str):
  def rule(episode, group):
    del group
    totals = [s['credit'][method]['total'] for s in episode['steps']]
    best = max(totals, default=0.0)
    if best <= 0:
      return None
    s = totals.index(best)
    reason = (
      f'credit for losing: {label} gives step {s + 1} '
      f'{best:+.2f}, though the episode was lost'
    )
    return best, s, reason

  return rule if method else lambda episode, group: None


def _failed(episode, group) -> tuple[float, int, str] | None:
  del group
  if not episode['failure']:
    return None
  return 0.0, 0, f'lost environment: {episode["failure"]}'


def pick(
  episodes: Sequence[dict[str, Any]], method: str | None, label: str = ''
) -> list[dict[str, Any]]:
  """Lost episodes, with the reason for reading each.

  Args:
    episodes: records of one iteration.
    method: whose credit is looked at; None for none.
    label: of the method.

  Returns:
    Dicts with episode, reason and step, the index to read at.
  """
  groups = collections.defaultdict(list)
  for episode in episodes:
    groups[episode['group']].append(episode)
  # Why an episode was lost is known only where its environment was not.
  lost = [e for e in episodes if not e['success'] and not e['failure']]
  picked, seen = [], set()
  for rule, among in (
    (_near_miss, lost),
    (_loop, lost),
    (_refused, lost),
    (_credit(method, label or str(method)), lost),
    (_failed, [e for e in episodes if e['failure']]),
  ):
    found = [
      (result, episode)
      for episode in among
      if id(episode) not in seen
      and (result := rule(episode, groups[episode['group']])) is not None
    ]
    found.sort(key=lambda f: -f[0][0])
    for (_, step, reason), episode in found[:_EACH]:
      seen.add(id(episode))
      picked.append({'episode': episode, 'step': step, 'reason': reason})
  return picked


def pick_answers(
  groups: Sequence[prefix_tree_records.Group],
) -> list[dict[str, Any]]:
  """For each group of answers the wrong one that went the right way longest.

  Returns:
    Dicts with group and answer, their indices, and reason.
  """
  picked = []
  for number, group in enumerate(groups):
    best = max(a.reward for a in group.answers)
    right = [a for a in group.answers if a.reward == best]
    if len(right) == len(group.answers):
      continue
    shared = []
    for g, answer in enumerate(group.answers):
      if answer.reward == best or not any(answer.mask):
        continue
      ids = answer.token_ids
      common = max(_common(ids, other.token_ids) for other in right)
      shared.append((common, -g))
    if not shared:
      continue
    common, g = max(shared)
    answer = group.answers[-g]
    reason = (
      f'its first {common} of {len(answer.token_ids)} tokens are those of an '
      f'answer with reward {best:g}; its own is {answer.reward:g}'
      + ('' if answer.ended else ', and it was cut')
    )
    picked.append({'group': number, 'answer': -g, 'reason': reason})
  return picked


def _common(first: Sequence[int], second: Sequence[int]) -> int:
  """Length of the prefix that two rows share."""
  size = 0
  for a, b in zip(first, second, strict=False):
    if a != b:
      break
    size += 1
  return size
