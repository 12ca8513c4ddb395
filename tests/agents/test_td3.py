"""TD3 on a line, whose best return is near 0."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.agents import reward_sources, td3
from tests.training import small_tasks

OPTIONS = td3.Options(
  environments=4, block=4, updates=8, blocks=25, rounds=50, random_steps=200,
  learning_rate=1e-3, batch=64, hidden=32,
)  # fmt: skip


def decoded():
  return reward_sources.Decoded(
    lambda o, a, n: jnp.concatenate([o, a, n], axis=-1), 3,
    hidden=32, layers=3, updates=4, batch=32, learning_rate=1e-3,
  )  # fmt: skip


def trained(source, iterations, options=OPTIONS, seed=0):
  program = td3.Td3(small_tasks.Line(), source, options)
  traces = []

  def iterate(state):
    traces.append(1)
    return program.iterate(state)

  run = jax.jit(iterate, donate_argnums=0)
  state = jax.jit(program.init)(jax.random.key(seed))
  for _ in range(iterations):
    state, metrics = run(state)
  assert len(traces) == 1
  played = program.evaluate(state, jax.random.key(1), 64)
  return state, metrics, float(played.team_return.mean())


@pytest.mark.system
@pytest.mark.parametrize('make', [reward_sources.Dense, decoded])
def test_learns_to_go_to_the_middle(make):
  """Standing still gives about -4, the best policy about -0.1."""
  state, metrics, reached = trained(make(), 6)
  assert reached > -0.8
  assert int(state.steps) == 6 * 25 * 4 * 4
  assert np.isfinite(float(metrics['critic_loss']))


def test_a_run_is_a_function_of_its_seed():
  short = dataclasses.replace(OPTIONS, blocks=15)
  runs = [
    trained(reward_sources.Episodic(), 1, short, seed)[0].networks.params
    for seed in (1, 1, 2)
  ]
  same, again, other = map(jax.tree.leaves, runs)
  for x, y, z in zip(same, again, other, strict=True):
    np.testing.assert_array_equal(x, y)
    assert (x != z).any()


def test_nothing_is_learned_from_the_first_random_steps():
  program = td3.Td3(small_tasks.Line(), reward_sources.Dense(), OPTIONS)
  begin = program.init(jax.random.key(0))
  few = dataclasses.replace(OPTIONS, blocks=2)
  state, _ = td3.Td3(small_tasks.Line(), reward_sources.Dense(), few).iterate(
    begin
  )
  assert int(state.steps) == 32
  jax.tree.map(np.testing.assert_array_equal, state.networks, begin.networks)
  held = state.replay.actions[:4, :8]
  assert float(jnp.abs(held).max()) > 0.5 and float(held.std()) > 0.3


def test_critics_learn_the_target_of_the_paper():
  """One update by gradient descent, against the formula with plain numbers."""
  options = dataclasses.replace(
    OPTIONS, updates=1, delay=1, batch=6, random_steps=0, target_noise=0.0,
    follow=0.25,
  )  # fmt: skip
  program = td3.Td3(small_tasks.Line(), reward_sources.Dense(), options)
  state = program.init(jax.random.key(0))
  state, _ = program.record(
    state, jnp.full((4, 1), 0.5), jnp.full((4, 1), -0.2), jnp.full(4, -0.4),
    jnp.full((4, 1), 0.4), jnp.asarray([True] * 4),
  )  # fmt: skip
  after, metrics = program.learn(state, jax.random.key(1))
  # All ended: the target is the reward alone.
  values = program.values(
    state.networks.params['critics'], jnp.full((1, 1), 0.5),
    jnp.full((1, 1), -0.2),
  )  # fmt: skip
  assert float(metrics['critic_loss']) == pytest.approx(
    float(((values + 0.4) ** 2).sum()), rel=1e-4
  )
  jax.tree.map(
    lambda new, old, target: np.testing.assert_allclose(
      target, 0.25 * new + 0.75 * old, rtol=1e-4, atol=1e-6
    ),
    after.networks.params, state.networks.targets, after.networks.targets,
  )  # fmt: skip


def test_values_go_on_over_a_cut_and_end_at_an_end():
  options = dataclasses.replace(
    OPTIONS, updates=1, delay=1, batch=8, random_steps=0, target_noise=0.0,
    environments=1,
  )  # fmt: skip
  program = td3.Td3(
    small_tasks.Line(horizon=1), reward_sources.Dense(), options
  )
  start = program.init(jax.random.key(0))

  def loss(terminated):
    state, ended = program.record(
      start, jnp.full((1, 1), 0.5), jnp.full((1, 1), -0.2), jnp.full(1, -0.4),
      jnp.full((1, 1), 0.4), jnp.asarray([terminated]),
    )  # fmt: skip
    assert bool(ended[0])
    return float(program.learn(state, jax.random.key(1))[1]['critic_loss'])

  params = start.networks.params
  now = program.values(
    params['critics'], jnp.full((1, 1), 0.5), jnp.full((1, 1), -0.2)
  )
  there = jnp.full((1, 1), 0.4)
  after = program.values(
    params['critics'], there, program.policy(params['actor'], there)
  ).min()
  assert loss(True) == pytest.approx(float(((now + 0.4) ** 2).sum()), rel=1e-4)
  goal = -0.4 + 0.99 * after
  assert loss(False) == pytest.approx(
    float(((now - goal) ** 2).sum()), rel=1e-4
  )


def test_every_option_matters():
  changes = {
    'environments': 2, 'block': 2, 'updates': 4, 'blocks': 3, 'rounds': 20,
    'random_steps': 10, 'learning_rate': 1e-2, 'batch': 32, 'discount': 0.5,
    'follow': 0.1, 'noise': 0.5, 'target_noise': 0.3, 'target_clip': 0.1,
    'delay': 4, 'hidden': 16,
  }  # fmt: skip
  assert changes.keys() == {f.name for f in dataclasses.fields(td3.Options)}

  def text(options):
    program = td3.Td3(small_tasks.Line(), reward_sources.Ircr(), options)
    state = jax.eval_shape(program.init, jax.random.key(0))
    # Addresses of functions differ each time.
    return re.sub(
      ' at 0x[0-9a-f]+', '', str(jax.make_jaxpr(program.iterate)(state))
    )

  plain = text(OPTIONS)
  assert text(OPTIONS) == plain
  for name, value in changes.items():
    assert text(dataclasses.replace(OPTIONS, **{name: value})) != plain, name


def test_what_is_refused():
  with pytest.raises(ValueError, match='multiple of delay'):
    td3.Options(updates=3)
  with pytest.raises(ValueError, match='continuous'):
    td3.Td3(small_tasks.Match(), reward_sources.Dense())
