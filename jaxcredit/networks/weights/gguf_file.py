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

from jaxcredit.networks.weights import json_object

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
# Axes of a tensor, and arrays inside arrays, at most; llama.cpp has 4 and 1.
_AXES, _DEPTH = 4, 2
# Bytes of a header, at most: that of a vocabulary of 256,000 has 10 million.
_LARGEST_HEADER = 1 << 28


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
    size = os.path.getsize(path)
    with open(path, 'rb') as stream:
      try:
        self._read(_Header(stream, size))
      except EOFError:
        raise ValueError(
          f'{path} is truncated: it ends in its header, after {size:,} bytes; '
          'copy or download it again'
        ) from None
    self._check_places(size)

  def _read(self, header: '_Header') -> None:
    magic, version = header.take(4), header.number('<I')
    if magic != b'GGUF':
      raise ValueError(f'{self.path} is no GGUF file')
    if version not in (2, 3):
      raise ValueError(
        f'{self.path}: version {version} of GGUF is not read; 2 and 3 are '
        '(little-endian)'
      )
    # Neither count is trusted: each entry takes bytes, which come to an end.
    tensor_count, entry_count = header.number('<Q'), header.number('<Q')
    try:
      for _ in range(entry_count):
        key = header.text()
        if key in self.metadata:
          raise ValueError(f'{json_object.shown(key)} is there twice')
        self.metadata[key] = header.value(header.number('<I'))
      found: dict[str, tuple] = {}
      for _ in range(tensor_count):
        name = header.text()
        if name in found:
          raise ValueError(f'tensor {json_object.shown(name)} is there twice')
        found[name] = self._tensor(name, header)
      alignment = self.metadata.get(_ALIGNMENT, gguf.GGUF_DEFAULT_ALIGNMENT)
      if alignment not in [1 << bit for bit in range(3, 21)]:
        raise ValueError(f'{_ALIGNMENT} is {alignment!r:.100}')
    except (ValueError, OverflowError) as error:
      raise ValueError(f'{self.path} is a damaged GGUF file: {error}') from None
    start = -(-header.place // alignment) * alignment
    for name, (shape, kind, offset) in found.items():
      self.tensors[name] = Tensor(shape, kind, start + offset)

  def _tensor(self, name: str, header: '_Header') -> tuple:
    name = json_object.shown(name)
    count = header.number('<I')
    if not 1 <= count <= _AXES:
      raise ValueError(f'tensor {name} has {count:,} axes')
    axes = [header.number('<Q') for _ in range(count)]
    kind = gguf.GGMLQuantizationType(header.number('<I'))
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    if not all(axes) or axes[0] % block:
      raise ValueError(
        f'tensor {name} of type {kind.name} has rows of {axes[0]:,} numbers, '
        f'which are no blocks of {block}, or an axis of none'
      )
    return tuple(axes[::-1]), kind, header.number('<Q')

  def _check_places(self, size: int) -> None:
    """Raises unless the tensors lie in the file, one behind another."""
    end = max((t.offset + t.size for t in self.tensors.values()), default=0)
    if end > size:
      raise ValueError(
        f'{self.path} is truncated: it has {size:,} of {end:,} bytes; copy or '
        'download it again'
      )
    end, before = 0, ''
    for name, tensor in sorted(
      self.tensors.items(), key=lambda item: item[1].offset
    ):
      if tensor.offset < end:
        raise ValueError(
          f'{self.path} is a damaged GGUF file: tensors '
          f'{json_object.shown(before)} and {json_object.shown(name)} overlap'
        )
      end, before = tensor.offset + tensor.size, name


class _Header:
  """Reads the header from front to back, and nothing behind the file's end.

  Args:
    stream: of the file.
    size: of the file, in bytes.

  Attributes:
    place: bytes read so far.
  """

  def __init__(self, stream: BinaryIO, size: int):
    self._stream, self._size = stream, size
    self.place = 0

  def take(self, count: int) -> bytes:
    # Asked before it is read: a damaged length must not ask for all memory.
    if self.place + count > _LARGEST_HEADER:
      raise ValueError(f'an entry of {count:,} bytes')
    if self.place + count > self._size:
      raise EOFError
    data = self._stream.read(count)
    if len(data) < count:
      raise EOFError
    self.place += count
    return data

  def number(self, form: str) -> int:
    return struct.unpack(form, self.take(struct.calcsize(form)))[0]

  def text(self) -> str:
    return self.take(self.number('<Q')).decode('utf-8', 'replace')

  def value(self, kind: int, depth: int = 0) -> Any:
    kind = gguf.GGUFValueType(kind)
    if kind == gguf.GGUFValueType.STRING:
      return self.text()
    if kind == gguf.GGUFValueType.ARRAY:
      if depth == _DEPTH:
        raise ValueError(f'arrays are nested more than {_DEPTH} deep')
      inner, count = self.number('<I'), self.number('<Q')
      if inner not in _SCALARS:
        return [self.value(inner, depth + 1) for _ in range(count)]
      dtype = np.dtype(_SCALARS[inner])
      return np.frombuffer(self.take(count * dtype.itemsize), dtype).tolist()
    dtype = np.dtype(_SCALARS[kind])
    value = np.frombuffer(self.take(dtype.itemsize), dtype)[0]
    if dtype == np.float32:
      # The shortest decimal, 1e-05 and not 9.999999747378752e-06.
      return float(str(value))
    return value.item()
