"""Writes tiny models as GGUF files, as llama.cpp's converter would."""

import pathlib

import gguf
import numpy as np

from tests.networks import tiny_models

_PARTS = {
  'input_layernorm': 'attn_norm',
  'post_attention_layernorm': 'ffn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
}
_TOP = {
  'model.embed_tokens': 'token_embd',
  'model.norm': 'output_norm',
  'lm_head': 'output',
}


def gguf_name(name: str) -> str:
  """The name that llama.cpp gives to a tensor."""
  stem, _, kind = name.rpartition('.')
  if stem in _TOP:
    return f'{_TOP[stem]}.{kind}'
  number, _, part = stem.removeprefix('model.layers.').partition('.')
  return f'blk.{number}.{_PARTS[part]}.{kind}'


def interleave(value: np.ndarray, heads: int) -> np.ndarray:
  """Rows of a head in the order a_0, b_0, a_1, b_1... from a_0... b_0..."""
  rows = value.reshape(heads, 2, -1, *value.shape[1:])
  return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(value.shape)


def write(
  path: pathlib.Path,
  name: str,
  *,
  kinds=None,
  metadata=None,
  extra=None,
  values=None,
) -> dict[str, np.ndarray]:
  """Writes a tiny model.

  Args:
    path: of the file.
    name: of the model in `tiny_models`.
    kinds: GGUF name -> quantisation, for tensors that are not float32.
    metadata: key behind 'ARCHITECTURE.' -> value, or None to leave it out.
    extra: GGUF name -> further tensors.
    values: tensors by their Hugging Face names in place of the model's own.

  Returns:
    The tensors by their Hugging Face names, as they come out of the file.
  """
  fields = tiny_models.golden()[name]['config']
  kinds = kinds or {}
  writer = gguf.GGUFWriter(path, fields['model_type'])
  heads = fields['num_attention_heads']
  entries = {
    'block_count': fields['num_hidden_layers'],
    'context_length': fields['max_position_embeddings'],
    'embedding_length': fields['hidden_size'],
    'feed_forward_length': fields['intermediate_size'],
    'attention.head_count': heads,
    'attention.head_count_kv': fields['num_key_value_heads'],
    'attention.layer_norm_rms_epsilon': fields['rms_norm_eps'],
    'rope.freq_base': float(fields.get('rope_theta', 10_000.0)),
    'attention.key_length': fields.get('head_dim'),
    **(metadata or {}),
  }
  for key, value in entries.items():
    key = f'{fields["model_type"]}.{key}'
    if isinstance(value, str):
      writer.add_string(key, value)
    elif isinstance(value, float):
      writer.add_float32(key, value)
    elif value is not None:
      writer.add_uint32(key, value)
  # Entries of every kind are stepped over.
  writer.add_array('general.tags', ['a', 'bc'])
  writer.add_array('general.numbers', [1.5, 2.5])
  writer.add_bool('general.flag', True)
  written = {}
  for tensor, value in (values or tiny_models.tensors(name)).items():
    kind = kinds.get(gguf_name(tensor), gguf.GGMLQuantizationType.F32)
    count = {'q_proj': heads, 'k_proj': fields['num_key_value_heads']}.get(
      tensor.split('.')[-2]
    )
    # Only this architecture turns neighbouring pairs in llama.cpp.
    if count and fields['model_type'] == 'llama':
      raw = gguf.quantize(interleave(value, count), kind)
      again = gguf.dequantize(raw, kind).reshape(count, -1, 2, *value.shape[1:])
      written[tensor] = again.swapaxes(1, 2).reshape(value.shape)
    else:
      raw = gguf.quantize(value, kind)
      written[tensor] = gguf.dequantize(raw, kind)
    writer.add_tensor(gguf_name(tensor), raw, raw_dtype=kind)
  for tensor, value in (extra or {}).items():
    writer.add_tensor(tensor, value)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return written
