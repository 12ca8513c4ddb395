"""The prefix tree of a group, runs of tokens without a branch as one node.

`algorithms.prefix_trees` needs no tree; a picture does. Two prefixes belong to
one node where the same rows begin with them, so that a tree of G rows has at
most 2 G nodes, however long the rows are.
"""

import collections
import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Node:
  """A run of tokens that the same rows share.

  Attributes:
    start: position of its first token; the root begins at 0.
    end: position behind its last token; `start` for a root without tokens.
    depth: number of nodes above it.
    members: rows that pass through it, rising.
    ended: those of them that end with it; for a leaf, all.
  """

  start: int
  end: int
  depth: int
  members: tuple[int, ...]
  ended: tuple[int, ...]


def codes(rows: Sequence[Sequence[Hashable]]) -> np.ndarray:
  """Rows side by side, with a number from 0 on for each different token.

  Args:
    rows: tokens of each row.

  Returns:
    int64 [G, L]; -1 behind the end of a row.
  """
  known = {}
  table = np.full((len(rows), max(map(len, rows), default=0)), -1, np.int64)
  for i, row in enumerate(rows):
    table[i, : len(row)] = [known.setdefault(t, len(known)) for t in row]
  return table


def build(rows: Sequence[Sequence[Hashable] | None]) -> list[Node]:
  """The nodes of a tree, each before those below it.

  Args:
    rows: tokens of each row; None for a row that takes no part.

  Returns:
    Nodes from the root on, children after their parent: those with more rows
    first. No node where no row takes part.
  """
  table = codes([() if row is None else row for row in rows])
  lengths = np.array([0 if row is None else len(row) for row in rows], int)
  everyone = [i for i, row in enumerate(rows) if row is not None]
  nodes = []
  # A stack, as trees may be deeper than Python's recursion.
  waiting = [(0, 0, everyone)] if everyone else []
  while waiting:
    start, depth, members = waiting.pop()
    # To where the first of them ends, or they are no longer alike.
    end = int(lengths[members].min())
    part = table[members, start:end]
    differs = (part != part[0]).any(axis=0)
    if differs.any():
      end = start + int(differs.argmax())
    below = collections.defaultdict(list)
    for i in members:
      if lengths[i] > end:
        below[int(table[i, end])].append(i)
    ended = tuple(i for i in members if lengths[i] == end)
    nodes.append(Node(start, end, depth, tuple(members), ended))
    children = sorted(below.values(), key=lambda rows: (-len(rows), rows[0]))
    waiting += [(end, depth + 1, child) for child in reversed(children)]
  return nodes
