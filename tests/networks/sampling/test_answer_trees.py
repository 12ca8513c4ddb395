"""Nodes of the tree that answers form."""

import itertools

import numpy as np
import pytest

from jaxcredit.networks.sampling import answer_trees


def add(tree, text, entropies):
  tree.add([ord(letter) for letter in text], entropies)


def take_all(tree):
  # More than there are nodes, but no more.
  places = [tree.take() for _ in range(20)]
  return [place for place in places if place is not None]


def test_nodes_are_taken_by_falling_entropy_once_each():
  tree = answer_trees.Tree()
  add(tree, 'abcd', [0.5, 2.0, 1.0, 2.0])
  # Of equal ones the older.
  assert take_all(tree) == [(0, 1), (0, 3), (0, 2), (0, 0)]


def test_a_prefix_that_answers_share_is_one_node():
  tree = answer_trees.Tree()
  add(tree, 'abcd', [0.1, 0.2, 0.9, 0.3])
  # The entropies of the first answer count where both have the prefix.
  add(tree, 'abxy', [5.0, 5.0, 0.8, 0.7])
  # At 'ab' they part already.
  assert take_all(tree) == [(1, 3), (0, 3), (0, 1), (0, 0)]
  # The same answer again brings nothing new.
  add(tree, 'abcd', [9.0, 9.0, 9.0, 9.0])
  assert take_all(tree) == []
  # One that goes its own way behind a node that was taken does.
  add(tree, 'abcz', [9.0, 9.0, 9.0, 9.0])
  add(tree, 'azbc', [9.0, 9.0, 0.1, 0.2])
  assert take_all(tree) == [(4, 3), (4, 2)]


def test_starts_and_ends_are_skipped():
  tree = answer_trees.Tree(skip_first=1, skip_last=2)
  add(tree, 'abcdef', [9.0, 0.1, 0.3, 0.2, 9.0, 9.0])
  assert take_all(tree) == [(0, 2), (0, 3), (0, 1)]
  # Near the end of one, but not of another that goes on.
  tree = answer_trees.Tree(skip_last=1)
  add(tree, 'ab', [0.1, 0.2])
  add(tree, 'abc', [0.3, 0.4, 0.5])
  assert take_all(tree) == [(1, 1), (0, 0)]
  tree = answer_trees.Tree(skip_first=3, skip_last=3)
  add(tree, 'abcdef', [1.0] * 6)
  assert tree.open_nodes() == []


def test_nodes_that_are_deep_enough():
  tree = answer_trees.Tree()
  add(tree, 'abcd', [0.9, 0.1, 0.3, 0.2])
  assert tree.take(least=2) == (0, 2)
  assert tree.take(least=3) == (0, 3)
  assert tree.take(least=2) is None
  assert tree.take() == (0, 0)


@pytest.mark.parametrize('seed', range(20))
def test_branch_points_are_where_pairs_part(seed):
  rng = np.random.default_rng(seed)
  answers = [
    rng.integers(0, 2, rng.integers(1, 9)).tolist()
    for _ in range(rng.integers(1, 9))
  ]
  points = set()
  for one, other in itertools.combinations(answers, 2):
    for depth, (a, b) in enumerate(zip(one, other, strict=False)):
      if a != b:
        points.add(tuple(one[:depth]))
        break
  expected = sorted(len(point) for point in points)
  assert answer_trees.branch_points(answers) == expected
