"""The layout of a GGUF file: its metadata, and where its tensors lie.

The header is read as a stream. (The reader of the `gguf` package makes several
arrays for each entry of the vocabulary, which takes seconds and hundreds of
megabytes; its tables of types are used.)
"""

import dataclasses
import math
import os
import pathlib
import struct
from typing import Any, BinaryIO

import gguf
import numpy as np

_SCALARS = {
  gguf.GGUFValueType.UINT8: '<u1',
  gguf.GGUFValueType.INT8: '<i1',
  gguf.GGUFValueType.UINT16: '<u2',
  gguf.GGUFValueType.INT16: '<i2',
  gguf.GGUFValueType.UINT32: '<u4',
  gguf.GGUFValueType.INT32: '<i4',
  gguf.GGUFValueType.FLOAT32: '<f4',
  gguf.GGUFValueType.BOOL: '?',
  gguf.GGUFValueType.UINT64: '<u8',
  gguf.GGUFValueType.INT64: '<i8',
  gguf.GGUFValueType.FLOAT64: '<f8',
}
_ALIGNMENT = 'general.alignment'


@dataclasses.dataclass(frozen=True)
class Tensor:
  """Where a tensor lies.

  Attributes:
    shape: rows first, as NumPy orders axes.
    kind: how it is quantised.
    offset: of its bytes in the file.
  """

  shape: tuple[int, ...]
  kind: gguf.GGMLQuantizationType
  offset: int

  @property
  def size(self) -> int:
    """Bytes in the file."""
    block, block_bytes = gguf.GGML_QUANT_SIZES[self.kind]
    return math.prod(self.shape) // block * block_bytes


class GgufFile:
  """What a GGUF file says about itself.

  Args:
    path: of the file.

  Attributes:
    path: of the file.
    metadata: key -> number, text, bool or list of them.
    tensors: the file's own name of a tensor -> where it lies.

  Raises:
    ValueError: it is no GGUF file, or not all of one.
  """

  def __init__(self, path: pathlib.Path):
    self.path = path
    self.metadata: dict[str, Any] = {}
    self.tensors: dict[str, Tensor] = {}
    with open(path, 'rb') as stream:
      try:
        self._read(stream)
      except EOFError:
        raise ValueError(
          f'{path} is truncated: it ends in its header, after '
          f'{os.path.getsize(path):,} bytes; copy or download it again'
        ) from None
    size = os.path.getsize(path)
    end = max((t.offset + t.size for t in self.tensors.values()), default=0)
    if end > size:
      raise ValueError(
        f'{path} is truncated: it has {size:,} of {end:,} bytes; copy or '
        'download it again'
      )

  def _read(self, stream: BinaryIO) -> None:
    magic, version = _take(stream, 4), _number(stream, '<I')
    if magic != b'GGUF':
      raise ValueError(f'{self.path} is no GGUF file')
    if version not in (2, 3):
      raise ValueError(
        f'{self.path}: version {version} of GGUF is not read; 2 and 3 are '
        '(little-endian)'
      )
    tensor_count, entry_count = _number(stream, '<Q'), _number(stream, '<Q')
    try:
      for _ in range(entry_count):
        key = _text(stream)
        self.metadata[key] = _value(stream, _number(stream, '<I'))
      found = []
      for _ in range(tensor_count):
        name = _text(stream)
        axes = [_number(stream, '<Q') for _ in range(_number(stream, '<I'))]
        kind = gguf.GGMLQuantizationType(_number(stream, '<I'))
        found.append((name, tuple(axes[::-1]), kind, _number(stream, '<Q')))
    except (ValueError, MemoryError, OverflowError) as error:
      raise ValueError(f'{self.path} is a damaged GGUF file: {error}') from None
    alignment = self.metadata.get(_ALIGNMENT, gguf.GGUF_DEFAULT_ALIGNMENT)
    start = -(-stream.tell() // alignment) * alignment
    for name, shape, kind, offset in found:
      self.tensors[name] = Tensor(shape, kind, start + offset)


def _take(stream: BinaryIO, count: int) -> bytes:
  # A damaged length must not ask for all memory.
  if count > 1 << 32:
    raise ValueError(f'an entry of {count:,} bytes')
  data = stream.read(count)
  if len(data) < count:
    raise EOFError
  return data


def _number(stream: BinaryIO, form: str) -> int:
  return struct.unpack(form, _take(stream, struct.calcsize(form)))[0]


def _text(stream: BinaryIO) -> str:
  return _take(stream, _number(stream, '<Q')).decode('utf-8', 'replace')


def _value(stream: BinaryIO, kind: int) -> Any:
  kind = gguf.GGUFValueType(kind)
  if kind == gguf.GGUFValueType.STRING:
    return _text(stream)
  if kind == gguf.GGUFValueType.ARRAY:
    inner, count = _number(stream, '<I'), _number(stream, '<Q')
    if inner not in _SCALARS:
      return [_value(stream, inner) for _ in range(count)]
    dtype = np.dtype(_SCALARS[inner])
    data = _take(stream, count * dtype.itemsize)
    return np.frombuffer(data, dtype).tolist()
  dtype = np.dtype(_SCALARS[kind])
  value = np.frombuffer(_take(stream, dtype.itemsize), dtype)[0]
  if dtype == np.float32:
    # The shortest decimal, 1e-05 and not 9.999999747378752e-06.
    return float(str(value))
  return value.item()
