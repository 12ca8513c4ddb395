"""The learner scores a token as the sampler did: the ratio begins at 1."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.networks import decoder
from jaxcredit.networks.sampling import tree_sampling
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import episode_messages
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.training import learner, packed_rows, policy_gradient
from tests.rollouts import test_collector

CONFIG = test_collector.CONFIG
LIMITS = test_collector.LIMITS
ROW = LIMITS.row_tokens
# Fewer tokens than the model has, as most pretrained models have it.
PADDED = dataclasses.replace(CONFIG, vocab_size=CONFIG.vocab_size + 9)


class SizedTokenizer(test_collector.ToyTokenizer):
  vocab_size = CONFIG.vocab_size


@functools.cache
def build_params(config):
  return jax.jit(decoder.init, static_argnums=1)(jax.random.key(0), config)


def collect(config, limits=LIMITS, **options):
  collector = collector_lib.Collector(
    config,
    SizedTokenizer(),
    test_collector.formats.Plain(),
    test_collector.make_pool(),
    task_sentence=lambda task: task,
    limits=limits,
  )
  return collector.collect(
    build_params(config), test_collector.TASKS, 4, jax.random.key(0), **options
  )


def pack(episodes):
  episodes = [e for e in episodes if e.rows]
  rows = [episode.rows[0] for episode in episodes]
  return episodes_lib.pack_rows(rows, range(len(rows)), ROW)


_score = jax.jit(
  packed_rows.log_probs, static_argnames=('config', 'temperature')
)


def ratios(config, rows, temperature):
  """Of the tokens that were sampled."""
  log_probs, _ = _score(
    build_params(config), config, rows, temperature=temperature
  )
  kept = packed_rows.one_sequence_a_row(rows)
  ratio = jnp.exp(log_probs - kept.log_probs)[kept.step_of_token >= 0]
  assert ratio.size
  return np.asarray(ratio)


def check_loss(config, rows, temperature=1.0):
  """Checks ratio and loss of rows that are cut to length, or packed."""
  forms = [
    next(learner.cut_micro_batches(rows, 8 * ROW, (ROW,))),
    next(packed_rows.cut_micro_batches(rows, 8 * ROW, ROW, 3))[0],
  ]
  options = policy_gradient.LossOptions(
    temperature=temperature, kl_coefficient=0.1
  )
  loss = jax.jit(
    jax.value_and_grad(policy_gradient.make_loss(config, options), has_aux=True)
  )
  advantages = jnp.ones((len(rows.trajectory), LIMITS.steps))
  for form in forms:
    np.testing.assert_allclose(ratios(config, form, temperature), 1, atol=1e-4)
    params = build_params(config)
    (_, metrics), gradient = loss(params, params, form, advantages, 1.0)
    total, count = metrics['approximate_kl']
    assert abs(total) <= 1e-4 * count
    np.testing.assert_allclose(metrics['policy_loss'], -1, atol=1e-4)
    # The reference policy is scored among the same tokens.
    np.testing.assert_allclose(metrics['kl'], 0, atol=1e-6)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
  'restriction',
  [
    {},
    {'top_p': 0.6, 'temperature': 0.7},
    {'top_k': 3},
    {'min_p': 0.2},
    {'top_p': 0.95, 'max_support': 2},
  ],
  ids=str,
)
def test_the_ratio_is_one_before_the_first_step(restriction):
  rows = pack(collect(CONFIG, **restriction))
  temperature = restriction.get('temperature', 1.0)
  np.testing.assert_allclose(ratios(CONFIG, rows, temperature), 1, atol=1e-4)
  if restriction:
    # It would not be under the whole distribution.
    whole = dataclasses.replace(rows, support=None)
    assert ratios(CONFIG, whole, temperature).min() < 0.95
  else:
    assert rows.support is None


def test_the_loss_begins_at_a_ratio_of_one():
  rows = pack(collect(CONFIG, top_p=0.6, temperature=0.7))
  check_loss(CONFIG, rows, 0.7)


def test_padding_of_the_vocabulary_is_neither_sampled_nor_learned():
  config = PADDED.for_tokenizer(CONFIG.vocab_size)
  rows = pack(collect(config))
  sampled = rows.tokens[rows.step_of_token >= 0]
  assert sampled.size and sampled.max() < CONFIG.vocab_size
  np.testing.assert_allclose(ratios(config, rows, 1.0), 1, atol=1e-4)
  # A learner that does not know of it gives it probability.
  assert ratios(PADDED, rows, 1.0).min() < 0.95
  rows = pack(collect(config, top_p=0.8))
  check_loss(config, rows)


def test_a_collector_must_know_of_the_padding():
  with pytest.raises(ValueError, match=r'the tokenizer has 8 .* the policy 17'):
    collect(PADDED)
  with pytest.raises(ValueError, match='has 8 tokens, the model 5'):
    dataclasses.replace(CONFIG, vocab_size=5).for_tokenizer(8)


def test_a_branch_without_its_parents_token():
  plan = tree_sampling.Plan(group_size=4, exclude_parent=True, skip_last=0)
  limits = dataclasses.replace(LIMITS, steps=1)
  for restriction in ({'temperature': 0.7}, {'top_p': 0.9}):
    episodes = collect(CONFIG, limits, tree=plan, **restriction)
    assert any(e.shared_prefix_length for e in episodes)
    rows = pack(episodes)
    temperature = restriction.get('temperature', 1.0)
    np.testing.assert_allclose(ratios(CONFIG, rows, temperature), 1, atol=1e-4)


def test_other_processes_get_the_support():
  episodes = collect(CONFIG, top_p=0.6)
  message = episode_messages.encode(episodes)
  again = episode_messages.decode(message, test_collector.TASKS)
  assert [e.rows for e in again] == [e.rows for e in episodes]
  assert any(ids for row in again[0].rows for ids in row.support)


def test_more_tokens_than_rows_hold_are_refused():
  with pytest.raises(ValueError, match='top_k=7 is more than the 4 tokens'):
    collect(CONFIG, top_k=7, max_support=4)
