"""Tables and decoders: what is learned of earlier episodes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.accuracy import decoders, tables
from jaxcredit import lare, methods, spa
from tests.experiments.accuracy import small_batches

drawn = small_batches.drawn


def test_a_critic_in_plain_python(drawn):
  _, batch, _ = drawn
  one = small_batches.at(batch, 2)
  earlier = jax.tree.map(np.asarray, one.earlier)
  lists, everything = {}, []
  for p, e, t in zip(*np.nonzero(earlier.mask), strict=True):
    later = earlier.rewards[p, e, t:].sum()
    lists.setdefault(int(earlier.seen[p, e, t]), []).append(later)
    everything.append(later)
  found = np.asarray(tables.critic(one, one.earlier.rewards))
  unseen = 0
  for index in zip(*np.nonzero(np.asarray(one.now.mask)), strict=True):
    look = int(one.now.seen[index])
    unseen += look not in lists
    expected = np.mean(lists.get(look, everything))
    assert found[index] == pytest.approx(expected, abs=1e-5)
  assert unseen


def test_the_minimum_is_the_least_of_least_squares():
  rng = np.random.default_rng(0)
  table = rng.normal(size=(5, 8))
  target = rng.normal(size=5)

  def loss(x):
    return ((jnp.asarray(table) @ x - target) ** 2).mean()

  expected = np.linalg.lstsq(table, target, rcond=None)[0]
  np.testing.assert_allclose(tables.minimum(loss, 8), expected, atol=1e-3)


def test_losses_of_spa_and_of_return_decomposition_are_one():
  rng = np.random.default_rng(0)
  rewards, outcome = rng.normal(size=(6, 5)), rng.normal(size=6)
  mask = np.arange(5) < rng.integers(1, 6, (6, 1))
  np.testing.assert_allclose(
    spa.progress_loss(rewards, outcome, mask),
    lare.decomposition_loss(rewards, outcome, mask),
    rtol=1e-6,
  )


@pytest.mark.parametrize(
  'decoder', [decoders.progress, decoders.latent, decoders.guidance]
)
def test_rewards_are_of_earlier_episodes_and_for_both(drawn, decoder):
  one = small_batches.at(drawn[1], 1)
  earlier, now = jax.jit(decoder)(one)
  assert earlier.shape == one.earlier.mask.shape
  assert now.shape == one.now.mask.shape
  assert np.asarray(now)[np.asarray(one.now.mask)].any()
  # What the present episodes were paid is not looked at.
  blind = dataclasses.replace(
    one, now=dataclasses.replace(one.now, rewards=one.now.rewards + 1)
  )
  np.testing.assert_array_equal(jax.jit(decoder)(blind)[1], now)


def test_contributions_sum_to_the_return(drawn):
  one = small_batches.at(drawn[1], 1)
  mask = one.earlier.mask
  earlier, _ = jax.jit(decoders.progress)(one)
  loss = spa.progress_loss(earlier, one.earlier.scores, mask)
  constant = spa.progress_loss(
    jnp.zeros_like(earlier), one.earlier.scores, mask
  )
  assert loss < 0.5 * constant


def test_needs_that_a_decoder_meets_are_needs():
  assert decoders.OF_NEEDS.keys() <= methods.NEEDS.keys()
