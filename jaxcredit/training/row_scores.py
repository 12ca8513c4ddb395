"""A compiled function over many rows, a micro-batch at a time."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import numpy as np

from jaxcredit import types
from jaxcredit.distributed import processes
from jaxcredit.networks import sharding
from jaxcredit.training import learner as learner_lib


def over_rows(
  function: Callable[[types.Rows], jax.Array],
  rows: types.Rows,
  width: int,
  *,
  micro_batch_tokens: int,
  lengths: Sequence[int],
  mesh: jax.sharding.Mesh | None = None,
) -> np.ndarray:
  """Applies a compiled function to all rows, one micro-batch at a time.

  Args:
    function: rows [M, l] of few distinct shapes -> float [M, w], where w is l
      for per-token outputs, otherwise a constant.
    rows: numpy rows [N, L]; those with trajectory -1 are skipped.
    width: L for per-token outputs, otherwise the constant.
    micro_batch_tokens: tokens that are computed at a time.
    lengths: row lengths that may occur (each compiles once).
    mesh: devices; None for one.

  Returns:
    float32 [N, width]; 0 for skipped rows, and beyond the length of the output.
  """
  result = np.zeros((len(rows.length), width), np.float32)
  # A row finds its place again by its number.
  numbers = np.where(rows.trajectory >= 0, np.arange(len(rows.length)), -1)
  numbered = dataclasses.replace(rows, trajectory=numbers.astype(np.int32))
  multiple = 1
  if mesh is not None:
    multiple = mesh.shape['data'] * mesh.shape['fsdp']
  with sharding.on(mesh):
    for micro in learner_lib.cut_micro_batches(
      numbered, micro_batch_tokens, lengths, multiple
    ):
      said = processes.to_host(function(micro))
      there = micro.trajectory >= 0
      # A row is padded to more than it was given with, but not longer.
      said = said[there, :width]
      result[micro.trajectory[there], : said.shape[1]] = said
  return result
