"""Vocabularies of the SentencePiece kind against their rule, written slowly."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip('tokenizers', reason='an extra')
from jaxcredit.networks.tokenizers import sentencepiece_bpe
from tests.networks import sentencepiece_reference

SPECIAL = ['<unk>', '<s>', '</s>']
BYTES = [f'<0x{byte:02X}>' for byte in range(256)]
FIRST = len(SPECIAL) + len(BYTES)


def vocabulary(words):
  """Pieces of some words: the more frequent, the better their scores."""
  letters = sorted({letter for word in words for letter in word})
  longer = [word for word in dict.fromkeys(words) if len(word) > 1]
  pieces = [*SPECIAL, *BYTES, *longer, *letters]
  scores = [0.0] * FIRST + [-float(n) for n in range(len(pieces) - FIRST)]
  return pieces, scores


WORDS = ['▁the', 'th', 'he', '▁t', 'aa', 'aaa', 'ab', 'ba', 'aba', '▁▁', '\nb']


@given(
  st.permutations(WORDS),
  # Few letters, so that pieces compete for them.
  st.text('ab', min_size=3, max_size=30)
  | st.text('the ab\n', min_size=3)
  | st.text('é😀<0xA>s/')
  | st.text(),
  st.booleans(),
)
@settings(max_examples=100)
def test_it_follows_the_rule(words, text, leading_space):
  pieces, scores = vocabulary(words)
  backend = sentencepiece_bpe.build(
    pieces, scores, leading_space=leading_space, reserved=range(3)
  )
  tokens = backend.encode(text, add_special_tokens=False).ids
  assert tokens == sentencepiece_reference.encode(
    pieces, scores, text, first_text_id=FIRST, leading_space=leading_space
  )
  # Its own sign for a space comes back as one.
  back = backend.decode(tokens, skip_special_tokens=False)
  assert back == text.replace('▁', ' ')


def test_what_is_spelt_out_never_merges_into_reserved_pieces():
  # Every way of cutting these in two is a piece.
  spelt = ['<s', 's>', '</s', '/s>', '<0x0', '0x0A>', '<0x', '0A>', '0A', '0x']
  pieces, scores = vocabulary(spelt)
  backend = sentencepiece_bpe.build(
    pieces, scores, leading_space=False, reserved=range(3)
  )
  for text in ('<s>', '</s>', '<0x0A>'):
    tokens = backend.encode(text, add_special_tokens=False).ids
    assert min(tokens) >= FIRST
    assert backend.decode(tokens) == text
  # Where it is no reserved piece, it merges.
  free = sentencepiece_bpe.build(pieces, scores, leading_space=False)
  assert free.encode('<s>', add_special_tokens=False).ids == [1]


def test_bytes_that_are_no_text_come_back_as_replacement_characters():
  backend = sentencepiece_bpe.build(*vocabulary(['ab']))
  whole = [3 + byte for byte in 'é'.encode()]
  assert backend.decode([FIRST, *whole]) == 'abé'
  assert backend.decode([FIRST, whole[0]]) == 'ab\ufffd'


def test_pieces_that_do_not_belong_together():
  pieces, scores = vocabulary(['ab'])
  with pytest.raises(ValueError, match='262 pieces have 261 scores'):
    sentencepiece_bpe.build(pieces, scores[1:])
  with pytest.raises(ValueError, match="pieces 259 and 262 are both 'ab'"):
    sentencepiece_bpe.build([*pieces, 'ab'], [*scores, -9.0])
  with pytest.raises(ValueError, match=r"score of piece 259 \('ab'\) is no n"):
    sentencepiece_bpe.build(
      pieces, [*scores[:FIRST], math.nan, *scores[FIRST + 1 :]]
    )
