"""Writes golden_logits.json: what transformers computes for tiny models.

  .venv-torch/bin/python -m tests.networks.make_golden_logits

Needs torch (`make test-torch` sets .venv-torch up).
"""

import json

import torch
import transformers

from tests.networks import tiny_models

_SIZES = {
  'vocab_size': 24, 'hidden_size': 16, 'intermediate_size': 24,
  'num_hidden_layers': 2, 'num_attention_heads': 4, 'num_key_value_heads': 2,
  'max_position_embeddings': 64,
}  # fmt: skip
# Fields as the releases write them, in the spellings of several years.
CONFIGS = {
  'llama2': {
    **_SIZES, 'model_type': 'llama', 'num_key_value_heads': 4,
    'rms_norm_eps': 1e-5, 'rope_theta': 10000.0, 'tie_word_embeddings': False,
  },
  'llama3': {
    **_SIZES, 'model_type': 'llama', 'head_dim': 8, 'rms_norm_eps': 1e-5,
    'rope_theta': 500000.0, 'tie_word_embeddings': True,
    'rope_scaling': {
      'rope_type': 'llama3', 'factor': 8.0, 'low_freq_factor': 1.0,
      'high_freq_factor': 4.0, 'original_max_position_embeddings': 12,
    },
  },
  'llama_linear_biases': {
    **_SIZES, 'model_type': 'llama', 'rms_norm_eps': 1e-5,
    'tie_word_embeddings': False, 'attention_bias': True,
    'rope_parameters': {
      'rope_type': 'linear', 'factor': 2.0, 'rope_theta': 10000.0,
    },
  },
  'smollm2': {
    **_SIZES, 'model_type': 'llama', 'hidden_size': 12,
    'num_attention_heads': 3, 'num_key_value_heads': 1, 'rms_norm_eps': 1e-5,
    'rope_theta': 100000, 'rope_scaling': None, 'rope_interleaved': False,
    'tie_word_embeddings': True,
  },
  'qwen2': {
    **_SIZES, 'model_type': 'qwen2', 'rms_norm_eps': 1e-6,
    'rope_theta': 1000000.0, 'tie_word_embeddings': True,
    'use_sliding_window': False, 'sliding_window': 32,
    'max_window_layers': 1,
  },
  'qwen2_windows': {
    **_SIZES, 'model_type': 'qwen2', 'num_hidden_layers': 3,
    'rms_norm_eps': 1e-6, 'rope_theta': 10000.0, 'tie_word_embeddings': False,
    'use_sliding_window': True, 'sliding_window': 4, 'max_window_layers': 1,
  },
  'qwen3': {
    **_SIZES, 'model_type': 'qwen3', 'head_dim': 8, 'rms_norm_eps': 1e-6,
    'tie_word_embeddings': False, 'use_sliding_window': False,
    'rope_parameters': {'rope_type': 'default', 'rope_theta': 1000000.0},
  },
  'qwen3_windows_biases': {
    **_SIZES, 'model_type': 'qwen3', 'head_dim': 6, 'rms_norm_eps': 1e-6,
    'tie_word_embeddings': True, 'rope_theta': 10000.0,
    'attention_bias': True, 'use_sliding_window': True, 'sliding_window': 3,
    'layer_types': ['sliding_attention', 'full_attention'],
  },
}  # fmt: skip
SEQUENCES = ([5, 1, 17, 2, 2, 9, 23, 0, 11], [3, 20, 7, 14, 6])


def main():
  golden = {}
  for name in tiny_models.NAMES:
    fields = dict(CONFIGS[name])
    config = transformers.AutoConfig.for_model(
      attn_implementation='eager', **fields
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    state = {
      key: torch.tensor(tiny_models.draw(key, value.shape))
      for key, value in model.state_dict().items()
      if not (key == 'lm_head.weight' and config.tie_word_embeddings)
    }
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    with torch.no_grad():
      logits = [model(torch.tensor([s])).logits[0] for s in SEQUENCES]
    golden[name] = {
      'config': fields,
      'tensors': {key: list(value.shape) for key, value in state.items()},
      'sequences': SEQUENCES,
      'logits': [
        [[round(x, 5) for x in row] for row in part.tolist()] for part in logits
      ],
    }
  tiny_models.GOLDEN.write_text(
    '{\n'
    + ',\n'.join(
      f'{json.dumps(name)}: {json.dumps(model, separators=(",", ":"))}'
      for name, model in golden.items()
    )
    + '\n}\n',
    encoding='utf-8',
  )


if __name__ == '__main__':
  main()
