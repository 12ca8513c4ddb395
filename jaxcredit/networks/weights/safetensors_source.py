"""A folder in the Hugging Face form: config.json and safetensors files.

A safetensors file is the length of a header (8 bytes), the header (JSON: name
-> dtype, shape, offsets) and the tensors' bytes. It is read here rather than
with the `safetensors` library, which maps whole files into memory.
"""

import json
import math
import os
import pathlib

import jax.numpy as jnp
import numpy as np

from jaxcredit.networks.weights import families
from jaxcredit.networks.weights import source as source_lib

_INDEX = 'model.safetensors.index.json'
_SINGLE = 'model.safetensors'
_DTYPES = {
  'F64': np.dtype(np.float64),
  'F32': np.dtype(np.float32),
  'F16': np.dtype(np.float16),
  'BF16': np.dtype(jnp.bfloat16),
}


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
            f'{folder}: tensor {name} is in {self._tensors[name][0].name} and '
            f'in {file.name}; keep the files of one model in the folder'
          )
        self._tensors[name] = (file, *entry)
    self.shapes = {name: entry[3] for name, entry in self._tensors.items()}

  def read(self, name: str, bounds: source_lib.Bounds) -> np.ndarray:
    file, offset, dtype, shape = self._tensors[name]
    return source_lib.read_mapped(file, dtype, offset, shape, bounds)


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
  index = folder / _INDEX
  if index.exists():
    try:
      names = set(
        json.loads(index.read_text(encoding='utf-8'))['weight_map'].values()
      )
    except (ValueError, KeyError, AttributeError) as error:
      raise ValueError(f'{index} is damaged: {error!r}') from None
    absent = sorted(name for name in names if not (folder / name).exists())
    if absent:
      raise FileNotFoundError(
        f'{index} names files that are not there: {", ".join(absent)}; copy '
        'or download them again'
      )
    return [folder / name for name in sorted(names)]
  if (folder / _SINGLE).exists():
    return [folder / _SINGLE]
  files = sorted(folder.glob('*.safetensors'))
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


def _read_header(
  file: pathlib.Path,
) -> dict[str, tuple[int, np.dtype, tuple[int, ...]]]:
  """Name -> (offset in the file, dtype, shape), all checked."""
  size = os.path.getsize(file)
  with open(file, 'rb') as stream:
    length = int.from_bytes(stream.read(8), 'little')
    if size < 8 or length > size - 8:
      raise ValueError(_truncated(file, size, 8 + length))
    try:
      header = json.loads(stream.read(length))
      header.pop('__metadata__', None)
      entries = {
        name: (entry['dtype'], tuple(entry['shape']), *entry['data_offsets'])
        for name, entry in header.items()
      }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
      raise ValueError(
        f'{file} is no safetensors file, or a damaged one: {error!r}'
      ) from None
  found = {}
  for name, (kind, shape, start, stop) in entries.items():
    if kind not in _DTYPES:
      raise ValueError(
        f'{file}: tensor {name} has dtype {kind}; {", ".join(_DTYPES)} are '
        'read (quantised checkpoints are not, except as GGUF)'
      )
    if stop - start != math.prod(shape) * _DTYPES[kind].itemsize:
      raise ValueError(
        f'{file} is damaged: tensor {name} of shape {list(shape)} and dtype '
        f'{kind} has {stop - start:,} bytes'
      )
    if 8 + length + stop > size:
      last = max(entry[3] for entry in entries.values())
      raise ValueError(_truncated(file, size, 8 + length + last))
    found[name] = (8 + length + start, _DTYPES[kind], shape)
  return found


def _truncated(file: pathlib.Path, size: int, wanted: int) -> str:
  return (
    f'{file} is truncated: it has {size:,} of {wanted:,} bytes; copy or '
    'download it again'
  )
