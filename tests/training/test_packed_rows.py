"""Packed rows: the same loss and gradient with less padding."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from jaxcredit import types
from jaxcredit.networks import decoder
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import packed_rows, policy_gradient, supervised
from tests.networks import tiny_decoder
from tests.training import test_learner

VOCABULARY, LENGTH = test_learner.VOCABULARY, test_learner.LENGTH


def test_first_fit_longest_first():
  lengths = np.array([3, 7, 2, 5, 1, 10])
  assert packed_rows.place(lengths, 10, 4) == [[5], [1, 0], [3, 2, 4]]
  # No more sequences than there are places for.
  assert packed_rows.place(lengths, 10, 2) == [[5], [1, 0], [3, 2], [4]]
  with pytest.raises(ValueError, match='a row of 10 tokens does not fit .* 9'):
    packed_rows.place(lengths, 9, 2)


def test_spread_is_the_inverse_of_packing():
  rows, _ = test_learner.make_rows(9)
  rows.step_of_token[0, 3] = types.NOT_LEARNED
  rows = dataclasses.replace(rows, weights=0.5 * rows.log_probs)
  placed = packed_rows.place(rows.length, LENGTH, 3)
  packed = packed_rows.pack(
    rows, placed, row_length=LENGTH, sequences=3, count=len(placed) + 1
  )
  assert len(placed) < 9
  back = packed_rows.one_sequence_a_row(packed)
  order = []
  for row, chosen in enumerate(placed):
    for slot, index in enumerate(chosen):
      at = 3 * row + slot
      order.append(at)
      size = rows.length[index]
      for name in ('tokens', 'step_of_token', 'log_probs', 'weights'):
        np.testing.assert_array_equal(
          getattr(back, name)[at, :size], getattr(rows, name)[index, :size]
        )
      assert back.trajectory[at] == rows.trajectory[index]
      assert back.length[at] == size
  # Nothing stands elsewhere.
  free = np.setdiff1d(np.arange(back.tokens.shape[0]), order)
  assert free.size and (back.trajectory[free] == -1).all()
  assert not back.length[free].any() and (back.step_of_token[free] == -1).all()
  # Each sequence has its own number, padding has none.
  assert (packed.segment_ids > 0).sum() == rows.length.sum()


def test_rows_in_their_usual_form_pass_through():
  rows, _ = test_learner.make_rows()
  assert packed_rows.one_sequence_a_row(rows) is rows


def test_micro_batches_have_one_shape():
  rows, _ = test_learner.make_rows(40)
  rows.trajectory[3] = -1
  shapes, seen = set(), []
  for packed, held in packed_rows.cut_micro_batches(rows, 40, LENGTH, 3):
    shapes.add((packed.tokens.shape, packed.start.shape))
    assert (packed.length.sum(axis=1) <= LENGTH).all()
    used = packed.trajectory >= 0
    seen += packed.trajectory[used].tolist()
    assert sorted(held.trajectory) == sorted(packed.trajectory[used])
    assert held.length.sum() == packed.length.sum()
  assert shapes == {((2, LENGTH), (2, 3))}
  assert sorted(seen) == [i for i in range(40) if i != 3]
  counts = {
    packed.tokens.shape[0]
    for packed, _ in packed_rows.cut_micro_batches(rows, 90, LENGTH, 3, 4)
  }
  assert counts == {4}


def build():
  return tiny_decoder.build(vocab_size=VOCABULARY, layers=1)


def updates(loss, denominator, rows, advantages, params, reference=None):
  """The state and the figures with and without packing."""
  results = []
  for sequences in (1, 3):
    learner = learner_lib.Learner(
      loss,
      denominator,
      optax.sgd(1.0),
      micro_batch_tokens=3 * LENGTH,
      lengths=[LENGTH],
      sequences_per_row=sequences,
    )
    state = learner.init(jax.tree.map(np.array, params))
    results.append(learner.update(state, rows, advantages, reference=reference))
  return results


def check_same(results):
  (alone, figures), (together, again) = results
  test_learner.check_close(together.params, alone.params, atol=2e-5)
  assert again['padding_share'] < figures['padding_share'] - 0.1
  for name in figures:
    if name == 'padding_share':
      continue
    assert again[name] == pytest.approx(figures[name], rel=1e-4, abs=1e-5)
  assert figures['gradient_norm'] > 1e-2


@pytest.mark.parametrize(
  ('aggregation', 'ratio'),
  [
    ('token-mean', 'step'),
    ('step-mean', 'sequence'),
    ('seq-mean-token-mean', 'token'),
    ('seq-mean-token-sum-norm', 'token'),
  ],
)
def test_packed_equals_unpacked(aggregation, ratio):
  config, params = build()
  rows, advantages = test_learner.make_rows(11)
  options = policy_gradient.LossOptions(
    aggregation=aggregation,
    ratio=ratio,
    kl_coefficient=0.3,
    entropy_coefficient=0.2,
    temperature=0.8,
  )
  reference = jax.tree.map(lambda x: 0.9 * x, params)
  check_same(
    updates(
      policy_gradient.make_loss(config, options),
      policy_gradient.make_denominator(aggregation),
      rows,
      advantages,
      params,
      reference,
    ),
  )


def test_packed_imitation_equals_unpacked():
  config, params = build()
  rows, _ = test_learner.make_rows(11)
  check_same(
    updates(
      supervised.make_loss(config, observation_weight=0.3),
      supervised.count_tokens,
      rows,
      None,
      params,
    )
  )


def test_log_probs_are_laid_out_by_sequence():
  config, params = build()
  rows, _ = test_learner.make_rows(5)
  placed = packed_rows.place(rows.length, LENGTH, 4)
  packed = packed_rows.pack(
    rows, placed, row_length=LENGTH, sequences=4, count=len(placed)
  )
  given = packed_rows.log_probs(params, config, packed, temperature=0.7)
  laid = packed_rows.one_sequence_a_row(packed)
  expected = decoder.log_probs(
    params, config, laid.tokens, laid.length, temperature=0.7
  )
  test_learner.check_close(given, expected)
