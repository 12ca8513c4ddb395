"""Runs of several seeds give the same numbers wherever they lie."""

import csv
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.bandits import algorithms as bandit_algorithms
from experiments.bandits import runs as bandit_runs
from experiments.bandits import scaling as bandit_scaling
from experiments.control import runs as lare_runs
from experiments.control import settings as lare_settings
from experiments.run import interruption, seed_shards
from jaxcredit.algorithms.bandits import bounds
from jaxcredit.distributed import processes
from tests import distribution, process_group
from tests.experiments import script, test_lare_script

REAL_MESH = seed_shards.make_mesh


def use_devices(monkeypatch, count):
  """Deals runs over the first devices, in place of all."""

  def make_mesh(runs):
    assert runs % count == 0
    return jax.sharding.Mesh(np.array(jax.devices()[:count]), ('seed',))

  monkeypatch.setattr(seed_shards, 'make_mesh', make_mesh)


@pytest.mark.parametrize(
  ('runs', 'devices'), [(1, 1), (5, 5), (8, 8), (9, 3), (11, 1), (16, 8)]
)
def test_runs_are_dealt_evenly(runs, devices):
  mesh = REAL_MESH(runs)
  assert mesh.size == devices
  placed = seed_shards.place(np.arange(2.0 * runs).reshape(runs, 2), mesh)
  assert {s.data.shape for s in placed.addressable_shards} == {
    (runs // devices, 2)
  }
  np.testing.assert_array_equal(
    processes.to_host(placed), np.arange(2.0 * runs).reshape(runs, 2)
  )


def test_processes_have_as_many_runs_each(monkeypatch):
  monkeypatch.setattr(processes, 'count', lambda: 4)
  with pytest.raises(ValueError, match='50 runs .* 4 processes: make their'):
    REAL_MESH(50)


def bandits():
  problems = []
  for sigma in (0.01, 0.2):
    system = bandit_algorithms.SYSTEMS['synthetic'](sigma, outputs=3)
    actions = bandit_algorithms.actions()
    told = bounds.of_system(system, actions, sigma=sigma, x='released')
    problems.append(
      bandit_algorithms.Problem(
        system, actions, told, 600, bandit_algorithms.Options()
      )
    )
  entry = bandit_algorithms.ALGORITHMS['dynlin_log']
  return bandit_runs.simulate(
    'test',
    entry.algorithm,
    [problem.system for problem in problems],
    [entry.configure(problem) for problem in problems],
    horizon=600,
    seeds=8,
    seed=3,
    record_every=100,
  )


@pytest.mark.system
def test_bandits_on_one_device_and_on_many(monkeypatch):
  many = bandits()
  use_devices(monkeypatch, 1)
  one = bandits()
  np.testing.assert_array_equal(many.plays, one.plays)
  np.testing.assert_allclose(many.offline, one.offline, rtol=1e-5, atol=1e-4)
  np.testing.assert_allclose(many.reward, one.reward, rtol=1e-5, atol=1e-4)
  # Seeds differ, so that they cannot have changed places.
  assert len(np.unique(one.reward[0, :, -1])) == 8


@pytest.mark.system
def test_scaling_on_one_device_and_on_many(monkeypatch, tmp_path):
  study = bandit_scaling.Study((0.5,), (150, 600), 4, 2, 2, 0.05, 0)
  many = bandit_scaling.run(study, tmp_path / 'many', lambda: False)
  use_devices(monkeypatch, 1)
  one = bandit_scaling.run(study, tmp_path / 'one', lambda: False)
  np.testing.assert_allclose(many, one, rtol=1e-5)
  assert len(np.unique(one)) == 8


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  key: jax.Array
  place: jax.Array
  source: jax.Array


class Walk:
  """A learner whose state is a random walk; there is nothing to learn."""

  def init(self, key):
    return State(key, jax.random.normal(key, (3,)), key)

  def iterate(self, state):
    key, now = jax.random.split(state.key)
    place = state.place + jax.random.normal(now, (3,))
    return State(key, place, state.source), {'sum': place.sum()}

  def evaluate(self, state, key, episodes):
    class Played:
      team_return = jnp.full(episodes, state.place.sum())

    return Played


SCHEDULE = lare_settings.Settings(
  seed=(4, 7, 1, 9), iterations=6, record_every=2, checkpoint_every=1
)


def walk(folder, stop=lambda: False):
  return lare_runs.train('walk', Walk(), SCHEDULE, folder, stop)


def test_a_run_goes_on_on_other_devices(monkeypatch, tmp_path):
  whole = walk(tmp_path / 'many')
  use_devices(monkeypatch, 1)
  one = walk(tmp_path / 'one')
  assert len(np.unique(one.curves['evaluation'][:, -1])) == 4
  # Four devices, then one, then two.
  for devices in (4, 1, 2):
    use_devices(monkeypatch, devices)
    asked = []

    def stop(asked=asked):
      asked.append(True)
      return len(asked) > 1

    try:
      other = walk(tmp_path / 'other', stop)
    except interruption.InterruptedRunError:
      continue
  other = walk(tmp_path / 'other')
  for name, curve in one.curves.items():
    np.testing.assert_allclose(whole.curves[name], curve, rtol=1e-6)
    np.testing.assert_allclose(other.curves[name], curve, rtol=1e-6)
  assert jax.random.key_data(other.source).tolist() == (
    jax.random.key_data(jax.random.key(4)).tolist()
  )


# Real processes.


def together(tmp_path, module, *arguments):
  port = process_group.free_port()
  started = [
    process_group.start(
      [
        '-m', module, *arguments, f'--run={tmp_path / "two"}', '--processes=2',
        f'--process={index}', f'--coordinator=127.0.0.1:{port}',
        '--heartbeat=15',
      ],
      index,
      tmp_path / 'log',
    )
    for index in range(2)
  ]  # fmt: skip
  process_group.finish(started, tmp_path / 'log')
  # The first speaks for both.
  assert 'report:' in process_group.words(tmp_path / 'log', 0)
  assert 'report:' not in process_group.words(tmp_path / 'log', 1)
  alone = script.run(*arguments, f'--run={tmp_path / "one"}', module=module)
  assert alone.returncode == 0, alone.stderr
  return tmp_path / 'two', tmp_path / 'one'


def numbers(path, columns):
  with open(path, newline='', encoding='utf-8') as file:
    return [
      (
        [value for name, value in row.items() if name not in columns],
        [float(row[name]) for name in columns],
      )
      for row in csv.DictReader(file)
    ]


def check_table(given, expected, columns):
  some, others = numbers(given, columns), numbers(expected, columns)
  assert [names for names, _ in some] == [names for names, _ in others]
  np.testing.assert_allclose(
    [values for _, values in some],
    [values for _, values in others],
    rtol=1e-4,
    atol=1e-4,
  )


@pytest.mark.system
@pytest.mark.slow
def test_bandits_in_two_processes(tmp_path):
  two, one = together(
    tmp_path, 'experiments.dynlin_ucb', '--horizon=600', '--seeds=4',
    '--algorithm=dynlin_log', '--algorithm=exp3_k',
  )  # fmt: skip
  check_table(
    two / 'finals.csv', one / 'finals.csv', ('offline_regret', 'reward_regret')
  )
  assert (two / 'report.html').exists()


@pytest.mark.system
@pytest.mark.slow
def test_scaling_in_two_processes(tmp_path):
  two, one = together(
    tmp_path, 'experiments.dynlin_ucb', '--study=scaling',
    '--scaling_horizon=150', '--scaling_horizon=600', '--scaling_rho=0.5',
    '--scaling_systems=4',
  )  # fmt: skip
  check_table(two / 'scaling.csv', one / 'scaling.csv', ('offline_regret',))


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.skipif(
  not distribution.has_control(), reason="jaxmarl is missing (extra 'control')"
)
def test_latent_rewards_in_two_processes(tmp_path):
  two, one = together(tmp_path, 'experiments.lare', *test_lare_script.FLAGS)
  check_table(two / 'curves.csv', one / 'curves.csv', ('value',))
  assert (two / 'episode_lare.png').exists()
