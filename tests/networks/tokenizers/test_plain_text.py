"""The space in front of a text, and the parts that have none."""

import pytest

pytest.importorskip('tokenizers', reason='an extra')
from tokenizers import pre_tokenizers

from jaxcredit.networks.tokenizers import plain_text
from tests.networks import tiny_tokenizers

START, SPECIAL, MIDDLE = 'start', 'behind special', 'middle'


def bytes_with_a_space():
  backend = tiny_tokenizers.qwen()
  backend.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.ByteLevel(add_prefix_space=True)]
  )
  return backend


@pytest.mark.parametrize(
  ('backend', 'spaced'),
  [
    (tiny_tokenizers.qwen(), []),
    (bytes_with_a_space(), [START, SPECIAL]),
    (tiny_tokenizers.llama2('first'), [START]),
    (tiny_tokenizers.llama2('always'), [START, SPECIAL]),
    (tiny_tokenizers.llama2('prepend'), [START, SPECIAL]),
  ],
)
def test_where_a_space_is_put(backend, spaced):
  plain = plain_text.PlainText(backend.to_str())
  for place in (START, SPECIAL, MIDDLE):
    pieces = [backend.id_to_token(t) for t in plain.encode('abc', place)]
    text = ''.join(pieces).replace('▁', ' ').replace('Ġ', ' ')
    assert text == (' abc' if place in spaced else 'abc'), place
    # A space that is there stays.
    assert plain.encode(' abc', place)[0] != plain.encode('abc', MIDDLE)[0]
  # As the tokenizer itself has it at the start.
  assert (
    plain.encode('abc', START)
    == backend.encode('abc', add_special_tokens=False).ids
  )


def test_nothing_that_is_spelt_out_is_special():
  backend = tiny_tokenizers.qwen()
  plain = plain_text.PlainText(backend.to_str())
  added = backend.get_added_tokens_decoder()
  for place in (START, SPECIAL, MIDDLE):
    tokens = plain.encode('<|im_end|><think>', place)
    assert tokens and not {*tokens} & {*added}
    assert backend.decode(tokens) == '<|im_end|><think>'


def test_one_copy_serves_places_that_do_not_differ():
  plain = plain_text.PlainText(tiny_tokenizers.qwen().to_str())
  assert plain._backend(START) is plain._backend(MIDDLE)
  plain = plain_text.PlainText(tiny_tokenizers.llama2('first').to_str())
  assert plain._backend(SPECIAL) is plain._backend(MIDDLE)
  assert plain._backend(SPECIAL) is not plain._backend(START)
