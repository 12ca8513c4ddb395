"""A page that draws the prefix tree of a group, with the credit of each token.

python -m jaxcredit.reports.prefix_tree FILE [--output=PAGE]

FILE is a `prefix_trees.jsonl` (see `prefix_tree_records`) or a folder with one.
The page is one file without scripts, whatever the answers may hold: a switch
between credits and folding are left to the browser's own controls.
"""

import argparse
import itertools
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from jaxcredit import files
from jaxcredit.reports import (
  credit_colours,
  page_template,
  prefix_tree_records,
  visible_text,
)

# A node shows its first and its last characters.
_HEAD, _TAIL = 80, 40
# Pages with more tokens show runs of tokens with one credit.
_TOKENS_ONE_BY_ONE = 6000
# Groups with more tokens show their answers folded.
_TOKENS_UNFOLDED = 2500
# Trees with more nodes show those far from the root folded.
_NODES_UNFOLDED, _DEPTH_UNFOLDED = 160, 4


def _signed(number: float) -> str:
  if not number:
    return '0'
  return f'{number:+.3g}'.replace('-', '\u2212')


def _plain(number: float) -> str:
  return f'{number:.3g}'.replace('-', '\u2212')


class _Scales:
  """What the ends of a group's colours stand for."""

  def __init__(self, group: prefix_tree_records.Group):
    taking_part = [a for a in group.answers if any(a.mask)]
    rewards = [a.reward for a in taking_part] or [0.0]
    self.lowest, self.highest = min(rewards), max(rewards)
    self.mean = sum(rewards) / len(rewards)
    self.td = max((abs(x) for a in taking_part for x in a.td), default=0.0)
    # One scale, as the difference between the two is to be seen.
    self.total = max(
      (abs(x) for a in taking_part for x in (*a.total, a.grpo)), default=0.0
    )

  def td_index(self, credit):
    return credit_colours.credit_index(credit, self.td)

  def total_index(self, credit):
    return credit_colours.credit_index(credit, self.total)

  def value_index(self, value):
    return credit_colours.value_index(value, self.lowest, self.highest)


def _kind(answer, position) -> str:
  if not answer.mask[position]:
    return 'environment'
  return 'branch' if answer.branch[position] else 'policy'


def _run(answer, start, end) -> list[dict[str, Any]]:
  """The text of a node: pieces of one kind, without its middle if long."""
  texts = [
    visible_text.one_line(visible_text.token(text, token_id))
    for text, token_id in zip(
      answer.tokens[start:end], answer.token_ids[start:end], strict=True
    )
  ]
  size = len(texts)
  head = tail = size
  if sum(map(len, texts)) > _HEAD + _TAIL:
    ends = list(itertools.accumulate(map(len, texts)))
    head = max(1, sum(e <= _HEAD for e in ends))
    tail = max(head, sum(e <= ends[-1] - _TAIL for e in ends) + 1)
  pieces = []
  for offset in (*range(head), *range(tail, size)):
    kind = _kind(answer, start + offset)
    text = texts[offset]
    if len(text) > _HEAD:
      text = f'{text[:_HEAD]}…'
    if offset == tail != head or not pieces or pieces[-1]['kind'] != kind:
      pieces.append({'kind': kind, 'text': ''})
    pieces[-1]['text'] += text
    if offset == head - 1 and head < tail:
      hidden = f' … {tail - head} tokens … '
      pieces.append({'kind': 'hidden', 'text': hidden})
  return pieces


def _row(group, node, parent, scales) -> dict[str, Any]:
  """What the tree shows of a node."""
  answers = group.answers
  # Of rows alike the environment may have written a token in some alone.
  leader = next(
    (
      answers[m]
      for m in node.members
      if node.end > node.start and answers[m].mask[node.start]
    ),
    answers[node.members[0]],
  )
  value = leader.values[node.end]
  td = change = None
  if parent is not None:
    if leader.mask[node.start]:
      td = leader.td[node.start]
    else:
      change = value - leader.values[node.start]
  return {
    'value': _plain(value),
    'value_index': scales.value_index(value),
    'count': len(node.members),
    'td': None if td is None else _signed(td),
    'td_index': None if td is None else scales.td_index(td),
    'change': _signed(change) if change else None,
    'pieces': _run(leader, node.start, node.end),
    'tokens': node.end - node.start,
    'prefix': node.end,
    'leaf': len(node.ended) == len(node.members),
    'ended': [
      {
        'number': m,
        'reward': _plain(answers[m].reward),
        'value_index': scales.value_index(answers[m].reward),
        'cut': not answers[m].ended,
      }
      for m in node.ended
    ],
  }


def _tree(group, scales) -> list[dict[str, Any]]:
  """Rows of the tree from the root on, with the ends of folds behind each."""
  nodes = prefix_tree_records.nodes(group)
  rows, path = [], []
  for node, after in itertools.zip_longest(nodes, nodes[1:]):
    del path[node.depth :]
    row = _row(group, node, path[-1] if path else None, scales)
    path.append(node)
    unfolded = len(nodes) <= _NODES_UNFOLDED or node.depth < _DEPTH_UNFOLDED
    row['unfolded'] = unfolded
    # Folds that end with this leaf.
    above = after.depth if after else 0
    row['closes'] = node.depth - above if row['leaf'] else 0
    rows.append(row)
  return rows


