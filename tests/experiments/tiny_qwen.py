"""A random Qwen2 of a few thousand parameters, in Hugging Face form."""

import json
import pathlib

import jax
import tokenizers

from jaxcredit.environments import household
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, weights
from jaxcredit.rollouts import formats

# ChatML, as Qwen's models have it.
TEMPLATE = (
  '{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>'
  '\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n'
  '{% endif %}'
)


def _tokenizer() -> tokenizers.Tokenizer:
  """Bytes, their merges, and Qwen's special tokens."""
  backend = tokenizers.Tokenizer(tokenizers.models.BPE())
  backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
    add_prefix_space=False
  )
  backend.decoder = tokenizers.decoders.ByteLevel()
  environment = household.HouseholdEnvironment(wording='2.1.1')
  texts = []
  for game in household.generate_games(0, 4):
    seen = environment.reset(game)
    texts.append(
      formats.ThinkAction().prompt(
        (), seen.observation, seen.admissible, game.task_description
      )
    )
  backend.train_from_iterator(
    texts,
    tokenizers.trainers.BpeTrainer(
      vocab_size=500,
      special_tokens=['<|endoftext|>', '<|im_start|>', '<|im_end|>'],
      initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
      show_progress=False,
    ),
  )
  return backend


def write(folder: pathlib.Path) -> pathlib.Path:
  """Writes the model; returns its folder."""
  backend = _tokenizer()
  config = config_lib.DecoderConfig(
    # Like Qwen's, larger than the tokenizer needs.
    vocab_size=backend.get_vocab_size() + 12,
    width=16,
    layers=1,
    heads=2,
    kv_heads=1,
    head_dim=8,
    hidden=24,
    qkv_bias=True,
  )
  params = decoder.init(jax.random.key(0), config)
  weights.save_pretrained(folder, params, config)
  backend.save(str(folder / 'tokenizer.json'))
  (folder / 'tokenizer_config.json').write_text(
    json.dumps(
      {
        'tokenizer_class': 'PreTrainedTokenizerFast',
        'eos_token': '<|im_end|>',
        'chat_template': TEMPLATE,
      }
    )
  )
  return folder
