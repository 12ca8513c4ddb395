"""What can happen to a run while it runs: real processes, real faults."""

import gzip
import json
import math
import random
import re
import shutil
import signal
import statistics
import time

import numpy as np
import pytest

from experiments.run import profiling
from jaxcredit.reports import run_data
from jaxcredit.training import stage_clock
from tests import small_disk
from tests.experiments import script, small_run

# A run each, and what it is compared with; `small_run.PATIENCE` is as long.
pytestmark = [pytest.mark.system, pytest.mark.timeout(1800)]

FAULTY = 'tests.experiments.faulty_gigpo'


def train_records(folder):
  records = small_run.json_lines(folder / 'metrics.jsonl')
  return [r for r in records if r['stage'] == 'train']


# Signals.


def test_sigterm_saves_what_is_done_and_the_same_command_goes_on(uninterrupted):
  folder = uninterrupted.parent / 'terminated'
  log = uninterrupted.parent / 'terminated.log'
  process = script.start(*small_run.command(folder), log=log)
  small_run.wait_until(lambda: small_run.trained(folder) >= 3, process, log)
  process.send_signal(signal.SIGTERM)
  status = process.wait(small_run.PATIENCE)
  words = log.read_text(encoding='utf-8')
  assert status == 143, words
  assert f'stopped; the same command goes on from {folder}' in words
  assert 'Traceback' not in words
  assert 'leaked' not in words
  # The time is short: no report.
  assert not (folder / 'report.html').exists()
  done = small_run.trained(folder)
  assert 3 <= done < small_run.ITERATIONS
  assert small_run.newest(folder, 'train') == done
  small_run.complete(folder)
  small_run.assert_same_run(folder, uninterrupted)


def test_a_rollout_under_way_is_given_up(uninterrupted):
  folder = uninterrupted.parent / 'slow'
  log = uninterrupted.parent / 'slow.log'
  # Each of up to 8 rounds of an iteration takes 3 s at least: 6 episodes, each
  # half a second.
  process = script.start(
    *small_run.command(folder),
    '--fault=slow',
    '--evaluate_every=0',
    module=FAULTY,
    log=log,
  )
  # The second iteration takes longer than this machine to look.
  small_run.wait_until(lambda: small_run.trained(folder) >= 1, process, log)
  process.send_signal(signal.SIGTERM)
  assert process.wait(small_run.PATIENCE) == 143, log.read_text()
  done = small_run.trained(folder)
  assert done == 1
  assert small_run.newest(folder, 'train') == 1
  assert not list((folder / 'checkpoints' / 'train').glob('*tmp*'))


def test_a_second_signal_stops_at_once(uninterrupted):
  folder = uninterrupted.parent / 'at_once'
  log = uninterrupted.parent / 'at_once.log'
  process = script.start(
    *small_run.command(folder), '--fault=slow', module=FAULTY, log=log
  )
  small_run.wait_until(
    lambda: small_run.newest(folder, 'warm_start') >= 24, process, log
  )
  process.send_signal(signal.SIGTERM)
  small_run.wait_until(
    lambda: 'Stopping' in log.read_text() or process.poll(), process, log
  )
  process.send_signal(signal.SIGTERM)
  assert process.wait(small_run.PATIENCE) == 143, log.read_text()
  words = log.read_text()
  assert 'Traceback' not in words
  assert 'stopped' in words


def wait_before_training(folder, seconds):
  """Waits, but not until a fast machine has done all that there is to do."""
  end = time.monotonic() + seconds
  while time.monotonic() < end and small_run.trained(folder) < 1:
    time.sleep(0.01)


