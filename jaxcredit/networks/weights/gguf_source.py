"""Weights and configuration of a GGUF file, dequantised part by part."""

import dataclasses
import pathlib
import re
from typing import Any

import gguf
import numpy as np

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import rope
from jaxcredit.networks.weights import gguf_file, json_object
from jaxcredit.networks.weights import source as source_lib

_ARCHITECTURES = ('llama', 'qwen2', 'qwen3')
_KINDS = ('F32', 'F16', 'BF16', 'Q8_0', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1',
          'Q4_K', 'Q5_K', 'Q6_K')  # fmt: skip
_TOP = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
  'output.weight': 'lm_head.weight',
}
_PARTS = {
  'attn_norm': 'input_layernorm',
  'ffn_norm': 'post_attention_layernorm',
  'attn_q': 'self_attn.q_proj',
  'attn_k': 'self_attn.k_proj',
  'attn_v': 'self_attn.v_proj',
  'attn_output': 'self_attn.o_proj',
  'attn_q_norm': 'self_attn.q_norm',
  'attn_k_norm': 'self_attn.k_norm',
  'ffn_gate': 'mlp.gate_proj',
  'ffn_up': 'mlp.up_proj',
  'ffn_down': 'mlp.down_proj',
}
_ROPE_FACTORS = 'rope_freqs.weight'
_IN_BLOCK = re.compile(r'blk\.([0-9]+)\.(\w+)\.(weight|bias)')


