"""Low-rank adapters in and out, in the form of the peft library.

  adapters, options = weights.load_adapters('folder', config)
  params = lora.merge(params, adapters, options)
  weights.save_adapters('folder', adapters, options, config, base='Qwen/...')

A folder holds adapter_config.json (r, lora_alpha, target_modules, ...) and
adapter_model.safetensors, whose names are those of the model's tensors with
'base_model.model.' in front and 'lora_A.weight' [r, in] or 'lora_B.weight'
[out, r] behind. The product is scaled by lora_alpha / r, as in `lora`.
"""

import json
import math
import os
import pathlib
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import hub, lora
from jaxcredit.networks.weights import (
  json_object,
  names,
  safetensors_file,
  safetensors_source,
)

CONFIG = 'adapter_config.json'
WEIGHTS = safetensors_source.ADAPTER_WEIGHTS
_PREFIX = 'base_model.model.'
# Some programs leave out what peft puts in front, or name the adapter.
_NAME = re.compile(
  r'(?:base_model\.model\.)?(?:model\.)?layers\.([0-9]{1,6})\.'
  r'([a-z_]+\.[a-z_]+)\.lora_([AB])(?:\.default)?\.weight'
)
# Options of peft that change what an adapter computes, with the values that
# say that nothing is changed.
_OFF = {
  'use_dora': (False,),
  'fan_in_fan_out': (False,),
  'lora_bias': (False,),
  'bias': ('none',),
  'modules_to_save': ([],),
  'rank_pattern': ({},),
  'alpha_pattern': ({},),
  'layers_to_transform': ([],),
  'trainable_token_indices': ([],),
}


def is_adapter(folder: pathlib.Path) -> bool:
  """Whether a folder holds adapters and no model."""
  return (folder / CONFIG).is_file() and not (folder / 'config.json').is_file()


def base_of(folder: pathlib.Path) -> str:
  """The name or path of the model that the adapters in a folder are for.

  Raises:
    ValueError: adapter_config.json is damaged.
  """
  base = json_object.read(folder / CONFIG).get('base_model_name_or_path')
  return (
    json_object.shown(str(base)) if base else 'a model that it does not name'
  )


def load_adapters(
  path_or_name: str | os.PathLike, config: config_lib.DecoderConfig
) -> tuple[lora.Params, lora.LoraOptions]:
  """Reads adapters.

  Args:
    path_or_name: a folder as peft writes it, or its name on the hub.
    config: of the base model.

  Returns:
    Adapters as `lora.init` makes them, float32, and their options.

  Raises:
    FileNotFoundError: files are missing.
    ValueError: a file is damaged, the adapters are of a kind that `lora` lacks,
      or do not fit the base model.
  """
  folder = hub.locate(path_or_name)
  for name in (CONFIG, WEIGHTS):
    if not (folder / name).is_file():
      raise FileNotFoundError(
        f'{folder} holds no {name}: give a folder of adapters as peft writes '
        'it (.bin files are pickles and are not read)'
      )
  fields = json_object.read(folder / CONFIG)
  try:
    rank, alpha = _rank_and_alpha(fields)
  except ValueError as error:
    raise ValueError(f'{folder / CONFIG}: {error}') from None
  file = folder / WEIGHTS
  tensors = safetensors_file.read(file)
  factors, unknown = _sorted_by_projection(file, tensors, config)
  shapes = _kernel_shapes(config)
  missing, wrong = [], []
  for projection, by_place in factors.items():
    _, fan_in, fan_out = shapes[projection]
    wanted = {'A': (rank, fan_in), 'B': (fan_out, rank)}
    for layer in range(config.layers):
      for factor, shape in wanted.items():
        tensor = by_place.get((layer, factor))
        name = _tensor_name(layer, projection, factor)
        if tensor is None:
          missing.append(f'{name} {list(shape)}')
        elif tensor.shape != shape:
          wrong.append(
            f'{name} has shape {list(tensor.shape)}, expected {list(shape)}'
          )
  if not factors or unknown or missing or wrong:
    raise ValueError(
      f'{file}: adapters do not fit the base model: '
      + '; '.join(
        f'{len(listed)} {what}: {", ".join(listed[:3])}'
        for what, listed in (
          ('unknown', unknown),
          ('missing', missing),
          ('of a wrong shape', wrong),
        )
        if listed
      )
      + ('it holds no adapters' if not tensors else '')
    )
  options = lora.LoraOptions(
    rank, alpha, tuple(n for n in lora.PROJECTIONS if n in factors)
  )
  layers = {}
  for projection in options.adapted:
    layers[projection] = {
      f'lora_{factor.lower()}': jnp.asarray(
        np.stack(
          [
            factors[projection][layer, factor].read_all().T
            for layer in range(config.layers)
          ]
        ),
        jnp.float32,
      )
      for factor in 'AB'
    }
  return {'layers': layers}, options