@pytest.mark.slow
def test_twenty_kills_at_random_leave_the_numbers_of_an_undisturbed_run(
  tmp_path,
):
  iterations, kills = 200, 20
  expected, folder = tmp_path / 'expected', tmp_path / 'killed'
  small_run.complete(expected, iterations=iterations)
  seconds = statistics.median(
    r['seconds_total'] for r in train_records(expected)
  )
  log = tmp_path / 'killed.log'
  chance = random.Random(0)
  kinds = ['start'] * 3 + ['warm start'] * 3 + ['training'] * (kills - 6)
  words, progress = '', []
  for kind in kinds:
    process = script.start(
      *small_run.command(folder, iterations=iterations), log=log
    )
    if kind == 'start':
      # Imports, the folder, demonstrations, the tokenizer.
      wait_before_training(folder, chance.uniform(0.1, 15.0))
    elif kind == 'warm start':
      small_run.wait_until(
        lambda: (
          (folder / 'tokenizer' / 'tokenizer.json').exists()
          and 'policy:' in log.read_text()
        ),
        process,
        log,
      )
      wait_before_training(folder, chance.uniform(0.0, 12.0))
    else:
      # An iteration of this process.
      small_run.wait_until(
        lambda: re.search(r'iteration +\d+/', log.read_text()), process, log
      )
      # Rollout, update, records and checkpoint alike; a checkpoint takes longer
      # than these iterations.
      time.sleep(chance.uniform(0.0, max(1.5, 1.5 * seconds)))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, log.read_text()
    words += log.read_text()
    progress.append(small_run.newest(folder, 'train'))
  print(f'newest checkpoint at each kill: {progress}')
  print(f'saves cut in the middle: {words.count("half written")}')
  # Some progress in between, and much left to do until the last of them.
  assert progress[-1] >= kills // 3
  assert len(set(progress)) > 5
  small_run.complete(folder, iterations=iterations)
  small_run.assert_same_run(folder, expected, iterations)


# The disk.


def test_a_full_disk_stops_the_run_in_one_line_and_loses_nothing(
  uninterrupted, tmp_path
):
  with small_disk.small_disk(tmp_path / 'disk', '16m') as disk:
    folder, log = disk / 'run', tmp_path / 'full.log'
    process = script.start(*small_run.command(folder), log=log)
    small_run.wait_until(
      lambda: small_run.newest(folder, 'train') >= 3, process, log
    )
    filling = small_disk.fill(disk)
    assert process.wait(small_run.PATIENCE) == 1, log.read_text()
    words = log.read_text()
    assert 'Traceback' not in words, words
    (line,) = [line for line in words.splitlines() if line.startswith('error')]
    assert 'full' in line and str(folder) in line
    assert 'the same command goes on' in line
    whole = small_run.newest(folder, 'train')
    assert 3 <= whole < small_run.ITERATIONS
    filling.unlink()
    words = small_run.complete(folder)
    assert f'resuming after iteration {whole}' in words
    small_run.assert_same_run(folder, uninterrupted)


