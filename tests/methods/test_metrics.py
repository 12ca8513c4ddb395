"""Metrics of methods: anchor groups of GiGPO, branch points of TEMPO."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcredit.methods import gigpo, tempo


def test_anchor_statistics_by_hand():
  # One group: sizes 1, 2 and 3; the other: one of 12, and a lone one.
  first = [[0, 1, 1, 3, 3, 3, -1], [-1] * 7]
  second = [[0] * 6 + [6], [0] * 6 + [-1]]
  result = gigpo.anchor_statistics(np.array([first, second]))
  assert result['singleton_share'] == pytest.approx(2 / 19)
  assert result['anchor_group_sizes'] == pytest.approx(
    {'1': 2 / 19, '2-4': 5 / 19, '5-9': 0, '10-49': 12 / 19, '50+': 0}
  )


@pytest.mark.parametrize(
  ('size', 'name'),
  [
    (1, '1'), (2, '2-4'), (4, '2-4'), (5, '5-9'), (9, '5-9'), (10, '10-49'),
    (49, '10-49'), (50, '50+'),
  ],
)  # fmt: skip
def test_sizes_of_anchor_groups(size, name):
  sizes = gigpo.anchor_statistics(np.zeros((1, 1, size), int))
  assert sizes['anchor_group_sizes'][name] == 1
  assert sum(sizes['anchor_group_sizes'].values()) == 1


def test_anchor_statistics_of_nothing():
  ids = np.full((2, 2, 3), -1)
  assert gigpo.anchor_statistics(ids)['singleton_share'] == 0


def slow_branch_points(tokens, sampled) -> int:
  """A dictionary of prefixes, with who wrote each of their tokens."""
  following: dict[tuple, set[int]] = {}
  for row, mask in zip(tokens.tolist(), sampled.tolist(), strict=True):
    for position in np.flatnonzero(mask):
      prefix = tuple(row[:position])
      following.setdefault(prefix, set()).add(row[position])
  return sum(len(choices) > 1 for choices in following.values())


G, L = 4, 6
_compiled = jax.jit(tempo.branch_points)


@settings(deadline=None)
@given(
  st.lists(
    st.lists(st.integers(0, 2), min_size=L, max_size=L), min_size=G, max_size=G
  ),
  st.lists(
    st.lists(st.booleans(), min_size=L, max_size=L), min_size=G, max_size=G
  ),
)
def test_branch_points_of_random_groups(tokens, sampled):
  tokens, sampled = np.array(tokens, np.int32), np.array(sampled)
  expected = slow_branch_points(tokens, sampled)
  assert int(_compiled(tokens, sampled)) == expected


def test_branch_points_by_hand():
  tokens = np.array([[5, 1, 2], [5, 1, 3], [5, 2, 2], [5, 1, 4]])
  drawn = np.ones((4, 3), bool)
  drawn[:, 0] = False
  # Behind the prompt, and behind 1: two prefixes, however many rows part.
  assert int(tempo.branch_points(tokens, drawn)) == 2
  # Where the environment wrote the other token there is no choice.
  drawn[2, 1] = False
  assert int(tempo.branch_points(tokens, drawn)) == 1
  # A row without tokens takes no part.
  drawn[1] = drawn[3] = False
  assert int(tempo.branch_points(tokens, drawn)) == 0
  # Groups side by side.
  both = tempo.branch_points(
    np.stack([tokens, tokens]), np.stack([drawn, np.ones_like(drawn)])
  )
  assert both.tolist() == [0, 2]
