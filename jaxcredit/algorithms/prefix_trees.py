"""The tree that the rows of a group form, implicit in their common prefixes.

Rows that begin alike share nodes: a node is a prefix, its members are the rows
that begin with it. No tree is built. With L(i, k) the length of the longest
common prefix of rows i and k,

  members of row i's prefix of length t  =  {k : L(i, k) >= t}

so that G x G lengths hold the tree, and the L + 1 nodes of a row have at most G
different sets of members: those of its G lengths, sorted.

Comparing G x G rows of L tokens is all that grows with G G L. Comparisons are
reduced block by block as they are made, so that no more than one bit in 32 of
them is ever held, and rows may be long.
"""

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.internal import (
  arguments,
  integer_words,
  public,
)

# Up to this size XLA's CPU compiler makes a reduction in one loop with what it
# reduces. Longer ones it cuts in two, and then stores all that goes into them.
_BLOCK = 32


def row_lengths(valid: jax.Array) -> jax.Array:
  """Length of each row up to its last valid token.

  Args:
    valid: bool [..., L].

  Returns:
    int32 [...]; 0 for a row without a valid token.

  Example:
    >>> from jaxcredit import prefix_trees
    >>> valid = jnp.array([[True, False, True], [True, False, False]])
    >>> print(prefix_trees.row_lengths(valid))
    [3 1]
  """
  size = valid.shape[-1]
  if not size:
    return jnp.zeros(valid.shape[:-1], jnp.int32)
  # Unlike a maximum of positions, this stores none (see _BLOCK).
  behind = jnp.argmax(jnp.flip(valid, axis=-1), axis=-1).astype(jnp.int32)
  return jnp.where(valid.any(axis=-1), size - behind, 0)


def _differ(left, right):
  """Where rows differ; each is a list of words and, last, flags."""
  *left_words, left_flags = left
  *right_words, right_flags = right
  words = False
  for a, b in zip(left_words, right_words, strict=True):
    words |= a != b
  return (left_flags != right_flags) | (words & (left_flags > 0))


