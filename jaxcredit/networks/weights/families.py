"""config.json of the Hugging Face form, and the decoder's configuration.

What a file asks for and the decoder lacks is an error that names the field:
a model that is almost the right one gives text that is almost right.
"""

import math
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxcredit.networks import config as config_lib
from jaxcredit.networks.weights import json_object

# model_type -> class in transformers.
FAMILIES = {
  'llama': 'LlamaForCausalLM',
  'qwen2': 'Qwen2ForCausalLM',
  'qwen3': 'Qwen3ForCausalLM',
}
_SIZES = {
  'vocab_size': 'vocab_size',
  'width': 'hidden_size',
  'layers': 'num_hidden_layers',
  'heads': 'num_attention_heads',
  'hidden': 'intermediate_size',
}
# Fields that change what a model computes, with the one value that is meant
# here; absent is fine.
_FIXED = {
  'hidden_act': 'silu',
  'mlp_bias': False,
  'partial_rotary_factor': 1.0,
  'rope_interleaved': False,
  'quantization_config': None,
}
_DEFAULT_POSITIONS = {'llama': 2048}
_WINDOW_KINDS = {'full_attention': False, 'sliding_attention': True}


def read(folder: pathlib.Path) -> config_lib.DecoderConfig:
  """Reads config.json.

  Raises:
    FileNotFoundError: there is none.
    ValueError: it is no configuration of a known family.
  """
  path = folder / 'config.json'
  if not path.is_file():
    raise FileNotFoundError(
      f'{folder} holds no config.json: give the folder of a model in Hugging '
      'Face form, or a .gguf file'
    )
  raw = json_object.read(path)
  try:
    return from_fields(raw)
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from None


def from_fields(raw: Mapping[str, Any]) -> config_lib.DecoderConfig:
  """The configuration that the fields of a config.json ask for.

  Raises:
    ValueError: a field is missing, malformed, or asks for what the decoder
      lacks.
  """
  family = raw.get('model_type')
  if not isinstance(family, str) or family not in FAMILIES:
    raise ValueError(
      f'model_type is {family!r:.100}; the decoder knows llama (Llama 2 and 3, '
      'SmolLM2), qwen2 (Qwen2, Qwen2.5) and qwen3'
    )
  for field, only in _FIXED.items():
    if raw.get(field, only) not in (only, None):
      raise ValueError(
        f'{field} is {raw[field]!r:.100}, but the decoder has {only!r} alone'
      )
  sizes = {name: _whole_number(raw, field) for name, field in _SIZES.items()}
  config_lib.check_sizes(sizes)
  heads = sizes['heads']
  kv_heads = heads
  if raw.get('num_key_value_heads') is not None:
    kv_heads = _whole_number(raw, 'num_key_value_heads')
  if raw.get('head_dim') is not None:
    head_dim = _whole_number(raw, 'head_dim')
  elif family == 'qwen3':
    head_dim = 128
  elif sizes['width'] % max(heads, 1):
    raise ValueError(
      f'num_attention_heads ({heads}) does not divide hidden_size '
      f'({sizes["width"]}), and there is no head_dim'
    )
  else:
    head_dim = sizes['width'] // max(heads, 1)
  positions = _DEFAULT_POSITIONS.get(family, 32_768)
  if raw.get('max_position_embeddings') is not None:
    positions = _whole_number(raw, 'max_position_embeddings')
  biases = family != 'qwen2' and _flag(raw, 'attention_bias')
  return config_lib.DecoderConfig(
    **sizes,
    kv_heads=kv_heads,
    head_dim=head_dim,
    norm_eps=_number(raw, 'rms_norm_eps', default=1e-6),
    tie_embeddings=_flag(raw, 'tie_word_embeddings'),
    qkv_bias=family == 'qwen2' or biases,
    o_bias=biases,
    qk_norm=family == 'qwen3',
    max_positions=positions,
    **_rope(raw, positions),
    **(_windows(raw, sizes['layers']) if family != 'llama' else {}),
  )


def _whole_number(raw: Mapping[str, Any], field: str) -> int:
  value = raw.get(field)
  if value is None:
    raise ValueError(f'{field} is missing')
  if not json_object.is_whole(value):
    raise ValueError(f'{field} must be a whole number, not {value!r:.100}')
  # Before anything is counted to it.
  if value > config_lib.LARGEST:
    raise ValueError(
      f'{field} is {value!r:.100}, which no model has: at most '
      f'{config_lib.LARGEST:,} is read'
    )
  return value


def _number(
  raw: Mapping[str, Any],
  field: str,
  *,
  within: str = '',
  default: float | None = None,
) -> float:
  """A finite number; the default where there is none."""
  value = raw.get(field)
  value = default if value is None else value
  try:
    if isinstance(value, bool | str) or not math.isfinite(value):
      raise TypeError
    return float(value)
  # Lists, None and the like; whole numbers that no float holds.
  except (TypeError, OverflowError):
    raise ValueError(
      f'{field}{within} must be a number, not {value!r:.100}'
    ) from None


def _flag(raw: Mapping[str, Any], field: str) -> bool:
  value = raw.get(field)
  # "false" as a text would be true.
  if value not in (None, True, False):
    raise ValueError(f'{field} must be true or false, not {value!r:.100}')
  return bool(value)