def _runs(answer, one_by_one) -> list[tuple[int, int]]:
  """Where the pieces of an answer begin and end."""

  def credit(t):
    return (answer.mask[t], answer.branch[t], answer.td[t], answer.total[t])

  starts = [
    t
    for t in range(len(answer.tokens))
    if one_by_one or not t or credit(t) != credit(t - 1)
  ]
  return list(itertools.pairwise([*starts, len(answer.tokens)]))


def _pieces(answer, scales, one_by_one) -> list[dict[str, Any]]:
  """The tokens of an answer, with colours."""
  pieces = []
  for start, end in _runs(answer, one_by_one):
    text = ''.join(
      visible_text.lines(visible_text.token(*pair))
      for pair in zip(
        answer.tokens[start:end], answer.token_ids[start:end], strict=True
      )
    )
    where = (
      f'token {start}' if end == start + 1 else f'tokens {start}–{end - 1}'
    )
    if end == start + 1:
      where += f', id {answer.token_ids[start]}'
    if answer.mask[start]:
      where += (
        f': total {_signed(answer.total[start])},'
        f' TD {_signed(answer.td[start])}, GRPO {_signed(answer.grpo)},'
        f' V {_plain(answer.values[start])} → {_plain(answer.values[end])}'
      )
    else:
      where += ', of the environment: no credit'
    pieces.append(
      {
        'text': text,
        'kind': _kind(answer, start),
        'where': where,
        'total': scales.total_index(answer.total[start]),
        'td': scales.td_index(answer.td[start]),
        'td_text': _signed(answer.td[start]),
      }
    )
  return pieces


def _view(number, group, one_by_one, more) -> dict[str, Any]:
  """All that the page shows of a group."""
  scales = _Scales(group)
  own = [sum(a.mask) for a in group.answers]
  branches = sum(sum(a.branch) for a in group.answers)
  answers = [
    {
      'number': g,
      'reward': _plain(answer.reward),
      'value_index': scales.value_index(answer.reward),
      'cut': not answer.ended,
      'tokens': len(answer.tokens),
      'takes_part': own[g] > 0,
      'grpo_text': _signed(answer.grpo),
      'more': [(name, _signed(credit[g])) for name, credit in more.items()],
      'grpo': scales.total_index(answer.grpo),
      'pieces': _pieces(answer, scales, one_by_one),
    }
    for g, answer in enumerate(group.answers)
  ]
  return {
    'number': number,
    'title': visible_text.one_line(group.title) or f'Group {number}',
    'question': visible_text.lines(group.question, mark=''),
    'answers': answers,
    'rows': _tree(group, scales),
    'mean': _plain(scales.mean),
    'own': sum(own),
    'branches': branches,
    'unfolded': sum(len(a.tokens) for a in group.answers) <= _TOKENS_UNFOLDED,
    'lowest': _plain(scales.lowest),
    'highest': _plain(scales.highest),
    'td': _plain(scales.td),
    'total': _plain(scales.total),
  }


def view(
  groups: Sequence[prefix_tree_records.Group],
  *,
  group_limit: int = 16,
  more: Sequence[dict[str, Sequence[float]]] | None = None,
) -> dict[str, Any]:
  """What the template of groups shows.

  Args:
    groups: with credit, see `prefix_tree_records.with_tempo`.
    group_limit: groups that are shown at most, the first ones.
    more: for each group credit of its answers that stands beside GRPO's, by
      name.
  """
  shown = groups[:group_limit]
  tokens = sum(len(a.tokens) for group in shown for a in group.answers)
  one_by_one = tokens <= _TOKENS_ONE_BY_ONE
  return {
    'groups': [
      _view(i + 1, group, one_by_one, more[i] if more else {})
      for i, group in enumerate(shown)
    ],
    'count': len(groups),
    'method': shown[0].method if shown else '',
    'one_by_one': one_by_one,
  }


def render(
  groups: Sequence[prefix_tree_records.Group],
  *,
  title: str = 'Prefix trees',
  group_limit: int = 16,
) -> str:
  """The page as text; see `view`.

  Raises:
    ValueError: there is no group.
  """
  if not groups:
    raise ValueError('there is no group to show')
  return page_template.render(
    'prefix_tree.html.jinja',
    scripted=False,
    title=visible_text.one_line(title),
    **view(groups, group_limit=group_limit),
  )


def main(argv=None) -> int:
  """Writes the page of a file; returns an exit status."""
  parser = argparse.ArgumentParser(
    prog='python -m jaxcredit.reports.prefix_tree',
    description=__doc__.splitlines()[0],
  )
  parser.add_argument(
    'file', help=f'{prefix_tree_records.NAME}, or a folder with one'
  )
  parser.add_argument(
    '--output', help='where the page goes; beside the file by default'
  )
  parser.add_argument(
    '--group_limit', type=int, default=16, help='groups shown at most'
  )
  flags = parser.parse_args(argv)
  path = pathlib.Path(flags.file).expanduser()
  if path.is_dir():
    path /= prefix_tree_records.NAME
  output = path.with_suffix('.html')
  if flags.output:
    output = pathlib.Path(flags.output).expanduser()
  try:
    if flags.group_limit < 1:
      raise ValueError(f'--group_limit is {flags.group_limit}; 1 is the least')
    if output.resolve() == path.resolve():
      raise ValueError(f'the page would replace {path}; give another --output')
    groups = prefix_tree_records.read(path)
    if not groups:
      raise ValueError(f'{path} holds no group')
    text = render(groups, title=path.stem, group_limit=flags.group_limit)
    files.write_text(output, text)
  except (OSError, ValueError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  print(output)
  return 0


if __name__ == '__main__':
  sys.exit(main())
