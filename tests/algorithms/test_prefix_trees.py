"""Common prefixes, and what is held to find them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import prefix_trees, tempo


@pytest.mark.parametrize('size', [1, 31, 32, 33, 700])
def test_common_prefixes(size):
  rng = np.random.default_rng(size)
  ids = np.zeros((2, 40, size), int)
  length = rng.integers(0, size + 1, (2, 40))
  mask = np.arange(size) < length[..., None]
  # Each row leaves the row of zeros at one place, some do not at all.
  place = rng.integers(0, size + size // 4 + 1, (2, 40, 1))
  ids[np.arange(size) == place] = 1
  ids[~mask] = rng.integers(0, 9, (~mask).sum())
  result = np.asarray(prefix_trees.common_prefixes(ids, mask))
  for p, i, k in np.ndindex(result.shape):
    shared = 0
    for a, b in zip(
      ids[p, i, : length[p, i]], ids[p, k, : length[p, k]], strict=False
    ):
      if a != b:
        break
      shared += 1
    absent = not (length[p, i] and length[p, k])
    assert result[p, i, k] == (-1 if absent else shared)


def sizes(jaxpr):
  """(dtype, number of entries) of all arrays of a program."""
  for equation in jaxpr.eqns:
    for variable in equation.outvars:
      yield variable.aval.dtype, variable.aval.size
    for parameter in jax.tree.leaves(
      equation.params, is_leaf=lambda p: hasattr(p, 'eqns')
    ):
      if hasattr(parameter, 'eqns'):
        yield from sizes(parameter)


def test_pairs_of_rows_are_never_held_token_by_token():
  g, length = 32, 8192
  arguments = (
    jax.ShapeDtypeStruct((g, length), jnp.int32),
    jax.ShapeDtypeStruct((g, length), bool),
    jax.ShapeDtypeStruct((g,), jnp.float32),
  )
  program = jax.make_jaxpr(tempo.advantages)(*arguments)
  floats = [
    size
    for dtype, size in sizes(program.jaxpr)
    if jnp.issubdtype(dtype, jnp.floating)
  ]
  assert g * length < max(floats) <= g * (length + 1)
  # What is compiled holds neither floats nor comparisons of that size.
  memory = (
    jax.jit(tempo.advantages).lower(*arguments).compile().memory_analysis()
  )
  rows = 4 * g * (length + 1)
  assert memory.temp_size_in_bytes < 4 * rows + g * g * length / 8


def test_one_row_alone_is_no_group():
  with pytest.raises(
    ValueError, match=r'tokens must have at least 2 axes \[..., G, L\]'
  ):
    prefix_trees.common_prefixes(np.zeros(3, int))
