"""The compiled loop: reproducible, resumable, batched, compiled once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import dynlin_ucb
from jaxcredit.algorithms.bandits import (
  action_sets,
  exp3,
  fixed,
  lin_ucb,
  linear_system,
  play,
)
from jaxcredit.environments import linear_dynamical_system
from tests.algorithms.bandits import problems

# Two blocks and a part of a third.
ROUNDS = 2 * play.BLOCK + 150
KEY = jax.random.key(5)


def setting(seed=0, **options):
  system, actions = problems.random_problem(seed, sigma=0.3)
  return system, exp3.configure(system, actions, ROUNDS, **options)


def equal(left, right):
  jax.tree.map(np.testing.assert_array_equal, left, right)


def close(left, right):
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-4),
    left,
    right,
  )


@pytest.fixture(scope='module')
def each_round():
  system, config = setting()
  return play.run(exp3.ALGORITHM, KEY, system, config, ROUNDS, record_every=1)


def test_history_counts_every_round_once(each_round):
  np.testing.assert_array_equal(each_round.rounds, np.arange(1, ROUNDS + 1))
  plays = np.asarray(each_round.plays)
  assert plays.shape == (ROUNDS, problems.ARMS)
  assert (plays.sum(axis=-1) == 1).all()
  system, config = setting()
  values = np.asarray(
    config.actions.values(linear_system.cumulative_markov_parameter(system))
  )
  np.testing.assert_allclose(
    each_round.steady_shortfall, plays @ (values.max() - values), atol=1e-6
  )


def test_random_numbers_differ_between_blocks():
  parts = [
    play.random_numbers(KEY, block, 3, np.float32) for block in range(40)
  ]
  noise = np.concatenate([part[0] for part in parts])
  draws = np.concatenate([part[1] for part in parts])
  assert noise.shape == (40 * play.BLOCK, 4)
  assert len(np.unique(draws)) > 0.99 * draws.size
  assert len(np.unique(noise)) > 0.9 * noise.size
  np.testing.assert_allclose(np.cov(noise.T), np.eye(4), atol=0.04)
  assert draws.min() >= 0 and draws.max() < 1
  assert draws.mean() == pytest.approx(0.5, abs=0.01)


def test_runs_are_reproducible_and_keys_matter(each_round):
  system, config = setting()
  again = play.run(exp3.ALGORITHM, KEY, system, config, ROUNDS, record_every=1)
  equal(again, each_round)
  other = play.run(
    exp3.ALGORITHM, jax.random.key(6), system, config, ROUNDS, record_every=1
  )
  assert (other.plays != each_round.plays).any()
  assert (other.shortfall != each_round.shortfall).any()


@pytest.mark.parametrize('every', [100, play.BLOCK, 2 * play.BLOCK])
def test_how_often_a_run_is_recorded_does_not_change_it(each_round, every):
  system, config = setting()
  coarse = play.run(
    exp3.ALGORITHM, KEY, system, config, ROUNDS, record_every=every
  )
  edges = np.minimum(np.arange(every, ROUNDS + every, every), ROUNDS)
  np.testing.assert_array_equal(coarse.rounds, edges)
  total = np.cumsum(np.asarray(each_round.plays), axis=0)
  np.testing.assert_array_equal(
    np.cumsum(coarse.plays, axis=0), total[edges - 1]
  )
  for name in ('offline_regret', 'reward_regret'):
    fine = np.asarray(getattr(each_round, name))
    np.testing.assert_allclose(
      getattr(coarse, name), fine[edges - 1], rtol=1e-4, atol=1e-3
    )


def test_a_run_in_parts_is_the_whole_run(each_round):
  system, config = setting()
  progress = play.begin(exp3.ALGORITHM, system, config)
  advance = jax.jit(
    lambda progress, rounds: play.advance(
      exp3.ALGORITHM, KEY, system, config, progress, rounds, 50
    ),
    static_argnums=1,
  )
  parts = []
  for rounds in (play.BLOCK, play.BLOCK, ROUNDS - 2 * play.BLOCK):
    progress, part = advance(progress, rounds)
    parts.append(part)
  assert int(parts[-1].rounds[-1]) == ROUNDS
  plays = np.concatenate([part.plays for part in parts])
  expected = np.asarray(each_round.plays).reshape(-1, 50, problems.ARMS)
  np.testing.assert_array_equal(plays, expected.sum(axis=1))


def test_default_records():
  system, config = setting()
  history = jax.eval_shape(
    lambda: play.run(exp3.ALGORITHM, KEY, system, config, ROUNDS)
  )
  # 1150 rounds in steps of 4, the smallest that gives at most 500 records.
  assert history.rounds.shape == (288,)
  long = exp3.configure(system, config.actions, 1_000_000)
  history = jax.eval_shape(
    lambda: play.run(exp3.ALGORITHM, KEY, system, long, 1_000_000)
  )
  assert history.rounds.shape == (500,)


def test_vmap_equals_a_loop_over_keys_systems_and_settings():
  problems_ = [setting(seed, batch=1 + seed) for seed in range(2)]
  keys = jax.random.split(KEY, 2)
  stack = functools.partial(jax.tree.map, lambda *x: jnp.stack(x))
  systems, configs = (stack(*part) for part in zip(*problems_, strict=True))

  def run(key, system, config):
    return play.run(
      exp3.ALGORITHM, key, system, config, ROUNDS, record_every=50
    )

  over_keys = jax.vmap(run, in_axes=(0, None, None))
  batch = jax.vmap(over_keys, in_axes=(None, 0, 0))(keys, systems, configs)
  for s, (system, config) in enumerate(problems_):
    for k, key in enumerate(keys):
      one = run(key, system, config)
      close(jax.tree.map(lambda x, s=s, k=k: x[s, k], batch), one)
      np.testing.assert_array_equal(batch.plays[s, k], one.plays)


def test_other_values_do_not_compile():
  def call(seed):
    system, actions = problems.random_problem(seed, rho=0.4 + 0.1 * seed)
    config = dynlin_ucb.configure(
      system, actions, 500, ridge=1.0 + seed, delta=0.1 / (1 + seed)
    )
    key = jax.random.key(seed)
    return dynlin_ucb.run(key, system, config, 500).offline_regret[-1]

  first = float(call(0))
  compiled = []

  def listen(name, *unused, **kwargs):
    del unused, kwargs
    if 'backend_compile' in name:
      compiled.append(name)

  # What stands around the run (configure) compiles nothing of its own either.
  call(1)
  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    second = float(call(2))
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)
  assert not compiled
  assert first != second


def test_the_optimum_has_no_regret():
  system, actions = problems.random_problem(3, sigma=0.0)
  config = fixed.optimum(system, actions)
  history = play.run(fixed.ALGORITHM, KEY, system, config, 500)
  np.testing.assert_array_equal(history.offline_regret, 0)
  # In rewards it pays once for the state that it starts in.
  regret = np.asarray(history.reward_regret)
  assert abs(regret[-1] - regret[100]) < 1e-3
  worst = fixed.constant(
    system,
    actions,
    actions.vector(
      actions.best(-linear_system.cumulative_markov_parameter(system))
    ),
  )
  assert (
    float(play.run(fixed.ALGORITHM, KEY, system, worst, 500).offline_regret[-1])
    > 10
  )


def test_the_expert_of_the_paper():
  action = fixed.capped_shares(
    linear_dynamical_system.ADVERTISING_SPEND, 1.5, 1.0
  )
  np.testing.assert_allclose(action, [0.0031, 0.4969, 1.0], atol=1e-4)
  system = linear_dynamical_system.advertising()
  actions = action_sets.finite(action_sets.budget_shares(3, 1.5, 1.0))
  config = fixed.constant(system, actions, action)
  history = play.run(fixed.ALGORITHM, KEY, system, config, 500)
  # Figure 3: 215,722 over a million rounds.
  assert float(history.offline_regret[-1]) * 2000 == pytest.approx(
    215_722, rel=2e-3
  )
  with pytest.raises(ValueError, match='cannot be capped'):
    fixed.capped_shares([1.0, 1.0], 1.5, 0.5)


@pytest.mark.parametrize(
  ('horizon', 'options', 'words'),
  [
    (0, {}, 'horizon must be a whole number above 0, not 0'),
    (10.0, {}, 'horizon must be a whole number above 0, not 10.0'),
    (501, {}, 'made for 500 rounds, fewer than 501'),
    (500, {'record_every': 7}, 'record_every must be one of 1, 2, .*not 7'),
    (500, {'record_every': 0}, 'record_every must be one of'),
  ],
)
def test_runs_that_are_refused(horizon, options, words):
  system, actions = problems.random_problem(0)
  config = dynlin_ucb.configure(system, actions, 500)
  with pytest.raises(ValueError, match=words):
    dynlin_ucb.run(KEY, system, config, horizon, **options)


def test_a_system_of_another_dimension_is_refused():
  system, actions = problems.random_problem(0)
  config = dynlin_ucb.configure(system, actions, 500)
  other = linear_dynamical_system.random(0, dimension=5)
  with pytest.raises(ValueError, match='actions have dimension 3, but the sys'):
    dynlin_ucb.run(KEY, other, config, 500)


@pytest.mark.parametrize('algorithm', [exp3, dynlin_ucb, fixed])
def test_replayed_numbers_give_the_run(algorithm):
  """Three rounds more than a block, of numbers that were drawn before."""
  rounds = play.BLOCK + 3
  system, arms = problems.random_problem(2)
  config = (
    fixed.optimum(system, arms)
    if algorithm is fixed
    else algorithm.configure(system, arms, rounds)
  )
  noise, draws = problems.numbers(KEY, system, rounds)
  actions, rewards = play.replay(
    algorithm.ALGORITHM, system, config, noise, draws
  )
  history = play.run(
    algorithm.ALGORITHM, KEY, system, config, rounds, record_every=1
  )
  np.testing.assert_array_equal(actions, problems.played(history))
  h = linear_system.cumulative_markov_parameter(system)
  best = float((arms.vector(arms.best(h)) * h).sum())
  np.testing.assert_allclose(
    best - np.asarray(rewards), history.shortfall, atol=1e-5
  )


def test_numbers_to_replay_have_to_fit():
  system, arms = problems.random_problem(2)
  config = fixed.optimum(system, arms)
  with pytest.raises(
    ValueError, match=r'noise must be \[T, 5\] and draws \[T\]'
  ):
    play.replay(fixed.ALGORITHM, system, config, np.zeros((3, 4)), np.zeros(3))


@pytest.mark.parametrize('algorithm', [dynlin_ucb, lin_ucb])
def test_rounds_beyond_the_horizon_are_not_silent(algorithm):
  system, arms = problems.random_problem(2)
  config = algorithm.configure(system, arms, 2)
  state = algorithm.init(config)
  for _ in range(2):
    action, state = algorithm.select(config, state, jnp.array(0.5))
    state = algorithm.update(config, state, action, jnp.array(1.0))
  assert np.isfinite(jax.tree.leaves(state.statistics)[1]).all()
  with pytest.raises(ValueError, match='round 3 is beyond the 2 rounds'):
    algorithm.update(config, state, action, jnp.array(1.0))
  traced = jax.jit(algorithm.update)(config, state, action, jnp.array(1.0))
  assert any(
    np.isnan(np.asarray(leaf)).any()
    for leaf in jax.tree.leaves(traced.statistics)
  )