def test_a_damaged_checkpoint_is_set_aside_and_the_run_repeats_what_it_lost(
  uninterrupted,
):
  folder = uninterrupted.parent / 'damaged'
  shutil.copytree(uninterrupted, folder)
  config = json.loads((folder / 'config.json').read_text())
  config['run'] = str(folder)
  (folder / 'config.json').write_text(json.dumps(config))
  last = small_run.ITERATIONS
  newest = folder / 'checkpoints' / 'train' / str(last)
  largest = max(
    (p for p in newest.rglob('*') if p.is_file()),
    key=lambda p: p.stat().st_size,
  )
  data = bytearray(largest.read_bytes())
  data[len(data) // 2] ^= 1
  largest.write_bytes(data)
  words = small_run.complete(folder)
  assert f'damaged checkpoints in {newest.parent}' in words
  assert 'holds other bytes than were written' in words
  assert f'going on from {last - 1}, the newest that is whole' in words
  assert f'resuming after iteration {last - 1}' in words
  assert (newest.parent / f'{last}.damaged').is_dir()
  small_run.assert_same_run(folder, uninterrupted)


# Environments and numbers.


def test_environments_that_fail_cost_their_episodes_and_never_the_run(
  uninterrupted,
):
  folder = uninterrupted.parent / 'mixed'
  log = uninterrupted.parent / 'mixed.log'
  process = script.start(
    *small_run.command(folder, iterations=6),
    '--fault=mixed',
    '--step_time_limit=2',
    '--evaluate_every=0',
    module=FAULTY,
    log=log,
  )
  assert process.wait(small_run.PATIENCE) == 0, log.read_text()
  words = log.read_text()
  records = train_records(folder)
  assert len(records) == 6
  assert sum(r['failed_episodes'] for r in records) >= 2
  assert words.count('an episode was lost') >= 3
  # Where it was, for whoever wants to see it.
  assert 'of "put' in words or "of 'put" in words or "of 'look" in words, words
  assert 'flood' not in words
  for record in records:
    for name in ('loss', 'gradient_norm', 'mean_return'):
      assert math.isfinite(record[name]), record


def test_a_reward_that_is_not_a_number_is_reported_with_its_place(
  uninterrupted,
):
  folder = uninterrupted.parent / 'nan_reward'
  log = uninterrupted.parent / 'nan_reward.log'
  process = script.start(
    *small_run.command(folder, iterations=3),
    '--fault=nan_reward',
    module=FAULTY,
    log=log,
  )
  assert process.wait(small_run.PATIENCE) == 0, log.read_text()
  words = log.read_text()
  assert 'the reward is nan, not a finite number (environment ' in words
  assert ', step ' in words
  records = train_records(folder)
  assert sum(r['failed_episodes'] for r in records) > 0
  assert all(r['skipped_updates'] == 0 for r in records)


def test_credit_that_is_not_a_number_changes_nothing_and_ends_the_run(
  uninterrupted,
):
  folder = uninterrupted.parent / 'nan_credit'
  log = uninterrupted.parent / 'nan_credit.log'
  process = script.start(
    *small_run.command(folder),
    '--fault=nan_credit',
    '--minibatches=1',
    module=FAULTY,
    log=log,
  )
  assert process.wait(small_run.PATIENCE) == 1, log.read_text()
  words = log.read_text()
  # The third iteration is the first, the fifth one too many.
  assert 'iteration 3: the credit of 6 of 6 episodes is not finite' in words
  assert 'first at step 1 of rollout 1 of task 1' in words
  assert '1 updates skipped so far: their loss or gradient' in words
  assert 'error: 3 updates in a row had a non-finite loss' in words
  assert 'Traceback' not in words
  assert [r['skipped_updates'] for r in train_records(folder)] == [0, 0, 1, 2]
  # The state is there, as it was before.
  before, after = (
    dict(small_run.leaves(small_run.parameters(folder, i))) for i in (3, 4)
  )
  for name in before:
    if 'skipped' not in name:
      np.testing.assert_array_equal(before[name], after[name], err_msg=name)


# What a run says of its time.


def test_the_stages_of_an_iteration_add_up_to_it(uninterrupted):
  records = train_records(uninterrupted)
  for record in records:
    parts = {
      s: record[f'seconds_{s}']
      for s in stage_clock.STAGES
      if f'seconds_{s}' in record
    }
    total = record['seconds_total']
    assert sum(parts.values()) == pytest.approx(total, rel=0.01)
    assert min(parts.values()) >= 0, parts
  # What has no name is little.
  rest = [r['seconds_other'] / r['seconds_total'] for r in records[1:]]
  assert statistics.median(rest) < 0.15, rest
  # The evaluation after iteration 4 stands with the next record.
  assert records[4]['seconds_evaluation'] > 0
  assert records[4]['seconds_checkpoint'] > 0
  # And the records span the time between them.
  for a, b in zip(records[2:], records[3:], strict=False):
    assert b['time'] - a['time'] == pytest.approx(
      b['seconds_total'], rel=0.1, abs=1.0
    )


def test_exactly_the_iterations_asked_for_are_traced(uninterrupted):
  folder = uninterrupted / profiling.FOLDER
  (trace,) = folder.rglob('*.trace.json.gz')
  (xplane,) = folder.rglob('*.xplane.pb')
  assert xplane.stat().st_size > 10_000
  events = json.loads(gzip.decompress(trace.read_bytes()))['traceEvents']
  steps = [
    int(event['args']['step_num'])
    for event in events
    if event.get('name') == profiling.ITERATION
    and 'step_num' in event.get('args', {})
  ]
  first = profiling.WARM_UP + 1
  assert sorted(steps) == [first, first + 1]
  names = {event.get('name') for event in events}
  assert {'rollout', 'credit', 'update', 'checkpoint'} <= names


# What reads while a run writes.


def test_metrics_can_be_read_at_any_moment_of_a_run(uninterrupted):
  folder = uninterrupted.parent / 'read'
  log = uninterrupted.parent / 'read.log'
  process = script.start(*small_run.command(folder, iterations=8), log=log)
  seen, reads = 0, 0
  while process.poll() is None:
    if (folder / 'config.json').exists():
      run = run_data.read(folder)
      assert len(run.training) >= seen
      seen = len(run.training)
      reads += 1
    time.sleep(0.002)
  assert process.returncode == 0, log.read_text()
  assert seen == 8
  # On a machine that does much else, one an iteration.
  assert reads > 8
