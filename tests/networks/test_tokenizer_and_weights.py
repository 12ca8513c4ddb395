"""Text survives the tokenizer, weights survive the folder."""

import json

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcredit.networks import decoder
from tests.networks import test_decoder

tokenizers = pytest.importorskip('tokenizers', reason='an extra')
from jaxcredit.networks import tokenizer as tokenizer_lib  # noqa: E402

TEXTS = [
  text
  for i in range(60)
  for text in (
    f'You arrive at loc {i}. On the desk {i % 3}, you see a mug {i % 5}, and a '
    f'desklamp {i % 2}.\nput a hot mug in desk>',
    f' take mug {i % 5} from desk {i % 3}',
  )
]
TOKENIZER = tokenizer_lib.train_tokenizer(TEXTS, 500)


def test_things_numbers_and_phrases_are_tokens():
  def pieces(text):
    return [TOKENIZER.decode([t]) for t in TOKENIZER.encode(text)]

  assert pieces(' take mug 3 from desk 12') == [
    ' take', ' mug', ' 3', ' from', ' desk', ' 1', '2',
  ] or pieces(' take mug 3 from desk 12') == [
    ' take', ' mug', ' 3', ' from', ' desk', ' 12',
  ]  # fmt: skip
  # The same token in the task's sentence, where no number follows.
  assert ' mug' in pieces('put a hot mug in desk>')
  assert pieces('You arrive at loc 3.')[0] == 'You arrive at'


@given(st.text())
def test_any_text_comes_back(text):
  assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_a_stop_token_spelt_out_is_text():
  tokens = TOKENIZER.encode(f'a {tokenizer_lib.STOP} b')
  assert TOKENIZER.eos_id not in tokens
  assert TOKENIZER.decode(tokens) == f'a {tokenizer_lib.STOP} b'


def test_training_is_repeatable():
  again = tokenizer_lib.train_tokenizer(TEXTS, 500)
  for text in TEXTS[:5]:
    assert again.encode(text) == TOKENIZER.encode(text)


def test_save_and_load(tmp_path):
  TOKENIZER.save(tmp_path)
  again = tokenizer_lib.Tokenizer.load(tmp_path)
  assert again.encode(TEXTS[0]) == TOKENIZER.encode(TEXTS[0])
  assert again.eos_id == TOKENIZER.eos_id
  assert again.vocab_size == TOKENIZER.vocab_size
  with pytest.raises(FileNotFoundError, match=r'no tokenizer\.json'):
    tokenizer_lib.Tokenizer.load(tmp_path / 'nowhere')
  with pytest.raises(ValueError, match='has no token'):
    tokenizer_lib.Tokenizer.load(tmp_path, '<|im_end|>')
  with pytest.raises(ValueError, match='vocab_size must be at least 257'):
    tokenizer_lib.train_tokenizer(TEXTS, 100)


def test_chat_prompts(tmp_path):
  # A tokenizer in the manner of Qwen's: bytes, and special tokens beside them.
  backend = tokenizers.Tokenizer(tokenizers.models.BPE())
  backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
    add_prefix_space=False
  )
  backend.decoder = tokenizers.decoders.ByteLevel()
  backend.train_from_iterator(
    ['user\n', 'assistant\n'],
    tokenizers.trainers.BpeTrainer(
      special_tokens=['<|im_start|>', '<|im_end|>'],
      initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
      show_progress=False,
    ),
  )
  backend.save(str(tmp_path / 'tokenizer.json'))
  chat = tokenizer_lib.Tokenizer.load(tmp_path, '<|im_end|>', chat=True)
  prompt = chat.encode_prompt('hi <|im_end|>')
  assert chat.decode(prompt) == (
    '<|im_start|>user\nhi <|im_end|><|im_end|>\n<|im_start|>assistant\n'
  )
  # What a game says cannot end the message: only ours is the special token.
  assert prompt.count(chat.eos_id) == 1
  plain = tokenizer_lib.Tokenizer.load(tmp_path, '<|im_end|>')
  assert plain.decode(plain.encode_prompt('hi')) == 'hi'
  with pytest.raises(ValueError, match='needs a tokenizer with <|im_start|>'):
    tokenizer_lib.Tokenizer(TOKENIZER._backend, chat=True)


weights = pytest.importorskip('jaxcredit.networks.weights')


@pytest.mark.parametrize('tied', [True, False])
def test_weights_round_trip(tmp_path, tied):
  config, params = test_decoder.build('qwen2', tie_embeddings=tied)
  weights.save_pretrained(tmp_path, params, config)
  again, read = weights.from_pretrained(tmp_path)
  assert (read.heads, read.kv_heads, read.qkv_bias) == (4, 2, True)
  assert read.tie_embeddings == tied
  jax.tree.map(np.testing.assert_array_equal, again, params)


def test_weights_without_biases_become_zero_biases(tmp_path):
  config, params = test_decoder.build('plain')
  weights.save_pretrained(tmp_path, params, config)
  again, read = weights.from_pretrained(tmp_path)
  tokens, length = np.arange(6)[None].astype(np.int32), np.array([6])
  read = test_decoder.config_lib.DecoderConfig(
    **{**read.__dict__, 'compute_dtype': 'float32'}
  )
  np.testing.assert_allclose(
    decoder.log_probs(again, read, tokens, length)[0],
    decoder.log_probs(params, config, tokens, length)[0],
    atol=1e-6,
  )


def test_wrong_folders(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'holds no config\.json'):
    weights.from_pretrained(tmp_path)
  config, params = test_decoder.build('qwen2')
  weights.save_pretrained(tmp_path, params, config)
  path = tmp_path / 'config.json'
  raw = json.loads(path.read_text())
  path.write_text(json.dumps({**raw, 'model_type': 'llama'}))
  with pytest.raises(ValueError, match="model_type is 'llama'"):
    weights.from_pretrained(tmp_path)
  path.write_text(json.dumps({**raw, 'intermediate_size': 99}))
  with pytest.raises(ValueError, match=r'do not fit config\.json'):
    weights.from_pretrained(tmp_path)
  path.write_text(json.dumps({**raw, 'num_hidden_layers': 1}))
  with pytest.raises(ValueError, match=r'unknown tensor model\.layers\.1'):
    weights.from_pretrained(tmp_path)
  path.write_text(json.dumps(raw))
  (tmp_path / 'model.safetensors').unlink()
  with pytest.raises(FileNotFoundError, match=r'no \.safetensors'):
    weights.from_pretrained(tmp_path)
