"""Names of tensors in the Hugging Face form, and their places in our dict."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder

_TOP = {
  ('embedder', 'embedding'): 'model.embed_tokens.weight',
  ('final_norm', 'scale'): 'model.norm.weight',
  ('head', 'kernel'): 'lm_head.weight',
}
# Part of a block -> its name in the Hugging Face form.
PARTS = {
  'attention_norm': 'input_layernorm',
  'unit_norm': 'post_attention_layernorm',
  'q': 'self_attn.q_proj',
  'k': 'self_attn.k_proj',
  'v': 'self_attn.v_proj',
  'o': 'self_attn.o_proj',
  'q_norm': 'self_attn.q_norm',
  'k_norm': 'self_attn.k_norm',
  'gate': 'mlp.gate_proj',
  'up': 'mlp.up_proj',
  'down': 'mlp.down_proj',
}


@dataclasses.dataclass(frozen=True)
class Parameter:
  """One array of our dict and the tensors of which it consists.

  Attributes:
    path: keys in the dict.
    shape: of the array.
    names: one tensor for each index of the leading axis, or the one tensor.
    stacked: whether the array has a leading layer axis.
    transposed: whether a tensor is the transpose of its part of the array.
  """

  path: tuple[str, ...]
  shape: tuple[int, ...]
  names: tuple[str, ...]
  stacked: bool
  transposed: bool

  @property
  def tensor_shape(self) -> tuple[int, ...]:
    """Shape of each of the tensors."""
    shape = self.shape[1:] if self.stacked else self.shape
    return shape[::-1] if self.transposed else shape


def parameters(config: config_lib.DecoderConfig) -> list[Parameter]:
  """All parameters of a decoder; asks `decoder.init` which there are."""
  shapes = jax.eval_shape(lambda: decoder.init(jax.random.key(0), config))
  found = []
  for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
    keys = tuple(str(key.key) for key in path)
    stacked = keys[0] == 'layers'
    if stacked:
      part, kind = keys[1:]
      kind = 'bias' if kind == 'bias' else 'weight'
      names = tuple(
        f'model.layers.{number}.{PARTS[part]}.{kind}'
        for number in range(config.layers)
      )
    else:
      names = (_TOP[keys],)
    found.append(
      Parameter(keys, leaf.shape, names, stacked, keys[-1] == 'kernel')
    )
  return found


def insert(params: decoder.Params, path: tuple[str, ...], value) -> None:
  """Puts a value into a nested dict."""
  for key in path[:-1]:
    params = params.setdefault(key, {})
  params[path[-1]] = value


def at(params: decoder.Params, path: tuple[str, ...]) -> jnp.ndarray:
  """The value in a nested dict."""
  for key in path:
    params = params[key]
  return params
