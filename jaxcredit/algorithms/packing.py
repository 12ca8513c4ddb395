"""Flat batches with group ids, packed into [P, G, ...] and back.

Trainers often hold a flat batch of rows, each with the id of its task and of
its rollout, in any order and of uneven numbers. The functions of this library
take dense arrays with a mask. This runs on the host.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Packing:
  """Where each row of a flat batch lies in the dense form.

  Attributes:
    shape: dense shape, (P, G) or (P, G, S).
    index: for each of the N rows, its place in each dimension: int64 [N, 2] or
      [N, 3].
    mask: bool of `shape`, places that a row fills.
    group_ids: the P ids, in order of first appearance.
  """

  shape: tuple[int, ...]
  index: np.ndarray
  mask: np.ndarray
  group_ids: tuple[Any, ...]

  def pack(self, rows: np.ndarray, fill=0) -> np.ndarray:
    """Rows [N, ...] -> dense [*shape, ...], `fill` where there is no row."""
    rows = np.asarray(rows)
    if rows.shape[:1] != (len(self.index),):
      raise ValueError(
        f'rows must have {len(self.index)} entries, but have shape {rows.shape}'
      )
    dense = np.full((*self.shape, *rows.shape[1:]), fill, rows.dtype)
    dense[tuple(self.index.T)] = rows
    return dense

  def unpack(self, dense: np.ndarray) -> np.ndarray:
    """Dense [*shape, ...] -> rows [N, ...], in the order of the flat batch."""
    dense = np.asarray(dense)
    if dense.shape[: len(self.shape)] != self.shape:
      raise ValueError(
        f'expected a dense array {self.shape} + (...), not {dense.shape}'
      )
    return dense[tuple(self.index.T)]


def _ranks(keys: Sequence[Any]) -> tuple[np.ndarray, dict[Any, int]]:
  """Number of each key in order of first appearance."""
  order: dict[Any, int] = {}
  ranks = np.array([order.setdefault(key, len(order)) for key in keys], int)
  return ranks, order


def _hashable(ids) -> list[Any]:
  return ids.tolist() if isinstance(ids, np.ndarray) else list(ids)


def _positions(ranks: np.ndarray) -> np.ndarray:
  """How many earlier rows have the same rank, for each row."""
  counts: dict[int, int] = {}
  positions = np.zeros(len(ranks), int)
  for i, rank in enumerate(ranks.tolist()):
    positions[i] = counts.get(rank, 0)
    counts[rank] = positions[i] + 1
  return positions


def pack_groups(group_ids: Sequence[Any]) -> Packing:
  """Packs N rollouts into [P, G].

  Args:
    group_ids: id of the task of each rollout, of any hashable kind, in any
      order.

  Returns:
    A Packing with G the size of the largest group.

  Raises:
    ValueError: there are no rows.

  Example:
    >>> from jaxcredit import packing
    >>> packed = packing.pack_groups(['a', 'b', 'a'])
    >>> print(packed.mask)
    [[ True  True]
     [ True False]]
    >>> dense = packed.pack(np.array([1.0, 2.0, 3.0]))
    >>> print(dense)
    [[1. 3.]
     [2. 0.]]
    >>> print(packed.unpack(dense))
    [1. 2. 3.]
  """
  keys = _hashable(group_ids)
  if not keys:
    raise ValueError('an empty batch cannot be packed')
  groups, order = _ranks(keys)
  members = _positions(groups)
  shape = (len(order), int(members.max()) + 1)
  mask = np.zeros(shape, bool)
  mask[groups, members] = True
  return Packing(shape, np.stack([groups, members], 1), mask, tuple(order))


def pack_steps(
  group_ids: Sequence[Any],
  trajectory_ids: Sequence[Any],
  steps: Sequence[int] | None = None,
) -> Packing:
  """Packs N steps into [P, G, S].

  Args:
    group_ids: id of the task of each step.
    trajectory_ids: id of the rollout of each step, unique within its group.
    steps: time of each step in its rollout; by default the order in which they
      come. Times are ranked, so that gaps (dropped steps) close.

  Returns:
    A Packing.

  Raises:
    ValueError: lengths differ, or two steps of a rollout have one time.

  Example:
    >>> from jaxcredit import packing
    >>> packed = packing.pack_steps(['a', 'a', 'a'], [0, 1, 0])
    >>> packed.shape
    (1, 2, 2)
    >>> print(packed.pack(np.array([1.0, 2.0, 3.0])))
    [[[1. 3.]
      [2. 0.]]]
  """
  groups_keys, trajectory_keys = _hashable(group_ids), _hashable(trajectory_ids)
  if len(groups_keys) != len(trajectory_keys) or (
    steps is not None and len(steps) != len(groups_keys)
  ):
    raise ValueError(
      'group_ids, trajectory_ids and steps must have one entry a row, but '
      f'have {len(groups_keys)}, {len(trajectory_keys)} and '
      f'{"none" if steps is None else len(steps)}'
    )
  if not groups_keys:
    raise ValueError('an empty batch cannot be packed')
  groups, order = _ranks(groups_keys)
  pairs, pair_order = _ranks(
    list(zip(groups_keys, trajectory_keys, strict=True))
  )
  group_of_pair = np.array([order[group] for group, _ in pair_order])
  member_of_pair = _positions(group_of_pair)
  if steps is None:
    times = _positions(pairs)
  else:
    times = np.zeros(len(pairs), int)
    given = np.asarray(steps)
    for pair in range(len(pair_order)):
      rows = np.flatnonzero(pairs == pair)
      sorted_times = np.sort(given[rows])
      if (np.diff(sorted_times) == 0).any():
        raise ValueError(
          f'rollout {list(pair_order)[pair][1]!r} has two steps at one time'
        )
      times[rows] = np.searchsorted(sorted_times, given[rows])
  members = member_of_pair[pairs]
  shape = (len(order), int(member_of_pair.max()) + 1, int(times.max()) + 1)
  mask = np.zeros(shape, bool)
  mask[groups, members, times] = True
  return Packing(
    shape, np.stack([groups, members, times], 1), mask, tuple(order)
  )
