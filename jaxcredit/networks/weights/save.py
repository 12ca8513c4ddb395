"""Writes models in the Hugging Face form, which transformers loads."""

import json
import os
import pathlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder
from jaxcredit.networks.weights import families, names, safetensors_file


def save_pretrained(
  folder: str | os.PathLike,
  params: decoder.Params,
  config: config_lib.DecoderConfig,
  *,
  dtype: str | np.dtype | None = None,
  file_bytes: int = 4 << 30,
) -> None:
  """Writes config.json and safetensors files.

  The host holds the tensors of one file at a time.

  Args:
    folder: is made if need be; an older model in it is replaced.
    params: of the decoder, on one device or sharded.
    config: its configuration.
    dtype: of the tensors written; None: as the parameters are.
    file_bytes: tensors above this size are split over several files.

  Raises:
    ValueError: no family has this configuration; parameters do not fit it; or
      they are sharded over several hosts.
  """
  folder = pathlib.Path(folder)
  parameters = names.parameters(config)
  for parameter in parameters:
    _check(params, parameter)
  kind = jnp.dtype(
    names.at(params, parameters[0].path).dtype if dtype is None else dtype
  )
  fields = families.to_fields(config, kind.name)
  add_biases = fields['model_type'] == 'qwen2' and not config.qkv_bias
  folder.mkdir(parents=True, exist_ok=True)
  files: list[list[str]] = []
  batch: dict[str, np.ndarray] = {}
  held, size = 0, 0
  tensors = _tensors(params, parameters, kind)
  if add_biases:
    tensors = _with_zero_biases(tensors, config, kind)

  def write():
    safetensors_file.write(folder / f'part-{len(files)}.safetensors', batch)
    files.append(list(batch))

  for name, value in tensors:
    if batch and held + value.nbytes > file_bytes:
      write()
      batch, held = {}, 0
    batch[name] = value
    held, size = held + value.nbytes, size + value.nbytes
  write()
  _name_files(folder, files, size)
  (folder / 'config.json').write_text(
    json.dumps(fields, indent=2) + '\n', encoding='utf-8'
  )


def _check(params: decoder.Params, parameter: names.Parameter) -> None:
  path = '/'.join(parameter.path)
  try:
    value = names.at(params, parameter.path)
  except KeyError:
    raise ValueError(f'the parameters lack {path}') from None
  if value.shape != parameter.shape:
    raise ValueError(
      f'the parameter {path} has shape {list(value.shape)}, but the '
      f'configuration asks for {list(parameter.shape)}'
    )
  if isinstance(value, jax.Array) and not value.is_fully_addressable:
    raise ValueError(
      f'the parameter {path} is sharded over several hosts: gather it first '
      '(jax.experimental.multihost_utils.process_allgather)'
    )


def _tensors(params, parameters, dtype) -> Iterator[tuple[str, np.ndarray]]:
  for parameter in parameters:
    value = names.at(params, parameter.path)
    for number, name in enumerate(parameter.names):
      part = np.asarray(value[number] if parameter.stacked else value)
      part = part.T if parameter.transposed else part
      yield name, np.ascontiguousarray(part, dtype)


def _with_zero_biases(tensors, config, dtype):
  """Qwen2 has biases; zeros are the same model."""
  yield from tensors
  for number in range(config.layers):
    for part, heads in (
      ('q', config.heads),
      ('k', config.kv_heads),
      ('v', config.kv_heads),
    ):
      name = f'model.layers.{number}.self_attn.{part}_proj.bias'
      yield name, np.zeros((heads * config.head_dim,), dtype)


def _name_files(folder: pathlib.Path, files: list[list[str]], size: int):
  """Gives the files their final names, and writes the index of several."""
  for pattern in ('model.safetensors*', 'model-*-of-*.safetensors'):
    for old in folder.glob(pattern):
      old.unlink()
  weight_map = {}
  for number, tensors in enumerate(files):
    if len(files) == 1:
      name = 'model.safetensors'
    else:
      name = f'model-{number + 1:05}-of-{len(files):05}.safetensors'
    (folder / f'part-{number}.safetensors').rename(folder / name)
    weight_map |= dict.fromkeys(tensors, name)
  if len(files) > 1:
    index = {'metadata': {'total_size': size}, 'weight_map': weight_map}
    (folder / 'model.safetensors.index.json').write_text(
      json.dumps(index, indent=2) + '\n', encoding='utf-8'
    )
