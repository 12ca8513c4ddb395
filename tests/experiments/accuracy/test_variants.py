"""What is scored: methods of the table and variants, by one contract."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.accuracy import batches as credit_batches
from experiments.accuracy import tables, variants
from jaxcredit import methods
from tests.experiments.accuracy import small_batches

drawn = small_batches.drawn


def test_exact_values_give_the_true_advantages(drawn):
  _, batch, known = drawn
  credit = variants.credit(small_batches.at(batch, 0), 'td_exact')
  np.testing.assert_allclose(
    credit, jnp.where(batch.now.mask[0], known.advantages[0], 0), atol=1e-5
  )


@pytest.mark.slow
@pytest.mark.parametrize('name', variants.names())
def test_every_variant_by_its_contract(drawn, name):
  _, batch, _ = drawn
  function = jax.jit(lambda b: variants.credit(b, name))
  one = small_batches.at(batch, 1)
  credit = np.asarray(function(one))
  mask = np.asarray(one.now.mask)
  assert credit.shape == mask.shape and np.isfinite(credit).all()
  assert not credit[~mask].any() and credit[mask].any()
  # What fills up has no effect, but that RRD draws other steps.
  small = jax.tree.map(lambda x: x[:, :4, :8] if x.ndim > 2 else x, one)
  if name != 'rrd':
    np.testing.assert_allclose(credit[:, :4, :8], function(small), atol=2e-3)
  # No method but those with true values sees them.
  lies = dataclasses.replace(one, values=one.values + 5)
  if not variants.find(name).exact:
    np.testing.assert_array_equal(function(lies), credit)


def test_those_with_true_values():
  exact = [name for name in variants.names() if variants.find(name).exact]
  assert exact == ['ppo_exact', 'td_exact']


def test_every_method_is_scored_whose_needs_are_met():
  names = variants.names()
  assert len(names) == len(set(names))
  assert set(names) == {
    *(n for n, m in methods.TABLE.items()
      if not m.needs & {'turn_rewards', 'replay'}),
    *variants.VARIANTS,
  }  # fmt: skip
  for name in names:
    found = variants.find(name)
    assert found.label and found.method in methods.TABLE
  labels = [variants.find(name).label for name in names]
  assert len(labels) == len(set(labels))
  with pytest.raises(ValueError, match="there is no method 'nobody'"):
    variants.find('nobody')


def test_options_that_the_tasks_settle(drawn):
  """Of a learned critic returns are undiscounted; GiGPO keeps its own."""
  one = small_batches.at(drawn[1], 0)

  def given(name):
    variant = variants.find(name)
    method = methods.choose(variant.method)
    options = variants._options(variant, method)
    return options, variants.batch_of(one, variant, options)

  for name in ('ppo', 'spa', 'lare', 'rrd', 'ircr'):
    options, batch = given(name)
    assert (options.discount, options.gae_lambda) == (1.0, 0.95), name
    assert batch.values is not None
  assert given('spa')[0].grounding_weight == 0.0
  assert given('ppo_1')[0].gae_lambda == 1.0
  options, batch = given('gigpo')
  assert options == methods.TABLE['gigpo'].options()
  # Methods that look at steps alone are given no more.
  assert batch.rows is None and batch.values is None and not batch.predictions
  assert given('gigpo_plain')[0].scale == 'none'


def test_a_tree_by_hand():
  """Two actions, then two; rollouts 0 and 1 part at the second."""
  actions = jnp.array([[[0, 0, 5], [0, 1, 5], [1, 0, 5]]])
  seen = jnp.array([[[7, 8, 0], [7, 8, 0], [7, 9, 0]]])
  mask = jnp.array([[[1, 1, 0]] * 3], bool)
  rewards = jnp.array([[[0, 1.0, 0], [0, 0, 0], [0, 0, 0]]])
  steps = tables.Steps(rewards, mask, seen, actions, rewards[..., None])
  played = tables.Played(steps, steps, rewards, rewards, rewards, None)
  credit = np.asarray(variants.credit(played, 'treerpo'))[0]
  # Values 1/2 and 0 of the first actions, 1 and 0 of the second.
  half = np.sqrt(0.5)
  np.testing.assert_allclose(
    credit,
    [[half, half, 0], [half, -half, 0], [-half, 0, 0]],
    atol=1e-5,
  )


def test_a_method_of_ones_own_is_scored(drawn):
  mine = methods.Method(
    'mine', 'Mine', '0000.00000', 'step', methods.NoOptions,
    lambda batch, options: methods.Credit(2 * batch.trajectories.rewards),
  )  # fmt: skip
  one = small_batches.at(drawn[1], 0)
  with methods.registered(mine):
    assert 'mine' in variants.names()
    credit = variants.credit(one, 'mine')
  np.testing.assert_array_equal(credit, 2 * one.now.rewards)


def test_repeated_share_by_hand():
  seen = jnp.array([[[[7, 7, 8], [7, 8, 8]]]])
  mask = jnp.array([[[[1, 1, 1], [1, 0, 0]]]], bool)
  steps = tables.Steps(mask * 1.0, mask, seen, seen, seen[..., None])
  played = tables.Played(steps, steps, mask, mask, mask, None)
  assert credit_batches.repeated_share(played) == 3 / 4
