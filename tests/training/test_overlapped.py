"""Rollouts beside learning: what plays, what is learned, what goes wrong."""

import functools
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import methods
from jaxcredit.distributed import device_lock
from jaxcredit.networks import sharding
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import pool as pool_lib
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import loop as loop_lib
from jaxcredit.training import (
  off_policy,
  overlapped,
  policy_gradient,
  stage_clock,
)
from tests.rollouts import echo_environment, test_collector
from tests.training import test_learner, test_loop

SECONDS = 60
ITERATIONS = 4


def scripted(collector=None, iterations=ITERATIONS, lock=None, **options):
  """A training that plays in no time, overlapped, and its state."""
  collector = collector or test_loop.ScriptedCollector()
  loop = test_loop.make_loop(collector, **options)
  training = overlapped.Overlapped(
    loop, collector, iterations, lock or overlapped.lock_for(None)
  )
  return training, training.init(test_loop.init_state())


def on_the_host(function, x):
  """What a function of the host makes of an array, whenever it is computed."""
  return jax.pure_callback(function, jax.ShapeDtypeStruct(x.shape, x.dtype), x)


class Recorder(test_loop.ScriptedCollector):
  """Keeps the parameters of each call, and the thread that made it."""

  def __init__(self):
    super().__init__()
    self.played, self.threads = [], []

  def collect(self, params, *arguments, **options):
    self.played.append(np.asarray(params['table']))
    self.threads.append(threading.current_thread().name)
    return super().collect(params, *arguments, **options)


def test_each_batch_is_played_with_the_parameters_before_the_last_update():
  collector = Recorder()
  training, state = scripted(collector)
  tables = [np.asarray(state.training.policy.params['table'])]
  for iteration in range(1, ITERATIONS + 1):
    state, _, _, _ = training.run(state, iteration)
    tables.append(np.asarray(state.training.policy.params['table']))
    np.testing.assert_array_equal(state.behaviour_params['table'], tables[-2])
  # Nothing is played after the last.
  assert len(collector.played) == ITERATIONS
  for played, updates in zip(collector.played, (0, 0, 1, 2), strict=True):
    np.testing.assert_array_equal(played, tables[updates])
  assert np.abs(np.diff(tables, axis=0)).max(axis=1).all()
  # The first has nothing to lie beside.
  here = threading.current_thread().name
  assert collector.threads == [here] + ['rollouts'] * 3


def test_tasks_and_keys_are_those_of_the_iteration():
  overlapping, plain = Recorder(), Recorder()
  training, state = scripted(overlapping)
  loop = test_loop.make_loop(plain)
  other = test_loop.init_state()
  for iteration in range(1, ITERATIONS + 1):
    state, _, batch, _ = training.run(state, iteration)
    other, _, expected, _ = loop.run(other, iteration)
    assert [e.task for e in batch.episodes] == [
      e.task for e in expected.episodes
    ]
  assert overlapping.calls == plain.calls


def test_playing_and_learning_take_place_at_the_same_time():
  # Each waits until the other has begun: one after the other, they never end.
  plays, learns = threading.Event(), threading.Event()

  class Waiting(test_loop.ScriptedCollector):
    def collect(self, *arguments, **options):
      if self.calls:
        plays.set()
        assert learns.wait(SECONDS)
      return super().collect(*arguments, **options)

  def wait(x):
    learns.set()
    assert plays.wait(SECONDS)
    return x

  def credit(trajectories):
    return on_the_host(wait, test_loop.credit(trajectories))

  training, state = scripted(Waiting(), iterations=2, credit=credit)
  training.run(state, 1)


class Slow(test_loop.ScriptedCollector):
  """Its environments take a while, in which the accelerator is free."""

  seconds = 0.6

  def collect(self, *arguments, **options):
    time.sleep(self.seconds)
    return super().collect(*arguments, **options)


def wait_a_while(x):
  time.sleep(Slow.seconds)
  return x


def slow_credit(trajectories):
  return on_the_host(wait_a_while, test_loop.credit(trajectories))


