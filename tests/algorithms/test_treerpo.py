"""TreeRPO: by hand, by slow reference, and against the implicit tree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.benchmarks.references import (
  plain_python_credit as slow_reference,
)
from jaxcredit import tempo, treerpo

N = 12


@st.composite
def trees(draw):
  """Parents in any order, and rewards."""
  size = draw(st.integers(0, N))
  parents = [draw(st.integers(-1, node - 1)) for node in range(size)]
  order = draw(st.permutations(range(size)))
  shuffled = [0] * size
  for node, parent in enumerate(parents):
    shuffled[order[node]] = -1 if parent < 0 else order[parent]
  scores = st.sampled_from([0.0, 1.0, 0.3, -2.0])
  return shuffled, [draw(scores) for _ in shuffled]


def pad(values, fill, dtype):
  array = np.full(N, fill, dtype)
  array[: len(values)] = values
  return array


@pytest.mark.parametrize(('scale', 'ddof'), [('std', 1), ('none', 0)])
@given(trees())
def test_slow_reference(scale, ddof, tree):
  parents, rewards = tree
  inner = set(parents)
  result = treerpo.advantages(
    pad(
      [np.nan if n in inner else r for n, r in enumerate(rewards)],
      np.nan,
      np.float32,
    ),
    pad(parents, 99, int),
    np.arange(N) < len(parents),
    scale=scale,
    ddof=ddof,
  )
  expected = slow_reference.treerpo(
    parents, rewards, scale=scale, ddof=ddof, eps=1e-6
  )
  for node, (advantage, value) in enumerate(expected):
    np.testing.assert_allclose(result.values[node], value, atol=1e-5)
    np.testing.assert_allclose(result.total[node], advantage, atol=1e-4)
  assert not np.asarray(result.total[len(parents) :]).any()
  assert not np.asarray(result.values[len(parents) :]).any()


def test_by_hand():
  # Two first steps; the first is followed by two more.
  parents = np.array([-1, -1, 0, 0])
  rewards = np.array([np.nan, 0.0, 1.0, 0.0], np.float32)
  result = treerpo.advantages(rewards, parents, scale='none')
  assert result.values.tolist() == [0.5, 0, 1, 0]
  assert result.total.tolist() == [0.25, -0.25, 0.5, -0.5]


def test_an_uneven_tree_weighs_leaves_and_not_branches():
  # Below the root step: a leaf, and a step with three leaves.
  parents = np.array([-1, 0, 0, 2, 2, 2])
  rewards = np.array([9, 1, 9, 0, 0, 0], np.float32)
  assert treerpo.advantages(rewards, parents).values[0] == 0.25


def test_a_long_chain():
  parents = np.arange(-1, 999)
  rewards = np.zeros(1000, np.float32)
  rewards[-1] = 3
  result = treerpo.advantages(rewards, parents)
  assert (np.asarray(result.values) == 3).all()
  assert not np.asarray(result.total).any()


@pytest.mark.parametrize('reward', [0.7, 0.1, 1e5])
def test_equal_rewards_give_exactly_zero(reward):
  parents = np.array([-1, -1, -1, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
  result = treerpo.advantages(np.full(13, reward, np.float32), parents)
  assert not np.asarray(result.total).any()


def test_values_are_those_of_the_implicit_tree():
  # The tree of four responses of equal length, spelt out.
  tokens = np.array([[1, 1, 1], [1, 1, 2], [1, 2, 3], [2, 1, 1]])
  scores = np.array([1.0, 0.0, 1.0, 0.0], np.float32)
  names, parents, rewards, place = {(): -1}, [], [], {}
  for g, row in enumerate(tokens.tolist()):
    for t in range(1, 4):
      prefix = tuple(row[:t])
      if prefix not in names:
        names[prefix] = len(parents)
        parents.append(names[prefix[:-1]])
        rewards.append(scores[g])
      place[g, t] = names[prefix]
  explicit = treerpo.advantages(np.array(rewards), np.array(parents))
  implicit = tempo.advantages(tokens, None, scores)
  for (g, t), node in place.items():
    np.testing.assert_allclose(
      explicit.values[node], implicit.values[g, t], rtol=1e-6
    )


def test_nodes_without_a_root_stay_visible():
  # A ring, what hangs on it, a parent that is masked, one that is none.
  parents = np.array([-1, 2, 1, 2, 5, -1, 77, -3, 0])
  mask = np.array([1, 1, 1, 1, 1, 0, 1, 1, 1], bool)
  result = treerpo.advantages(np.ones(9, np.float32), parents, mask)
  bad = [False, True, True, True, True, False, True, True, False]
  assert np.isnan(np.asarray(result.total)).tolist() == bad
  assert np.isnan(np.asarray(result.values)).tolist() == bad


def test_a_bad_reward_reaches_its_ancestors_alone():
  parents = np.array([-1, -1, 0, 0, 1, 1])
  rewards = np.array([0, 0, np.nan, 1, 1, 0], np.float32)
  for order in (1, -1):
    # Whether it comes first or last.
    rewards[2], rewards[3] = rewards[2:4][::order].copy()
    result = treerpo.advantages(rewards, parents)
    total = np.asarray(result.total)
    assert np.isnan(total[[0, 1]]).all() and np.isnan(total[[2, 3]]).any()


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'parents': np.zeros(3)}, 'parents must be integers'),
    ({'parents': np.zeros(2, int)}, r'parents has shape \(2,\)'),
    ({'mask': np.ones(2)}, r'mask has shape \(2,\)'),
    ({'rewards': np.float32(0)}, 'rewards must have at least 1 axis'),
    ({'scale': 'var'}, 'scale must be one of'),
  ],
)
def test_wrong_arguments(change, message):
  arguments = {
    'rewards': np.zeros(3),
    'parents': np.full(3, -1),
    'mask': None,
    **change,
  }
  with pytest.raises(ValueError, match=message):
    treerpo.advantages(**arguments)


def test_no_nodes():
  result = treerpo.advantages(np.zeros((2, 0)), np.zeros((2, 0), int))
  assert result.total.shape == (2, 0)
