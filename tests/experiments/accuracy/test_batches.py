"""Batches with true advantages: what was played, and what is known of it."""

import dataclasses

import numpy as np

from experiments.accuracy import batches as credit_batches
from experiments.accuracy import settings as credit_settings
from tests.experiments.accuracy import small_batches

drawn = small_batches.drawn


def test_batches_hold_what_was_played(drawn):
  source, batch, known = drawn
  mask = np.asarray(batch.now.mask)
  assert mask.shape == (3, 3, 5, 10)
  assert mask[:, :, :4, 0].all() and not mask[:, :, 4].any()
  assert not mask[..., 8:].any()
  assert batch.earlier.mask.shape == (3, 3, 4, 10)
  # The first rollout of each group is kept, its companions are not.
  for leaf in (batch.now.seen, batch.now.actions, known.advantages):
    leaf = np.asarray(leaf)
    assert (leaf[0, :, 0] == leaf[1, :, 0]).all()
    assert (leaf[0, :, 1:4] != leaf[1, :, 1:4]).any()
  # Without chance the advantage is r + V(s') - V(s).
  values = np.asarray(batch.values)
  after = np.zeros_like(values)
  after[..., :-1] = np.where(mask[..., 1:], values[..., 1:], 0)
  expected = np.asarray(batch.now.rewards) + after - values
  np.testing.assert_allclose(
    np.asarray(known.advantages)[mask], expected[mask], atol=1e-5
  )
  assert abs(expected[mask]).max() > 0.1
  # A policy's own entropy and collision, of its probabilities.
  assert (np.asarray(known.collisions)[mask] > 0.24).all()
  assert (np.asarray(batch.entropies)[mask] < np.log(4) + 1e-5).all()
  # Mean of extra rollouts against exact values.
  returns = np.asarray(batch.continuations).mean(axis=-1)[mask]
  assert np.corrcoef(returns, values[mask])[0, 1] > 0.6
  assert abs(returns.mean() - values[mask].mean()) < 0.1


def test_branched_truth_is_the_exact_one_with_errors(drawn):
  source, batch, known = drawn
  again, branched = source.batches(0, branches=64)
  mask = np.asarray(batch.now.mask)
  np.testing.assert_array_equal(again.now.seen, batch.now.seen)
  off = np.asarray(branched.advantages - known.advantages)[mask]
  error = np.asarray(branched.errors)[mask]
  assert not np.asarray(known.errors).any() and error.max() > 0.02
  inside = abs(off) <= 1.96 * error + 1e-6
  assert 0.85 < inside.mean() <= 1 and off.any()


def test_colours_take_repeated_looks_away(drawn):
  _, batch, _ = drawn
  sizes = credit_settings.sizes_of([small_batches.SETTING], 3, 3, 4)
  sizes = dataclasses.replace(sizes, group_size=5, steps=10, states=25)
  setting = dataclasses.replace(small_batches.SETTING, colours=50)
  coloured, _ = credit_batches.Source(
    setting, sizes, small_batches.POLICY, 0
  ).batches(0)
  np.testing.assert_array_equal(coloured.now.actions, batch.now.actions)
  shares = [credit_batches.repeated_share(b) for b in (batch, coloured)]
  assert shares[0] > 0.6 and shares[1] < 0.3
