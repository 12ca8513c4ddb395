"""A run that is killed or interrupted goes on as if nothing had happened."""

import json
import os
import random
import shutil
import signal
import time

import pytest

from tests.experiments import script, small_run

# A run each, and what it is compared with; `small_run.PATIENCE` is as long.
pytestmark = [pytest.mark.system, pytest.mark.timeout(1800)]


def test_the_run_that_others_are_compared_with_learns(uninterrupted):
  metrics = small_run.json_lines(uninterrupted / 'metrics.jsonl')
  train = [r for r in metrics if r['stage'] == 'train']
  assert [r['iteration'] for r in train] == list(
    range(1, small_run.ITERATIONS + 1)
  )
  # Without gradients, equal parameters would prove nothing.
  assert all(r['gradient_norm'] > 0 for r in train)
  assert all(r['failed_episodes'] == 0 for r in train)
  evaluations = json.loads((uninterrupted / 'evaluations.json').read_text())
  assert [e['iteration'] for e in evaluations] == [0, 4, 8, 12]


def test_killed_and_resumed_is_bitwise_the_uninterrupted_run(uninterrupted):
  folder = uninterrupted.parent / 'killed'
  log = uninterrupted.parent / 'killed.log'
  delay = random.Random(0)
  moments = [
    (lambda: small_run.newest(folder, 'warm_start') >= 6, 0.1),
    (lambda: small_run.trained(folder) >= 1, 0.3),
    (lambda: small_run.trained(folder) >= 5, 0.3),
  ]
  for number, (reached, spread) in enumerate(moments):
    process = script.start(*small_run.command(folder), log=log)
    small_run.wait_until(reached, process, log)
    time.sleep(delay.uniform(0, spread))
    workers = small_run.children(process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, 'it was over before the kill'
    if number == 0:
      assert small_run.newest(folder, 'train') == 0, 'the warm start was over'
      assert small_run.newest(folder, 'warm_start') < 24
    deadline = time.monotonic() + 120
    while any(small_run.alive(worker) for worker in workers):
      assert time.monotonic() < deadline, 'workers outlive the run'
      time.sleep(0.05)
  # Two ends of a killed run that chance may not have hit: records of an
  # iteration whose checkpoint was not yet whole, and a line cut in the middle.
  last = small_run.newest(folder, 'train')
  assert last >= 2
  shutil.rmtree(folder / 'checkpoints' / 'train' / str(last))
  for name in ('metrics.jsonl', 'episodes.jsonl'):
    with open(folder / name, 'a', encoding='utf-8') as file:
      file.write('{"stage": "train", "iterat')
  words = small_run.complete(folder)
  assert f'{folder} holds this run: going on' in words
  assert f'resuming after iteration {last - 1}' in words
  small_run.assert_same_run(folder, uninterrupted)


def test_ctrl_c_finishes_the_iteration_and_the_same_command_goes_on(
  uninterrupted,
):
  folder = uninterrupted.parent / 'interrupted'
  log = uninterrupted.parent / 'interrupted.log'
  process = script.start(*small_run.command(folder), log=log)
  small_run.wait_until(lambda: small_run.trained(folder) >= 1, process, log)
  # A terminal sends Ctrl-C to the script and its workers alike. The workers
  # get theirs first here, so that episodes are sure to need them afterwards.
  for worker in small_run.children(process):
    os.kill(worker, signal.SIGINT)
  small_run.wait_until(lambda: small_run.trained(folder) >= 3, process, log)
  os.killpg(process.pid, signal.SIGINT)
  seen = small_run.trained(folder)
  status = process.wait(small_run.PATIENCE)
  words = log.read_text(encoding='utf-8')
  assert status == 130, words
  assert 'Stopping, and saving what is done; once more to stop' in words
  assert f'stopped; the same command goes on from {folder}' in words
  assert 'Traceback' not in words
  assert (folder / 'report.html').exists()
  done = small_run.trained(folder)
  assert done <= seen + 1 < small_run.ITERATIONS
  assert small_run.newest(folder, 'train') == done

  small_run.complete(folder)
  small_run.assert_same_run(folder, uninterrupted)


def test_a_complete_run_only_reports_when_run_again(uninterrupted):
  files = ('metrics.jsonl', 'evaluations.json', 'episodes.jsonl')
  before = {name: (uninterrupted / name).read_bytes() for name in files}
  report = uninterrupted / 'report.html'
  report.unlink()
  words = small_run.complete(uninterrupted)
  assert 'iteration ' not in words.replace('after iteration ', '')
  assert 'Success on 4 generated games' in words
  assert report.exists()
  assert {n: (uninterrupted / n).read_bytes() for n in files} == before
  assert small_run.newest(uninterrupted, 'train') == small_run.ITERATIONS


def test_killed_before_an_evaluation_it_makes_up_for_that(uninterrupted):
  folder = uninterrupted.parent / 'not_evaluated'
  small_run.complete(folder, iterations=4)
  # What a run leaves that is killed when its fourth checkpoint is written.
  path = folder / 'evaluations.json'
  evaluations = json.loads(path.read_text())
  assert [e['iteration'] for e in evaluations] == [0, 4]
  path.write_text(json.dumps(evaluations[:1], indent=2))
  small_run.complete(folder)
  small_run.assert_same_run(folder, uninterrupted)
