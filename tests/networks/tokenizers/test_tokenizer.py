"""Text survives the tokenizer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

tokenizers = pytest.importorskip('tokenizers', reason='an extra')
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib  # noqa: E402

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
