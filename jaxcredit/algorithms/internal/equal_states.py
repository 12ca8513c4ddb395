"""Which entries of a row are equal, by exact hashing.

Sorting names of several words is slow on accelerators, and comparing all pairs
is quadratic. Here entries claim slots of a hash table until all are settled.
"""

import jax
import jax.numpy as jnp


def _mix(words, seed):
  """A 32-bit hash of the last axis; each seed gives another one."""
  h = jnp.full(words.shape[:-1], 0x9E3779B9, jnp.uint32) * (2 * seed + 1)
  for k in range(words.shape[-1]):
    h = (h ^ words[..., k]) * jnp.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * jnp.uint32(0xC2B2AE35)
    h = h ^ (h >> 16)
  return h


def first_equal(words: jax.Array, mask: jax.Array) -> jax.Array:
  """Index of the first entry that equals each entry, -1 where masked.

  Entries claim slots of a table, the first entry of a slot wins, and all
  entries equal to a winner are settled. The rest try again with another hash.
  Each round settles at least one state of each group, so that it ends; two or
  three rounds are usual. The work is linear in the number of entries, and the
  answer exact whatever collides.

  Args:
    words: uint32 [P, M, K].
    mask: bool [P, M].

  Returns:
    int32 [P, M].
  """
  size = words.shape[1]
  slots = 1 << max(4, (8 * size - 1).bit_length())
  index = jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), mask.shape)

  def claim(carry):
    found, open_, seed = carry
    slot = (_mix(words, seed) & jnp.uint32(slots - 1)).astype(jnp.int32)
    slot = jnp.where(open_, slot, slots)

    def winners(slot, index):
      table = jnp.full((slots,), size, jnp.int32)
      return table.at[slot].min(index, mode='drop')

    table = jax.vmap(winners)(slot, index)
    winner = jnp.take_along_axis(table, jnp.minimum(slot, slots - 1), axis=1)
    winner = jnp.minimum(winner, size - 1)
    equal = open_
    for k in range(words.shape[-1]):
      word = words[..., k]
      equal &= jnp.take_along_axis(word, winner, axis=1) == word
    return jnp.where(equal, winner, found), open_ & ~equal, seed + 1

  found, _, _ = jax.lax.while_loop(
    lambda carry: carry[1].any(),
    claim,
    (jnp.where(mask, index, -1), mask, jnp.uint32(0)),
  )
  return jnp.where(mask, found, -1)


def in_groups(words: jax.Array, mask: jax.Array) -> jax.Array:
  """`first_equal` over the steps of each group.

  Args:
    words: uint32 [..., G, S, K].
    mask: bool [..., G, S].

  Returns:
    int32 [..., G, S], positions g * S + s; -1 where masked.
  """
  *_, g, s = mask.shape
  if not mask.size:
    return jnp.zeros(mask.shape, jnp.int32)
  ids = first_equal(
    words.reshape(-1, g * s, words.shape[-1]), mask.reshape(-1, g * s)
  )
  return ids.reshape(mask.shape)
