"""Computes latent reward functions from their syntax trees, compiled by XLA.

`syntax_walk` turns the tree into operations of `jnp` while JAX traces, once for
each shape. What a language model wrote then runs as fast as what is written by
hand, and no text is executed.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxcredit.latent_rewards import (
  language,
  program_cost,
  refusal,
  syntax_walk,
)

Refused = refusal.Refused

# Temporary arrays of the rows that are computed at once.
CHUNK_BYTES = 64 * 2**20


@functools.partial(jax.jit, static_argnames='program')
def run(program: language.Program, *arguments: jax.Array) -> jax.Array:
  """The factors of a batch, as the text computes them.

  The text may mix the rows; `encode` cannot.

  Args:
    program: from `language.check`.
    *arguments: float [B, D], one for each of the program's parameters.

  Returns:
    Float [B, d], of the first argument's dtype.

  Raises:
    refusal.Refused: while tracing: a shape does not fit, or a bound is passed.
  """
  return _factors(program, *arguments)


@functools.partial(jax.jit, static_argnames='program')
def encode(program: language.Program, *arguments: jax.Array) -> jax.Array:
  """The latent reward of each transition (the paper's phi).

  Rows are computed one by one (under vmap, which batches them again), so that
  none depends on another, whatever the text does. They are cut into chunks
  whose temporary arrays fit into CHUNK_BYTES, however large the batch is.

  The chunks, always two or more, are the turns of a loop with barriers around
  it: the compiler keeps a loop apart from the program that calls this function.
  A barrier alone does not keep it apart on CPUs, whose compiler drops barriers
  before it merges operations.

  Args:
    program: from `language.check`.
    *arguments: float [..., D], one for each of the program's parameters, with
      the same leading axes: the observation [..., D] and the action [..., A],
      or the observation alone.

  Returns:
    Float [..., d], of the first argument's dtype.

  Raises:
    ValueError: shapes or dtypes that do not fit each other.
    refusal.Refused: while tracing: they do not fit the program, or it needs
      more than `program_cost` allows.
  """
  if not arguments or any(array.ndim < 1 for array in arguments):
    raise ValueError(f'arrays [..., D] for {program.parameters} are needed')
  lead = arguments[0].shape[:-1]
  if any(array.shape[:-1] != lead for array in arguments):
    raise ValueError(
      f'leading axes differ: {[array.shape for array in arguments]}'
    )
  flat = [array.reshape(-1, array.shape[-1]) for array in arguments]
  rows = flat[0].shape[0]
  needs = cost(program, *flat)
  needs.check_batch(rows)
  chunks, size = chunk_shape(needs, rows)
  parts = jax.lax.optimization_barrier(
    tuple(_cut(array, chunks, size) for array in flat)
  )

  # A derivative would keep the temporary arrays of all chunks.
  @jax.checkpoint
  def one_chunk(part):
    return jax.vmap(
      lambda *row: run(program, *(array[None] for array in row))[0]
    )(*part)

  found = jax.lax.optimization_barrier(jax.lax.map(one_chunk, parts))
  count = found.shape[-1]
  return found.reshape(-1, count)[:rows].reshape(*lead, count)


def cost(
  program: language.Program, *arguments: jax.Array | jax.ShapeDtypeStruct
) -> program_cost.Cost:
  """What one row needs; nothing is computed or compiled.

  Args:
    program: from `language.check`.
    *arguments: float [..., D], or their shapes, one for each of the program's
      parameters.

  Raises:
    refusal.Refused: shapes do not fit, or it needs more than is allowed.
  """
  shapes = tuple((array.shape[-1], str(array.dtype)) for array in arguments)
  return _cost(program, shapes, jax.config.jax_enable_x64)


@functools.lru_cache(maxsize=256)
def _cost(
  program: language.Program, shapes: tuple[tuple[int, str], ...], wide: bool
) -> program_cost.Cost:
  del wide  # It changes dtypes, so that it belongs to the cache's key.
  row = [jax.ShapeDtypeStruct((1, size), dtype) for size, dtype in shapes]
  trace = jax.make_jaxpr(lambda *arrays: _factors(program, *arrays))(*row)
  return program_cost.of(trace)


def chunk_shape(needs: program_cost.Cost, rows: int) -> tuple[int, int]:
  """Chunks, at least two, and rows of each, of which the last may be padded."""
  half = max(-(-rows // 2), 1)
  size = min(max(CHUNK_BYTES // max(needs.bytes, 1), 1), half)
  return max(-(-rows // size), 2), size


def _cut(array: jax.Array, chunks: int, size: int) -> jax.Array:
  """[B, D] -> [chunks, size, D]; what is missing repeats the last row."""
  missing = chunks * size - array.shape[0]
  if missing:
    last = array[-1:] if array.shape[0] else jnp.zeros_like(array, shape=(1,))
    padding = jnp.broadcast_to(last, (missing, array.shape[1]))
    array = jnp.concatenate([array, padding])
  return array.reshape(chunks, size, array.shape[1])


def _factors(program: language.Program, *arguments: jax.Array) -> jax.Array:
  """`run` without its own compilation."""
  if len(arguments) != len(program.parameters):
    raise ValueError(
      f'{len(arguments)} arrays for the arguments {program.parameters}'
    )
  for array in arguments:
    if array.ndim != 2 or not jnp.issubdtype(array.dtype, jnp.floating):
      raise ValueError(f'float [B, D] is needed, not {array.dtype} '
                       f'{array.shape}')  # fmt: skip
  rows = arguments[0].shape[0]
  names = dict(zip(program.parameters, arguments, strict=True))
  factors = syntax_walk.Walk(names, rows).function(program.tree)
  line = program.tree.body[-1].lineno
  columns = [
    _column(factor, number, rows, line)
    for number, factor in enumerate(factors, 1)
  ]
  return jnp.concatenate(columns, axis=1).astype(arguments[0].dtype)


def _column(factor: Any, number: int, rows: int, line: int) -> jax.Array:
  if not isinstance(factor, jax.Array):
    raise Refused(
      f'factor {number} is no array', 'compute it from the arguments', line
    )
  if factor.shape not in {(rows,), (rows, 1)}:
    shape = ', '.join('batch' if n == rows else str(n) for n in factor.shape)
    raise Refused(
      f'factor {number} has the shape ({shape})',
      'each must be (batch, 1): reduce with axis=1, keepdims=True, or slice '
      'with x[:, 3:4]',
      line,
    )
  return factor.reshape(rows, 1)
