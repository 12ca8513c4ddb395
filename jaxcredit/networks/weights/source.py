"""What a file format offers to the loader: shapes, and parts of tensors.

Tensors go by their Hugging Face names whatever the format. Each part is mapped
from the file, copied and unmapped again: a file that stayed mapped would count
as resident memory, page by page, until all of it did.
"""

import pathlib
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from jaxcredit.networks import config as config_lib

# Start and stop along each axis of a tensor.
Bounds = tuple[tuple[int, int], ...]


class Source(Protocol):
  """Tensors of a model in files.

  Attributes:
    config: configuration that the files ask for.
    config_name: what to call the configuration in messages.
    path: for messages.
    shapes: Hugging Face name -> shape.
  """

  config: config_lib.DecoderConfig
  config_name: str
  path: pathlib.Path
  shapes: Mapping[str, tuple[int, ...]]

  def read(self, name: str, bounds: Bounds) -> np.ndarray:
    """Copies a part of a tensor, in the file's dtype or as float32."""
    ...


def read_mapped(
  path: pathlib.Path,
  dtype: np.dtype,
  offset: int,
  shape: tuple[int, ...],
  bounds: Bounds,
  rows: np.ndarray | None = None,
) -> np.ndarray:
  """Copies a part of a tensor that lies in a file, in C order.

  Args:
    path: of the file.
    dtype: of the tensor.
    offset: bytes in front of it.
    shape: of the tensor.
    bounds: of the part.
    rows: indices along the first axis in place of its bounds.
  """
  mapped = np.memmap(path, dtype, 'r', offset, shape)
  first = slice(*bounds[0]) if rows is None else rows
  rest = tuple(slice(*pair) for pair in bounds[1:])
  # Two steps: an index array must not make a copy of whole rows twice.
  return np.array(mapped[first][(slice(None), *rest)])


def interleaved_rows(start: int, stop: int, head_dim: int) -> np.ndarray:
  """Rows of a query or key projection whose rope turns neighbouring pairs.

  Here row i of a head turns with row i + D/2; in files of llama.cpp row 2i
  turns with row 2i + 1.

  Args:
    start: first row, counted as here.
    stop: behind the last.
    head_dim: D.

  Returns:
    For each of the rows, its number in the file.
  """
  head, row = np.divmod(np.arange(start, stop), head_dim)
  half, pair = np.divmod(row, head_dim // 2)
  return head * head_dim + 2 * pair + half
