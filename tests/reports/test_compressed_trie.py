"""The compressed tree against a dictionary of all prefixes."""

import collections

from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxcredit.reports import compressed_trie

rows = st.lists(st.integers(0, 1), max_size=6)
groups = st.lists(st.none() | rows, max_size=7)


def reference(group):
  """Members to (start, end, ended), by looking at every prefix of every row."""
  members = collections.defaultdict(list)
  for i, row in enumerate(group):
    for length in range(-1 if row is None else 0, len(row or ()) + 1):
      if row is not None:
        members[tuple(row[:length])].append(i)
  runs = collections.defaultdict(list)
  for prefix, alike in members.items():
    runs[tuple(alike)].append(prefix)
  return {
    alike: (
      max(min(map(len, prefixes)) - 1, 0),
      max(map(len, prefixes)),
      tuple(i for i in alike if tuple(group[i]) in prefixes),
    )
    for alike, prefixes in runs.items()
  }


@settings(max_examples=200)
@given(groups)
# Branches below branches, at which no row ends.
@example([[0, 1, 0], [0, 1, 1], [0, 0], [1]])
@example([[0, 0, 1, 1, 0], [0, 0, 1, 1, 1], [0, 1, 0, 1], [0, 1, 0, 0]])
def test_against_all_prefixes(group):
  nodes = compressed_trie.build(group)
  assert {n.members: (n.start, n.end, n.ended) for n in nodes} == reference(
    group
  )
  assert len(nodes) == len({n.members for n in nodes})


@given(groups)
def test_nodes_stand_below_their_parents(group):
  path = []
  for node in compressed_trie.build(group):
    assert node.depth <= len(path)
    del path[node.depth :]
    if path:
      assert node.start == path[-1].end
      assert node.end > node.start
      assert set(node.members) < set(path[-1].members)
      assert not set(node.members) & set(path[-1].ended)
    path.append(node)


def test_children_with_more_rows_come_first():
  nodes = compressed_trie.build([[1, 5], [1, 6], [1, 6, 7], [1, 6, 8]])
  members = [n.members for n in nodes]
  assert members == [(0, 1, 2, 3), (1, 2, 3), (2,), (3,), (0,)]
  assert [n.depth for n in nodes] == [0, 1, 2, 2, 1]


def test_rows_alike_are_one_leaf_and_no_rows_no_tree():
  (only,) = compressed_trie.build([[4, 5], None, [4, 5]])
  assert (only.start, only.end, only.members, only.ended) == (
    (0, 2, (0, 2), (0, 2))
  )
  assert compressed_trie.build([]) == []
  assert compressed_trie.build([None]) == []


def test_a_tree_deeper_than_recursion():
  size = 1500
  nodes = compressed_trie.build([[0] * i for i in range(size)])
  assert len(nodes) == size and nodes[-1].depth == size - 1
