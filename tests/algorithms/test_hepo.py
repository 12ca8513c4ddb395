"""HEPO: which tokens keep GRPO's advantage."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.benchmarks.references import (
  plain_python_credit as slow_reference,
)
from jaxcredit import grpo, hepo

G, L = 3, 5


def test_by_hand():
  scores = jnp.array([1.0, 0.0])
  entropies = jnp.array([[0.1, 2.0, 0.3], [0.4, 1.0, 9.0]])
  mask = jnp.array([[1, 1, 1], [1, 1, 0]], bool)
  result = hepo.advantages(scores, entropies, mask, rho=0.4, scale='none')
  np.testing.assert_allclose(result, [[0, 0.5, 0], [0, -0.5, 0]])


@given(
  st.lists(
    st.tuples(st.integers(-4, 4), st.integers(0, L)), min_size=1, max_size=G
  ),
  st.sampled_from([0.0, 0.2, 0.5, 1.0]),
  st.randoms(),
)
def test_slow_reference(group, rho, random):
  entropies = np.full((G, L), np.nan, np.float32)
  mask = np.zeros((G, L), bool)
  scores = np.full(G, np.nan, np.float32)
  # Negative ones, too: entropies of densities are.
  values = [x / 4 - 1 for x in range(G * L)]
  random.shuffle(values)
  for g, (score, length) in enumerate(group):
    scores[g] = score
    mask[g, :length] = True
    entropies[g, :length] = values[g * L : g * L + length]
  result = hepo.advantages(scores, entropies, mask, rho=rho)
  expected = slow_reference.hepo(
    [float(score) for score, _ in group],
    [entropies[g, :length].tolist() for g, (_, length) in enumerate(group)],
    rho,
  )
  for g, row in enumerate(expected):
    np.testing.assert_allclose(result[g, : len(row)], row, atol=1e-5)
  assert not np.asarray(result)[~mask].any()


def batch(seed, dtype=np.float32):
  rng = np.random.default_rng(seed)
  scores = rng.normal(size=(4, 6)).astype(dtype)
  return scores, rng.gamma(1.0, size=(4, 6, 50)).astype(dtype)


def test_the_share_is_of_the_whole_batch():
  scores, entropies = batch(0)
  entropies[0] += 100
  result = np.asarray(hepo.advantages(scores, entropies, rho=0.25))
  assert result[0].all() and not result[1:].any()
  result = np.asarray(hepo.advantages(scores, entropies, rho=0.31))
  assert (result != 0).sum() == 372


def test_all_tokens_are_grpo():
  scores, entropies = batch(1)
  result = hepo.advantages(scores, entropies, rho=1.0)
  expected = np.asarray(grpo.advantages(scores))[..., None]
  np.testing.assert_array_equal(
    result, np.broadcast_to(expected, entropies.shape)
  )


def test_ties_are_kept_together():
  scores = jnp.array([1.0, 0.0])
  entropies = jnp.array([[0.0, -0.0, 3.0], [0.0, -1.0, -2.0]])
  result = hepo.advantages(scores, entropies, rho=0.4, scale='none')
  assert result.tolist() == [[0.5, 0.5, 0.5], [-0.5, 0, 0]]


def test_float64_tells_close_entropies_apart():
  with jax.enable_x64(True):
    entropies = jnp.array([[1.0, 1.0 + 1e-15]])
    result = hepo.advantages(
      jnp.array([[1.0, 0.0]]), entropies[..., None], rho=0.5, scale='none'
    )
    assert result.tolist() == [[[0], [-0.5]]]


def test_unknown_entropies_stay_visible():
  scores, entropies = batch(2)
  entropies[1, 2, 3] = np.nan
  result = np.asarray(hepo.advantages(scores, entropies))
  assert np.isnan(result[1, 2, 3])
  assert np.isnan(result).sum() == 1


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'rho': 1.5}, 'rho must be a finite number between 0 and 1'),
    ({'returns': np.zeros((4, 5))}, r'returns has shape \(4, 5\)'),
    ({'entropies': np.zeros(4)}, 'entropies must have at least 2 axes'),
    ({'scale': 'var'}, 'scale must be one of'),
  ],
)
def test_wrong_arguments(change, message):
  scores, entropies = batch(3)
  arguments = {'returns': scores, 'entropies': entropies, **change}
  with pytest.raises(ValueError, match=message):
    hepo.advantages(**arguments)
