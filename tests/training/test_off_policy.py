"""Corrections of rows that an older policy drew."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxcredit.training import off_policy
from tests.training import test_learner
from tests.training.test_learner import bigram  # noqa: F401, a fixture


def make(kind, **options):
  options = {
    'micro_batch_tokens': 64,
    'lengths': (8, test_learner.LENGTH),
    **options,
  }
  return off_policy.Correction(None, kind, **options)


def rows_and_scores(temperature=1.0):
  """Rows whose sampler was near the policy, and the policy's own scores."""
  rows, _ = test_learner.make_rows(9)
  rows.trajectory[4] = -1
  params = test_learner.bigram_params()
  scores, _ = test_learner.bigram_log_probs(
    params, None, rows.tokens, rows.length, temperature=temperature
  )
  drawn = rows.step_of_token >= 0
  noise = np.random.default_rng(1).normal(size=drawn.shape)
  behaviour = np.where(drawn, scores + noise, 0).astype(np.float32)
  rows = dataclasses.replace(rows, log_probs=behaviour)
  used = drawn & (rows.trajectory >= 0)[:, None]
  return rows, params, np.where(used, scores, 0), used


def test_clipped_leaves_the_rows_as_they_are():
  rows, params, _, _ = rows_and_scores()
  given, figures = make('clipped')(params, rows)
  assert given is rows and figures == {}


@pytest.mark.usefixtures('bigram')
def test_none_takes_the_present_policy_for_the_one_that_drew():
  rows, params, scores, _ = rows_and_scores()
  given, figures = make('none')(params, rows)
  np.testing.assert_allclose(given.log_probs, scores, atol=1e-5)
  assert given.weights is None
  assert figures['stale_ratio_deviation'] > 0


@pytest.mark.usefixtures('bigram')
def test_decoupled_weights_with_the_truncated_ratio():
  rows, params, scores, used = rows_and_scores()
  given, figures = make('decoupled', cap=1.25)(params, rows)
  np.testing.assert_allclose(given.log_probs, scores, atol=1e-5)
  ratio = np.exp(scores - rows.log_probs)
  expected = np.minimum(ratio, 1.25)
  np.testing.assert_allclose(given.weights[used], expected[used], rtol=1e-4)
  assert figures['stale_ratio'] == pytest.approx(ratio[used].mean(), rel=1e-4)
  assert figures['stale_ratio_truncated'] == (ratio > 1.25)[used].mean()
  wider, _ = make('decoupled', cap=2.0)(params, rows)
  assert wider.weights.max() > given.weights.max()


@pytest.mark.usefixtures('bigram')
def test_weights_go_with_the_unit_of_the_ratio_and_the_temperature():
  rows, params, _, used = rows_and_scores(temperature=2.0)
  token, by_step = (
    make('decoupled', cap=100.0, ratio=ratio, temperature=2.0)(params, rows)[0]
    for ratio in ('token', 'step')
  )
  for row, step in ((0, 0), (1, 0)):
    here = used[row] & (rows.step_of_token[row] == step)
    np.testing.assert_allclose(
      by_step.weights[row][here], np.prod(token.weights[row][here]), rtol=1e-4
    )
  # The sampler's temperature is part of what it drew with.
  colder, _ = make('none', temperature=1.0)(params, rows)
  assert np.abs(colder.log_probs - token.log_probs)[used].max() > 0.1


@pytest.mark.usefixtures('bigram')
def test_weights_reach_the_loss():
  rows, params, _, _ = rows_and_scores()
  _, advantages = test_learner.make_rows(9)
  learner = test_learner.make_learner()
  decoupled, _ = make('decoupled')(params, rows)
  plain, _ = make('none')(params, rows)
  results = [
    test_learner.update(learner, params, r, advantages)[0].params['table']
    for r in (decoupled, plain, rows)
  ]
  for i, j in ((0, 1), (0, 2), (1, 2)):
    assert np.abs(results[i] - results[j]).max() > 1e-3
  # Twice the weight of every token is twice the gradient.
  double = dataclasses.replace(decoupled, weights=2 * decoupled.weights)
  twice = test_learner.update(learner, params, double, advantages)[0]
  np.testing.assert_allclose(
    twice.params['table'] - params['table'],
    2 * (results[0] - params['table']),
    atol=1e-5,
  )


def test_figures_by_hand():
  proximal = np.log([[0.4, 0.1, 0.9]])
  behaviour = np.log([[0.2, 0.2, 0.3]])
  drawn = np.array([[True, True, False]])
  figures = off_policy.ratio_figures(proximal, behaviour, drawn, 1.5)
  assert figures == pytest.approx(
    {
      'stale_ratio': 1.25,
      'stale_ratio_deviation': 0.75,
      'stale_ratio_maximum': 2.0,
      'stale_ratio_truncated': 0.5,
      'effective_sample_share': 2.5**2 / (2 * 4.25),
    }
  )
  assert off_policy.ratio_figures(proximal, behaviour, drawn & False, 2) == {}


def test_wrong_options():
  with pytest.raises(ValueError, match="clipped, decoupled, not 'x'"):
    make('x')
  with pytest.raises(ValueError, match='cap must be above 0, not 0'):
    make('decoupled', cap=0)


def test_rows_of_a_policy_that_has_not_moved_have_weights_of_one():
  from jaxcredit.rollouts import episodes as episodes_lib
  from tests.rollouts import test_collector

  episodes = test_collector.collect(('room left',), group_size=2)
  rows = [row for e in episodes for row in e.rows]
  packed = episodes_lib.pack_rows(rows, range(len(rows)), 400)
  correction = off_policy.Correction(
    test_collector.CONFIG,
    'decoupled',
    micro_batch_tokens=1600,
    lengths=[400],
  )
  params = jax.tree.map(np.asarray, test_collector.build_params())
  given, figures = correction(params, packed)
  drawn = packed.step_of_token >= 0
  np.testing.assert_allclose(given.weights[drawn], 1, atol=1e-3)
  assert figures['effective_sample_share'] == pytest.approx(1, abs=1e-4)
