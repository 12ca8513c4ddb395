"""Weights in and out, in the Hugging Face form of Qwen2 and Qwen2.5.

A folder with config.json and safetensors files. Nothing is unpickled.
"""

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from safetensors import numpy as safetensors_numpy

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder

# Names in a block -> (path in our dict, whether the matrix is transposed).
_BLOCK = {
  'input_layernorm.weight': (('attention_norm', 'scale'), False),
  'post_attention_layernorm.weight': (('unit_norm', 'scale'), False),
  'self_attn.q_proj.weight': (('q', 'kernel'), True),
  'self_attn.k_proj.weight': (('k', 'kernel'), True),
  'self_attn.v_proj.weight': (('v', 'kernel'), True),
  'self_attn.q_proj.bias': (('q', 'bias'), False),
  'self_attn.k_proj.bias': (('k', 'bias'), False),
  'self_attn.v_proj.bias': (('v', 'bias'), False),
  'self_attn.o_proj.weight': (('o', 'kernel'), True),
  'mlp.gate_proj.weight': (('gate', 'kernel'), True),
  'mlp.up_proj.weight': (('up', 'kernel'), True),
  'mlp.down_proj.weight': (('down', 'kernel'), True),
}


def read_config(folder: str | os.PathLike) -> config_lib.DecoderConfig:
  """Reads config.json of a Qwen2 or Qwen2.5 model.

  Raises:
    FileNotFoundError: there is none.
    ValueError: the model is of another family.
  """
  path = pathlib.Path(folder) / 'config.json'
  if not path.exists():
    raise FileNotFoundError(
      f'{folder} holds no config.json: give the folder of a model in Hugging '
      'Face form'
    )
  raw = json.loads(path.read_text(encoding='utf-8'))
  if raw.get('model_type') != 'qwen2':
    raise ValueError(
      f'{path}: model_type is {raw.get("model_type")!r}; only qwen2 (Qwen2 '
      'and Qwen2.5) is read so far'
    )
  if raw.get('use_sliding_window'):
    raise ValueError(f'{path}: sliding-window attention is not supported')
  rope = raw.get('rope_parameters') or {}
  heads = raw['num_attention_heads']
  return config_lib.DecoderConfig(
    vocab_size=raw['vocab_size'],
    width=raw['hidden_size'],
    layers=raw['num_hidden_layers'],
    heads=heads,
    kv_heads=raw.get('num_key_value_heads', heads),
    head_dim=raw.get('head_dim') or raw['hidden_size'] // heads,
    hidden=raw['intermediate_size'],
    rope_base=float(raw.get('rope_theta') or rope.get('rope_theta', 10_000.0)),
    norm_eps=raw['rms_norm_eps'],
    tie_embeddings=raw.get('tie_word_embeddings', False),
    qkv_bias=True,
    compute_dtype='bfloat16',
    remat=True,
  )


def _tensors(folder: pathlib.Path) -> Iterator[tuple[str, jax.Array]]:
  """All tensors of a folder, as float32, one at a time."""
  files = sorted(folder.glob('*.safetensors'))
  if not files:
    raise FileNotFoundError(f'{folder} holds no .safetensors file')
  for file in files:
    with safetensors.safe_open(file, framework='flax') as tensors:
      for name in tensors.keys():
        yield name, tensors.get_tensor(name).astype(jnp.float32)


def from_pretrained(
  folder: str | os.PathLike,
) -> tuple[decoder.Params, config_lib.DecoderConfig]:
  """Reads a model; parameters become float32 masters.

  Raises:
    FileNotFoundError: files are missing.
    ValueError: the model is of another family, or a tensor is missing or
      unknown.
  """
  folder = pathlib.Path(folder)
  config = read_config(folder)
  layers: list[dict[str, Any]] = [{} for _ in range(config.layers)]
  params: decoder.Params = {'embedder': {}, 'final_norm': {}}
  for name, tensor in _tensors(folder):
    if name == 'model.embed_tokens.weight':
      params['embedder']['embedding'] = tensor
    elif name == 'model.norm.weight':
      params['final_norm']['scale'] = tensor
    elif name == 'lm_head.weight':
      if not config.tie_embeddings:
        params['head'] = {'kernel': tensor.T}
    elif name.startswith('model.layers.'):
      number, _, rest = name.removeprefix('model.layers.').partition('.')
      if rest not in _BLOCK or int(number) >= config.layers:
        raise ValueError(f'{folder}: unknown tensor {name}')
      (part, leaf), transposed = _BLOCK[rest]
      value = tensor.T if transposed else tensor
      layers[int(number)].setdefault(part, {})[leaf] = value
    else:
      raise ValueError(f'{folder}: unknown tensor {name}')
  expected = jax.eval_shape(lambda: decoder.init(jax.random.key(0), config))
  try:
    params['layers'] = jax.tree.map(lambda *x: jnp.stack(x), *layers)
    jax.tree.map(_check_shape, expected, params)
  except (ValueError, KeyError) as error:
    raise ValueError(
      f'{folder}: tensors do not fit config.json: {error}'
    ) from None
  return params, config


def _check_shape(expected, given) -> None:
  if expected.shape != given.shape:
    raise ValueError(f'shape {given.shape}, expected {expected.shape}')


def save_pretrained(
  folder: str | os.PathLike,
  params: decoder.Params,
  config: config_lib.DecoderConfig,
) -> None:
  """Writes config.json and model.safetensors as a Qwen2 model.

  Raises:
    ValueError: the decoder is not of that family.
  """
  if config.qk_norm:
    raise ValueError('a decoder with query/key norms is not a Qwen2 model')
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  tensors = {
    'model.embed_tokens.weight': params['embedder']['embedding'],
    'model.norm.weight': params['final_norm']['scale'],
  }
  if not config.tie_embeddings:
    tensors['lm_head.weight'] = params['head']['kernel'].T
  zeros = {
    'q': config.heads * config.head_dim,
    'k': config.kv_heads * config.head_dim,
    'v': config.kv_heads * config.head_dim,
  }
  for number in range(config.layers):
    for name, ((part, leaf), transposed) in _BLOCK.items():
      if leaf == 'bias' and not config.qkv_bias:
        # Qwen2 has these biases; zeros are the same model.
        value = np.zeros(zeros[part], np.float32)
      else:
        value = np.asarray(params['layers'][part][leaf][number])
      tensors[f'model.layers.{number}.{name}'] = (
        value.T if transposed else value
      )
  safetensors_numpy.save_file(
    {k: np.ascontiguousarray(v) for k, v in tensors.items()},
    str(folder / 'model.safetensors'),
    metadata={'format': 'pt'},
  )
  raw = {
    'architectures': ['Qwen2ForCausalLM'],
    'model_type': 'qwen2',
    'hidden_act': 'silu',
    'vocab_size': config.vocab_size,
    'hidden_size': config.width,
    'num_hidden_layers': config.layers,
    'num_attention_heads': config.heads,
    'num_key_value_heads': config.kv_heads,
    'head_dim': config.head_dim,
    'intermediate_size': config.hidden,
    'rope_theta': config.rope_base,
    'rms_norm_eps': config.norm_eps,
    'tie_word_embeddings': config.tie_embeddings,
    'max_position_embeddings': 32_768,
    'torch_dtype': 'float32',
  }
  (folder / 'config.json').write_text(
    json.dumps(raw, indent=2) + '\n', encoding='utf-8'
  )
