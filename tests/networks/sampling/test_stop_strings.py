"""The automaton over tokens finds what a search in the text finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcredit.networks.sampling import stop_strings

tokenizers = pytest.importorskip('tokenizers', reason='an extra')
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib  # noqa: E402


def run(table, tokens) -> int | None:
  """Tokens read until a string is found; None where none is."""
  state = jnp.zeros((1,), jnp.int32)
  for count, token in enumerate(tokens, 1):
    state = table.next(state, jnp.array([token]))
    if table.found(state)[0]:
      return count
  return None


def search(strings, pieces, tokens) -> int | None:
  for count in range(1, len(tokens) + 1):
    text = b''.join(pieces[t] for t in tokens[:count])
    if any(string.encode() in text for string in strings):
      return count
  return None


PIECES = [
  b'',
  b'a',
  b'b',
  b'ab',
  b'ba',
  b'aab',
  b'abab',
  b'c',
  b'\xc3',
  b'\xa9',
]


@given(
  st.lists(st.text('ab\xe9', min_size=1, max_size=4), min_size=1, max_size=3),
  st.lists(st.integers(0, len(PIECES) - 1), max_size=8),
)
def test_it_finds_what_a_search_finds(strings, tokens):
  with jax.disable_jit():
    table = stop_strings.compile_table(strings, PIECES, 12)
    assert run(table, tokens) == search(strings, PIECES, tokens)


def test_a_string_over_tokens_from_the_middle_of_one_to_that_of_another():
  pieces = [b'go ', b'x</', b'act', b'ion>\n', b'ion']
  table = stop_strings.compile_table(['</action>'], pieces, len(pieces))
  assert run(table, [0, 1, 2, 3]) == 4
  assert run(table, [1, 2, 4, 3]) is None
  # What was found stays found.
  state = jnp.array([table.transitions.shape[0] - 1])
  assert table.found(table.next(state, jnp.array([0])))[0]


def test_a_short_string_within_a_long_one():
  # 'b' ends before 'abc' does, and begins after it.
  pieces = [b'a', b'b', b'c', b'abc']
  table = stop_strings.compile_table(['abc', 'b'], pieces, 4)
  assert run(table, [0, 1]) == 2
  assert run(table, [0, 0, 2]) is None
  assert run(table, [3]) == 1


def test_few_kinds_of_tokens():
  # Nearly all tokens of a large vocabulary do the same.
  pieces = [str(n).encode() for n in range(5000)]
  table = stop_strings.compile_table(['4242'], pieces, 6000)
  assert table.kinds.shape == (6000,)
  assert table.transitions.shape[0] == 5
  assert table.transitions.shape[1] < 50
  assert run(table, [142, 2, 42]) is None
  assert run(table, [142, 4]) is None
  assert run(table, [142, 42, 4]) == 2
  assert run(table, [4, 24, 2]) == 3
  assert run(table, [5999, 4242]) == 2


def test_no_strings_need_no_table():
  assert stop_strings.compile_table([], PIECES, 12) is None


@pytest.mark.parametrize(
  ('strings', 'message'),
  [
    (['a', ''], "must be a text, not ''"),
    ('stop', r"not one: \['stop'\]\?"),
    ([3], 'must be a text, not 3'),
  ],
)
def test_strings_that_cannot_be(strings, message):
  with pytest.raises(ValueError, match=message):
    stop_strings.compile_table(strings, PIECES, 12)


def test_a_tokenizer_larger_than_the_model():
  with pytest.raises(ValueError, match='has 10 tokens, the model 9'):
    stop_strings.compile_table(['a'], PIECES, 9)


@pytest.mark.parametrize(
  ('text', 'strings', 'before', 'kept'),
  [
    ('go north. then', ['. '], 'go north', 'go north. '),
    ('go north', ['.'], 'go north', 'go north'),
    # The string that is complete first, not the one that begins first.
    ('abcd', ['abcd', 'bc'], 'a', 'abc'),
    # Of those that end together the longest.
    ('xabc', ['c', 'abc'], 'x', 'xabc'),
    ('.a.', ['.'], '', '.'),
  ],
)
def test_cut(text, strings, before, kept):
  assert stop_strings.cut(text, strings) == before
  assert stop_strings.cut(text, strings, keep=True) == kept


def test_tokenizers_say_what_tokens_add_or_decode_them():
  class Decodes:
    vocab_size = 2

    def decode(self, tokens):
      return ''.join('ab'[t] for t in tokens)

  class Says(Decodes):
    def token_bytes(self):
      return [b'\xe2', b'b']

  assert stop_strings.token_bytes(Decodes(), 5) == [b'a', b'b']
  assert stop_strings.token_bytes(Says(), 5) == [b'\xe2', b'b']


def test_next_takes_rows():
  table = stop_strings.compile_table(['ab'], PIECES, 12)
  state = table.next(jnp.zeros((3,), jnp.int32), jnp.array([1, 2, 3]))
  np.testing.assert_array_equal(table.found(state), [False, False, True])


TRAINED = tokenizer_lib.train_tokenizer(['the mug 3 is on the desk 12'] * 30)


@given(st.text())
def test_bytes_of_a_trained_tokenizer(text):
  pieces = TRAINED.token_bytes()
  assert len(pieces) == TRAINED.vocab_size
  assert b''.join(pieces[t] for t in TRAINED.encode(text)) == text.encode()
  assert pieces[TRAINED.eos_id] == tokenizer_lib.STOP.encode()


def test_bytes_of_a_tokenizer_of_the_sentencepiece_kind():
  vocabulary = {
    '<unk>': 0, '</s>': 1, '<0xC3>': 2, '<0xA9>': 3, '\u2581': 4, 'a': 5,
    '\u2581a': 6, 'b': 9,
  }  # fmt: skip
  backend = tokenizers.Tokenizer(
    tokenizers.models.BPE(vocabulary, [('\u2581', 'a')], byte_fallback=True)
  )
  backend.add_special_tokens(['</s>'])
  backend.decoder = tokenizers.decoders.Sequence(
    [
      tokenizers.decoders.Replace('\u2581', ' '),
      tokenizers.decoders.ByteFallback(),
      tokenizers.decoders.Fuse(),
      tokenizers.decoders.Strip(' ', 1, 0),
    ]
  )
  pieces = tokenizer_lib.token_bytes(backend)
  assert pieces == [
    b'<unk>', b'</s>', b'\xc3', b'\xa9', b' ', b'a', b' a', b'', b'', b'b',
  ]  # fmt: skip
  tokens = [5, 6, 2, 3, 9]
  text = b''.join(pieces[t] for t in tokens).decode()
  assert text == 'a a\xe9b' == backend.decode(tokens)