def save_adapters(
  folder: str | os.PathLike,
  adapters: lora.Params,
  options: lora.LoraOptions,
  config: config_lib.DecoderConfig,
  *,
  base: str = '',
) -> None:
  """Writes adapters as peft and inference servers read them.

  Args:
    folder: is made if need be; older adapters in it are replaced.
    adapters: as `lora.init` makes them.
    options: of the adapters.
    config: of the base model.
    base: its name on the hub, or the path of its folder.

  Raises:
    ValueError: the adapters do not fit the options or the base model.
  """
  shapes = _kernel_shapes(config)
  lora.check(
    {
      'layers': {
        name: {'kernel': jax.ShapeDtypeStruct(shape, jnp.float32)}
        for name, shape in shapes.items()
      }
    },
    adapters,
    options,
  )
  tensors = {}
  for projection, factors in adapters['layers'].items():
    for factor in 'AB':
      value = np.asarray(factors[f'lora_{factor.lower()}'])
      for layer in range(config.layers):
        tensors[_tensor_name(layer, projection, factor)] = np.ascontiguousarray(
          value[layer].T
        )
  fields = {
    'peft_type': 'LORA',
    'task_type': 'CAUSAL_LM',
    'base_model_name_or_path': base or None,
    'r': options.rank,
    'lora_alpha': options.alpha,
    'lora_dropout': 0.0,
    'target_modules': [
      names.PARTS[name].rpartition('.')[2] for name in options.adapted
    ],
    'bias': 'none',
    'fan_in_fan_out': False,
    'inference_mode': True,
  }
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  safetensors_file.write(folder / WEIGHTS, tensors)
  (folder / CONFIG).write_text(
    json.dumps(fields, indent=2) + '\n', encoding='utf-8'
  )


def _rank_and_alpha(fields: dict[str, Any]) -> tuple[int, float]:
  """r, and lora_alpha such that the product is scaled by lora_alpha / r."""
  if fields.get('peft_type') != 'LORA':
    raise ValueError(
      f'peft_type is {fields.get("peft_type")!r:.100}; only LORA is read'
    )
  for name, off in _OFF.items():
    if fields.get(name) is not None and fields[name] not in off:
      raise ValueError(
        f'{name} is {fields[name]!r:.100}, which adapters here do not have'
      )
  rank, alpha = fields.get('r'), fields.get('lora_alpha')
  if not json_object.is_whole(rank) or not 1 <= rank <= 1 << 16:
    raise ValueError(f'r must be a whole number from 1 on, not {rank!r:.100}')
  if (
    not isinstance(alpha, int | float)
    or isinstance(alpha, bool)
    or not 0 < alpha < 1e9
  ):
    raise ValueError(
      f'lora_alpha must be a positive number, not {alpha!r:.100}'
    )
  rooted = fields.get('use_rslora')
  if rooted not in (None, True, False):
    raise ValueError(f'use_rslora must be true or false, not {rooted!r:.100}')
  # Kalajdzievski 2023: the product is scaled by alpha / sqrt(r).
  return rank, float(alpha) * (math.sqrt(rank) if rooted else 1)


def _kernel_shapes(config) -> dict[str, tuple[int, ...]]:
  """Projection -> shape of its kernel, [layers, in, out]."""
  return {
    parameter.path[1]: parameter.shape
    for parameter in names.parameters(config)
    if parameter.stacked and parameter.path[1] in lora.PROJECTIONS
    and parameter.path[2] == 'kernel'
  }  # fmt: skip


def _sorted_by_projection(file, tensors, config):
  """Projection -> (layer, 'A' or 'B') -> tensor; and names that are none."""
  parts = {names.PARTS[name]: name for name in lora.PROJECTIONS}
  factors: dict[str, dict[tuple[int, str], safetensors_file.Tensor]] = {}
  unknown = []
  for name, tensor in tensors.items():
    match = _NAME.fullmatch(name)
    if not match or match[2] not in parts or int(match[1]) >= config.layers:
      unknown.append(json_object.shown(name))
      continue
    of_projection = factors.setdefault(parts[match[2]], {})
    place = (int(match[1]), match[3])
    if place in of_projection:
      raise ValueError(
        f'{file} holds {json_object.shown(name)} under two names'
      )
    of_projection[place] = tensor
  return factors, unknown


def _tensor_name(layer: int, projection: str, factor: str) -> str:
  part = names.PARTS[projection]
  return f'{_PREFIX}model.layers.{layer}.{part}.lora_{factor}.weight'
