"""Groups of answers with TEMPO's credit of each token: `prefix_trees.jsonl`.

One group a line, a JSON object:

  question   text
  title      text, optional: what is written above the group
  method     text, optional: label of the method that gave `total`
  iteration  integer, optional: of the run; not shown
  answers    list of objects, each with
    tokens     list of L texts; one may be empty
    token_ids  list of L integers: equal ones are the same token
    mask       list of L booleans: true where the policy wrote the token, false
               where the environment did
    reward     number
    ended      true if the answer came to its end, false if it was cut
    values     list of L + 1 numbers, value of the prefix of each length
    td         list of L numbers
    branch     list of L booleans
    total      list of L numbers
    grpo       number, what each token of the policy's gets from GRPO

`values`, `td`, `branch` and `total` are parts of `tempo.Advantages`; an answer
without a token of the policy's takes no part in the tree, and has zeros.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxcredit.algorithms import grpo, tempo
from jaxcredit.reports import compressed_trie

NAME = 'prefix_trees.jsonl'

_OPTIONAL = ('title', 'iteration', 'method')

# Values pass through float32 on their way into a record.
_TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Answer:
  """One answer of a group; fields as in the record.

  The credit may be left out at first, see `with_tempo`.
  """

  tokens: Sequence[str]
  token_ids: Sequence[int]
  mask: Sequence[bool]
  reward: float
  ended: bool = True
  values: Sequence[float] = ()
  td: Sequence[float] = ()
  branch: Sequence[bool] = ()
  total: Sequence[float] = ()
  grpo: float = 0.0


@dataclasses.dataclass(frozen=True)
class Group:
  """A question and its answers."""

  question: str
  answers: Sequence[Answer]
  title: str = ''
  method: str = 'TEMPO'


def nodes(group: Group) -> list[compressed_trie.Node]:
  """The tree of a group, see `compressed_trie.build`."""
  return compressed_trie.build(
    [a.token_ids if any(a.mask) else None for a in group.answers]
  )


def with_credit(group: Group, credit: tempo.Advantages, baseline) -> Group:
  """A group with credit that was computed before.

  Args:
    group: G answers.
    credit: of `tempo.advantages`, [G, L]; answers begin at position 0.
    baseline: float [G], of `grpo.advantages`.
  """
  parts = {
    name: np.asarray(getattr(credit, name))
    for name in ('values', 'td', 'branch', 'total')
  }
  baseline = np.asarray(baseline)
  longest = max((len(a.token_ids) for a in group.answers), default=0)
  shape = parts['total'].shape
  if len(shape) != 2 or shape[0] != len(group.answers) or shape[1] < longest:
    raise ValueError(
      f'credit has shape {shape}: it must be [G, L] for {len(group.answers)} '
      f'answers of up to {longest} tokens'
    )
  if baseline.shape != shape[:1]:
    raise ValueError(
      f'the baseline has shape {baseline.shape}: it must be {shape[:1]}, a '
      'number for each answer'
    )
  answers = []
  for g, answer in enumerate(group.answers):
    size = len(answer.token_ids)
    rows = {
      name: part[g, : size + (name == 'values')].tolist()
      for name, part in parts.items()
    }
    answers.append(dataclasses.replace(answer, grpo=float(baseline[g]), **rows))
  return dataclasses.replace(group, answers=answers)


def with_tempo(
  group: Group,
  *,
  scale: str = 'std',
  ddof: int = 1,
  eps: float = 1e-6,
  **options,
) -> Group:
  """A group with the credit of TEMPO and, beside it, of GRPO.

  Args:
    group: G answers.
    scale: see `tempo.advantages`, as for all that follow.
    ddof: for both methods.
    eps: for both methods.
    **options: for TEMPO alone: td_weight, ended, after_environment.
  """
  count = len(group.answers)
  if not count:
    raise ValueError('the group has no answers')
  for g, answer in enumerate(group.answers):
    if len(answer.mask) != len(answer.token_ids):
      raise ValueError(
        f'answer {g} has {len(answer.token_ids)} token_ids and a mask of '
        f'{len(answer.mask)}'
      )
  # Tokens by their codes, as ids may be integers of any size.
  ids = compressed_trie.codes([a.token_ids for a in group.answers])
  # Groups of much the same length are compiled for once.
  size = max(64, -(-ids.shape[1] // 64) * 64)
  ids = np.pad(
    ids, [(0, 0), (0, size - ids.shape[1])], constant_values=-1
  ).astype(np.int32)
  mask = np.zeros(ids.shape, bool)
  for g, answer in enumerate(group.answers):
    mask[g, : len(answer.mask)] = answer.mask
  environment = (ids >= 0) & ~mask
  rewards = np.array([a.reward for a in group.answers], np.float32)
  standard = {'scale': scale, 'ddof': ddof, 'eps': eps}
  credit = tempo.advantages(
    ids, mask, rewards, environment=environment, **standard, **options
  )
  baseline = grpo.advantages(rewards, mask.any(axis=-1), **standard)
  return with_credit(group, credit, baseline)


def _is_number(value) -> bool:
  # A boolean is an integer to Python, but no reward.
  if isinstance(value, bool) or not isinstance(value, int | float):
    return False
  try:
    return math.isfinite(value)
  except OverflowError:  # An integer that no float can hold.
    return False


# Name: (test of an entry, the words for it, entries more than tokens).
_LISTS = {
  'tokens': (lambda v: isinstance(v, str), 'texts', 0),
  'token_ids': (
    lambda v: isinstance(v, int) and not isinstance(v, bool),
    'integers',
    0,
  ),
  'mask': (lambda v: isinstance(v, bool), 'booleans', 0),
  'values': (_is_number, 'finite numbers', 1),
  'td': (_is_number, 'finite numbers', 0),
  'branch': (lambda v: isinstance(v, bool), 'booleans', 0),
  'total': (_is_number, 'finite numbers', 0),
}


def _shown(value) -> str:
  text = json.dumps(value, default=repr)
  return text if len(text) <= 40 else f'{text[:37]}...'


def _fields(record: Any, where: str, required, optional=()) -> None:
  """Raises unless a record is an object with these fields and no others."""
  if not isinstance(record, dict):
    raise ValueError(f'{where} is {_shown(record)}, not an object')
  if missing := sorted(set(required) - set(record)):
    raise ValueError(f'{where} lacks {", ".join(missing)}')
  if unknown := sorted(set(record) - set(required) - set(optional)):
    raise ValueError(
      f'{where} has unknown fields: {", ".join(unknown)}; known are '
      f'{", ".join(sorted({*required, *optional}))}'
    )


def _answer(record: Any, where: str) -> Answer:
  _fields(record, where, [f.name for f in dataclasses.fields(Answer)])
  for name, (test, words, more) in _LISTS.items():
    entries = record[name]
    if not isinstance(entries, list):
      raise ValueError(f'{where}: {name} is {_shown(entries)}, not a list')
    for t, entry in enumerate(entries):
      if not test(entry):
        raise ValueError(
          f'{where}: {name}[{t}] is {_shown(entry)}; {name} holds {words}'
        )
    expected = len(record['tokens']) + more
    if len(entries) != expected:
      raise ValueError(
        f'{where}: {name} has {len(entries)} entries, but there are '
        f'{len(record["tokens"])} tokens: it must have {expected}'
      )
  for name in ('reward', 'grpo'):
    if not _is_number(record[name]):
      raise ValueError(
        f'{where}: {name} is {_shown(record[name])}, not a finite number'
      )
  if not isinstance(record['ended'], bool):
    raise ValueError(
      f'{where}: ended is {_shown(record["ended"])}, not a boolean'
    )
  return Answer(**record)


def _one_value_a_node(group: Group) -> None:
  """Raises where answers give one prefix different values."""
  for node in nodes(group):
    first = node.members[0]
    values = group.answers[first].values[node.start : node.end + 1]
    # The value before the first token is of the node above.
    skipped = 1 if node.depth else 0
    expected = np.array(values[skipped:])
    for other in node.members[1:]:
      row = group.answers[other].values[node.start + skipped : node.end + 1]
      wrong = np.abs(np.array(row) - expected) > _TOLERANCE * (
        1 + np.abs(expected)
      )
      if wrong.any():
        t = int(wrong.argmax())
        raise ValueError(
          f'answers {first} and {other} share their first '
          f'{node.start + skipped + t} tokens, but the value of that prefix '
          f'is {expected[t]:g} in one and {row[t]:g} in the other: credit over '
          'steps, or of another group, cannot be drawn as a tree of tokens'
        )


def parse(record: Any) -> Group:
  """A group from its record.

  Raises:
    ValueError: says what is wrong with the record.
  """
  _fields(record, 'the group', ('question', 'answers'), _OPTIONAL)
  for name in ('question', 'title', 'method'):
    if not isinstance(record.get(name, ''), str):
      raise ValueError(f'{name} is {_shown(record[name])}, not a text')
  if not isinstance(record['answers'], list) or not record['answers']:
    raise ValueError(
      f'answers is {_shown(record["answers"])}; it must be a list of at least '
      'one answer'
    )
  answers = [
    _answer(entry, f'answer {g}') for g, entry in enumerate(record['answers'])
  ]
  group = Group(
    record['question'],
    answers,
    record.get('title', ''),
    record.get('method', Group.method),
  )
  _one_value_a_node(group)
  return group


def _is_json(row: bytes) -> bool:
  try:
    json.loads(row)
  except (ValueError, RecursionError):
    return False
  return True


def read(path: str | pathlib.Path) -> list[Group]:
  """Groups of a file, in order.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file is damaged; names the file and the line.
  """
  path = pathlib.Path(path).expanduser()
  if not path.is_file():
    raise FileNotFoundError(f'{path} is no file; {NAME} is what is needed')
  groups = []
  # Not lines of text: inside a record may stand other line separators.
  rows = path.read_bytes().split(b'\n')
  # Behind the last newline stands nothing, or what a run is writing.
  if not _is_json(rows[-1]):
    rows.pop()
  for number, row in enumerate(rows, start=1):
    try:
      groups.append(parse(json.loads(row)))
    except json.JSONDecodeError as error:
      raise ValueError(f'{path}:{number}: not JSON: {error.msg}') from None
    except UnicodeDecodeError:
      raise ValueError(f'{path}:{number}: not UTF-8') from None
    except RecursionError:
      raise ValueError(f'{path}:{number}: nested too deeply') from None
    except ValueError as error:
      raise ValueError(f'{path}:{number}: {error}') from None
  return groups


def _plain(value):
  """Scalars and rows of NumPy as those of Python."""
  if isinstance(value, np.ndarray | np.generic):
    return value.tolist()
  if isinstance(value, list | tuple):
    return [_plain(v) for v in value]
  return value


def to_record(group: Group) -> dict[str, Any]:
  """The record of a group.

  Raises:
    ValueError: the group is not one that can be read back.
  """
  record = {
    'question': group.question,
    'title': group.title,
    'method': group.method,
    'answers': [
      {
        field.name: _plain(getattr(answer, field.name))
        for field in dataclasses.fields(Answer)
      }
      for answer in group.answers
    ],
  }
  parse(record)
  return record


def append(path: str | pathlib.Path, groups: Iterable[Group]) -> None:
  """Writes groups behind those that a file holds.

  Raises:
    ValueError: a group is not one that can be read back; nothing is written.
  """
  # ASCII, as tokens may be halves of a character, which UTF-8 does not hold.
  rows = [json.dumps(to_record(group), allow_nan=False) for group in groups]
  with pathlib.Path(path).expanduser().open('a', encoding='ascii') as file:
    file.writelines(f'{row}\n' for row in rows)
