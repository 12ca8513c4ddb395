"""DynLin-UCB: the released code's regrets, properties, continuous actions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks.references import numpy_bandits
from jaxcredit import dynlin_ucb, dynlin_ucb_epochs
from jaxcredit.algorithms.bandits import (
  action_sets,
  ar2,
  bounds,
  linear_system,
  play,
)
from jaxcredit.algorithms.bandits import ridge as ridge_lib
from jaxcredit.environments import linear_dynamical_system
from tests.algorithms.bandits import problems


def final_regrets(algorithm, system, configs, horizon, seeds):
  """Offline regrets [settings, seeds] of settings that differ in values."""
  configs = jax.tree.map(lambda *x: jnp.stack(x), *configs)
  keys = jax.random.split(jax.random.key(0), seeds)

  def run(config, key):
    history = play.run(algorithm.ALGORITHM, key, system, config, horizon)
    return history.offline_regret[-1]

  over_keys = jax.vmap(run, in_axes=(None, 0))
  return np.asarray(jax.vmap(over_keys, in_axes=(0, None))(configs, keys))


def told(system, actions):
  return bounds.of_system(system, actions, sigma=0.01, x='released')


def test_regrets_of_the_released_code():
  # Its own means (standard deviations) over 10 seeds: 2422.5 (8.0) with
  # lambda = log T and 6930.4 (9.3) with lambda = 1.
  system, actions = problems.paper_problem()
  horizon = 100_000
  configs = [
    dynlin_ucb.configure(
      system, actions, horizon, bounds=told(system, actions), ridge=ridge,
      start='released',
    )
    for ridge in (None, 1.0)
  ]  # fmt: skip
  regrets = final_regrets(dynlin_ucb, system, configs, horizon, 8)
  np.testing.assert_allclose(regrets.mean(axis=1), [2422.5, 6930.4], rtol=4e-3)
  assert (regrets.std(axis=1) < 30).all()


def test_regret_of_the_released_ar2():
  # 17,902 (54).
  system, actions = problems.paper_problem()
  config = ar2.configure(system, actions, 100_000, bounds=told(system, actions))
  regrets = final_regrets(ar2, system, [config], 100_000, 8)
  assert regrets.mean() == pytest.approx(17_902, rel=6e-3)


def test_float32_and_the_scan_over_epochs_agree_with_float64_in_regret():
  horizon, seeds = 10_000, 16
  means = {}
  for name in ('float64', 'float32'):
    with jax.enable_x64(name == 'float64'):
      system, actions = problems.paper_problem()
      assert system.A.dtype == name
      config = dynlin_ucb.configure(
        system, actions, horizon, bounds=told(system, actions)
      )
      regrets = final_regrets(dynlin_ucb, system, [config], horizon, seeds)
      means[name] = regrets.mean()
  assert means['float32'] == pytest.approx(means['float64'], rel=5e-3)

  system, actions = problems.paper_problem()
  config = dynlin_ucb_epochs.configure(
    system, actions, horizon, bounds=told(system, actions)
  )
  keys = jax.random.split(jax.random.key(1), seeds)
  history = jax.vmap(lambda key: dynlin_ucb_epochs.run(key, system, config))(
    keys
  )
  assert (np.asarray(history.plays).sum(axis=(1, 2)) == horizon).all()
  assert (np.asarray(history.rounds)[:, -1] == horizon).all()
  by_epochs = np.asarray(history.offline_regret)[:, -1].mean()
  assert by_epochs == pytest.approx(means['float64'], rel=5e-3)


def test_what_the_scan_over_epochs_knows_of_the_rounds_between():
  with jax.enable_x64(True):
    system, _ = problems.random_problem(0, rho=0.8)
    held_parts = dynlin_ucb_epochs._held(system, 6)
  powers, controls, roots = map(np.asarray, held_parts)
  A, B = np.asarray(system.A), np.asarray(system.B)
  for held in range(6):
    earlier = [np.linalg.matrix_power(A, i) for i in range(held)]
    np.testing.assert_allclose(
      powers[held], np.linalg.matrix_power(A, held), atol=1e-12
    )
    np.testing.assert_allclose(
      controls[held], sum(earlier, np.zeros_like(A)) @ B, atol=1e-12
    )
    np.testing.assert_allclose(
      roots[held] @ roots[held].T,
      0.05**2 * sum((p @ p.T for p in earlier), np.zeros_like(A)),
      atol=1e-12,
    )


def test_without_noise_the_scan_over_epochs_is_the_scan_over_rounds():
  with jax.enable_x64(True):
    system, actions = problems.random_problem(3, rho=0.8, sigma=0.0)
    key, horizon = jax.random.key(0), 2000
    rounds = dynlin_ucb.run(
      key, system, dynlin_ucb.configure(system, actions, horizon), horizon,
      record_every=500,
    )  # fmt: skip
    config = dynlin_ucb_epochs.configure(
      system, actions, horizon, bounds=bounds.of_system(system, actions)
    )
    by_epochs = dynlin_ucb_epochs.run(key, system, config, record_every=10)
    regrets = [float(h.offline_regret[-1]) for h in (rounds, by_epochs)]
  plays = np.asarray(rounds.plays).sum(axis=0)
  assert (plays > 0).sum() > 2
  np.testing.assert_array_equal(np.asarray(by_epochs.plays).sum(axis=0), plays)
  assert regrets[1] == pytest.approx(regrets[0])


def test_epochs_can_be_filled_up_and_stacked():
  system, actions = problems.paper_problem()
  with pytest.warns(bounds.RadiusBoundWarning):
    shorter = bounds.of_system(system, actions, rho=0.1)
  configs = [
    dynlin_ucb_epochs.configure(
      system, actions, 900, bounds=b, count=600, longest=5
    )
    for b in (told(system, actions), shorter)
  ]
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *configs)
  run = functools.partial(dynlin_ucb_epochs.run, jax.random.key(0), system)
  batch = jax.vmap(lambda config: run(config, record_every=60))(stacked)
  assert (np.asarray(batch.rounds)[:, -1] == 900).all()
  assert (np.asarray(batch.plays).sum(axis=(1, 2)) == 900).all()
  with pytest.raises(ValueError, match='more than count = 10'):
    dynlin_ucb_epochs.configure(system, actions, 900, bounds=shorter, count=10)


def test_permuted_arms_give_permuted_actions():
  order = np.random.default_rng(0).permutation(problems.ARMS)
  with jax.enable_x64(True):
    system, actions = problems.random_problem(2, sigma=0.3)
    permuted = action_sets.finite(np.asarray(actions.arms)[order])
    plays = []
    for these in (actions, permuted):
      config = dynlin_ucb.configure(system, these, 500)
      history = dynlin_ucb.run(
        jax.random.key(0), system, config, 500, record_every=1
      )
      plays.append(problems.played(history))
  assert len(set(plays[0].tolist())) > 2
  np.testing.assert_array_equal(order[plays[1]], plays[0])


def test_the_confidence_radius_covers_the_truth():
  # A system whose noise, and not its memory, makes the radius: there the bound
  # is nearly tight. delta = 0.1: at most a tenth of the runs may ever fail.
  delta, horizon, seeds = 0.1, 400, 500
  system = linear_system.create(
    [[0.3]], [[0.01, 0.02]], [0.01], [0.5, -0.2],
    state_noise=0.1, reward_noise=1.0,
  )  # fmt: skip
  actions = action_sets.finite([[1.0, 0.0], [0.6, 0.6], [0.0, 1.0]])
  h = linear_system.cumulative_markov_parameter(system)

  def largest_ratio(config, key):
    def step(carry, draw_key):
      agent, state = carry
      action, agent = dynlin_ucb.select(config, agent, jnp.zeros(()))
      estimate = ridge_lib.estimate(
        agent.statistics, actions, config.constants.ridge
      )
      beta = dynlin_ucb.confidence_radius(config, agent.rounds, estimate)
      # ||hhat - h||_V = ||L^T (hhat - h)||.
      lower = jnp.stack(
        [
          jnp.stack([estimate.factor[0][0], jnp.zeros(())]),
          jnp.stack(estimate.factor[1]),
        ]
      )
      error = jnp.linalg.norm(lower.T @ (estimate.parameter - h))
      result = linear_dynamical_system.step(
        system,
        linear_dynamical_system.State(state, draw_key),
        actions.vector(action),
      )
      agent = dynlin_ucb.update(config, agent, action, result.reward)
      return (agent, result.state.hidden), error / beta

    start = (dynlin_ucb.init(config), system.initial_state)
    _, ratios = jax.lax.scan(step, start, jax.random.split(key, horizon))
    return ratios.max()

  config = dynlin_ucb.configure(
    system, actions, horizon, delta=delta, ridge=0.01
  )
  keys = jax.random.split(jax.random.key(0), seeds)
  ratios = np.asarray(
    jax.jit(jax.vmap(largest_ratio, in_axes=(None, 0)))(config, keys)
  )
  assert (ratios <= 1).mean() >= 1 - delta
  # And it is not vacuous: half of the radius would fail often.
  assert (ratios <= 0.4).mean() < 1 - delta


def test_a_box_is_its_corners():
  low, high = np.array([-1.0, -0.5, 0.0]), np.array([0.5, 1.0, 0.7])
  with jax.enable_x64(True):
    system, _ = problems.random_problem(4, sigma=0.3)
    box = action_sets.box(low, high)
    config = dynlin_ucb.configure(system, box, 500)
    key = jax.random.key(0)
    history = dynlin_ucb.run(key, system, config, 500, record_every=1)
    noise, draws = problems.numbers(key, system, 500)
    h = np.asarray(linear_system.cumulative_markov_parameter(system))
  assert history.plays.shape == (500, 0)
  corners = np.array(
    [[a, b, c] for a in (-1, 0.5) for b in (-0.5, 1) for c in (0, 0.7)]
  )
  arrays = [
    np.asarray(a) for a in (system.A, system.B, system.omega, system.theta)
  ]
  reference_told = numpy_bandits.Told(*arrays, corners, sigma=0.3)
  # The box is told the norm of its farthest corner, which may be no corner.
  reference_told.u = np.linalg.norm(np.maximum(abs(low), abs(high)))
  agent = numpy_bandits.DynLinUcb(reference_told, 500)
  arms, _ = numpy_bandits.simulate(agent, *arrays, noise, 0.3, 0.3, draws)
  values = corners @ h
  np.testing.assert_allclose(
    history.steady_shortfall, values.max() - values[arms], atol=1e-6
  )
  assert len(set(arms.tolist())) > 2


def test_a_ball_is_learnt():
  system, _ = problems.random_problem(1, rho=0.3, sigma=0.01)
  ball = action_sets.ball(1.0, problems.DIMENSION)
  config = dynlin_ucb.configure(system, ball, 3000, start='released')
  history = dynlin_ucb.run(
    jax.random.key(0), system, config, 3000, record_every=500
  )
  shortfall = np.asarray(history.steady_shortfall)
  assert np.isfinite(shortfall).all() and (shortfall > -1e-3).all()
  # J* is 1, so that actions at random would fall short by 500.
  assert (np.diff(shortfall) < 0).all()
  assert shortfall[-1] < 0.7 * shortfall[0] < 200


def test_a_delay_is_learnt():
  system = linear_dynamical_system.delayed([0.2, 0.5, 0.8], 3)
  actions = linear_dynamical_system.one_hot_actions(3)
  config = dynlin_ucb.configure(
    system, actions, 3000,
    bounds=bounds.of_system(system, actions, rho=0.3),
  )  # fmt: skip
  history = dynlin_ucb.run(
    jax.random.key(0), system, config, 3000, record_every=500
  )
  # Epochs longer than the delay see the reward of their own action.
  assert np.asarray(history.plays)[-1].argmax() == 2
