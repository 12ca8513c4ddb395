"""Tiny models of every family, written as transformers would write them.

Configurations, names and shapes of tensors and the logits that transformers
computes lie in golden_logits.json (make_golden_logits.py makes it); the numbers
in the tensors are drawn from their names, the same on every machine.
"""

import functools
import json
import pathlib
import zlib

import numpy as np
from safetensors import numpy as safetensors_numpy

GOLDEN = pathlib.Path(__file__).parent / 'golden_logits.json'
NAMES = (
  'llama2',
  'llama3',
  'llama_linear_biases',
  'smollm2',
  'qwen2',
  'qwen2_windows',
  'qwen3',
  'qwen3_windows_biases',
)


@functools.cache
def golden() -> dict:
  """Family -> config, tensors (name -> shape), sequences, logits."""
  return json.loads(GOLDEN.read_text(encoding='utf-8'))


def draw(name: str, shape) -> np.ndarray:
  """Numbers of a tensor; RandomState gives the same in every version."""
  values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(
    shape
  )
  if 'norm' in name:
    values = 1 + 0.2 * values
  elif name.endswith('.bias'):
    values = 0.5 * values
  elif 'embed' not in name:
    values = 1.2 * shape[-1] ** -0.5 * values
  return values.astype(np.float32)


def write(folder: pathlib.Path, name: str, **changes) -> pathlib.Path:
  """Writes config.json and model.safetensors; changes go into config.json."""
  model = golden()[name]
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'config.json').write_text(
    json.dumps({**model['config'], **changes}), encoding='utf-8'
  )
  write_tensors(folder / 'model.safetensors', tensors(name))
  return folder


def tensors(name: str) -> dict[str, np.ndarray]:
  """Tensors of a tiny model by their names."""
  shapes = golden()[name]['tensors']
  return {tensor: draw(tensor, shape) for tensor, shape in shapes.items()}


def write_tensors(path: pathlib.Path, values: dict[str, np.ndarray]) -> None:
  """Writes one safetensors file."""
  safetensors_numpy.save_file(values, str(path), metadata={'format': 'pt'})
