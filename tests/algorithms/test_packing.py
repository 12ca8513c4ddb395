"""Flat batches in any order survive the way to [P, G, S] and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcredit import gigpo, packing


@given(st.lists(st.sampled_from('abc'), min_size=1, max_size=12))
def test_groups_round_trip(ids):
  rows = np.arange(len(ids) * 2).reshape(-1, 2)
  packed = packing.pack_groups(ids)
  dense = packed.pack(rows, fill=-1)
  np.testing.assert_array_equal(packed.unpack(dense), rows)
  assert packed.mask.sum() == len(ids)
  for p, name in enumerate(packed.group_ids):
    members = [
      tuple(r) for r, i in zip(rows.tolist(), ids, strict=True) if i == name
    ]
    np.testing.assert_array_equal(dense[p][packed.mask[p]], members)


@given(
  st.lists(
    st.tuples(st.sampled_from('ab'), st.integers(0, 2), st.integers(0, 5)),
    min_size=1, max_size=20, unique=True,
  )
)  # fmt: skip
def test_steps_round_trip(rows):
  groups, rollouts, times = zip(*rows, strict=True)
  packed = packing.pack_steps(groups, rollouts, times)
  values = np.array(times)
  dense = packed.pack(values, fill=-1)
  np.testing.assert_array_equal(packed.unpack(dense), values)
  # Steps stand at the front of each rollout, in time order.
  for row, mask in zip(
    dense.reshape(-1, packed.shape[-1]),
    packed.mask.reshape(-1, packed.shape[-1]),
    strict=True,
  ):
    count = mask.sum()
    assert mask[:count].all()
    assert (np.diff(row[:count]) > 0).all()


def test_order_of_rows_does_not_matter():
  rng = np.random.default_rng(0)
  groups = np.repeat(['x', 'y'], 6)
  rollouts = np.tile(np.repeat([0, 1], 3), 2)
  times = np.tile([0, 1, 2], 4)
  rewards = rng.normal(size=12).astype(np.float32)
  anchors = rng.integers(0, 2, 12)

  def credit(order):
    packed = packing.pack_steps(groups[order], rollouts[order], times[order])
    dense = gigpo.advantages(
      packed.pack(rewards[order]), packed.mask, packed.pack(anchors[order])
    )
    back = np.empty(12, np.float32)
    back[order] = packed.unpack(np.asarray(dense.total))
    return back

  np.testing.assert_allclose(
    credit(np.arange(12)), credit(rng.permutation(12)), atol=1e-5
  )


def test_wrong_arguments():
  with pytest.raises(ValueError, match='empty batch'):
    packing.pack_groups([])
  with pytest.raises(ValueError, match='one entry a row'):
    packing.pack_steps(['a'], [0, 1])
  with pytest.raises(ValueError, match='two steps at one time'):
    packing.pack_steps(['a', 'a'], [0, 0], [3, 3])
  with pytest.raises(ValueError, match='rows must have 2 entries'):
    packing.pack_groups(['a', 'a']).pack(np.zeros(3))
  with pytest.raises(ValueError, match='expected a dense array'):
    packing.pack_groups(['a', 'a']).unpack(np.zeros((2, 2)))
