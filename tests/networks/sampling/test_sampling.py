"""Restrictions and draws against NumPy, on distributions made by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.networks.sampling import sampling_params as sampling


def slow_restrict(
  logits, temperature=1.0, top_k=None, top_p=None, min_p=None
) -> np.ndarray:
  """The distribution [V] of one row, by sorting, token after token."""
  logits = np.asarray(logits, np.float64) / (temperature or 1.0)
  left = list(range(len(logits)))
  weight = np.exp(logits - logits.max())
  if top_k is not None:
    ranked = sorted(left, key=lambda token: -weight[token])
    last = weight[ranked[min(top_k, len(ranked)) - 1]]
    left = [token for token in left if weight[token] >= last]
  if top_p is not None and top_p < 1:
    total, mass = sum(weight[token] for token in left), 0.0
    for token in sorted(left, key=lambda token: -weight[token]):
      mass += weight[token] / total
      last = weight[token]
      if mass >= top_p:
        break
    left = [token for token in left if weight[token] >= last]
  if min_p is not None:
    most = max(weight[token] for token in left)
    left = [token for token in left if weight[token] >= min_p * most]
  kept = np.zeros_like(weight)
  kept[left] = weight[left]
  return kept / kept.sum()


# Masses that floats hold exactly, in no order, with two that are equal.
EIGHTHS = np.log(np.array([1, 16, 2, 4, 32, 8, 1, 0.5]) / 64.5)


@pytest.mark.parametrize(
  ('options', 'kept'),
  [
    ({}, [0, 1, 2, 3, 4, 5, 6, 7]),
    ({'top_k': 1}, [4]),
    ({'top_k': 3}, [1, 4, 5]),
    # The sixth and the seventh are equal: both stay.
    ({'top_k': 6}, [0, 1, 2, 3, 4, 5, 6]),
    ({'top_k': 100}, [0, 1, 2, 3, 4, 5, 6, 7]),
    ({'top_p': 0.49}, [4]),
    ({'top_p': 0.5}, [1, 4]),
    ({'top_p': 0.75}, [1, 4, 5]),
    ({'top_p': 1e-9}, [4]),
    ({'top_p': 1.0}, [0, 1, 2, 3, 4, 5, 6, 7]),
    ({'min_p': 0.2}, [1, 4, 5]),
    ({'min_p': 1.0}, [4]),
    ({'min_p': 0.0}, [0, 1, 2, 3, 4, 5, 6, 7]),
    # Of the three that top-k leaves (32, 16, 8 of 56) top-p drops the last.
    ({'top_k': 3, 'top_p': 0.8}, [1, 4]),
    ({'top_k': 4, 'top_p': 0.99, 'min_p': 0.3}, [1, 4]),
    # A cold distribution is sharper before it is restricted.
    ({'top_p': 0.7, 'temperature': 0.5}, [4]),
    ({'top_p': 0.7, 'temperature': 2.0}, [1, 3, 4, 5]),
  ],
)
def test_tokens_left(options, kept):
  expected = slow_restrict(EIGHTHS, **options)
  assert np.flatnonzero(expected).tolist() == kept
  scores = jnp.asarray(EIGHTHS, jnp.float32)[None]
  restricted = sampling.restrict(scores, sampling.SamplingParams(**options))
  np.testing.assert_allclose(jax.nn.softmax(restricted)[0], expected, atol=1e-6)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_each_row_has_its_own_numbers(dtype):
  rng = np.random.default_rng(0)
  scores = 3 * rng.normal(size=(64, 50))
  options = {
    'temperature': rng.uniform(0.3, 2, 64),
    'top_k': rng.integers(1, 60, 64),
    'top_p': rng.uniform(0.1, 1, 64),
    'min_p': rng.uniform(0, 0.3, 64),
  }
  with jax.enable_x64(dtype == 'float64'):
    restricted = sampling.restrict(
      jnp.asarray(scores, dtype), sampling.SamplingParams(**options)
    )
    assert restricted.dtype == dtype
    found = np.asarray(jax.nn.softmax(restricted))
  sizes = set()
  for row in range(64):
    expected = slow_restrict(
      scores[row], **{name: values[row] for name, values in options.items()}
    )
    np.testing.assert_allclose(found[row], expected, atol=1e-6)
    sizes.add(np.count_nonzero(expected))
  assert len(sizes) > 5


def test_huge_and_tiny_logits_are_restricted_exactly():
  scores = jnp.array([[-1e30, 0.0, -0.25, 88.0, 1e30, 1e-40, -3e38]])
  kept = sampling.restrict(scores, sampling.SamplingParams(top_k=3))
  assert np.flatnonzero(np.isfinite(kept[0])).tolist() == [3, 4, 5] or (
    # Subnormal numbers may count as zero.
    np.flatnonzero(np.isfinite(kept[0])).tolist() == [1, 3, 4, 5]
  )


def frequencies(options, count=8192, logits=EIGHTHS, seed=0):
  scores = jnp.broadcast_to(
    jnp.asarray(logits, jnp.float32), (count, len(logits))
  )
  keys = jax.random.split(jax.random.key(seed), count)
  index = jnp.arange(count, dtype=jnp.int32) % 3
  tokens, log_probs, policy, *_ = sampling.sample(
    scores, keys, index, sampling.SamplingParams(**options)
  )
  observed = np.bincount(tokens, minlength=len(logits))
  return observed, np.asarray(tokens), np.asarray(log_probs), np.asarray(policy)


@pytest.mark.parametrize(
  'options',
  [
    {},
    {'temperature': 0.7},
    {'temperature': 1.5, 'top_k': 4},
    {'top_p': 0.9, 'min_p': 0.1},
  ],
)
def test_tokens_are_drawn_as_often_as_they_should(options):
  expected = slow_restrict(EIGHTHS, **options)
  observed, tokens, log_probs, policy = frequencies(options)
  count = observed.sum()
  assert not observed[expected == 0].any()
  possible = expected > 0
  statistic = np.sum(
    (observed[possible] - count * expected[possible]) ** 2
    / (count * expected[possible])
  )
  # Chi-square with d degrees of freedom has mean d and variance 2 d.
  freedom = possible.sum() - 1
  assert statistic < freedom + 4 * np.sqrt(2 * freedom)
  # Another distribution fails the same test.
  other = slow_restrict(EIGHTHS, temperature=1.2 if options else 1.1)
  wrong = np.sum((observed - count * other) ** 2 / (count * other))
  assert wrong > 7 + 4 * np.sqrt(14)
  np.testing.assert_allclose(log_probs, np.log(expected[tokens]), atol=1e-5)
  plain = slow_restrict(EIGHTHS)
  np.testing.assert_allclose(policy, np.log(plain[tokens]), atol=1e-5)


def test_a_token_that_is_excluded_is_not_drawn():
  # The likeliest for half of the rows, none for the others.
  count = 8192
  scores = jnp.broadcast_to(jnp.asarray(EIGHTHS, jnp.float32), (count, 8))
  keys = jax.random.split(jax.random.key(2), count)
  excluded = jnp.where(jnp.arange(count) % 2, 4, -1)
  zero = jnp.zeros((count,), jnp.int32)
  for how in (sampling.SamplingParams(), sampling.SamplingParams(0.0, top_k=1)):
    given = sampling.sample(scores, keys, zero, how, excluded)
    tokens, log_probs, policy = map(np.asarray, given[:3])
    with np.errstate(divide='ignore'):
      all_of_them = np.log(slow_restrict(EIGHTHS, top_k=how.top_k))
    np.testing.assert_allclose(
      given.free_log_prob, all_of_them[tokens], atol=1e-5
    )
    free = sampling.sample(scores, keys, zero, how)
    np.testing.assert_array_equal(tokens[::2], free[0][::2])
    np.testing.assert_array_equal(log_probs[::2], free[1][::2])
    others = np.delete(np.exp(EIGHTHS), 4)
    options = {'top_k': how.top_k}
    expected = slow_restrict(np.log(others), **options)
    observed = np.bincount(tokens[1::2], minlength=8)
    assert not observed[4]
    # Four standard deviations of a share of at most one half.
    np.testing.assert_allclose(
      np.delete(observed, 4) / (count / 2),
      expected,
      atol=2 * (count / 2) ** -0.5,
    )
    np.testing.assert_allclose(
      log_probs[1::2],
      np.log(np.insert(expected, 4, 1)[tokens[1::2]]),
      atol=1e-5,
    )
    np.testing.assert_allclose(policy, EIGHTHS[tokens], atol=1e-5)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_entropies(dtype):
  rng = np.random.default_rng(0)
  scores = rng.normal(size=(16, 50)) * rng.uniform(0, 30, (16, 1))
  # Tokens that cannot be, and a distribution that has one token alone.
  scores[3, :40] = -np.inf
  scores[4, 1:] = -np.inf
  scores[5] = 0.0
  with jax.enable_x64(dtype == 'float64'):
    found = sampling.entropy(jnp.asarray(scores, dtype))
    assert found.dtype == dtype
  expected = []
  for row in scores:
    p = slow_restrict(row)
    expected.append(-(p[p > 0] * np.log(p[p > 0])).sum())
  np.testing.assert_allclose(found, expected, atol=1e-5)
  assert found[4] == 0
  np.testing.assert_allclose(found[5], np.log(50), rtol=1e-6)


def test_the_support_is_what_was_left():
  rng = np.random.default_rng(0)
  scores = jnp.asarray(3 * rng.normal(size=(64, 20)), jnp.float32)
  keys = jax.random.split(jax.random.key(0), 64)
  zero = jnp.zeros((64,), jnp.int32)
  how = sampling.SamplingParams(0.7, top_p=0.9, max_support=20)
  found = sampling.sample(scores, keys, zero, how)
  left = np.isfinite(sampling.restrict(scores, how))
  for row in range(64):
    ids = found.support[row][found.support[row] >= 0].tolist()
    assert sorted(ids) == np.flatnonzero(left[row]).tolist()
  # The bound leaves the likeliest of them, whose probabilities add up to 1.
  narrow = dataclasses.replace(how, max_support=2)
  found = sampling.sample(scores, keys, zero, narrow)
  assert found.support.shape == (64, 2)
  likeliest = np.argsort(-np.asarray(scores), axis=1)[:, :2]
  for row in range(64):
    ids = found.support[row][found.support[row] >= 0]
    assert ids.tolist() == likeliest[row, : min(2, left[row].sum())].tolist()
    log_p = jax.nn.log_softmax(scores[row, ids] / 0.7)
    at = ids.tolist().index(int(found.token[row]))
    np.testing.assert_allclose(found.log_prob[row], log_p[at], atol=1e-6)


def test_the_first_of_equal_tokens_are_kept():
  scores = jnp.zeros((1, 9))
  keys = jax.random.split(jax.random.key(0), 1)
  how = sampling.SamplingParams(top_k=2, max_support=3)
  found = sampling.sample(scores, keys, jnp.zeros((1,), jnp.int32), how)
  assert found.support[0].tolist() == [0, 1, 2]
  np.testing.assert_allclose(found.log_prob[0], np.log(1 / 3), rtol=1e-6)


def test_padding_of_the_vocabulary():
  scores = jnp.arange(6.0)[None]
  masked = sampling.mask_padding(scores, 4)
  assert masked[0].tolist() == [0, 1, 2, 3, -np.inf, -np.inf]
  assert sampling.mask_padding(scores, 6) is scores
  np.testing.assert_allclose(
    sampling.entropy(masked), sampling.entropy(scores[:, :4]), rtol=1e-6
  )


def test_keys_and_indices_decide():
  scores = jnp.zeros((4, 1000))
  keys = jax.random.split(jax.random.key(0), 2)[jnp.array([0, 0, 1, 0])]
  index = jnp.array([5, 6, 5, 5])
  how = sampling.SamplingParams()
  tokens, *_ = sampling.sample(scores, keys, index, how)
  assert tokens[0] == tokens[3]
  assert len(set(tokens.tolist())) == 3
  # The Gumbel-max trick, spelt out.
  noise = jax.random.gumbel(jax.random.fold_in(keys[2], 5), (1000,))
  assert tokens[2] == np.argmax(noise)


def test_temperature_zero_takes_the_first_of_the_likeliest():
  scores = jnp.array([[0.0, 2.0, 2.0, 1.0], [3.0, 2.0, 2.0, 1.0]])
  keys = jax.random.split(jax.random.key(0), 2)
  zero = jnp.zeros((2,), jnp.int32)
  tokens, log_probs, policy, *_ = sampling.sample(
    scores, keys, zero, sampling.SamplingParams(temperature=0.0)
  )
  assert tokens.tolist() == [1, 0]
  expected = jax.nn.log_softmax(scores)[jnp.arange(2), tokens]
  np.testing.assert_allclose(log_probs, expected, rtol=1e-6)
  np.testing.assert_allclose(policy, expected, rtol=1e-6)
  # Beside a row that is drawn.
  mixed, *_ = sampling.sample(
    jnp.broadcast_to(scores[:1], (64, 4)),
    jax.random.split(jax.random.key(1), 64),
    jnp.zeros((64,), jnp.int32),
    sampling.SamplingParams(temperature=jnp.arange(64) % 2),
  )
  assert set(mixed[::2].tolist()) == {1}
  assert len(set(mixed[1::2].tolist())) > 1


def test_other_values_do_not_compile():
  draw = jax.jit(sampling.sample)
  scores, index = jnp.zeros((1, 9)), jnp.zeros((1,), jnp.int32)
  keys = jax.random.split(jax.random.key(0), 1)
  for value in (0.3, 0.9):
    how = sampling.SamplingParams(value, top_k=int(10 * value), top_p=value)
    draw(scores, keys, index, how)
  assert draw._cache_size() == 1


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'temperature': -1.0}, 'temperature must be .* at least 0.*not -1.0'),
    ({'temperature': float('nan')}, 'temperature must be'),
    ({'temperature': float('inf')}, 'temperature must be .*finite'),
    ({'top_k': 0}, 'top_k must be .*at least 1'),
    ({'top_p': 0.0}, 'top_p must be .*above 0 and at most 1'),
    ({'top_p': np.array([0.5, 1.5])}, 'top_p must be'),
    ({'min_p': 1.1}, 'min_p must be .*between 0 and 1'),
    ({'min_p': np.zeros((2, 2))}, 'a number or one for each row'),
  ],
)
def test_numbers_that_make_no_sense(options, message):
  with pytest.raises(ValueError, match=message):
    sampling.SamplingParams(**options).check()


def test_numbers_that_make_sense():
  sampling.SamplingParams().check()
  sampling.SamplingParams(0, top_k=1, top_p=1.0, min_p=0.0).check()
  sampling.SamplingParams(np.ones(3), top_k=np.array([1, 2, 3])).check()
