"""Methods of steps, against direct calls of the pure functions."""

import dataclasses

import numpy as np
import pytest

from jaxcredit import (
  gigpo,
  grpo,
  methods,
  reinforce_plus_plus,
  rloo,
  types,
)

P, G, S = 3, 4, 5
METHODS = [
  name
  for name, method in methods.TABLE.items()
  if method.unit != 'token' and not method.needs
]
OTHERS = {
  'discount': 0.5,
  'step_weight': 0.25,
  'episode_weight': 3.0,
  'scale': 'none',
  'episode_statistics': 'steps',
  'ddof': 0,
}


def trajectories(penalty=0.1) -> types.Trajectories:
  """Rollouts of unequal lengths and returns; one of them was lost."""
  rng = np.random.default_rng(0)
  lengths = rng.integers(2, S + 1, (P, G))
  lengths[1, 2] = 0
  mask = np.arange(S) < lengths[..., None]
  last = np.arange(S) == lengths[..., None] - 1
  won = rng.random((P, G, 1)) < 0.5
  won[:, 0], won[:, 1] = True, False
  rewards = np.where(last & won, 10.0, 0.0) + rng.normal(0, 0.1, (P, G, S))
  penalties = penalty * (rng.random((P, G, S)) < 0.3)
  return types.Trajectories(
    # What lies behind the mask must not matter.
    rewards=np.where(mask, rewards, np.nan).astype(np.float32),
    mask=mask,
    anchors=rng.integers(0, 4, (P, G, S, 2)).astype(np.uint32),
    penalties=np.where(mask, penalties, np.nan).astype(np.float32),
    terminated=won[..., 0],
    truncated=~won[..., 0],
  )


def of_table(batch, method='gigpo', **options) -> methods.Credit:
  found = methods.TABLE[method]
  made = found.options(**options)
  return methods.compiled(found, made)(methods.Batch(batch))


def credit(batch, **options) -> np.ndarray:
  return np.asarray(of_table(batch, **options).total)


def scores(batch) -> np.ndarray:
  return np.where(batch.mask, batch.rewards, 0).sum(-1)


def each_step(values, batch) -> np.ndarray:
  return np.where(batch.mask, np.asarray(values)[..., None], 0)


@pytest.mark.parametrize('method', METHODS)
def test_every_method_gives_each_step_a_finite_credit(method):
  batch = trajectories()
  result = credit(batch, method=method)
  assert result.shape == (P, G, S)
  assert result.dtype == np.float32
  assert np.isfinite(result).all()
  assert (result[~batch.mask] == 0).all()
  # Each method tells rollouts apart, and charges answers of wrong form.
  assert len(np.unique(result[batch.mask].round(4))) >= 2 * P
  charged = credit(trajectories(penalty=5.0), method=method)
  assert not np.allclose(result, charged)


def test_methods_are_different():
  batch = trajectories()
  results = [credit(batch, method=method) for method in METHODS]
  for i, a in enumerate(results):
    for b in results[i + 1 :]:
      assert np.abs(a - b).max() > 1e-2


@pytest.mark.parametrize(
  ('method', 'field'),
  [
    (method, field.name)
    for method in METHODS
    for field in dataclasses.fields(methods.TABLE[method].options)
  ],
)
def test_every_option_has_an_effect(method, field):
  batch = trajectories()
  plain = credit(batch, method=method)
  changed = credit(batch, **{'method': method, field: OTHERS[field]})
  assert not np.allclose(plain, changed, atol=1e-4)


def test_gigpo_is_the_pure_function():
  batch = trajectories()
  options = OTHERS
  expected = gigpo.advantages(
    batch.rewards,
    batch.mask,
    batch.anchors,
    penalties=batch.penalties,
    **options,
  )
  given = of_table(batch, **options)
  np.testing.assert_array_equal(given.total, expected.total)
  for name in ('step', 'episode', 'anchor_group'):
    np.testing.assert_array_equal(given.parts[name], getattr(expected, name))


@pytest.mark.parametrize('scale', ['std', 'none'])
def test_grpo_is_the_pure_function_and_gigpo_without_steps(scale):
  batch = trajectories(penalty=0)
  options = {'scale': scale, 'ddof': 0}
  ours = credit(batch, method='grpo', **options)
  pure = grpo.advantages(scores(batch), batch.mask.any(-1), **options)
  np.testing.assert_allclose(ours, each_step(pure, batch), atol=1e-5)

  batch = trajectories()
  expected = credit(batch, method='gigpo', step_weight=0.0, **options)
  ours = credit(batch, method='grpo', **options)
  np.testing.assert_array_equal(ours, expected)


def test_rloo_is_the_pure_function_less_penalties():
  batch = trajectories()
  pure = rloo.advantages(scores(batch), batch.mask.any(-1))
  expected = each_step(pure, batch) - np.where(batch.mask, batch.penalties, 0)
  np.testing.assert_allclose(credit(batch, method='rloo'), expected, atol=1e-5)


def test_reinforce_is_the_pure_function_of_charged_rewards():
  batch = trajectories()
  charged = batch.rewards - batch.penalties
  expected = reinforce_plus_plus.advantages(
    charged, batch.mask, discount=0.5, ddof=0
  )
  ours = credit(batch, method='reinforce++', discount=0.5, ddof=0)
  np.testing.assert_allclose(ours, expected, atol=1e-6)
  expected = reinforce_plus_plus.baseline_advantages(
    charged, batch.mask, ddof=0
  )
  ours = credit(batch, method='reinforce++baseline', ddof=0)
  np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_an_unknown_option():
  with pytest.raises(ValueError, match='scale must be one of std, none, not'):
    methods.TABLE['gigpo'].options(scale='variance')
