"""Runs of several processes: one's numbers, stopped, killed, and resumed."""

import json
import os
import signal
import time

import jax
import numpy as np
import pytest

from jaxcredit.training import checkpoints
from tests import process_group
from tests.experiments import script, test_tempo_script, two_hosts

pytestmark = pytest.mark.system

# One thing of each kind, so that little has to be compiled.
TINY = (
  '--layers=1', '--width=32', '--heads=2', '--kv_heads=2', '--head_dim=16',
  '--hidden=48', '--vocabulary=400', '--warm_start_games=24',
  '--warm_start_steps=3', '--warm_start_batch=4', '--groups=4',
  '--group_size=2', '--max_steps=8', '--row_tokens=256', '--max_new_tokens=6',
  '--chunk=192', '--generated_games=6', '--evaluation_count=3',
  '--notensorboard', '--micro_batch_tokens=1536', '--minibatches=2',
  '--learning_rate=0.01', '--entropy_coefficient=0.1', '--kl_coefficient=0.1',
  '--checkpoint_every=1', '--evaluate_every=2', '--save_episodes_every=1',
)  # fmt: skip
ITERATIONS = 3
# Not those of numbers, but of a clock.
CLOCK = ('time', 'seconds', 'accelerator_idle_share')


class Runs:
  """Runs of one folder, alone or of several processes."""

  def __init__(self, folder):
    self.folder = folder

  def flags(self, name, *more, base=TINY):
    return [
      *base,
      f'--run={self.folder / name}',
      f'--iterations={ITERATIONS}',
      *more,
    ]

  def alone(self, name, *more, module='experiments.gigpo', base=TINY):
    flags = self.flags(name, *more, base=base)
    result = script.run(*flags, module=module)
    assert result.returncode == 0, result.stdout + result.stderr
    return self.folder / name

  def start(
    self, name, count, *more, module='experiments.gigpo', base=TINY, hosts=None
  ):
    """Starts processes, on this machine or on hosts of their own."""
    port = process_group.free_port()
    address = hosts.address(0) if hosts else '127.0.0.1'
    flags = self.flags(name, *more, base=base)
    return [
      process_group.start(
        [
          '-m', module, *flags, f'--processes={count}', f'--process={index}',
          f'--coordinator={address}:{port}', '--heartbeat=15',
        ],
        index,
        self.log(name),
        before=hosts.on(index) if hosts else (),
      )
      for index in range(count)
    ]  # fmt: skip

  def log(self, name):
    return self.folder / f'{name}.log'

  def together(self, name, count, *more, **options):
    started = self.start(name, count, *more, **options)
    process_group.finish(started, self.log(name))
    return self.folder / name


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  return Runs(tmp_path_factory.mktemp('runs'))


@pytest.fixture(scope='module')
def alone(runs):
  return runs.alone('alone')


def lines(path):
  return [json.loads(line) for line in path.read_text('utf-8').splitlines()]


def check_metrics(given, expected, alike=True):
  """Metrics and evaluations, within 1e-5.

  Where runs were not evaluated alike, the last evaluations are compared.
  """
  some, others = (
    [
      record
      for record in lines(run / 'metrics.jsonl')
      if alike or record['stage'] != 'evaluation'
    ]
    for run in (given, expected)
  )
  assert [(r['stage'], r['iteration']) for r in some] == [
    (r['stage'], r['iteration']) for r in others
  ]
  for record, wanted in zip(some, others, strict=True):
    for name, value in wanted.items():
      # Rows of a micro-batch are dealt over the devices, so that more of them
      # may be empty.
      if name.startswith(CLOCK) or name == 'padding_share':
        continue
      if isinstance(value, float):
        assert record[name] == pytest.approx(value, rel=1e-5, abs=1e-5), name
      else:
        assert record[name] == value, name
  some, others = (
    json.loads((run / 'evaluations.json').read_text('utf-8'))
    for run in (given, expected)
  )
  assert some == others if alike else some[-1] == others[-1]


def check_same_run(given, expected, last=ITERATIONS, alike=True):
  """Metrics, evaluations, episodes and parameters; see `check_metrics`."""
  check_metrics(given, expected, alike)
  some, others = (lines(run / 'episodes.jsonl') for run in (given, expected))
  assert len(others) == 8 * last
  for record, wanted in zip(some, others, strict=True):
    for name in ('iteration', 'group', 'rollout', 'task', 'return'):
      assert record[name] == wanted[name]
    assert [s['action'] for s in record['steps']] == [
      s['action'] for s in wanted['steps']
    ]
  some, others = (
    checkpoints.read_params(run / 'checkpoints' / 'train')
    for run in (given, expected)
  )
  # Adam makes much of the rounding of small gradients: this is a twentieth of
  # its step.
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=5e-4), some, others
  )


def test_two_give_the_numbers_of_one(runs, alone):
  two = runs.together('two', 2)
  losses = [
    r['loss'] for r in lines(two / 'metrics.jsonl') if r['stage'] == 'train'
  ]
  assert len(losses) == ITERATIONS
  assert np.abs(losses).min() > 1e-3
  check_same_run(two, alone)
  assert (two / 'report.html').exists()
  words = process_group.words(runs.log('two'), 1)
  assert 'iteration' not in words
  assert 'error' not in words


