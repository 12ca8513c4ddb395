"""Small models of every family as transformers builds and runs them.

Needs torch: `make test-torch` sets an environment with it up.
"""

import pathlib

import numpy as np
import torch
import transformers

from tests.networks import tiny_models

_SIZES = {
  'vocab_size': 96, 'hidden_size': 48, 'intermediate_size': 80,
  'num_hidden_layers': 3, 'num_attention_heads': 6, 'num_key_value_heads': 2,
  # Large enough to be seen.
  'max_position_embeddings': 128, 'rms_norm_eps': 0.02,
}  # fmt: skip
_LLAMA = {**_SIZES, 'model_type': 'llama'}
_QWEN2 = {**_SIZES, 'model_type': 'qwen2', 'rope_theta': 1e6}
_QWEN3 = {**_SIZES, 'model_type': 'qwen3', 'rope_theta': 1e6, 'head_dim': 16}
# Rows are longer than those first trained on: all of the scaling is at work.
_LLAMA3_SCALING = {
  'rope_type': 'llama3', 'low_freq_factor': 1.0, 'high_freq_factor': 4.0,
  'original_max_position_embeddings': 16,
}  # fmt: skip
# Named for the release whose options they have.
FAMILIES = {
  'Llama 2': {
    **_LLAMA, 'num_key_value_heads': 6, 'rope_theta': 1e4,
    'tie_word_embeddings': False,
  },
  'Llama 3': {**_LLAMA, 'rope_theta': 5e5, 'tie_word_embeddings': False},
  'Llama 3.1': {
    **_LLAMA, 'rope_theta': 5e5, 'tie_word_embeddings': False,
    'rope_scaling': {**_LLAMA3_SCALING, 'factor': 8.0},
  },
  'Llama 3.2': {
    **_LLAMA, 'rope_theta': 5e5, 'tie_word_embeddings': True, 'head_dim': 16,
    'rope_scaling': {**_LLAMA3_SCALING, 'factor': 32.0},
  },
  'Llama, linear, biases': {
    **_LLAMA, 'rope_theta': 1e4, 'tie_word_embeddings': False,
    'attention_bias': True, 'rope_scaling': {'type': 'linear', 'factor': 4.0},
  },
  'SmolLM2': {
    **_LLAMA, 'num_key_value_heads': 3, 'rope_theta': 1e5,
    'tie_word_embeddings': True,
  },
  'Qwen2': {**_QWEN2, 'tie_word_embeddings': False},
  'Qwen2.5': {**_QWEN2, 'tie_word_embeddings': True},
  'Qwen2.5, windows': {
    **_QWEN2, 'tie_word_embeddings': False, 'use_sliding_window': True,
    'sliding_window': 7, 'max_window_layers': 1,
  },
  'Qwen3': {**_QWEN3, 'tie_word_embeddings': True},
  'Qwen3, untied': {**_QWEN3, 'tie_word_embeddings': False},
  'Qwen3, windows, biases': {
    **_QWEN3, 'tie_word_embeddings': True, 'attention_bias': True,
    'use_sliding_window': True, 'sliding_window': 5,
    'layer_types': ['sliding_attention', 'full_attention', 'sliding_attention'],
  },
}  # fmt: skip


def build(name: str):
  """A model of a family, float32, its numbers drawn at random."""
  # 'eager' is the plain product, mask and softmax.
  config = transformers.AutoConfig.for_model(
    attn_implementation='eager', **FAMILIES[name]
  )
  model = transformers.AutoModelForCausalLM.from_config(config).eval()
  with torch.no_grad():
    for key, value in model.named_parameters():
      drawn = tiny_models.draw(key, value.shape)
      # Tied to the output, embeddings of variance 1 give huge logits.
      drawn *= 0.3 if 'embed' in key else 1
      value.copy_(torch.tensor(drawn))
  return model


def load(folder: pathlib.Path, dtype=torch.float32):
  """A model that transformers reads; every tensor must find its place."""
  model, info = transformers.AutoModelForCausalLM.from_pretrained(
    folder, dtype=dtype, attn_implementation='eager', output_loading_info=True
  )
  for problem, found in info.items():
    assert not found, f'{problem}: {found}'
  return model.eval()


def logits(model, rows) -> list[np.ndarray]:
  """Logits [L, V] of each row, run alone."""
  with torch.no_grad():
    return [
      model(torch.tensor([row])).logits[0].float().numpy() for row in rows
    ]


def padded_logits(model, tokens: np.ndarray, valid: np.ndarray) -> np.ndarray:
  """Logits [N, L, V] of padded rows, as `generate` runs them.

  Args:
    model: of transformers.
    tokens: [N, L].
    valid: bool [N, L], False for padding.
  """
  positions = np.maximum(np.cumsum(valid, axis=1) - 1, 0)
  with torch.no_grad():
    return model(
      torch.tensor(tokens),
      attention_mask=torch.tensor(valid.astype(np.int64)),
      position_ids=torch.tensor(positions),
    ).logits.numpy()


def greedy(model, prompt, count: int, **options) -> list[int]:
  """The tokens that `generate` takes behind a prompt, the likeliest each."""
  with torch.no_grad():
    row = model.generate(
      torch.tensor([prompt]),
      attention_mask=torch.ones((1, len(prompt)), dtype=torch.int64),
      do_sample=False,
      max_new_tokens=count,
      pad_token_id=0,
      **options,
    )[0]
  return row[len(prompt) :].tolist()


def gradients(model, rows, *, entropy_weight: float) -> dict[str, np.ndarray]:
  """Gradient of the mean log-probability plus so much of the mean entropy.

  Args:
    model: of transformers.
    rows: over whose tokens but the first the means are.
    entropy_weight: factor of the entropy.

  Returns:
    Names of tensors -> gradients.
  """
  log_probs, entropies = zip(*(scores(model, row) for row in rows), strict=True)
  objective = torch.cat(log_probs).mean()
  objective = objective + entropy_weight * torch.cat(entropies).mean()
  names, values = zip(*model.named_parameters(), strict=True)
  found = torch.autograd.grad(objective, values)
  return {n: x.numpy() for n, x in zip(names, found, strict=True)}


def scores(model, row) -> tuple[torch.Tensor, torch.Tensor]:
  """Log-probability of each token but the first, and the entropies."""
  row = torch.tensor(np.asarray(row, np.int64))
  log_probs = torch.log_softmax(model(row[None]).logits[0, :-1], dim=-1)
  chosen = log_probs[torch.arange(len(row) - 1), row[1:]]
  return chosen, -(log_probs.exp() * log_probs).sum(dim=-1)
