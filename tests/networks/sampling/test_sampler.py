"""Sampling with a cache across turns equals scoring whole rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.networks import decoder
from jaxcredit.networks.sampling import sampler
from tests.networks import tiny_decoder

STOP = 7
_log_probs = jax.jit(
  decoder.log_probs, static_argnames=('config', 'temperature')
)


def pad(rows, width=8):
  tokens = np.zeros((len(rows), width), np.int32)
  for i, row in enumerate(rows):
    tokens[i, : len(row)] = row
  return tokens, np.array([len(row) for row in rows], np.int32)


def turn(params, config, cache, keys, rows, width=8, **options):
  tokens, count = pad(rows, width)
  options = {'max_new_tokens': 5, 'stop_tokens': (STOP,), **options}
  return sampler.sample_turn(
    params, config, cache, keys, tokens, count, active=count > 0, **options
  )


@pytest.mark.parametrize(
  'variant', ['plain', 'qwen2', 'qwen3', 'one_kv_head', 'llama3', 'windows']
)
@pytest.mark.parametrize('temperature', [1.0, 0.6])
def test_log_probs_over_turns_are_those_of_the_whole_row(variant, temperature):
  config, params, fast = tiny_decoder.for_sampling(variant)
  rng = np.random.default_rng(0)
  cache = sampler.init_cache(config, 3, 48)
  rows, drawn = [[], [], []], [[], [], []]
  for number in range(4):
    # The second row sits a turn out.
    reads = [
      rng.integers(8, 40, rng.integers(1, 8)).tolist()
      if (i, number) != (1, 2)
      else []
      for i in range(3)
    ]
    keys = jax.random.split(jax.random.key(number), 3)
    result = turn(fast, config, cache, keys, reads, temperature=temperature)
    cache = result.cache
    for i in range(3):
      count = int(result.count[i])
      answer = result.tokens[i, :count].tolist()
      assert STOP not in answer[:-1]
      assert count == 5 or not reads[i] or answer[-1] == STOP
      assert not np.asarray(result.tokens[i, count:]).any()
      drawn[i] += [None] * len(reads[i]) + result.log_probs[i, :count].tolist()
      rows[i] += reads[i] + answer
  assert cache.length.tolist() == [len(row) for row in rows]
  tokens, length = pad(rows, 64)
  expected, _ = _log_probs(
    params, config, tokens, length, temperature=temperature
  )
  for i in range(3):
    for t, value in enumerate(drawn[i]):
      if value is not None:
        np.testing.assert_allclose(value, expected[i, t], atol=2e-5)


def test_greedy():
  config, params, fast = tiny_decoder.for_sampling()
  reads = [[9, 10, 11], [12]]
  keys = jax.random.split(jax.random.key(0), 2)
  result = turn(
    fast,
    config,
    sampler.init_cache(config, 2, 16),
    keys,
    reads,
    temperature=0.0,
  )
  for i, read in enumerate(reads):
    row = list(read)
    for token in result.tokens[i, : int(result.count[i])].tolist():
      logits = tiny_decoder.logits_behind(config, params, row)
      assert int(np.argmax(logits)) == token
      row.append(token)


def test_rows_do_not_depend_on_each_other():
  config, _, fast = tiny_decoder.for_sampling()
  keys = jax.random.split(jax.random.key(3), 4)
  reads = [[9, 10], [11, 12, 13], [14], [15, 16]]
  together = turn(fast, config, sampler.init_cache(config, 4, 32), keys, reads)
  for i, read in enumerate(reads):
    alone = turn(
      fast, config, sampler.init_cache(config, 1, 16), keys[i : i + 1], [read]
    )
    np.testing.assert_array_equal(alone.tokens[0], together.tokens[i])
    np.testing.assert_allclose(
      alone.log_probs[0], together.log_probs[i], atol=1e-5
    )


def test_it_draws_from_the_distribution():
  config, params, fast = tiny_decoder.for_sampling()
  count = 4096
  keys = jax.random.split(jax.random.key(0), count)
  result = turn(
    fast,
    config,
    sampler.init_cache(config, count, 4),
    keys,
    [[9, 10]] * count,
    width=2,
    max_new_tokens=1,
  )
  expected = jax.nn.softmax(tiny_decoder.logits_behind(config, params, [9, 10]))
  observed = np.bincount(np.asarray(result.tokens[:, 0]), minlength=40) / count
  # Four standard deviations of a share of at most one half.
  np.testing.assert_allclose(observed, expected, atol=4 * 0.5 / count**0.5)


def test_growing_and_taking_rows():
  config, _, fast = tiny_decoder.for_sampling()
  keys = jax.random.split(jax.random.key(1), 2)
  cache = sampler.init_cache(config, 2, 16)
  cache = turn(fast, config, cache, keys, [[9, 10], [11]]).cache
  grown = sampler.grow(cache, 32)
  assert grown.capacity == 32
  swapped = sampler.take(grown, np.array([1, 0, 1]))
  three = jnp.stack([keys[1], keys[0], keys[1]])
  after = turn(fast, config, swapped, three, [[12], [13, 14], [12]])
  plain = turn(fast, config, cache, keys, [[13, 14], [12]])
  np.testing.assert_array_equal(after.tokens[0], plain.tokens[1])
  np.testing.assert_array_equal(after.tokens[1], plain.tokens[0])
  np.testing.assert_array_equal(after.tokens[2], plain.tokens[1])
  with pytest.raises(ValueError, match='cannot shrink'):
    sampler.grow(after.cache, 8)
  with pytest.raises(ValueError, match='must be positive'):
    sampler.init_cache(config, 0, 8)


def test_extend_gives_the_logits_behind_each_row():
  config, params, fast = tiny_decoder.for_sampling()
  tokens, count = pad([[9, 10, 11], [12]])
  cache, logits = sampler.extend(
    fast, config, sampler.init_cache(config, 2, 16), tokens, count
  )
  assert cache.length.tolist() == [3, 1]
  for i, row in enumerate([[9, 10, 11], [12]]):
    np.testing.assert_allclose(
      logits[i], tiny_decoder.logits_behind(config, params, row), atol=1e-5
    )


def test_one_compilation_for_all_turns():
  config, _, fast = tiny_decoder.for_sampling()
  cache = sampler.init_cache(config, 2, 64)
  before = sampler.sample_turn._cache_size()
  for number in range(3):
    keys = jax.random.split(jax.random.key(number), 2)
    cache = turn(
      fast, config, cache, keys, [[9] * (number + 1), [10]], max_new_tokens=3
    ).cache
  assert sampler.sample_turn._cache_size() == before + 1


def test_stops_early():
  config, _, fast = tiny_decoder.for_sampling()
  keys = jax.random.split(jax.random.key(0), 2)
  cache = sampler.init_cache(config, 2, 32)
  result = turn(
    fast, config, cache, keys, [[9], [10]], stop_tokens=tuple(range(40))
  )
  assert result.count.tolist() == [1, 1]
  assert result.cache.length.tolist() == [2, 2]