@pytest.mark.slow
def test_four_give_the_numbers_of_one(runs, alone):
  check_same_run(runs.together('four', 4), alone)


@pytest.mark.slow
def test_two_hosts_give_the_numbers_of_one(runs, alone):
  with two_hosts.TwoHosts() as hosts:
    check_same_run(runs.together('hosts', 2, hosts=hosts), alone)


@pytest.mark.slow
def test_a_run_goes_on_with_other_processes(runs, alone):
  runs.together('changing', 2, '--iterations=1')
  runs.alone('changing', '--iterations=2')
  check_same_run(runs.together('changing', 2), alone, alike=False)


@pytest.mark.slow
def test_parameters_cut_over_processes(runs, alone):
  check_same_run(runs.together('cut', 2, '--mesh_fsdp=2'), alone)


SPA = (
  '--exploration_rollouts=2', '--estimator_steps=4',
  '--estimator_evaluate_every=2', '--estimator_batch=4',
  '--estimator_held_out=0.25', '--kl_reward=0.1',
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize('method', ['spa', 'tempo', 'ppo'])
def test_other_scripts_give_the_numbers_of_one(runs, tmp_path, method):
  module, base, more = 'experiments.spa', TINY, SPA
  if method != 'spa':
    module, base = 'experiments.tempo', test_tempo_script.TINY
    questions = test_tempo_script.write(tmp_path / 'train.jsonl', 64)
    tests = test_tempo_script.write(tmp_path / 'test.jsonl', 20, 30)
    more = (
      f'--questions={questions}', f'--evaluate_on={tests}', '--groups=4',
      f'--method={method}',
    )  # fmt: skip
  one = runs.alone(f'{method}_alone', *more, module=module, base=base)
  two = runs.together(f'{method}_two', 2, *more, module=module, base=base)
  check_metrics(two, one)
  assert any(
    r['stage'] == 'train' and abs(r['loss']) > 1e-4
    for r in lines(one / 'metrics.jsonl')
  )


def trained(run):
  path = run / 'metrics.jsonl'
  if not path.exists():
    return 0
  return sum('"train"' in line for line in path.read_text().splitlines())


def wait_until(condition, started, log):
  end = time.monotonic() + 280
  while not condition():
    for index, process in enumerate(started):
      assert process.poll() is None, process_group.words(log, index)
    assert time.monotonic() < end, process_group.words(log, 0)
    time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize('killed', [0, 1])
def test_one_is_killed_and_all_go_on_later(runs, alone, killed):
  name = f'killed_{killed}'
  started = runs.start(name, 2, '--iterations=500')
  run, log = runs.folder / name, runs.log(name)
  try:
    wait_until(lambda: trained(run) >= 2, started, log)
    os.kill(started[killed].pid, signal.SIGKILL)
    assert started[1 - killed].wait(240) not in (0, 130, 143)
  finally:
    for process in started:
      if process.poll() is None:
        process.kill()
  time.sleep(1)
  last = process_group.words(log, 1 - killed).strip().splitlines()[-1]
  assert last.startswith(f'error: process {1 - killed} of 2 ')
  assert 'another process ended' in last
  done = trained(run)
  runs.together(name, 2, f'--iterations={done + 1}')
  records = [r for r in lines(run / 'metrics.jsonl') if r['stage'] == 'train']
  assert [r['iteration'] for r in records] == list(range(1, done + 2))
  wanted = [r for r in lines(alone / 'metrics.jsonl') if r['stage'] == 'train']
  for record, other in zip(records, wanted, strict=False):
    assert record['loss'] == pytest.approx(other['loss'], rel=1e-5, abs=1e-5)


@pytest.mark.slow
def test_a_signal_to_one_stops_all_with_a_checkpoint(runs):
  started = runs.start('stopped', 2, '--iterations=500')
  run, log = runs.folder / 'stopped', runs.log('stopped')
  try:
    wait_until(lambda: trained(run) >= 2, started, log)
    os.kill(started[1].pid, signal.SIGTERM)
    assert [p.wait(240) for p in started] == [143, 143]
  finally:
    for process in started:
      if process.poll() is None:
        process.kill()
  assert 'stopped; the same command goes on' in process_group.words(log, 0)
  steps = [int(p.name) for p in (run / 'checkpoints' / 'train').glob('[0-9]*')]
  assert max(steps) == trained(run)


def test_other_flags_in_another_process_end_all(runs, tmp_path):
  port = process_group.free_port()
  started = [
    process_group.start(
      [
        '-m', 'experiments.gigpo', *TINY, f'--run={tmp_path / "run"}',
        '--processes=2', f'--process={index}', f'--seed={index}',
        f'--coordinator=127.0.0.1:{port}', '--heartbeat=8',
      ],
      index,
      tmp_path / 'log',
    )
    for index in range(2)
  ]  # fmt: skip
  try:
    assert all(process.wait(240) == 1 for process in started)
  finally:
    for process in started:
      if process.poll() is None:
        process.kill()
  assert '--seed: 0 then, 1 now' in process_group.words(tmp_path / 'log', 1)
