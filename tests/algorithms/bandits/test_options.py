"""Every option of every algorithm has an effect, and bad ones are refused."""

import jax
import numpy as np
import pytest

from jaxcredit import dynlin_ucb
from jaxcredit.algorithms.bandits import (
  action_sets,
  ar2,
  bounds,
  d_lin_ucb,
  exp3,
  lin_ucb,
)
from tests.algorithms.bandits import problems

SYSTEM, ACTIONS = problems.paper_problem()
TOLD = bounds.of_system(SYSTEM, ACTIONS)


def differs(left, right):
  """Whether two configurations differ, in an array or a static option."""
  if jax.tree.structure(left) != jax.tree.structure(right):
    return True
  return any(
    x.shape != y.shape or (np.asarray(x) != np.asarray(y)).any()
    for x, y in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
  )


HORIZON = {'form': 'horizon'}
DISCOUNTED = {'form': 'discounted'}


@pytest.mark.parametrize(
  ('algorithm', 'base', 'options'),
  [
    (dynlin_ucb, {}, {'ridge': 2.0}),
    (dynlin_ucb, {}, {'delta': 0.5}),
    (dynlin_ucb, {}, {'start': 'released'}),
    (dynlin_ucb, {}, {'radius': 'determinant'}),
    (lin_ucb, {}, {'ridge': 2.0}),
    (lin_ucb, {}, {'delta': 0.5}),
    (lin_ucb, {}, {'batch': 3}),
    (lin_ucb, {'batch': 3}, {'batch_reward': 'last'}),
    (lin_ucb, {}, {'random_start': True}),
    (lin_ucb, {}, HORIZON),
    (lin_ucb, HORIZON, {'budget': 2.0}),
    (d_lin_ucb, {}, {'ridge': 2.0}),
    (d_lin_ucb, {}, {'delta': 0.5}),
    (d_lin_ucb, {}, {'random_start': True}),
    (d_lin_ucb, {}, {'forgotten': 1e-3}),
    (d_lin_ucb, {}, DISCOUNTED),
    (d_lin_ucb, DISCOUNTED, {'budget': 2.0}),
    (exp3, {}, {'batch': 4}),
    (exp3, {}, {'reward_bound': 5.0}),
    (exp3, {'batch': 4}, {'credit': 'released'}),
    (exp3, {'batch': 4}, {'batch_reward': 'sum'}),
    (ar2, {}, {'triggered': 'released_by_pull'}),
    (ar2, {}, {'eigenvalue': 0.2 + 0.1j}),
  ],
)
def test_every_option_changes_the_configuration(algorithm, base, options):
  before = algorithm.configure(SYSTEM, ACTIONS, 500, **base)
  after = algorithm.configure(SYSTEM, ACTIONS, 500, **base, **options)
  assert not differs(before, algorithm.configure(SYSTEM, ACTIONS, 500, **base))
  assert differs(before, after)


@pytest.mark.parametrize('algorithm', [dynlin_ucb, lin_ucb, d_lin_ucb, exp3])
def test_what_the_agent_is_told_changes_the_configuration(algorithm):
  before = algorithm.configure(SYSTEM, ACTIONS, 500)
  told = bounds.of_system(SYSTEM, ACTIONS, rho=0.5, sigma=0.2)
  after = algorithm.configure(SYSTEM, ACTIONS, 500, bounds=told)
  assert differs(before, after)


@pytest.mark.parametrize(
  'field', ['rho', 'phi', 'theta', 'omega', 'b', 'u', 'x', 'sigma']
)
def test_every_bound_reaches_dynlin(field):
  told = {**TOLD.__dict__, field: 0.9 if field == 'rho' else 3.0}
  assert differs(
    dynlin_ucb.configure(SYSTEM, ACTIONS, 500, bounds=TOLD),
    dynlin_ucb.configure(SYSTEM, ACTIONS, 500, bounds=bounds.Bounds(**told)),
  )


BALL = action_sets.ball(1.0, 3)


@pytest.mark.parametrize(
  ('algorithm', 'actions', 'options', 'words'),
  [
    (dynlin_ucb, ACTIONS, {'ridge': 0.0}, 'lambda. must be positive, not 0'),
    (dynlin_ucb, ACTIONS, {'delta': 0.0}, r'delta must be in \(0, 1\]'),
    (dynlin_ucb, ACTIONS, {'start': 'cold'}, "start must be one of .*'cold'"),
    (dynlin_ucb, ACTIONS, {'radius': 'open'}, 'radius must be one of'),
    (lin_ucb, ACTIONS, {'form': 'closed'}, 'form must be one of'),
    (lin_ucb, ACTIONS, {'batch': 0}, 'at least one round'),
    (lin_ucb, ACTIONS, {'batch_reward': 'max'}, 'batch_reward must be one of'),
    (lin_ucb, ACTIONS, {'budget': 1.5}, "budget belongs to form='horizon'"),
    (d_lin_ucb, ACTIONS, {'form': 'both'}, 'form must be one of'),
    (d_lin_ucb, ACTIONS, {'forgotten': 0.0}, r'must be in \(0, 1\)'),
    (d_lin_ucb, ACTIONS, {'budget': 1.5}, "belongs to form='discounted'"),
    (
      d_lin_ucb,
      ACTIONS,
      {'form': 'discounted', 'forgotten': 0.5},
      'grows beyond all numbers',
    ),
    (d_lin_ucb, BALL, {}, 'D-Lin-UCB needs finitely many actions'),
    (exp3, BALL, {}, 'Exp3 needs finitely many actions.*Ball'),
    (exp3, ACTIONS, {'batch': 0}, 'batch must be at least 1'),
    (exp3, ACTIONS, {'reward_bound': 0.0}, 'xi. must be positive, not 0'),
    (exp3, ACTIONS, {'credit': 'late'}, 'credit must be one of'),
    (ar2, BALL, {}, 'AR2 needs finitely many actions'),
    (ar2, ACTIONS, {'triggered': 'no'}, 'triggered must be one of'),
    (ar2, ACTIONS, {'eigenvalue': 1j}, r'eigenvalue must be in \(0, 1\)'),
    (ar2, ACTIONS, {'eigenvalue': -0.5}, 'would have no round'),
  ],
)
def test_bad_options_are_refused(algorithm, actions, options, words):
  with pytest.raises(ValueError, match=words):
    algorithm.configure(SYSTEM, actions, 500, **options)


def test_ar2_needs_memory_and_noise():
  still = bounds.Bounds(**{**TOLD.__dict__, 'sigma': 0.0})
  with pytest.raises(ValueError, match='AR2 divides by rho and sigma'):
    ar2.configure(SYSTEM, ACTIONS, 500, bounds=still)


def test_batch_size_of_exp3_k():
  # 7 at a hundred thousand rounds, 8 at a million (rho 0.2).
  assert exp3.batch_size(0.2, 100_000) == 7
  assert exp3.batch_size(0.2, 1_000_000) == 8
  assert exp3.batch_size(0.6669, 100_000) == 22
  assert exp3.batch_size(0.0, 100_000) == 1
