"""Credit by chosen methods, computed again from what a run recorded.

A record of an episode holds its rewards and penalties, and which steps of its
group were taken in one state. A record of answers holds their tokens and
rewards. Every method of the table that needs no more can be computed; for the
others there is a reason instead of numbers.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxcredit import methods, types
from jaxcredit.reports import prefix_tree_records

# Options that count steps, or tokens where credit is of tokens.
_BY_UNIT = {'discount', 'gae_lambda'}


@dataclasses.dataclass(frozen=True)
class Known:
  """What a page must know of a method; see `methods.Method`."""

  label: str
  unit: str
  standardised: bool


def known(name: str, run: Mapping[str, Any]) -> Known:
  """What is known of a method: by the table, by its run, or its name alone.

  Args:
    name: of the method.
    run: of `RunData.method`.
  """
  if name in methods.TABLE:
    method = methods.TABLE[name]
    return Known(method.label, method.unit, method.standardised)
  if name == run.get('name'):
    return Known(run['label'], run['unit'], run['standardised'])
  return Known(name, 'step', False)


def options_of(method: methods.Method, run: Mapping[str, Any]) -> Any:
  """Options of a method: those of the run of the same name, else its own.

  Args:
    method: of the table.
    run: of `RunData.method`.

  Raises:
    ValueError: the method does not allow the values of the run.
  """
  names = {field.name for field in dataclasses.fields(method.options)}
  if (run.get('unit') == 'token') != (method.unit == 'token'):
    names -= _BY_UNIT
  recorded = run.get('options', {})
  return method.options(
    **{name: value for name, value in recorded.items() if name in names}
  )


def pack(
  episodes: Sequence[dict[str, Any]],
) -> tuple[types.Trajectories, list[tuple[int, int]]]:
  """Episodes of one iteration as arrays.

  Args:
    episodes: records.

  Returns:
    Trajectories [P, G, S], and place (p, g) of each episode.

  Raises:
    KeyError: a record of a step lacks what a method looks at.
  """
  groups: dict[Any, int] = {}
  sizes: list[int] = []
  places = []
  for episode in episodes:
    p = groups.setdefault(episode['group'], len(groups))
    if p == len(sizes):
      sizes.append(0)
    places.append((p, sizes[p]))
    sizes[p] += 1
  longest = max((len(e['steps']) for e in episodes), default=0)
  shape = (len(groups), max(sizes, default=0), max(longest, 1))
  rewards, penalties = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
  mask, anchors = np.zeros(shape, bool), np.zeros(shape, np.int32)
  for (p, g), episode in zip(places, episodes, strict=True):
    if episode['failure']:
      # Its environment was lost: it takes no part.
      continue
    for s, step in enumerate(episode['steps']):
      mask[p, g, s] = True
      rewards[p, g, s] = step['scaled_reward']
      penalties[p, g, s] = step['penalty']
      anchors[p, g, s] = step['anchor_group']
  ends = np.zeros(shape[:2], bool)
  return types.Trajectories(
    rewards, mask, anchors, penalties, terminated=ends, truncated=ends
  ), places


def _of_steps(credit: methods.Credit) -> dict[str, np.ndarray]:
  """Total and parts that are numbers of steps."""
  parts = {'total': credit.total, **credit.parts}
  parts = {name: np.asarray(part) for name, part in parts.items()}
  return {
    name: part
    for name, part in parts.items()
    if np.issubdtype(part.dtype, np.floating)
  }


def _with(episodes, places, method, parts):
  """Episodes whose steps have the credit of one more method."""
  return [
    {
      **episode,
      'steps': [
        {
          **step,
          'credit': {
            **step['credit'],
            method: {n: float(part[p, g, s]) for n, part in parts.items()},
          },
        }
        for s, step in enumerate(episode['steps'])
      ],
    }
    for (p, g), episode in zip(places, episodes, strict=True)
  ]


def recorded(episodes: Sequence[dict[str, Any]]) -> list[str]:
  """Methods whose credit every step of the records has."""
  steps = [step for episode in episodes for step in episode['steps']]
  names = dict.fromkeys(name for step in steps for name in step['credit'])
  return [n for n in names if all(n in step['credit'] for step in steps)]


def _computed(
  batch: methods.Batch, name: str, run: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], str]:
  """Total and parts of steps, or why there are none."""
  method = methods.choose(name)
  try:
    own = options_of(method, run)
  except ValueError as error:
    return {}, f'it does not allow an option of the run: {error}'
  if reason := method.missing(batch, own):
    return {}, f'{reason}, which the record does not hold'
  return _of_steps(method.credit(batch, own)), ''


def choose(
  episodes: list[dict[str, Any]],
  names: Sequence[str],
  run: Mapping[str, Any],
) -> tuple[list[dict[str, Any]], list[str], dict[str, str]]:
  """Gives steps the credit of the chosen methods.

  Args:
    episodes: records of one iteration.
    names: of methods; none for that of the run, beside the baseline.
    run: of `RunData.method`.

  Returns:
    The episodes; the methods that all steps now have, in the order asked for;
    and why there are not the others: name -> reason.

  Raises:
    ValueError: there is no such method.
  """
  there = recorded(episodes)
  if not names:
    if not there:
      return episodes, [], {}
    names = [n for n in (methods.BASELINE,) if n not in there] + there
  reasons = {}
  batch, lacking = None, ''
  try:
    trajectories, places = pack(episodes)
    batch = methods.Batch(trajectories)
  except KeyError as missing:
    lacking = f'the record of a step lacks {missing.args[0]}'
  for name in dict.fromkeys(names):
    if name in there:
      continue
    parts, reason = ({}, lacking) if lacking else _computed(batch, name, run)
    if reason:
      reasons[name] = reason
      continue
    episodes = _with(episodes, places, name, parts)
    there.append(name)
  chosen = [name for name in dict.fromkeys(names) if name not in reasons]
  return episodes, chosen, reasons


def of_answers(
  groups: Sequence[prefix_tree_records.Group],
  names: Sequence[str],
  run: Mapping[str, Any],
) -> tuple[list[dict[str, list[float]]], dict[str, str]]:
  """Credit of each answer by methods that judge whole episodes.

  Args:
    groups: with answers.
    names: of methods.
    run: of `RunData.method`.

  Returns:
    For each group label -> credit of its answers; and why there are not the
    other methods: name -> reason.
  """
  credits: list[dict[str, list[float]]] = [{} for _ in groups]
  reasons = {}
  for name in dict.fromkeys(names):
    method = methods.choose(name)
    if method.unit != 'episode':
      reasons[name] = (
        f'it gives credit to {method.unit}s, and the page has one number an '
        'answer'
      )
      continue
    try:
      own = options_of(method, run)
    except ValueError as error:
      reasons[name] = f'it does not allow an option of the run: {error}'
      continue
    for credit, group in zip(credits, groups, strict=True):
      batch = methods.Batch(
        methods.trajectories(
          np.array([[a.reward] for a in group.answers], np.float32),
          np.array([[any(a.mask)] for a in group.answers]),
        )
      )
      total = np.asarray(method.credit(batch, own).total)
      credit[method.label] = total[0, :, 0].tolist()
  return credits, reasons