def _first_difference(words, flags):
  """First position at which two rows differ, L where they do not.

  First the block, without its inside, then the position in it: comparing all
  positions against one running minimum takes longer, and stores them.

  Args:
    words: uint32 [..., G, L, K].
    flags: uint8 [..., G, L]; where they are 0 words are not looked at.

  Returns:
    int32 [..., G, G].
  """
  *leading, g, size, count = words.shape
  blocks = -(-size // _BLOCK)
  edge = [(0, 0)] * (len(leading) + 1)
  rows = [
    jnp.pad(row, (*edge, (0, blocks * _BLOCK - size)))
    for row in (*(words[..., k] for k in range(count)), flags)
  ]
  cut = [row.reshape(*leading, g, blocks, _BLOCK) for row in rows]
  any_in_block = _differ(
    [row[..., :, None, :, :] for row in cut],
    [row[..., None, :, :, :] for row in cut],
  ).any(axis=-1)
  block = jnp.argmax(any_in_block, axis=-1).astype(jnp.int32)
  position = block[..., None] * _BLOCK + jnp.arange(_BLOCK, dtype=jnp.int32)
  # Row i in the block where it parts from k. Row k has the same block with i:
  # the transpose is row k.
  flat = position.reshape(*leading, g, g * _BLOCK)
  mine = [
    jnp.take_along_axis(row, flat, axis=-1).reshape(position.shape)
    for row in rows
  ]
  differs = _differ(mine, [jnp.swapaxes(row, -3, -2) for row in mine])
  return jnp.min(jnp.where(differs, position, size), axis=-1)


def run_starts(step_of_token: jax.Array, valid: jax.Array) -> jax.Array:
  """Where the step begins that each position lies in.

  Args:
    step_of_token: int32 [..., L]; a token with -1, and one that is not valid,
      is a step of its own.
    valid: bool [..., L].

  Returns:
    int32 [..., L + 1]; the end of the row is its own.

  Example:
    >>> from jaxcredit import prefix_trees
    >>> steps, valid = jnp.array([0, 0, 1]), jnp.ones(3, bool)
    >>> print(prefix_trees.run_starts(steps, valid))
    [0 0 2 3]
  """
  step = jnp.where(valid, step_of_token, -1)
  # The end of the row is no step either.
  edge = [(0, 0)] * (step.ndim - 1)
  after = jnp.pad(step, (*edge, (0, 1)), constant_values=-1)
  before = jnp.pad(step, (*edge, (1, 0)), constant_values=-1)
  starts = (after < 0) | (after != before)
  position = jnp.arange(after.shape[-1], dtype=jnp.int32)
  return jax.lax.cummax(jnp.where(starts, position, 0), axis=step.ndim - 1)


def shared_lengths(words, valid, starts=None) -> jax.Array:
  """Lengths of the longest common prefixes, in whole steps if asked for.

  Args:
    words: uint32 [..., G, L, K].
    valid: bool [..., G, L]; a position that is not valid in both rows is equal
      in both.
    starts: of `run_starts`, to share none but whole steps; None for tokens.

  Returns:
    int32 [..., G, G]: `shared[i, k]`, symmetric; a row's own length on the
    diagonal; -1 for rows without a valid token.

  Example:
    >>> from jaxcredit import prefix_trees
    >>> words = jnp.array([[5, 6, 7], [5, 6, 8]], jnp.uint32)[..., None]
    >>> print(prefix_trees.shared_lengths(words, jnp.ones((2, 3), bool)))
    [[3 2]
     [2 3]]
  """
  length = row_lengths(valid)
  flags = valid.astype(jnp.uint8)
  if starts is not None:
    # Steps are equal if they end together.
    position = jnp.arange(valid.shape[-1] + 1, dtype=jnp.int32)
    ends = (starts == position)[..., 1:]
    flags += 2 * (ends & valid).astype(jnp.uint8)
  if valid.shape[-1]:
    shared = _first_difference(words, flags)
  else:
    shared = jnp.zeros((*valid.shape[:-1], valid.shape[-2]), jnp.int32)
  shorter = jnp.minimum(length[..., :, None], length[..., None, :])
  shared = jnp.minimum(shared, shorter)
  if starts is not None:
    shared = jnp.take_along_axis(starts, shared, axis=-1)
  present = length > 0
  both = present[..., :, None] & present[..., None, :]
  return jnp.where(both, shared, -1)


def _parts(size):
  return [slice(k, k + _BLOCK) for k in range(0, size, _BLOCK)]


def nodes(shared: jax.Array, values: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The nodes of each row with fewer and fewer members.

  Args:
    shared: int32 [..., G, G], of `shared_lengths`.
    values: float [..., G]; 0 for rows without a token.

  Returns:
    ends: int32 [..., G, G], the lengths of each row in falling order: n members
      are left in its prefixes up to the n-th.
    means: float [..., G, G], the mean of the members' values. All rows of a
      node sum in the same order, and get the same mean to the bit.

  Example:
    >>> from jaxcredit import prefix_trees
    >>> shared = jnp.array([[3, 2], [2, 3]])
    >>> ends, means = prefix_trees.nodes(shared, jnp.array([1.0, 0]))
    >>> print(ends[0], means[0])
    [3 2] [1.  0.5]
  """
  total = jnp.zeros(shared.shape, values.dtype)
  members = jnp.zeros(shared.shape, jnp.int32)
  for part in _parts(shared.shape[-1]):
    member = shared[..., :, None, part] >= shared[..., :, :, None]
    total += jnp.where(member, values[..., None, None, part], 0).sum(axis=-1)
    members += member.sum(axis=-1)
  means = total / members.astype(values.dtype)
  # Sorted along, means are stored; they would be computed for each token that
  # looks them up if the compiler could make one loop of both.
  ends, means = jax.lax.sort((-shared, means), num_keys=1)
  return -ends, means


def member_counts(ends: jax.Array, positions: jax.Array) -> jax.Array:
  """How many rows share each row's prefixes.

  Args:
    ends: int32 [..., G, G], of `nodes`.
    positions: int32 [T] or [..., G, T], lengths of prefixes.

  Returns:
    int32 [..., G, T].

  Example:
    >>> from jaxcredit import prefix_trees
    >>> ends = jnp.array([[3, 2], [3, 2]])
    >>> print(prefix_trees.member_counts(ends, jnp.arange(4)))
    [[2 2 2 1]
     [2 2 2 1]]
  """
  counts = jnp.zeros(positions.shape, jnp.int32)
  for part in _parts(ends.shape[-1]):
    above = ends[..., part, None] >= positions[..., None, :]
    counts += jnp.sum(above, axis=-2, dtype=jnp.int32)
  return counts


def prefix_means(means: jax.Array, counts: jax.Array) -> jax.Array:
  """Mean of the values of the members of each row's prefixes.

  Args:
    means: float [..., G, G], of `nodes`.
    counts: int32 [..., G, T], of `member_counts`.

  Returns:
    float [..., G, T]; 0 where a prefix has no member.

  Example:
    >>> from jaxcredit import prefix_trees
    >>> means = jnp.array([[1.0, 0.5], [0, 0.5]])
    >>> counts = jnp.array([[2, 2, 2, 1], [2, 2, 2, 1]])
    >>> print(prefix_trees.prefix_means(means, counts))
    [[0.5 0.5 0.5 1. ]
     [0.5 0.5 0.5 0. ]]
  """
  edge = [(0, 0)] * (means.ndim - 1)
  return jnp.take_along_axis(jnp.pad(means, (*edge, (1, 0))), counts, axis=-1)


@public.function(words=('tokens',))
def common_prefixes(
  tokens: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
  """Lengths of the longest common prefixes of a group's rows.

  Args:
    tokens: integers [..., G, L], or [..., G, L, K] for fingerprints of K words.
    mask: bool [..., G, L], tokens that there are; None for all, and then
      `tokens` is [..., G, L]. A gap is equal to a gap at the same position.

  Returns:
    int32 [..., G, G], symmetric: `[i, k]` for rows i and k, the row's length on
    the diagonal, -1 for rows without a token.

  Raises:
    ValueError: wrong shapes, or tokens that are not integers.

  Example:
    >>> from jaxcredit import prefix_trees
    >>> print(prefix_trees.common_prefixes(jnp.array([[5, 6, 7], [5, 6, 8]])))
    [[3 2]
     [2 3]]
  """
  shape = tokens.shape if mask is None else jnp.shape(mask)
  arguments.axes('tokens', tokens, 2, '[..., G, L]')
  words = integer_words.split('tokens', tokens, shape)
  mask = arguments.boolean_mask('mask', mask, shape, 'tokens')
  return shared_lengths(words, mask)
