"""Reads pretrained models straight into (sharded) device arrays."""

import dataclasses
import math
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, hub, sharding
from jaxcredit.networks.weights import (
  adapters,
  families,
  json_object,
  names,
  placement,
  safetensors_source,
)
from jaxcredit.networks.weights import source as source_lib

# Tensors of older checkpoints that can be computed.
_NEEDLESS = '.rotary_emb.inv_freq'
_HEAD, _EMBEDDING = 'lm_head.weight', 'model.embed_tokens.weight'
# How many wrong tensors of each kind an error lists.
_LISTED = 3
# In names of a model whose adapters were not merged.
_OF_ADAPTERS = ('.lora_A.', '.lora_B.', '.base_layer.')


def from_pretrained(
  path_or_name: str | os.PathLike,
  mesh: jax.sharding.Mesh | None = None,
  *,
  rules: sharding.Rules = sharding.RULES,
  param_dtype: str | np.dtype = 'float32',
  compute_dtype: str = 'bfloat16',
  remat: bool = True,
) -> tuple[decoder.Params, config_lib.DecoderConfig]:
  """Reads a model of a family that the decoder knows.

  Tensors go part by part into device arrays; the host holds no second copy.

  Args:
    path_or_name: a folder in the Hugging Face form (config.json and
      safetensors files), a .gguf file or a folder with one, or a name on the
      hub.
    mesh: over which the parameters are sharded; None: the default device.
    rules: which dimension lies on which axis of the mesh.
    param_dtype: of the parameters; float32 are the masters of training.
    compute_dtype: of activations, see `DecoderConfig`.
    remat: see `DecoderConfig`.

  Returns:
    Parameters as `decoder.init` makes them, and the configuration.

  Raises:
    FileNotFoundError: files are missing, or the hub does not give them.
    ValueError: the family is unknown, a file is damaged, the tensors are not
      those that the configuration asks for, or the mesh does not divide them.
  """
  source = open_source(hub.locate(path_or_name))
  config = dataclasses.replace(
    source.config, compute_dtype=compute_dtype, remat=remat
  )
  parameters = names.parameters(config)
  _check_tensors(source, parameters)
  dtype = jnp.dtype(param_dtype)
  places = [None] * len(parameters)
  if mesh is not None:
    places = [
      jax.sharding.NamedSharding(
        mesh, sharding.spec_of('/'.join(p.path), p.shape, mesh, rules)
      )
      for p in parameters
    ]
  params: decoder.Params = {}
  for parameter, place in zip(parameters, places, strict=True):
    value = placement.place(
      parameter.shape,
      dtype,
      place,
      _reader(source, parameter, dtype),
      # Along the rows of a tensor in its file, or layer by layer.
      axis=1 if parameter.transposed and not parameter.stacked else 0,
    )
    names.insert(params, parameter.path, value)
  return params, config


def read_config(
  path_or_name: str | os.PathLike,
  *,
  compute_dtype: str = 'bfloat16',
  remat: bool = True,
) -> config_lib.DecoderConfig:
  """Reads the configuration alone that `from_pretrained` returns."""
  path = hub.locate(path_or_name)
  if path.is_dir() and (path / 'config.json').exists():
    config = families.read(path)
  else:
    config = open_source(path).config
  return dataclasses.replace(config, compute_dtype=compute_dtype, remat=remat)


def open_source(path: pathlib.Path) -> source_lib.Source:
  """Reads what a model's files say about themselves.

  Args:
    path: see `from_pretrained`.
  """
  if path.is_dir() and adapters.is_adapter(path):
    raise ValueError(
      f'{path} is a LoRA adapter of {adapters.base_of(path)}: read that model '
      'first, then the adapter with weights.load_adapters, and merge them with '
      'lora.merge'
    )
  if path.is_dir() and not (path / 'config.json').exists():
    files = sorted(path.glob('*.gguf'))
    if len(files) > 1:
      raise ValueError(
        f'{path} holds {len(files)} .gguf files: give the path of one of them'
      )
    if files:
      path = files[0]
  if path.is_dir():
    return safetensors_source.SafetensorsSource(path)
  # A pipe would be waited for without an end.
  if not path.is_file():
    raise ValueError(f'{path} is neither a file nor a folder')
  if path.suffix == '.gguf':
    # Imported here: the other formats must not need the gguf package.
    from jaxcredit.networks.weights import gguf_source

    return gguf_source.GgufSource(path)
  raise ValueError(
    f'{path}: give a folder in the Hugging Face form or a .gguf file (pickles '
    'are never read)'
  )


