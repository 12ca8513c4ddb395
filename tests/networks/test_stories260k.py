"""A real pretrained model: the text that it is known to write.

stories260K (Karpathy, tinyllamas; MIT) is a Llama of 260 thousand parameters
with a vocabulary of 512 pieces.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('tokenizers', reason='an extra')
pytest.importorskip('transformers', reason='an extra')
pytest.importorskip('safetensors', reason='an extra')
from jaxcredit.networks import decoder, sharding, weights
from jaxcredit.networks.sampling import sampler
from jaxcredit.networks.tokenizers import pretrained_tokenizer
from tests import shared_data
from tests.networks import sentencepiece_reference, test_weights

# What its author documents for 257 tokens at temperature 0.
STORY = (
  'Once upon a time, there was a little girl named Lily. She loved to play '
  'outside in the park. One day, she saw a big, red ball. She wanted to play '
  'with it, but it was too high.\n'
  "Lily's mom said, \"Lily, let's go to the park.\" Lily was sad and didn't "
  'know what to do. She said, "I want to play with your ball, but I can\'t '
  'find it."\n'
  "Lily was sad and didn't know what to do. She said, \"I'm sorry, Lily. I "
  'didn\'t know what to do."\n'
  "Lily didn't want to help her mom, so she said, \"I'm sorry, mom. I didn't "
  'know what to do." Her mom said, "Don\'t worry, Lily. We can help you.'
)
# The first id that is neither special nor a byte.
FIRST_TEXT = 259


def load(path, **options):
  return weights.from_pretrained(
    path, compute_dtype='float32', remat=False, **options
  )


@pytest.fixture(scope='module')
def folder():
  return shared_data.shared_data('stories260K/hf')


@pytest.fixture(scope='module')
def model(folder):
  return load(folder)


@pytest.fixture(scope='module')
def tokenizer(folder):
  return pretrained_tokenizer.load(folder)


@pytest.fixture(scope='module')
def pieces(tokenizer):
  """Pieces, and scores that put them in the same order."""
  backend = tokenizer._backend
  count = tokenizer.vocab_size
  names = [backend.id_to_token(number) for number in range(count)]
  # Pieces that were trained stand in the order of their scores.
  return names, [-float(number) for number in range(count)]


def test_greedy_decoding_writes_the_documented_story(model, tokenizer):
  params, config = model
  prompt = tokenizer.encode_prompt('Once upon a time')
  turn = sampler.sample_turn(
    sampler.decoding_params(params),
    config,
    sampler.init_cache(config, 1, 272),
    jax.random.split(jax.random.key(0), 1),
    jnp.asarray([prompt]),
    jnp.asarray([len(prompt)]),
    max_new_tokens=257 - len(prompt),
    stop_tokens=tokenizer.stop_ids,
    temperature=0.0,
  )
  drawn = turn.tokens[0].tolist()
  written = tokenizer.decode([*prompt[1:], *drawn])
  assert written == STORY


def test_a_file_in_parts_and_shards_is_the_same_model(model, folder):
  params, _ = model
  mesh = sharding.make_mesh(1, 4, 2)
  placed, _ = load(folder, mesh=mesh)
  test_weights.assert_equal_trees(jax.device_get(placed), params)


def test_the_story_comes_back_from_its_tokens(tokenizer):
  tokens = tokenizer.encode(STORY)
  assert tokenizer.decode(tokens) == STORY
  # A real vocabulary: words, not letters.
  assert len(tokens) < len(STORY) / 2
  assert tokenizer.encode_prompt(STORY) == [1, *tokens]


@given(
  text=st.text()
  | st.text('the Lily\n was.é😀<s>/')
  | st.lists(st.sampled_from(STORY.split(' '))).map(' '.join)
)
def test_the_tokenizer_follows_the_rule(tokenizer, pieces, text):
  names, scores = pieces
  tokens = tokenizer.encode(text)
  assert tokens == sentencepiece_reference.encode(
    names, scores, text, first_text_id=FIRST_TEXT
  )
  assert tokenizer.decode(tokens) == text.replace('▁', ' ')


def test_saved_and_read_again(model, tokenizer, tmp_path):
  params, config = model
  weights.save_pretrained(tmp_path, params, config)
  tokenizer.save(tmp_path)
  again, read = load(tmp_path)
  assert read == config
  read_tokenizer = pretrained_tokenizer.load(tmp_path)
  assert read_tokenizer.stop_ids == tokenizer.stop_ids == (2,)
  tokens = tokenizer.encode_prompt(STORY)
  assert read_tokenizer.encode_prompt(STORY) == tokens

  def logits(params):
    row = jnp.asarray([tokens[:64]])
    hidden = decoder.hidden_states(params, config, row)
    return decoder.logits(params, config, hidden)

  np.testing.assert_array_equal(logits(again), logits(params))