def test_the_idle_share_in_both_modes():
  loop = test_loop.make_loop(Slow(), credit=slow_credit)
  state = test_loop.init_state()
  for iteration in (1, 2):
    state, one_by_one, _, _ = loop.run(state, iteration)
  training, state = scripted(Slow(), credit=slow_credit, iterations=9)
  for iteration in (1, 2):
    state, together, _, _ = training.run(state, iteration)
  # Half of the time is spent in environments, or next to none of it.
  assert 0.3 < one_by_one['accelerator_idle_share'] <= 0.6
  assert (
    together['accelerator_idle_share']
    < one_by_one['accelerator_idle_share'] - 0.1
  )
  assert together['seconds_total'] < one_by_one['seconds_total']
  assert together['seconds_beside'] >= Slow.seconds
  assert together['seconds_rollout'] < Slow.seconds
  # The stages, of which rollouts beside are none, make up the whole.
  stages = [f'seconds_{name}' for name in stage_clock.STAGES]
  assert sum(together.get(s, 0.0) for s in stages) == pytest.approx(
    together['seconds_total']
  )


def test_who_stops_while_episodes_are_played_keeps_what_was_learned():
  class Stopped(test_loop.ScriptedCollector):
    def collect(self, *arguments, **options):
      if self.calls:
        raise collector_lib.RolloutInterruptedError
      return super().collect(*arguments, **options)

  expected, state = scripted()
  states = []
  for iteration in (1, 2):
    state, _, _, _ = expected.run(state, iteration)
    states.append(jax.device_get(state))
  training, state = scripted(Stopped())
  state, metrics, _, _ = training.run(state, 1)
  test_learner.check_equal(state, states[0])
  assert metrics['seconds_beside'] >= 0
  with pytest.raises(collector_lib.RolloutInterruptedError):
    training.run(jax.tree.map(jnp.copy, state), 2)
  # Whoever goes on from there gets what nobody interrupted.
  resumed, _ = scripted()
  state, _, _, _ = resumed.run(state, 2)
  test_learner.check_equal(state, states[1])


def test_an_error_of_the_rollout_ends_the_training():
  class Dying(test_loop.ScriptedCollector):
    def collect(self, *arguments, **options):
      if self.calls:
        raise OSError('the disk is full')
      return super().collect(*arguments, **options)

  training, state = scripted(Dying())
  with pytest.raises(OSError, match='the disk is full'):
    training.run(state, 1)


def test_an_error_of_the_update_ends_the_rollout_soon():
  class Endless(test_loop.ScriptedCollector):
    def collect(self, *arguments, **options):
      deadline = time.monotonic() + SECONDS
      while self.calls and time.monotonic() < deadline:
        with self.device_lock:
          time.sleep(0.001)
      return super().collect(*arguments, **options)

  def broken(trajectories):
    raise ZeroDivisionError

  collector = Endless()
  training, state = scripted(collector, credit=broken)
  start = time.monotonic()
  with pytest.raises(ZeroDivisionError):
    training.run(state, 1)
  assert time.monotonic() - start < SECONDS / 2
  assert not any(t.name == 'rollouts' for t in threading.enumerate())
  # What is played afterwards is not abandoned.
  with collector.device_lock:
    pass


