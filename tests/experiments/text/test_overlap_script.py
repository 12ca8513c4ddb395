"""Runs with --overlap: flags that matter, and interrupted = uninterrupted."""

import os
import signal

import pytest

from experiments.text import saved_policy
from tests.experiments import script, small_run

pytestmark = [pytest.mark.slow, pytest.mark.system]

OVERLAP = (
  '--overlap', '--overlap_correction=decoupled', '--importance_cap=1.05',
  '--environment_workers=2',
)  # fmt: skip


def command(folder, *more):
  return [*small_run.command(folder), *OVERLAP, *more]


def complete(folder, *more):
  log = folder.parent / f'{folder.name}.log'
  process = script.start(*command(folder, *more), log=log)
  assert process.wait(500) == 0, log.read_text()


def training(folder):
  records = small_run.json_lines(folder / 'metrics.jsonl')
  return [r for r in records if r['stage'] == 'train']


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs') / 'uninterrupted'
  complete(folder)
  return folder


def test_iterations_are_a_step_off_policy(uninterrupted):
  records = training(uninterrupted)
  assert len(records) == small_run.ITERATIONS
  for record in records:
    assert 0 <= record['accelerator_idle_share'] <= 1
    assert record['seconds_beside'] >= 0
  # The first two iterations are played by one policy.
  assert records[0]['stale_ratio_deviation'] < 1e-3
  assert records[1]['stale_ratio_deviation'] > 1e-3
  assert saved_policy.load(uninterrupted).params


def test_interrupted_twice_is_bitwise_the_uninterrupted_run(uninterrupted):
  folder = uninterrupted.parent / 'interrupted'
  log = uninterrupted.parent / 'interrupted.log'
  process = script.start(*command(folder), log=log)
  small_run.wait_until(lambda: small_run.trained(folder) >= 2, process, log)
  os.killpg(process.pid, signal.SIGINT)
  assert process.wait(small_run.PATIENCE) == 130, log.read_text()
  process = script.start(*command(folder), log=log)
  small_run.wait_until(lambda: small_run.trained(folder) >= 6, process, log)
  process.send_signal(signal.SIGKILL)
  process.wait(small_run.PATIENCE)
  complete(folder)
  small_run.assert_same_run(folder, uninterrupted)


@pytest.mark.parametrize(
  'flag', ['--overlap_correction=none', '--importance_cap=1.0', '--nooverlap']
)
def test_each_flag_matters(uninterrupted, flag):
  name = flag.strip('-').replace('=', '_')
  folder = uninterrupted.parent / name
  complete(folder, flag, '--iterations=3', '--evaluate_every=0')
  ours, theirs = training(folder)[2], training(uninterrupted)[2]
  assert ours['gradient_norm'] != theirs['gradient_norm']