class GgufSource:
  """See `source.Source`.

  Args:
    path: of the .gguf file.
  """

  config_name = 'metadata'

  def __init__(self, path: pathlib.Path):
    self.path = path
    file = gguf_file.GgufFile(path)
    architecture = file.metadata.get('general.architecture')
    if architecture not in _ARCHITECTURES:
      raise ValueError(
        f'{path}: general.architecture is {architecture!r:.100}; the decoder '
        f'knows '
        f'{", ".join(_ARCHITECTURES)}'
      )
    # llama.cpp turns neighbouring pairs in this architecture alone.
    self._interleaved = architecture == 'llama'
    self._tensors: dict[str, gguf_file.Tensor] = {}
    for name, tensor in file.tensors.items():
      if name == _ROPE_FACTORS:
        continue
      if tensor.kind.name not in _KINDS:
        raise ValueError(
          f'{path}: tensor {json_object.shown(name)} is of type '
          f'{tensor.kind.name}; {", ".join(_KINDS)} are read'
        )
      named = _hugging_face_name(name)
      if named in self._tensors:
        raise ValueError(
          f'{path}: {json_object.shown(name)} is a second name of the tensor '
          f'{json_object.shown(named)}'
        )
      self._tensors[named] = tensor
    self.shapes = {name: t.shape for name, t in self._tensors.items()}
    try:
      self.config = _config(architecture, file.metadata, self.shapes)
      if _ROPE_FACTORS in file.tensors:
        half, tensor = self.config.head_dim // 2, file.tensors[_ROPE_FACTORS]
        if tensor.shape != (half,):
          raise ValueError(
            f'tensor {_ROPE_FACTORS} has shape {list(tensor.shape)}, expected '
            f'[{half}]'
          )
        factors = self._dequantise(tensor, ((0, half),))
        self.config = _with_rope_factors(self.config, factors)
    except ValueError as error:
      raise ValueError(f'{path}: {error}') from None

  def read(self, name: str, bounds: source_lib.Bounds) -> np.ndarray:
    rows = None
    if self._interleaved and ('.q_proj.' in name or '.k_proj.' in name):
      rows = source_lib.interleaved_rows(*bounds[0], self.config.head_dim)
    return self._dequantise(self._tensors[name], bounds, rows)

  def _dequantise(self, tensor, bounds, rows=None) -> np.ndarray:
    block, block_bytes = gguf.GGML_QUANT_SIZES[tensor.kind]
    # A vector is a column: one number a row.
    width = tensor.shape[1] if len(tensor.shape) > 1 else 1
    start, stop = bounds[1] if len(bounds) > 1 else (0, 1)
    first, last = start // block, -(-stop // block)
    raw = source_lib.read_mapped(
      self.path,
      np.dtype(np.uint8),
      tensor.offset,
      (tensor.shape[0], width // block * block_bytes),
      (bounds[0], (first * block_bytes, last * block_bytes)),
      rows,
    )
    values = gguf.dequantize(raw, tensor.kind)
    values = values[:, start - first * block : stop - first * block]
    return values if len(tensor.shape) > 1 else values[:, 0]


def _hugging_face_name(name: str) -> str:
  """Names of unknown tensors stay, and are reported as unexpected."""
  if name in _TOP:
    return _TOP[name]
  match = _IN_BLOCK.fullmatch(name)
  if not match or match[2] not in _PARTS:
    return name
  return f'model.layers.{match[1]}.{_PARTS[match[2]]}.{match[3]}'


def _config(
  architecture: str,
  metadata: dict[str, Any],
  shapes: dict[str, tuple[int, ...]],
) -> config_lib.DecoderConfig:
  def get(key, default=None):
    return metadata.get(f'{architecture}.{key}', default)

  def refuse(key, kind):
    raise ValueError(
      f'{architecture}.{key} in the metadata must be a {kind}, not '
      f'{get(key)!r:.100}'
    )

  def whole_number(key, default=None):
    value = get(key, default)
    return value if json_object.is_whole(value) else refuse(key, 'whole number')

  def number(key, default):
    value = get(key, default)
    if isinstance(value, float) or json_object.is_whole(value):
      return value
    return refuse(key, 'number')

  if get('expert_count', 0):
    raise ValueError(
      f'{architecture}.expert_count is {get("expert_count")!r:.100}; mixtures '
      'of experts are not read'
    )
  embedding = shapes.get('model.embed_tokens.weight')
  if embedding is None:
    raise ValueError('tensor token_embd.weight is missing')
  width = whole_number('embedding_length')
  heads = whole_number('attention.head_count')
  head_dim = whole_number(
    'attention.key_length', default=width // max(heads, 1)
  )
  for key in ('attention.value_length', 'rope.dimension_count'):
    if get(key, head_dim) != head_dim:
      raise ValueError(
        f'{architecture}.{key} is {get(key)!r:.100}, but the decoder has the '
        f'size of a head alone ({head_dim})'
      )
  if get('attention.sliding_window'):
    raise ValueError(
      f'{architecture}.attention.sliding_window is set; windows are read '
      'from Hugging Face folders alone'
    )
  scaling = None
  kind = get('rope.scaling.type', 'none')
  if kind == 'linear':
    scaling = config_lib.RopeScaling(
      'linear', number('rope.scaling.factor', 1.0)
    )
  elif kind != 'none':
    raise ValueError(
      f'{architecture}.rope.scaling.type is {kind!r:.100}; none and linear '
      'are read'
    )
  first = 'model.layers.0.self_attn'
  return config_lib.DecoderConfig(
    vocab_size=whole_number('vocab_size', embedding[0]),
    width=width,
    layers=whole_number('block_count'),
    heads=heads,
    kv_heads=whole_number('attention.head_count_kv', heads),
    head_dim=head_dim,
    hidden=whole_number('feed_forward_length'),
    rope_base=number('rope.freq_base', 10_000.0),
    rope_scaling=scaling,
    norm_eps=number('attention.layer_norm_rms_epsilon', 1e-6),
    tie_embeddings='lm_head.weight' not in shapes,
    # The metadata does not say; Qwen2 always has them.
    qkv_bias=architecture == 'qwen2' or f'{first}.q_proj.bias' in shapes,
    o_bias=f'{first}.o_proj.bias' in shapes,
    qk_norm=architecture == 'qwen3',
    max_positions=whole_number('context_length', 32_768),
  )


def _with_rope_factors(
  config: config_lib.DecoderConfig, factors: np.ndarray
) -> config_lib.DecoderConfig:
  """Finds the Llama 3 scaling of which a GGUF file holds the outcome."""
  half = config.head_dim // 2
  plain = config.rope_base ** (-np.arange(half) / half)
  factor = float(factors.max())
  if factor == 1:
    return config
  # Rows first trained on had a power of two of tokens, 8192 in all releases.
  for power in (13, *range(3, 21)):
    scaling = config_lib.RopeScaling(
      'llama3', max(factor, 1.0), original_positions=2**power
    )
    if np.allclose(rope.scaling_factors(plain, scaling), factors, rtol=1e-4):
      return dataclasses.replace(config, rope_scaling=scaling)
  raise ValueError(
    f'{_ROPE_FACTORS} ({factors.size} factors up to {factor:g}) is '
    'no rope scaling of Llama 3'
  )