def _rope(raw: Mapping[str, Any], positions: int) -> dict[str, Any]:
  # Two spellings: rope_theta beside rope_scaling, and both in rope_parameters.
  field = 'rope_parameters' if raw.get('rope_parameters') else 'rope_scaling'
  given = raw.get(field) or {}
  if not isinstance(given, dict):
    raise ValueError(f'{field} must be an object or null, not {given!r:.100}')
  if any(isinstance(value, dict) for value in given.values()):
    raise ValueError(
      f'{field} differs by kind of layer, but the decoder has one for all'
    )
  base = _number(given if 'rope_theta' in given else raw, 'rope_theta',
                 default=10_000.0)  # fmt: skip
  kind = given.get('rope_type', given.get('type', 'default'))
  if given.get('partial_rotary_factor', 1) != 1:
    raise ValueError(
      f'partial_rotary_factor in {field} is '
      f'{given["partial_rotary_factor"]!r:.100}, but the decoder has 1 alone'
    )
  if kind == 'default':
    return {'rope_base': base}
  if kind not in config_lib.ROPE_SCALINGS:
    raise ValueError(
      f'rope_type in {field} is {kind!r:.100}; the decoder knows default, '
      f'{" and ".join(config_lib.ROPE_SCALINGS)}'
    )
  within = f' in {field}'
  options = {'kind': kind, 'factor': _number(given, 'factor', within=within)}
  if kind == 'llama3':
    length = 'original_max_position_embeddings'
    original = _number(
      given if given.get(length) is not None else raw,
      length,
      within=within,
      default=positions,
    )
    options |= {
      'low_frequency': _number(given, 'low_freq_factor', within=within),
      'high_frequency': _number(given, 'high_freq_factor', within=within),
      'original_positions': int(original),
    }
  scaling = config_lib.RopeScaling(**options)
  return {'rope_base': base, 'rope_scaling': scaling}


def _windows(raw: Mapping[str, Any], layers: int) -> dict[str, Any]:
  kinds = raw.get('layer_types')
  if kinds is not None:
    if not isinstance(kinds, list):
      raise ValueError(f'layer_types must be a list, not {kinds!r:.100}')
    unknown = sorted({str(kind) for kind in kinds} - set(_WINDOW_KINDS))
    if unknown:
      raise ValueError(
        f'layer_types holds {unknown!r:.200}; the decoder knows '
        f'{" and ".join(_WINDOW_KINDS)}'
      )
    if len(kinds) != layers:
      raise ValueError(
        f'layer_types has {len(kinds)} entries for num_hidden_layers = {layers}'
      )
  window = raw.get('sliding_window', 4096)
  if window is not None:
    window = _whole_number({'sliding_window': window}, 'sliding_window')
  if not _flag(raw, 'use_sliding_window') or window is None:
    if kinds is not None and 'sliding_attention' in kinds:
      raise ValueError(
        'layer_types holds sliding_attention, but use_sliding_window is '
        f'{raw.get("use_sliding_window")!r} and sliding_window {window!r}'
      )
    return {}
  if kinds is not None:
    slides = tuple(_WINDOW_KINDS[kind] for kind in kinds)
  else:
    first = 28
    if raw.get('max_window_layers') is not None:
      first = _whole_number(raw, 'max_window_layers')
    slides = tuple(number >= first for number in range(layers))
  if not any(slides):
    return {}
  return {'window': window, 'window_layers': () if all(slides) else slides}


def family_of(config: config_lib.DecoderConfig) -> str:
  """The model_type as which a decoder can be written.

  Raises:
    ValueError: no family has its options.
  """
  if config.qk_norm:
    if config.qkv_bias != config.o_bias:
      raise ValueError(
        'no family has query/key norms (qk_norm) with biases on some of the '
        'projections of attention: set qkv_bias and o_bias alike'
      )
    return 'qwen3'
  if config.o_bias:
    if not config.qkv_bias or config.window is not None:
      raise ValueError(
        'the only family with o_bias is Llama, which needs qkv_bias too and '
        'has no windows'
      )
    return 'llama'
  # Llama has no windows, and its heads must divide the width; not so Qwen2, and
  # with zeros as biases that is the same model.
  if (
    config.qkv_bias or config.window is not None or config.width % config.heads
  ):
    return 'qwen2'
  return 'llama'


def to_fields(
  config: config_lib.DecoderConfig, dtype: str = 'float32'
) -> dict[str, Any]:
  """The fields of a config.json, such that `from_fields` gives it back.

  Args:
    config: of the decoder.
    dtype: of the tensors beside it.
  """
  family = family_of(config)
  raw: dict[str, Any] = {
    'architectures': [FAMILIES[family]],
    'model_type': family,
    'hidden_act': 'silu',
    **{field: getattr(config, name) for name, field in _SIZES.items()},
    'num_key_value_heads': config.kv_heads,
    'head_dim': config.head_dim,
    'rope_theta': config.rope_base,
    'rms_norm_eps': config.norm_eps,
    'tie_word_embeddings': config.tie_embeddings,
    'max_position_embeddings': config.max_positions,
    'torch_dtype': dtype,
  }
  scaling = config.rope_scaling
  if scaling is not None:
    raw['rope_scaling'] = {'rope_type': scaling.kind, 'factor': scaling.factor}
    if scaling.kind == 'llama3':
      raw['rope_scaling'] |= {
        'low_freq_factor': scaling.low_frequency,
        'high_freq_factor': scaling.high_frequency,
        'original_max_position_embeddings': scaling.original_positions,
      }
  if family != 'qwen2':
    raw['attention_bias'] = config.o_bias
  if family != 'llama':
    raw['use_sliding_window'] = config.window is not None
    raw['sliding_window'] = config.window
    raw['layer_types'] = [
      'full_attention' if window is None else 'sliding_attention'
      for window in config.windows
    ]
  return raw
