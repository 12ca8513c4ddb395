"""Answers to many prompts, as text and as tokens."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxcredit.networks import config as config_lib
from jaxcredit.networks.sampling import generation, sampler, stop_strings
from jaxcredit.networks.sampling import sampling_params as sampling
from tests.networks import tiny_decoder
from tests.networks.sampling import test_engine

PIECES = [f' w{i}' for i in range(40)]
PIECES[test_engine.STOP] = '<end>'
# So many tokens are parts of 'stop here' that luck puts it together.
for i in range(10, 40):
  PIECES[i] = (' st', 'op he', 're and on')[i % 3]


class Words:
  """Each token is a text of its own."""

  def decode(self, tokens):
    return ''.join(PIECES[t] for t in tokens)


def generate(prompts, keys, **options):
  config, params, _ = tiny_decoder.for_sampling()
  options = {
    'new_tokens': test_engine.NEW, 'stop_tokens': (test_engine.STOP,),
    'slots': 3, 'chunks': (16,), **options,
  }  # fmt: skip
  return generation.generate(params, config, prompts, keys, **options)


def test_it_answers_in_order_and_tells_how_it_goes():
  rows = list(test_engine.prompts(12, seed=8).values())
  keys = jax.random.split(jax.random.key(8), 12)
  ended = []
  completions = generate(
    rows, keys, tokenizer=Words(), on_answer=ended.append,
    sampling_params=sampling.SamplingParams(0.9, min_p=0.02),
  )  # fmt: skip
  assert sum(ended) == 12
  assert len(ended) > 2
  ends = set()
  for row, key, completion in zip(rows, keys, completions, strict=True):
    slow = test_engine.slow_answer(
      'plain', row, key, sampling.SamplingParams(0.9, min_p=0.02)
    )
    test_engine.check_slow(completion, slow)
    stopped = completion.end == 'stop token'
    said = completion.tokens[:-1] if stopped else completion.tokens
    assert completion.text == Words().decode(said)
    ends.add(completion.end)
  assert ends == {'stop token', 'length'}
  assert generate(rows[:2], keys[:2])[0].text is None


@pytest.mark.parametrize('steps', [1, 4, 32])
def test_stop_strings_span_tokens_and_calls(steps):
  config, params, _ = tiny_decoder.for_sampling()
  strings = ['stop here', 'w9 st']
  count = 40
  rows = [[8 + i % 20, 10 + i % 3] for i in range(count)]
  keys = jax.random.split(jax.random.key(9), count)
  completions = generation.generate(
    params, config, rows, keys, new_tokens=24, strings=strings,
    tokenizer=Words(), slots=8, chunks=(16,), decode_steps_per_call=steps,
  )  # fmt: skip
  free = generation.generate(
    params, config, rows, keys, new_tokens=24, slots=8, chunks=(16,)
  )
  stopped = 0
  for completion, without in zip(completions, free, strict=True):
    tokens = completion.tokens
    # It is the beginning of what would have been drawn, scores included.
    assert without.tokens[: len(tokens)] == tokens
    np.testing.assert_allclose(
      completion.log_probs, without.log_probs[: len(tokens)], atol=1e-4
    )
    assert len(completion.policy_log_probs) == len(tokens)
    whole = Words().decode(without.tokens)
    assert (completion.end == 'stop string') == any(
      string in whole for string in strings
    )
    assert completion.text == stop_strings.cut(whole, strings)
    if completion.end == 'stop string':
      stopped += 1
      # The last token ended it, and is whole.
      assert not any(s in Words().decode(tokens[:-1]) for s in strings)
      assert any(s in Words().decode(tokens) for s in strings)
    else:
      assert tokens == without.tokens
  assert 3 < stopped < count


def test_a_stop_string_in_sample_turn():
  config, params, _ = tiny_decoder.for_sampling()
  stops = stop_strings.compile_table(
    ['stop here'], [p.encode() for p in PIECES], 40
  )
  reads = np.array([[8 + i, 10] for i in range(16)], np.int32)
  turn = sampler.sample_turn(
    sampler.decoding_params(params), config,
    sampler.init_cache(config, 16, 32), jax.random.split(jax.random.key(9), 16),
    reads, np.full((16,), 2, np.int32), max_new_tokens=24, stop_tokens=(),
    stops=stops,
  )  # fmt: skip
  found = 0
  for row in range(16):
    tokens = turn.tokens[row, : int(turn.count[row])].tolist()
    assert ('stop here' in Words().decode(tokens)) == bool(turn.stopped[row])
    assert 'stop here' not in Words().decode(tokens[:-1])
    assert turn.stopped[row] or len(tokens) == 24
    found += bool(turn.stopped[row])
  assert 0 < found < 16


class DropsTheSpace(Words):
  def decode(self, tokens):
    return super().decode(tokens).removeprefix(' ')


def test_a_stop_string_that_begins_with_a_space_in_front_of_all():
  completion = generation.Completion(0, [12, 10], [], [], [], 'length')
  for keep, text in ((False, ''), (True, ' stop')):
    answer = generation.Completion(0, [12, 10], [], [], [], 'stop string')
    assert (
      generation.text_of(answer, DropsTheSpace(), [' stop'], keep=keep) == text
    )
  assert generation.text_of(completion, DropsTheSpace()) == 'stop he'


class SomeWords(Words):
  vocab_size = 30


def test_what_is_no_token_is_not_sampled():
  rows = [[8 + i] for i in range(16)]
  keys = jax.random.split(jax.random.key(4), 16)
  free = generate(rows, keys)
  completions = generate(rows, keys, tokenizer=SomeWords())
  assert max(max(c.tokens) for c in free) >= 30
  assert max(max(c.tokens) for c in completions) < 30
  config, params, _ = tiny_decoder.for_sampling()
  for row, completion in zip(rows, completions, strict=True):
    text = list(row)
    for token, log_prob, entropy in zip(
      completion.tokens,
      completion.log_probs,
      completion.entropies,
      strict=True,
    ):
      logits = tiny_decoder.logits_behind(config, params, text)[:30]
      log_p = np.asarray(jax.nn.log_softmax(logits))
      np.testing.assert_allclose(log_prob, log_p[token], atol=1e-4)
      np.testing.assert_allclose(
        entropy, -(np.exp(log_p) * log_p).sum(), atol=1e-4
      )
      text.append(token)
  with pytest.raises(ValueError, match='has tokens from 35 to 35'):
    generate([[35]], keys[:1], tokenizer=SomeWords())


def test_rows_beyond_the_models_positions():
  config, params, _ = tiny_decoder.for_sampling(max_positions=20)
  key = jax.random.split(jax.random.key(4), 1)

  def sample(config, size):
    return generation.generate(
      params, config, [[8] * size], key, new_tokens=6, chunks=(16,)
    )

  with pytest.raises(
    ValueError, match='15 tokens with 6 new ones, of 21 tokens is beyond the 20'
  ):
    sample(config, 15)
  # Just as long as the model allows.
  assert len(sample(config, 14)[0].tokens) == 6
  # Linear scaling stretches the positions.
  scaled = dataclasses.replace(
    config, rope_scaling=config_lib.RopeScaling('linear', 2.0)
  )
  assert scaled.positions == 40
  assert len(sample(scaled, 15)[0].tokens) == 6
  llama3 = config_lib.RopeScaling('llama3', 8.0, original_positions=9)
  assert dataclasses.replace(config, rope_scaling=llama3).positions == 20


def test_no_prompts():
  assert generate([], jax.random.split(jax.random.key(0), 1)[:0]) == []


def test_stop_strings_need_a_tokenizer():
  keys = jax.random.split(jax.random.key(0), 1)
  with pytest.raises(ValueError, match=r"\['a'\].*need the tokenizer"):
    generate([[8]], keys, strings=['a'])


def test_prompts_of_other_lengths_do_not_compile():
  def compiled():
    return sampler.prefill._cache_size() + sampler.decode._cache_size()

  keys = jax.random.split(jax.random.key(0), 4)
  generate([[9] * 20] * 4, keys)
  before = compiled()
  for length in (10, 33, 57):
    generate([[9] * length] * 4, keys)
  assert compiled() == before
