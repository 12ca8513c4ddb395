"""Independent PPO on a task whose best return is known."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.agents import ippo, reward_sources
from jaxcredit.rollouts import functional_episodes
from tests.training import small_tasks

OPTIONS = ippo.Options(
  episodes=32, iterations=40, learning_rate=5e-3, minibatch=64, epochs=4,
  hidden=16, buffer=64,
)  # fmt: skip


def decoded():
  return reward_sources.Decoded(
    lambda o, a, n: jnp.concatenate([o, a], axis=-1), 8,
    hidden=32, layers=3, updates=10, batch=64, learning_rate=5e-3,
  )  # fmt: skip


def trained(source, options=OPTIONS, iterations=None, seed=0):
  program = ippo.Ippo(small_tasks.Match(), source, options)
  traces = []

  def several(state):
    traces.append(1)
    return jax.lax.scan(
      lambda s, _: program.iterate(s), state, length=iterations or 20
    )

  run = jax.jit(several, donate_argnums=0)
  state = jax.jit(program.init)(jax.random.key(seed))
  state, first = run(state)
  state, then = run(state)
  assert len(traces) == 1
  return program, state, first, then


@pytest.mark.system
@pytest.mark.parametrize('make', [reward_sources.Dense, decoded])
def test_learns_to_name_what_it_sees(make):
  """Of 12 a random policy gets 3."""
  program, state, first, then = trained(make())
  assert float(first['team_return'][0]) < 5
  assert float(then['team_return'][-1]) > 10.5
  played = program.evaluate(state, jax.random.key(1), 50)
  assert float(played.team_return.mean()) > 11
  if make is decoded:
    # Credit is found in time and between agents, from returns alone.
    assert float(then['reward_correlation'][-5:].mean()) > 0.9
  else:
    assert float(then['reward_correlation'][-1]) == pytest.approx(1, abs=1e-4)


def test_a_run_is_a_function_of_its_seed():
  runs = [trained(reward_sources.Episodic(), iterations=2, seed=s)
          for s in (3, 3, 4)]  # fmt: skip
  same, again, other = (jax.tree.leaves(run[1].params) for run in runs)
  for x, y, z in zip(same, again, other, strict=True):
    np.testing.assert_array_equal(x, y)
    assert x.ndim < 2 or (x != z).any()


def advantages(rewards, values, length, after, discount, gae_lambda):
  """Generalised advantages of one row, backwards step by step."""
  result, later, value_after = np.zeros(len(rewards)), 0.0, after
  for t in reversed(range(length)):
    error = rewards[t] + discount * value_after - values[t]
    later = error + discount * gae_lambda * later
    value_after = values[t]
    result[t] = later
  return result


@pytest.mark.parametrize('end_counts', [True, False])
def test_what_comes_after_the_end(end_counts, monkeypatch):
  """Nothing after an end that counts; the last state's value at a mere cut."""

  class Task(small_tasks.Match):
    pass

  Task.end_counts = end_counts
  task = Task(horizon=4, fragile=True)
  options = dataclasses.replace(OPTIONS, discount=0.9, gae_lambda=0.8)
  program = ippo.Ippo(task, reward_sources.Dense(), options)
  state = program.init(jax.random.key(0))
  episodes = program.evaluate(state, jax.random.key(1), 32, greedy=False)
  assert 0 < int(episodes.terminated.sum()) < 32
  steps = program.steps(episodes)
  seen = {}
  true = ippo.ppo.advantages

  def spy(*arguments, **named):
    seen['whole'] = true(*arguments, **named, whiten=False)
    return true(*arguments, **named)

  monkeypatch.setattr(ippo.ppo, 'advantages', spy)
  rewards = episodes.rewards
  program._learn(state, episodes, rewards, steps, jax.random.key(2))
  values = np.asarray(program.values(state, episodes.observations))
  for e in range(32):
    length = int(episodes.mask[e].sum())
    ended = bool(episodes.terminated[e]) or end_counts
    for agent in range(2):
      expected = advantages(
        np.asarray(rewards)[e, agent], values[e, agent], length,
        0.0 if ended else values[e, agent, -1], 0.9, 0.8,
      )  # fmt: skip
      np.testing.assert_allclose(
        seen['whole'].total[e, agent], expected, atol=1e-5
      )


def test_every_option_matters():
  changes = {
    'episodes': 16, 'iterations': 3, 'decay': False, 'learning_rate': 1e-3,
    'clip': 0.01, 'discount': 0.5, 'gae_lambda': 0.5,
    'entropy_coefficient': 0.5, 'value_coefficient': 2.0, 'huber': 0.01,
    'epochs': 1, 'minibatch': 96, 'clip_norm': 0.01, 'hidden': 8,
    'normalise_values': False, 'buffer': 32,
  }  # fmt: skip
  assert changes.keys() == {f.name for f in dataclasses.fields(ippo.Options)}
  task = small_tasks.Match()
  base = dataclasses.replace(OPTIONS, episodes=32, epochs=2)

  # Two iterations traced, not run, would show no numbers: compare programs.
  def text(options):
    program = ippo.Ippo(task, reward_sources.Ircr(), options)
    state = jax.eval_shape(program.init, jax.random.key(0))
    # Addresses of functions differ each time.
    return re.sub(
      ' at 0x[0-9a-f]+', '', str(jax.make_jaxpr(program.iterate)(state))
    )

  plain = text(base)
  assert text(base) == plain
  for name, value in changes.items():
    assert text(dataclasses.replace(base, **{name: value})) != plain, name


def test_what_is_refused():
  with pytest.raises(ValueError, match='buffer must hold'):
    ippo.Options(episodes=10, buffer=9)
  with pytest.raises(ValueError, match='epochs must be'):
    ippo.Options(epochs=0)
  with pytest.raises(ValueError, match='minibatch is 999'):
    ippo.Ippo(
      small_tasks.Match(),
      reward_sources.Dense(),
      ippo.Options(episodes=2, minibatch=999),
    )
  with pytest.raises(ValueError, match='discrete'):
    ippo.Ippo(small_tasks.Line(), reward_sources.Dense())


def test_correlation():
  x = jnp.asarray([1.0, 2.0, 4.0, 100.0])
  y = jnp.asarray([2.0, 1.0, 5.0, -50.0])
  mask = jnp.asarray([True, True, True, False])
  expected = np.corrcoef(x[:3], y[:3])[0, 1]
  assert float(ippo.correlation(x, y, mask)) == pytest.approx(expected)
  assert float(ippo.correlation(0 * x, y, mask)) == 0


def test_sampled_actions_have_their_probabilities():
  program = ippo.Ippo(small_tasks.Match(), reward_sources.Dense(), OPTIONS)
  state = program.init(jax.random.key(0))
  played = functional_episodes.play(
    program.environment,
    lambda o, k: program.sample(state.params, o, k),
    jax.random.key(1),
    4,
  )
  log_probs = program.log_probs(state.params, played.observations[:, :, :-1])
  chosen = jnp.take_along_axis(log_probs, played.actions[..., None], -1)
  np.testing.assert_allclose(played.log_probs, chosen[..., 0], rtol=1e-5)
