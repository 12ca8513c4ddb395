"""What SPA's progress loss identifies, where everything can be computed."""

import jax
import numpy as np
import pytest

from jaxcredit import spa
from tests.experiments import imported_script

EFFECTS = np.array([0.5, 0.0, 0.25])
SMALL = 1e-4


@pytest.fixture(scope='module')
def script():
  with imported_script.imported(
    'experiments.accuracy.progress_identification'
  ) as module:
    yield module


@pytest.fixture(autouse=True)
def double():
  with jax.enable_x64(True):
    yield


def solve(script, model, start=None, descend=False, **options):
  """Contributions [E, S] that minimise the loss, and the loss there."""
  loss, size = script.objective(EFFECTS, model, **options)
  start = np.zeros(size) if start is None else start
  method = script.descend if descend else script.minima
  table = method(lambda x: loss(x).loss, start[None])[0]
  index = script.entries(script.episodes(3), model)
  return table[index], loss(table)


def expectations(script, outcome):
  """E[R | actions up to the step], by going through all episodes."""
  actions = script.episodes(3)
  return np.array(
    [
      [
        outcome[(actions[:, : t + 1] == episode[: t + 1]).all(axis=1)].mean()
        for t in range(3)
      ]
      for episode in actions
    ]
  )


def splits(script):
  """Splits without loss by tables of histories: true, late, and another."""
  actions = script.episodes(3)
  true = actions * EFFECTS
  late = np.zeros_like(true)
  late[:, -1] = true.sum(axis=1)
  other = true.copy()
  # What is lent at the first step is paid back at the second.
  loan = np.where(actions[:, 0] == 1, 3.0, -2.0)
  other[:, 0] += loan
  other[:, 1] -= loan
  return true, late, other


def test_the_loss_has_a_set_of_solutions(script):
  actions = script.episodes(3)
  for contributions in splits(script):
    result = spa.progress_loss_parts(contributions, actions @ EFFECTS)
    assert float(result.loss) < 1e-24
    assert float(result.accuracy) == 1
  # 14 histories, 8 of which are whole episodes.
  for model, free in (('history', 6), ('action', 2), ('episode', 16)):
    loss, size = script.objective(EFFECTS, model)
    assert script.free_dimensions(lambda x, f=loss: f(x).loss, size) == free
  # From another table one comes to another solution.
  start = np.random.default_rng(0).normal(size=14)
  first, loss = solve(script, 'history')
  second, other = solve(script, 'history', start)
  assert max(float(loss.loss), float(other.loss)) < 1e-20
  assert abs(first - second).max() > 0.5
  assert script.effect_error(second, EFFECTS) > 0.1


@pytest.mark.parametrize('weight', [SMALL, 1.0, 100.0])
def test_prefixes_leave_one_solution_the_differences_of_expectations(
  script, weight
):
  start = np.random.default_rng(1).normal(size=14)
  found, loss = solve(script, 'history', start, prefix_weight=weight)
  known = expectations(script, script.episodes(3) @ EFFECTS)
  expected = np.diff(known, axis=1, prepend=0.0)
  np.testing.assert_allclose(found, expected, atol=1e-8)
  assert float(loss.regression) < 1e-15
  # Here each action's effect is found: what it adds does not depend on others.
  assert script.effect_error(found, EFFECTS) < 1e-8
  # The prefixes themselves keep the error that nobody can avoid.
  outcome = (script.episodes(3) @ EFFECTS)[:, None]
  assert float(loss.prefix) == pytest.approx(((known - outcome) ** 2).mean())


def test_a_model_that_sees_whole_episodes_is_not_helped_by_prefixes(script):
  found, _ = solve(script, 'episode', prefix_weight=1.0)
  expected = np.zeros((8, 3))
  expected[:, 0] = script.episodes(3) @ EFFECTS
  np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize('weight', [SMALL, 1.0])
def test_smoothness_shares_evenly_where_the_model_sees_all(script, weight):
  found, _ = solve(script, 'episode', smoothness_weight=weight)
  outcome = script.episodes(3) @ EFFECTS
  np.testing.assert_allclose(found, np.tile(outcome[:, None] / 3, 3), atol=1e-8)


