"""TreeRPO: relative credit on explicit trees of steps (arXiv 2506.05183).

Rollouts branch on purpose: from each node several next steps are sampled, and
leaves are rewarded. With the children of one parent as a group,

  V(n) = mean reward of the leaves below n
  A(n) = (V(n) - mean of V over n and its siblings) / (their std + eps)

which is GRPO at each node. A tree is given by the parent of each node; where
rollouts merely happen to begin alike, see `tempo`, whose tree is implicit.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.internal import (
  arguments,
  group_statistics,
  public,
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Advantages:
  """TreeRPO's credit and what it is made of, each float [..., N].

  Attributes:
    total: credit of the step that leads to each node.
    values: mean reward of the leaves below each node.
  """

  total: jax.Array
  values: jax.Array


def _sum_into(values, target):
  """Sums values [B, N] into places [B, N]; those with target N drop out."""

  def one(values, target):
    return jax.ops.segment_sum(
      values, target, num_segments=values.shape[0] + 1
    )[:-1]

  return jax.vmap(one)(values, target)


def _look_up(values, index, beyond):
  """Entries of [B, N] at [B, N], `beyond` at index N."""
  padded = jnp.pad(values, ((0, 0), (0, 1)), constant_values=beyond)
  return jnp.take_along_axis(padded, index, axis=1)


def _sums_below(values, parents):
  """Sums over each node and all below it; and whether it hangs on a root.

  In round k each node knows the sum down to 2^k levels, and hands it to its
  ancestor of that distance, so that log2(N) rounds do.

  Args:
    values: a list of arrays [B, N].
    parents: int32 [B, N]; N at a root.
  """
  size = parents.shape[1]
  ancestor = parents
  for _ in range(max(size - 1, 1).bit_length()):
    values = [value + _sum_into(value, ancestor) for value in values]
    ancestor = _look_up(ancestor, ancestor, size)
  return values, ancestor == size


@public.function(static=('scale', 'ddof', 'eps'))
def advantages(
  rewards: jax.Array,
  parents: jax.Array,
  mask: jax.Array | None = None,
  *,
  scale: str = 'std',
  ddof: int = 1,
  eps: float = 1e-6,
) -> Advantages:
  """TreeRPO's advantages of the steps of a tree.

  Args:
    rewards: float [..., N], read at nodes without children.
    parents: integers [..., N], the index of each node's parent, in any order;
      -1 for the first steps, which are one group.
    mask: bool [..., N], nodes that there are; None for all.
    scale: 'std' or 'none'.
    ddof: delta degrees of freedom of the deviations, 0 or 1.
    eps: added to the deviations.

  Returns:
    Advantages; 0 where masked, dtype of `rewards`. A step without siblings, and
    steps whose values are equal, get 0. NaN where no path leads to a root:
    where parents form a ring, are masked, or lie outside.

  Raises:
    ValueError: wrong shapes, dtypes or options.

  Example:
    >>> from jaxcredit import treerpo
    >>> parents = jnp.array([-1, -1, 0, 0])
    >>> rewards = jnp.array([0.0, 0, 1, 0])
    >>> credit = treerpo.advantages(rewards, parents)
    >>> print(credit.values)
    [0.5 0.  1.  0. ]
    >>> print(credit.total.round(2))
    [ 0.71 -0.71  0.71 -0.71]
  """
  arguments.one_of('scale', scale, group_statistics.SCALES)
  arguments.one_of('ddof', ddof, (0, 1))
  arguments.number('eps', eps, 0)
  arguments.axes('rewards', rewards, 1, '[..., N]')
  rewards = arguments.floating('rewards', rewards)
  shape, dtype = rewards.shape, rewards.dtype
  arguments.same_shape('parents', parents, shape, 'rewards')
  parents = arguments.integers('parents', parents)
  mask = arguments.boolean_mask('mask', mask, shape, 'rewards')
  if not rewards.size:
    return Advantages(rewards, rewards)
  size = shape[-1]
  rewards, parents, mask = (
    x.reshape(-1, size) for x in (arguments.wide(rewards), parents, mask)
  )
  index = jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), mask.shape)
  root = parents == -1
  inside = (parents >= 0) & (parents < size)
  parents = jnp.where(inside, parents, size).astype(jnp.int32)
  # A parent that is none becomes a ring of one, from which no root is reached.
  linked = mask & inside & _look_up(mask, parents, False)
  parents = jnp.where(linked, parents, jnp.where(mask & ~root, index, size))

  leaf = mask & (_sum_into(mask.astype(jnp.int32), parents) == 0)
  leaves = group_statistics.of_rows(rewards, leaf)
  (total, count), rooted = _sums_below(
    [leaves.difference, leaf.astype(jnp.int32)], parents
  )
  values = total / jnp.maximum(count, 1).astype(total.dtype)
  values = leaves.reference + values
  values = jnp.where(rooted, values, jnp.nan)

  def first_child(parents, index):
    return jax.ops.segment_min(index, parents, num_segments=size + 1)

  # Masked nodes would be first among the first steps.
  first = jax.vmap(first_child)(parents, jnp.where(mask, index, size))
  first = jnp.take_along_axis(first, parents, axis=1)
  siblings = group_statistics.of_segments(values, mask, first, ddof)
  result = siblings.standardised(scale, eps)
  values = jnp.where(mask, values, 0)
  return Advantages(
    result.reshape(shape).astype(dtype), values.reshape(shape).astype(dtype)
  )
