"""A folder in the Hugging Face form: config.json and safetensors files.

A safetensors file is the length of a header (8 bytes), the header (JSON: name
-> dtype, shape, offsets) and the tensors' bytes. It is read here rather than
with the `safetensors` library, which maps whole files into memory.
"""

import math
import os
import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcredit.networks.weights import families, json_object
from jaxcredit.networks.weights import source as source_lib

_INDEX = 'model.safetensors.index.json'
_SINGLE = 'model.safetensors'
_DTYPES = {
  'F64': np.dtype(np.float64),
  'F32': np.dtype(np.float32),
  'F16': np.dtype(np.float16),
  'BF16': np.dtype(jnp.bfloat16),
}
# Axes of a tensor, at most; those of models have two.
_AXES = 8


class SafetensorsSource:
  """See `source.Source`.

  Args:
    folder: with config.json and one or many safetensors files.
  """

  config_name = 'config.json'

  def __init__(self, folder: pathlib.Path):
    self.path = folder
    self.config = families.read(folder)
    # name -> (file, offset in it, dtype, shape)
    self._tensors: dict[
      str, tuple[pathlib.Path, int, np.dtype, tuple[int, ...]]
    ] = {}
    for file in _files(folder):
      for name, entry in _read_header(file).items():
        if name in self._tensors:
          raise ValueError(
            f'{folder}: tensor {json_object.shown(name)} is in '
            f'{self._tensors[name][0].name} and in {file.name}; keep the files '
            'of one model in the folder'
          )
        self._tensors[name] = (file, *entry)
    self.shapes = {name: entry[3] for name, entry in self._tensors.items()}

  def read(self, name: str, bounds: source_lib.Bounds) -> np.ndarray:
    file, offset, dtype, shape = self._tensors[name]
    return source_lib.read_mapped(file, dtype, offset, shape, bounds)


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
  index = folder / _INDEX
  if index.exists():
    names = _files_of_index(index)
    absent = sorted(name for name in names if not (folder / name).is_file())
    if absent:
      raise FileNotFoundError(
        f'{index} names files that are not there: {", ".join(absent)}; copy '
        'or download them again'
      )
    return [folder / name for name in sorted(names)]
  if (folder / _SINGLE).is_file():
    return [folder / _SINGLE]
  files = sorted(f for f in folder.glob('*.safetensors') if f.is_file())
  if not files:
    pickles = any(folder.glob('*.bin')) or any(folder.glob('*.pth'))
    raise FileNotFoundError(
      f'{folder} holds no .safetensors file'
      + (
        '; its .bin or .pth files are pickles, which can run code and are not '
        'read: save the model with safetensors'
        if pickles
        else ''
      )
    )
  return files


def _files_of_index(index: pathlib.Path) -> set[str]:
  """Names of files beside the index."""
  weight_map = json_object.read(index).get('weight_map')
  if not isinstance(weight_map, dict) or not weight_map:
    raise ValueError(
      f'{index} is damaged: it has no weight_map of tensors to files'
    )
  names = set()
  for tensor, name in weight_map.items():
    # A path would lead out of the folder.
    if (
      not isinstance(name, str)
      or not name.endswith('.safetensors')
      or pathlib.PurePosixPath(name).name != name
      or pathlib.PureWindowsPath(name).name != name
      or not name.isprintable()
    ):
      raise ValueError(
        f'{index} has {json_object.shown(tensor)} in {name!r:.120}: only '
        '.safetensors files of the same folder are read'
      )
    names.add(name)
  return names


def _read_header(
  file: pathlib.Path,
) -> dict[str, tuple[int, np.dtype, tuple[int, ...]]]:
  """Name -> (offset in the file, dtype, shape), all checked.

  Every byte behind the header belongs to one tensor, as the format demands:
  bytes of two tensors, or of none, are damage.
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
    name: (front + start, dtype, shape)
    for name, (dtype, shape, start, _) in entries.items()
  }


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