def _reader(source, parameter, dtype):
  """Gives parts of a parameter from its tensors."""

  def read(bounds: source_lib.Bounds) -> np.ndarray:
    part = np.empty([stop - start for start, stop in bounds], dtype)
    inner = bounds[1:] if parameter.stacked else bounds
    inner = inner[::-1] if parameter.transposed else inner
    targets = part if parameter.stacked else part[None]
    first = bounds[0][0] if parameter.stacked else 0
    for number, target in enumerate(targets, first):
      value = source.read(parameter.names[number], inner)
      # Turned and cast in one pass.
      target[...] = value.T if parameter.transposed else value
    return part

  return read


def _check_tensors(source, parameters) -> None:
  """Raises unless the tensors are those that the configuration asks for."""
  wanted = {
    name: parameter.tensor_shape
    for parameter in parameters
    for name in parameter.names
  }
  missing, wrong, unknown = [], [], []
  for name, shape in wanted.items():
    if name not in source.shapes:
      missing.append(name)
    elif source.shapes[name] != shape:
      wrong.append(
        f'tensor {name} has shape {list(source.shapes[name])}, expected '
        f'{list(shape)}'
      )
  for name in source.shapes:
    if name in wanted or name.endswith(_NEEDLESS):
      continue
    # Some files repeat the embedding as the output projection.
    if name == _HEAD and _equal(source, _HEAD, _EMBEDDING):
      continue
    if name == _HEAD:
      wrong.append(
        f'{_HEAD} differs from {_EMBEDDING}, but tie_word_embeddings is true'
      )
    else:
      unknown.append(name)
  listed = [
    *_listed(wrong),
    *_listed([f'missing tensor {n} {list(wanted[n])}' for n in missing]),
    *_listed(
      [
        f'unknown tensor {json_object.shown(n)} {list(source.shapes[n])}'
        for n in unknown
      ]
    ),
  ]
  if listed:
    raise ValueError(
      f'{source.path}: tensors do not fit {source.config_name}: '
      f'{"; ".join(listed)}{_likely_cause(missing, unknown)}'
    )


def _listed(messages: list[str]) -> list[str]:
  """The first messages, and how many more there are."""
  more = len(messages) - _LISTED
  return messages[:_LISTED] + [f'{more} more'] * (more > 0)


def _likely_cause(missing: list[str], unknown: list[str]) -> str:
  """What unknown names say about those that are missing; '' if nothing."""
  if any(part in name for name in unknown for part in _OF_ADAPTERS):
    return (
      '. Some are those of adapters (LoRA) inside the model: merge them into '
      'it (merge_and_unload of peft) and save it again'
    )
  others = set(unknown)
  for name in missing[:_LISTED]:
    for other in unknown:
      front = other.removesuffix(name)
      if front != other and front + missing[-1] in others:
        return (
          f'. The tensors that are missing are there with '
          f'{json_object.shown(front)!r} in front of their names: write the '
          'file again without it'
        )
  return ''


def _equal(source, a: str, b: str) -> bool:
  """Whether two tensors are equal; a part of the rows at a time."""
  shape = source.shapes[a]
  if b not in source.shapes or source.shapes[b] != shape:
    return False
  step = max(1, (1 << 20) // math.prod(shape[1:]))
  for start in range(0, shape[0], step):
    bounds = (
      (start, min(start + step, shape[0])),
      *((0, size) for size in shape[1:]),
    )
    if not np.array_equal(source.read(a, bounds), source.read(b, bounds)):
      return False
  return True
