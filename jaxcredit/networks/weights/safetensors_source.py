"""A folder in the Hugging Face form: config.json and safetensors files.

Programs that wrap a model put a word in front of all names of its tensors
(peft, torch.compile, data parallelism), and a model saved without its output
lacks one. Such names mean one thing only, and are read.
"""

import pathlib
from collections.abc import Collection

import numpy as np

from jaxcredit.networks.weights import (
  families,
  json_object,
  safetensors_file,
)
from jaxcredit.networks.weights import source as source_lib

# Adapters beside a model are no part of it.
ADAPTER_WEIGHTS = 'adapter_model.safetensors'
_INDEX = 'model.safetensors.index.json'
_SINGLE = 'model.safetensors'
_EMBEDDING, _BARE = 'model.embed_tokens.weight', 'embed_tokens.weight'
# What programs put in front of the names of a model that they wrap.
_WRAPPERS = ('base_model.model.', 'module.', '_orig_mod.', 'model.')


class SafetensorsSource:
  """See `source.Source`.

  Args:
    folder: with config.json and one or many safetensors files.
  """

  config_name = 'config.json'

  def __init__(self, folder: pathlib.Path):
    self.path = folder
    self.config = families.read(folder)
    tensors: dict[str, safetensors_file.Tensor] = {}
    for file in _files(folder):
      for name, tensor in safetensors_file.read(file).items():
        if name in tensors:
          raise ValueError(
            f'{folder}: tensor {json_object.shown(name)} is in '
            f'{tensors[name].file.name} and in {file.name}; keep the files '
            'of one model in the folder'
          )
        tensors[name] = tensor
    names = unwrapped(tensors)
    self._tensors = dict(zip(names, tensors.values(), strict=True))
    self.shapes = {name: t.shape for name, t in self._tensors.items()}

  def read(self, name: str, bounds: source_lib.Bounds) -> np.ndarray:
    return self._tensors[name].read(bounds)


def unwrapped(names: Collection[str]) -> list[str]:
  """Names as the model alone has them, in the same order.

  They stay as they are unless all of them are wrapped alike.
  """
  found = list(names)
  # One wrapper around another, and not more.
  for _ in range(4):
    if _EMBEDDING in found:
      return found
    if _BARE in found:
      # Saved without its output: all but that lie one level up.
      found = [
        name if name == 'lm_head.weight' else f'model.{name}' for name in found
      ]
      continue
    for prefix in _WRAPPERS:
      if all(name.startswith(prefix) for name in found):
        found = [name.removeprefix(prefix) for name in found]
        break
  return list(names)


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
  files = sorted(
    f
    for f in folder.glob('*.safetensors')
    if f.is_file() and f.name != ADAPTER_WEIGHTS
  )
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
