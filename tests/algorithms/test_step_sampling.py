"""Steps that stand for their episodes: uniform, and unbiased with the loss."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcredit import lare


@given(
  st.lists(st.booleans(), min_size=1, max_size=9),
  st.integers(1, 12),
  st.integers(0, 9),
)
def test_samples_are_steps_that_were_taken(taken, k, seed):
  mask = np.array(taken + [False] * (9 - len(taken)))
  key, length = jax.random.key(seed), int(mask.sum())
  sample = lare.sample_steps(key, mask, k)
  drawn = np.asarray(sample.indices)[np.asarray(sample.mask)]
  assert sample.indices.shape == sample.mask.shape == (k,)
  assert int(sample.lengths) == length
  assert len(set(drawn)) == len(drawn) == min(k, length)
  assert mask[drawn].all()
  again = lare.sample_steps(key, mask, k, short='replacement')
  if 0 < length < k:
    assert np.asarray(again.mask).all()
    assert mask[np.asarray(again.indices)].all()
  else:
    jax.tree.map(np.testing.assert_array_equal, again, sample)


def chi_square(counts):
  expected = counts.sum() / counts.size
  return float(((counts - expected) ** 2 / expected).sum())


# Chi-square is above the limits, here and below, once in a million times.
@pytest.mark.parametrize(('k', 'limit'), [(1, 33.4), (3, 45.1)])
def test_all_subsets_are_equally_likely(k, limit):
  # Five steps, anywhere in the row.
  steps = [1, 2, 4, 7, 8]
  mask = np.isin(np.arange(9), steps)
  sample = lare.sample_steps(
    jax.random.key(1), np.broadcast_to(mask, (20_000, 9)), k
  )
  counts = dict.fromkeys(itertools.combinations(steps, k), 0)
  for row in np.sort(np.asarray(sample.indices), axis=1).tolist():
    counts[tuple(row)] += 1
  assert chi_square(np.array(list(counts.values()))) < limit


def test_each_place_of_a_sample_is_uniform():
  # Not only the set: the first of the drawn steps is not the earliest.
  mask = np.ones((20_000, 5), bool)
  sample = lare.sample_steps(jax.random.key(2), mask, 3)
  for column in np.asarray(sample.indices).T:
    assert chi_square(np.bincount(column, minlength=5)) < 33.4


def test_draws_with_replacement_are_uniform_and_independent():
  mask = np.broadcast_to([False, True, True, False, True], (20_000, 5))
  sample = lare.sample_steps(jax.random.key(3), mask, 4, short='replacement')
  indices = np.asarray(sample.indices)
  pairs = np.zeros((5, 5))
  np.add.at(pairs, (indices[:, 0], indices[:, 3]), 1)
  assert not pairs[[0, 3]].any()
  assert not pairs[:, [0, 3]].any()
  assert chi_square(pairs[np.ix_([1, 2, 4], [1, 2, 4])]) < 43


@pytest.mark.parametrize('short', lare.SHORT)
@pytest.mark.parametrize('k', [2, 6])
def test_the_pipeline_is_unbiased(short, k):
  """Sampling, gathering and the loss together, over many keys."""
  rng = np.random.default_rng(0)
  rewards = jnp.asarray(rng.normal(size=(2, 5)), jnp.float32)
  mask = jnp.array([[True] * 5, [True, False, True, True, False]])
  returns = jnp.array([2.0, -1.0])

  @jax.vmap
  def estimate(key):
    sample = lare.sample_steps(key, mask, k, short=short)
    taken = lare.take_steps(rewards, sample.indices, sample.mask)
    return lare.subsampled_loss(
      taken, returns, sample.lengths, sample.mask, form='mean'
    )

  values = np.asarray(estimate(jax.random.split(jax.random.key(0), 20_000)))
  full = float(lare.decomposition_loss(rewards, returns, mask, form='mean'))
  error = values.std() / np.sqrt(len(values)) + 1e-6
  assert abs(values.mean() - full) < 4.5 * error
  if k == 6 and short == 'all':
    np.testing.assert_allclose(values, full, rtol=1e-5)
  else:
    assert values.std() > 0.01


def test_what_was_not_drawn_does_not_reach_the_network():
  factors = np.array([[[np.nan, np.nan], [1.0, 2], [3, 4]]], np.float32)
  mask = np.array([[False, True, True]])
  sample = lare.sample_steps(jax.random.key(0), mask, 4)

  def loss(weight):
    inputs = lare.take_steps(factors, sample.indices, sample.mask)
    assert inputs.shape == (1, 4, 2)
    return lare.subsampled_loss(
      inputs @ weight, np.ones(1), sample.lengths, sample.mask, form='mean'
    )

  value, gradient = jax.value_and_grad(loss)(jnp.array([0.5, 0.25]))
  # Predictions 1 and 2.5, of a return of 1: (0.5 - 1.75)^2.
  assert float(value) == pytest.approx(1.25**2)
  np.testing.assert_allclose(gradient, [2 * 1.25 * 2, 2 * 1.25 * 3])


def test_sampling_on_a_mesh():
  mask = np.random.default_rng(0).random((16, 6)) < 0.6
  expected = lare.sample_steps(jax.random.key(0), mask, 3)
  for kind in ('Auto', 'Explicit'):
    axis_type = getattr(jax.sharding.AxisType, kind)
    mesh = jax.make_mesh((8,), ('data',), axis_types=(axis_type,))
    spec = jax.sharding.PartitionSpec('data', None)
    placed = jax.device_put(mask, jax.sharding.NamedSharding(mesh, spec))
    with jax.set_mesh(mesh):
      for call in (
        lare.sample_steps,
        jax.jit(lare.sample_steps, static_argnums=2),
      ):
        result = call(jax.random.key(0), placed, 3)
        jax.tree.map(np.testing.assert_array_equal, result, expected)