def test_little_smoothness_selects_the_smoothest_solution(script):
  found, _ = solve(script, 'history', smoothness_weight=SMALL)
  again, _ = solve(
    script,
    'history',
    np.random.default_rng(2).normal(size=14),
    smoothness_weight=SMALL,
  )
  np.testing.assert_allclose(found, again, atol=1e-8)
  # The smoothest under the constraint, by its Lagrangian.
  index = script.entries(script.episodes(3), 'history')
  sums, differences = np.zeros((8, 14)), np.zeros((16, 14))
  for episode, row in enumerate(index):
    sums[episode, row] += 1
    for t in (0, 1):
      differences[2 * episode + t, row[t + 1]] += 1
      differences[2 * episode + t, row[t]] -= 1
  system = np.block(
    [[differences.T @ differences, sums.T], [sums, np.zeros((8, 8))]]
  )
  right = np.concatenate([np.zeros(14), script.episodes(3) @ EFFECTS])
  expected = np.linalg.lstsq(system, right)[0][:14][index]
  np.testing.assert_allclose(found, expected, atol=1e-3)
  # It is not what the actions add.
  assert script.effect_error(found, EFFECTS) > 0.1
  # Much of it costs: the sum is no longer the outcome.
  _, heavy = solve(script, 'history', smoothness_weight=1.0)
  assert float(heavy.regression) > 1e-5


def test_monotone_bounds_contributions_and_selects_none(script):
  actions = script.episodes(3)
  outcome = actions @ EFFECTS
  found = []
  for seed in range(2):
    start = np.random.default_rng(seed).normal(size=14)
    contributions, loss = solve(
      script, 'history', start, descend=True, monotone_weight=1.0
    )
    assert float(loss.loss) < 1e-12
    assert (contributions > -1e-5).all()
    assert (contributions < outcome[:, None] + 1e-5).all()
    assert abs(contributions[outcome == 0]).max() < 1e-5
    found.append(contributions)
  assert abs(found[0] - found[1]).max() > 0.05
  _, late, other = splits(script)
  assert (
    float(spa.progress_loss_parts(late, outcome, monotone_weight=1.0).loss) == 0
  )
  assert (
    float(spa.progress_loss_parts(other, outcome, monotone_weight=1.0).loss) > 0
  )


def test_monotone_forbids_steps_after_which_less_is_to_be_expected(script):
  # The differences of expectations are negative for every other action.
  _, loss = solve(
    script, 'history', descend=True, prefix_weight=1.0, monotone_weight=1.0
  )
  assert float(loss.regression) > 1e-5 and float(loss.monotone) > 1e-5


def policy_gradient(script, contributions, discount):
  """Expected gradient for each history's choice, episode by episode."""
  actions = script.episodes(3)
  gradient = np.zeros((3, 8))
  for episode, given in zip(actions, contributions, strict=True):
    for t in range(3):
      rest = sum(discount ** (k - t) * given[k] for k in range(t, 3))
      before = int('0' + ''.join(map(str, episode[:t])), 2)
      gradient[t, before] += (episode[t] - 0.5) * rest / 8
  return gradient


def test_without_discount_all_solutions_have_one_policy_gradient(script):
  true, *others = splits(script)
  others.append(solve(script, 'history', prefix_weight=1.0)[0])
  expected = policy_gradient(script, true, 1.0)
  assert abs(expected).max() > 0.01
  discounted = policy_gradient(script, true, 0.5)
  for contributions in others:
    np.testing.assert_allclose(
      policy_gradient(script, contributions, 1.0), expected, atol=1e-8
    )
  # With one, the late split and the true one part.
  late = policy_gradient(script, others[0], 0.5)
  assert abs(late - discounted).max() > 0.01


def test_the_table_of_the_script(script, capsys):
  result = script.measure(EFFECTS, 'action', 2)
  assert result['free'] == 2 and result['loss'] < 1e-20
  assert result['error'] < 1e-10 and result['spread'] > 0.1
  result = script.measure(EFFECTS, 'history', 2, smoothness_weight=1.0)
  assert result['free'] == 0 and result['spread'] < 1e-6
  assert result['error'] == pytest.approx(result['error_random'])
