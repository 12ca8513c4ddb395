"""The methods that are scored, and the batches on which they are."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.accuracy import batches as credit_batches
from experiments.accuracy import settings as credit_settings
from experiments.accuracy import tabular_methods as credit_methods
from jaxcredit import lare, spa

SETTING = credit_settings.Setting('key_door', 4, 8, 0, 1, 0.0)
# Some episodes win, earlier ones too.
POLICY = credit_settings.Policy(2.0, 0.5)


@pytest.fixture(scope='module')
def drawn():
  """A batch of three resamples, filled up to five rollouts and ten steps."""
  sizes = credit_settings.sizes_of([SETTING], 3, 3, 4)
  sizes = dataclasses.replace(sizes, group_size=5, steps=10, states=25)
  source = credit_batches.Source(SETTING, sizes, POLICY, 0)
  return source, *source.batches(0)


def at(tree, r):
  return jax.tree.map(lambda x: x[r], tree)


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
  sizes = credit_settings.sizes_of([SETTING], 3, 3, 4)
  sizes = dataclasses.replace(sizes, group_size=5, steps=10, states=25)
  setting = dataclasses.replace(SETTING, colours=50)
  coloured, _ = credit_batches.Source(setting, sizes, POLICY, 0).batches(0)
  np.testing.assert_array_equal(coloured.now.actions, batch.now.actions)
  shares = [credit_batches.repeated_share(b) for b in (batch, coloured)]
  assert shares[0] > 0.6 and shares[1] < 0.3


def test_repeated_share_by_hand():
  seen = jnp.array([[[[7, 7, 8], [7, 8, 8]]]])
  mask = jnp.array([[[[1, 1, 1], [1, 0, 0]]]], bool)
  steps = credit_methods.Steps(mask * 1.0, mask, seen, seen, seen[..., None])
  batch = credit_methods.Batch(steps, steps, mask, mask, mask, None)
  assert credit_batches.repeated_share(batch) == 3 / 4


def test_exact_values_give_the_true_advantages(drawn):
  _, batch, known = drawn
  credit = credit_methods.METHODS['td_exact'][1](at(batch, 0))
  np.testing.assert_allclose(
    credit, jnp.where(batch.now.mask[0], known.advantages[0], 0), atol=1e-5
  )


@pytest.mark.slow
@pytest.mark.parametrize('method', list(credit_methods.METHODS))
def test_every_method_by_its_contract(drawn, method):
  _, batch, _ = drawn
  function = jax.jit(credit_methods.METHODS[method][1])
  one = at(batch, 1)
  credit = np.asarray(function(one))
  mask = np.asarray(one.now.mask)
  assert credit.shape == mask.shape and np.isfinite(credit).all()
  assert not credit[~mask].any() and credit[mask].any()
  # What fills up has no effect, but that RRD draws other steps.
  small = jax.tree.map(lambda x: x[:, :4, :8] if x.ndim > 2 else x, one)
  if method != 'rrd':
    np.testing.assert_allclose(credit[:, :4, :8], function(small), atol=2e-3)
  # No method but those with true values sees them.
  if method not in ('ppo_exact', 'td_exact'):
    lies = dataclasses.replace(one, values=one.values + 5)
    np.testing.assert_array_equal(function(lies), credit)


def test_a_critic_in_plain_python(drawn):
  _, batch, _ = drawn
  one = at(batch, 2)
  earlier = jax.tree.map(np.asarray, one.earlier)
  lists, everything = {}, []
  for p, e, t in zip(*np.nonzero(earlier.mask), strict=True):
    later = earlier.rewards[p, e, t:].sum()
    lists.setdefault(int(earlier.seen[p, e, t]), []).append(later)
    everything.append(later)
  found = np.asarray(credit_methods.critic(one, one.earlier.rewards))
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
  np.testing.assert_allclose(
    credit_methods.minimum(loss, 8), expected, atol=1e-3
  )


def test_losses_of_spa_and_of_return_decomposition_are_one():
  rng = np.random.default_rng(0)
  rewards, outcome = rng.normal(size=(6, 5)), rng.normal(size=6)
  mask = np.arange(5) < rng.integers(1, 6, (6, 1))
  np.testing.assert_allclose(
    spa.progress_loss(rewards, outcome, mask),
    lare.decomposition_loss(rewards, outcome, mask),
    rtol=1e-6,
  )


def test_a_tree_by_hand():
  """Two actions, then two; rollouts 0 and 1 part at the second."""
  actions = jnp.array([[[0, 0, 5], [0, 1, 5], [1, 0, 5]]])
  seen = jnp.array([[[7, 8, 0], [7, 8, 0], [7, 9, 0]]])
  mask = jnp.array([[[1, 1, 0]] * 3], bool)
  rewards = jnp.array([[[0, 1.0, 0], [0, 0, 0], [0, 0, 0]]])
  steps = credit_methods.Steps(rewards, mask, seen, actions, rewards[..., None])
  batch = credit_methods.Batch(steps, steps, rewards, rewards, rewards, None)
  credit = np.asarray(credit_methods.grown_tree(batch))[0]
  # Values 1/2 and 0 of the first actions, 1 and 0 of the second.
  half = np.sqrt(0.5)
  np.testing.assert_allclose(
    credit,
    [[half, half, 0], [half, -half, 0], [-half, 0, 0]],
    atol=1e-5,
  )
