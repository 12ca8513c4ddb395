"""One tiny decoder for all tests of decoders and samplers.

Its sizes are the same everywhere, so that tests share what they compile.
"""

import functools

import jax
import numpy as np

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder
from jaxcredit.networks.sampling import sampler

SIZES = {
  'vocab_size': 40, 'width': 16, 'layers': 2, 'heads': 4, 'kv_heads': 2,
  'head_dim': 8, 'hidden': 24,
}  # fmt: skip
VARIANTS = {
  'plain': {},
  'qwen2': {'qkv_bias': True, 'tie_embeddings': False},
  'qwen3': {'qk_norm': True},
  'one_kv_head': {'kv_heads': 1},
  'remat': {'remat': True},
  'llama3': {
    'o_bias': True,
    'rope_scaling': config_lib.RopeScaling('llama3', 8.0, original_positions=9),
  },
  'linear': {'rope_scaling': config_lib.RopeScaling('linear', 4.0)},
  'windows': {'window': 3, 'window_layers': (False, True), 'remat': True},
}
# Rows of this many tokens are read by one program.
_LONGEST = 128


@functools.partial(jax.jit, static_argnums=0)
def _init(config):
  params = decoder.init(jax.random.key(0), config)
  # Zeros and ones would hide a bias or a scale that is not applied.
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  leaves = [
    x + 0.1 * jax.random.normal(k, x.shape)
    for x, k in zip(leaves, keys, strict=True)
  ]
  return jax.tree.unflatten(tree, leaves)


def build(variant='plain', **changes):
  """Configuration and parameters, new ones at each call."""
  config = config_lib.DecoderConfig(**{**SIZES, **VARIANTS[variant], **changes})
  return config, _init(config)


@functools.cache
def for_sampling(variant='plain', **changes):
  """Configuration, parameters and decoding parameters, few layers."""
  layers = 2 if variant == 'windows' else 1
  config, params = build(variant, **{'layers': layers, **changes})
  return config, params, sampler.decoding_params(params)


@functools.partial(jax.jit, static_argnums=0)
def _logits(config, params, tokens, last):
  hidden = decoder.hidden_states(params, config, tokens[None])
  return decoder.logits(params, config, hidden[0, last])


def logits_behind(config, params, row) -> np.ndarray:
  """Logits [V] behind a row of tokens, with no cache."""
  # Padding at the right changes nothing that stands in front of it.
  tokens = np.zeros((_LONGEST,), np.int32)
  tokens[: len(row)] = row
  return np.asarray(_logits(config, params, tokens, len(row) - 1))