def test_several_processes_are_refused(monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  with pytest.raises(ValueError, match='one process, and there are 2: train'):
    scripted()


def test_a_lock_where_devices_exchange_data():
  assert not isinstance(overlapped.lock_for(None), device_lock.FairLock)
  one, two = sharding.make_mesh(1, 1, 1), sharding.make_mesh(2, 1, 1)
  assert not isinstance(overlapped.lock_for(one), device_lock.FairLock)
  assert isinstance(overlapped.lock_for(two), device_lock.FairLock)


# A policy, a sampler and environments as in a real run.


def real_loop(pool, kind='decoupled', mesh=None, lock=None):
  limits = collector_lib.RolloutLimits(
    steps=4, new_tokens=5, row_tokens=200, chunks=(64,)
  )
  config = test_collector.CONFIG
  collector = test_collector.make_collector(pool, limits, mesh=mesh)
  learner = learner_lib.Learner(
    policy_gradient.make_loss(config, policy_gradient.LossOptions()),
    policy_gradient.make_denominator('token-mean'),
    learner_lib.make_optimizer(learning_rate=0.05),
    micro_batch_tokens=4 * 200,
    lengths=[200],
    mesh=mesh,
    device_lock=lock,
  )
  correction = off_policy.Correction(
    config, kind, micro_batch_tokens=4 * 200, lengths=[200], mesh=mesh
  )
  loop = loop_lib.Loop(
    collector,
    learner,
    test_loop.method_of(test_loop.credit),
    methods.NoOptions(),
    test_loop.REAL_TASKS,
    loop_lib.LoopOptions(
      seed=5, groups=2, group_size=4, max_steps=4, minibatches=2
    ),
    lengths=[200],
    correction=correction,
    device_lock=lock,
  )
  params = jax.tree.map(jnp.copy, test_collector.build_params())
  return loop, collector, loop.init(learner.init(params))


def overlapping(pool, **options):
  lock = overlapped.lock_for(options.get('mesh'))
  loop, collector, state = real_loop(pool, lock=lock, **options)
  training = overlapped.Overlapped(loop, collector, ITERATIONS, lock)
  return training, training.init(state)


@functools.cache
def one_after_the_other():
  """The same iterations without a second thread, and their metrics."""
  loop, _, state = real_loop(test_collector.make_pool(8))
  behind = jax.tree.map(jnp.copy, state.policy.params)
  states, metrics = [], []
  for iteration in range(1, ITERATIONS + 1):
    batch = loop.collect(behind, iteration)
    behind = jax.tree.map(jnp.copy, state.policy.params)
    state, figures, _ = loop.learn(state, batch, iteration)
    states.append(jax.device_get(state))
    metrics.append(test_loop.timeless(figures))
  return states, metrics


def test_environments_in_other_processes_give_the_same_numbers():
  expected, figures = one_after_the_other()
  with pool_lib.EnvironmentPool(
    echo_environment.EchoEnvironment, 8, workers=2
  ) as pool:
    training, state = overlapping(pool)
    for iteration in range(1, ITERATIONS + 1):
      state, metrics, _, _ = training.run(state, iteration)
      assert test_loop.timeless(metrics) == figures[iteration - 1]
    assert pool.failures
  test_learner.check_equal(state.training, expected[-1])
  # The policy moved, so that there was something to correct.
  assert figures[0]['stale_ratio_deviation'] < 1e-3
  assert figures[1]['stale_ratio_deviation'] > 1e-3


def test_an_interrupted_run_equals_an_uninterrupted_one(tmp_path):
  pytest.importorskip('orbax.checkpoint', reason='an extra')
  from jaxcredit.training import checkpoints as checkpoints_lib

  expected, _ = one_after_the_other()
  training, state = overlapping(test_collector.make_pool(8))
  with checkpoints_lib.Checkpoints(tmp_path) as checkpoints:
    for iteration in (1, 2):
      state, _, _, _ = training.run(state, iteration)
      checkpoints.save(iteration, state)
  # A batch that was played in vain is played again, by the same policy.
  training, state = overlapping(test_collector.make_pool(8))
  with checkpoints_lib.Checkpoints(tmp_path) as checkpoints:
    state = checkpoints.restore(state)
    for iteration in (3, 4):
      state, _, _, _ = training.run(state, iteration)
  test_learner.check_equal(state.training, expected[-1])
  test_learner.check_equal(state.behaviour_params, expected[-2].policy.params)
  # Whoever plays the policy gets what was learned.
  params = checkpoints_lib.read_params(tmp_path)
  assert int(params['final_norm']['scale'].size)
  test_learner.check_equal(params, expected[1].policy.params)


def test_a_batch_that_another_state_played_is_not_taken():
  training, state = scripted(Recorder())
  first, _, _, _ = training.run(state, 1)
  other = overlapped.OverlappedState(
    first.training, {'table': first.behaviour_params['table'] + 1}
  )
  training.run(other, 2)
  played = training._collector.played
  np.testing.assert_array_equal(played[2], other.behaviour_params['table'])


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['none', 'clipped'])
def test_corrections_change_what_is_learned(kind):
  expected, _ = one_after_the_other()
  training, state = overlapping(test_collector.make_pool(8), kind=kind)
  for iteration in range(1, 4):
    state, _, _, _ = training.run(state, iteration)
  difference = jax.tree.map(
    lambda a, b: np.abs(a - b).max(),
    state.training.policy.params,
    expected[2].policy.params,
  )
  assert max(jax.tree.leaves(difference)) > 1e-6


@pytest.mark.slow
def test_on_a_mesh_neither_waits_for_ever():
  training, state = overlapping(
    test_collector.make_pool(8), mesh=sharding.make_mesh(2, 2, 1)
  )
  expected, figures = one_after_the_other()
  for iteration in range(1, ITERATIONS + 1):
    state, metrics, _, _ = training.run(state, iteration)
    assert metrics['steps'] > 0
  assert int(state.training.policy.updates) == int(expected[-1].policy.updates)
  first = figures[0]
  assert first['steps'] > 0
