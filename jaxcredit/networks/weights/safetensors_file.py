"""The layout of a safetensors file: where its tensors lie.

A file is the length of a header (8 bytes), the header (JSON: name -> dtype,
shape, offsets) and the tensors' bytes. It is read here rather than with the
`safetensors` library, which maps whole files into memory; the library writes.
"""

import dataclasses
import math
import os
import pathlib
import stat
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import numpy as safetensors_numpy

from jaxcredit.networks.weights import json_object
from jaxcredit.networks.weights import source as source_lib

# Name of a dtype in a header -> dtype.
_DTYPES = {
  'F64': np.dtype(np.float64),
  'F32': np.dtype(np.float32),
  'F16': np.dtype(np.float16),
  'BF16': np.dtype(jnp.bfloat16),
}
# Axes of a tensor, at most; those of models have two.
_AXES = 8


@dataclasses.dataclass(frozen=True)
class Tensor:
  """Where a tensor lies.

  Attributes:
    file: that holds it.
    offset: of its bytes in the file.
    dtype: of its numbers.
    shape: of the tensor.
  """

  file: pathlib.Path
  offset: int
  dtype: np.dtype
  shape: tuple[int, ...]

  def read(self, bounds: source_lib.Bounds) -> np.ndarray:
    """Copies a part of the tensor."""
    return source_lib.read_mapped(
      self.file, self.dtype, self.offset, self.shape, bounds
    )

  def read_all(self) -> np.ndarray:
    """Copies the tensor."""
    return self.read(tuple((0, size) for size in self.shape))


def read(file: pathlib.Path) -> dict[str, Tensor]:
  """Name -> where the tensor lies.

  Every byte behind the header belongs to one tensor, as the format demands:
  bytes of two tensors, or of none, are damage.

  Raises:
    ValueError: the file is damaged; the message begins with its path.
  """
  size = os.path.getsize(file)
  with open(file, 'rb') as stream:
    length = int.from_bytes(stream.read(8), 'little')
    if size < 8 or length > size - 8:
      raise ValueError(_truncated(file, size, 8 + length))
    if length > json_object.LARGEST:
      raise ValueError(
        f'{file} is damaged: its header has {length:,} bytes, which is more '
        f'than the format allows ({json_object.LARGEST:,})'
      )
    try:
      header = json_object.parse(stream.read(length))
    except ValueError as error:
      raise ValueError(
        f'{file} is no safetensors file, or a damaged one: its header {error}'
      ) from None
  header.pop('__metadata__', None)
  entries = {}
  for name, entry in header.items():
    try:
      entries[name] = _entry(entry)
    except ValueError as error:
      raise ValueError(
        f'{file}: tensor {json_object.shown(name)} {error}'
      ) from None
  end = 0
  for name, (_, _, start, stop) in sorted(
    entries.items(), key=lambda item: item[1][2:]
  ):
    if start != end:
      raise ValueError(
        f'{file} is damaged: tensor {json_object.shown(name)} begins at byte '
        f'{start:,} of the data, but the one before it ends at {end:,}'
      )
    end = stop
  front = 8 + length
  if front + end > size:
    raise ValueError(_truncated(file, size, front + end))
  if front + end < size:
    raise ValueError(
      f'{file} is damaged: {size - front - end:,} of its {size:,} bytes belong '
      'to no tensor'
    )
  return {
    name: Tensor(file, front + start, dtype, shape)
    for name, (dtype, shape, start, _) in entries.items()
  }


def write(file: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> None:
  """Writes a file whole or not at all.

  Args:
    file: is replaced if it exists.
    tensors: C-contiguous.
  """
  temporary = file.with_name(f'{file.name}.tmp')
  temporary.unlink(missing_ok=True)
  # The library makes a file that its owner alone may read; one that is opened
  # shows what the user's umask gives.
  with open(temporary, 'xb') as stream:
    mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
  safetensors_numpy.save_file(
    dict(tensors), str(temporary), metadata={'format': 'pt'}
  )
  temporary.chmod(mode)
  temporary.replace(file)


def _entry(entry: Any) -> tuple[np.dtype, tuple[int, ...], int, int]:
  """Dtype, shape and place of one tensor.

  Raises:
    ValueError: they are none; the message goes behind the tensor's name.
  """
  if not isinstance(entry, dict):
    raise ValueError('is no object with dtype, shape and data_offsets')
  kind = entry.get('dtype')
  if not isinstance(kind, str) or kind not in _DTYPES:
    raise ValueError(
      f'has dtype {json_object.shown(str(kind))}; {", ".join(_DTYPES)} are '
      'read (quantised checkpoints are not, except as GGUF)'
    )
  shape, place = entry.get('shape'), entry.get('data_offsets')
  for what, numbers in (('shape', shape), ('data_offsets', place)):
    if not isinstance(numbers, list) or not all(
      json_object.is_whole(number) and 0 <= number < 1 << 63
      for number in numbers
    ):
      raise ValueError(
        f'has {what} {numbers!r:.120}, which must be whole numbers from 0 on'
      )
  if len(shape) > _AXES or len(place) != 2:
    raise ValueError(
      f'has {len(shape)} axes and {len(place)} offsets; at most {_AXES} axes '
      'are read, and there are two offsets'
    )
  start, stop = place
  wanted = math.prod(shape) * _DTYPES[kind].itemsize
  if stop - start != wanted:
    raise ValueError(
      f'is damaged: shape {shape} and dtype {kind} make {wanted:,} bytes, but '
      f'its offsets {place} hold {stop - start:,}'
    )
  return _DTYPES[kind], tuple(shape), start, stop


def _truncated(file: pathlib.Path, size: int, wanted: int) -> str:
  return (
    f'{file} is truncated: it has {size:,} of {wanted:,} bytes; copy or '
    'download it again'
  )
