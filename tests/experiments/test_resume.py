"""A run that is killed or interrupted goes on as if nothing had happened."""

import json
import os
import pathlib
import random
import shutil
import signal
import time

import numpy as np
import orbax.checkpoint as ocp
import pytest

from tests.experiments import script

ITERATIONS = 12
FLAGS = (
  '--layers=1', '--width=32', '--heads=2', '--kv_heads=1', '--head_dim=16',
  '--hidden=48', '--vocabulary=700', '--warm_start_games=24',
  '--warm_start_steps=24', '--warm_start_batch=4', '--groups=2',
  '--group_size=3', '--max_steps=8', '--row_tokens=256', '--max_new_tokens=6',
  '--chunk=32', '--chunk=256', '--generated_games=6', '--evaluation_count=4',
  '--micro_batch_tokens=1024', '--checkpoint_every=1', '--evaluate_every=4',
  '--save_episodes_every=1', '--notensorboard', '--minibatches=2',
  # Terms with a gradient everywhere, so that each iteration moves the policy
  # although this one never wins; the divergence needs the same reference.
  '--kl_coefficient=0.1', '--entropy_coefficient=0.01',
  '--warm_start_learning_rate=0.01', '--learning_rate=0.01',
  f'--iterations={ITERATIONS}',
)  # fmt: skip


def command(folder: pathlib.Path) -> list[str]:
  # What one run compiles, the next need not: these tests are about resuming.
  cache = folder.parent / 'compiled'
  return [*FLAGS, f'--run={folder}', f'--compilation_cache={cache}']


def json_lines(path: pathlib.Path) -> list[dict]:
  """Whole records of a file that may just be written to."""
  if not path.exists():
    return []
  records = []
  for line in path.read_text(encoding='utf-8').splitlines():
    try:
      records.append(json.loads(line))
    except json.JSONDecodeError:
      break
  return records


def trained(folder: pathlib.Path) -> int:
  """How many training iterations the run has recorded."""
  metrics = json_lines(folder / 'metrics.jsonl')
  return sum(record['stage'] == 'train' for record in metrics)


def newest(folder: pathlib.Path, stage: str) -> int:
  """Number of the newest whole checkpoint; 0 if there is none."""
  steps = (folder / 'checkpoints' / stage).glob('[0-9]*')
  return max((int(s.name) for s in steps if s.name.isdigit()), default=0)


def wait_until(condition, process, log) -> None:
  deadline = time.monotonic() + 240
  while not condition():
    assert process.poll() is None, f'ended too early:\n{log.read_text()}'
    assert time.monotonic() < deadline, f'hangs:\n{log.read_text()}'
    time.sleep(0.005)


def complete(folder: pathlib.Path) -> str:
  log = folder.parent / f'{folder.name}.log'
  process = script.start(*command(folder), log=log)
  assert process.wait(300) == 0, log.read_text()
  return log.read_text(encoding='utf-8')


def children(process) -> list[int]:
  path = pathlib.Path(f'/proc/{process.pid}/task/{process.pid}/children')
  return [int(p) for p in path.read_text().split()] if path.exists() else []


def alive(pid: int) -> bool:
  try:
    state = pathlib.Path(f'/proc/{pid}/stat').read_text()
  except (FileNotFoundError, ProcessLookupError):
    return False
  return state.rpartition(')')[2].split()[0] != 'Z'


def final_parameters(folder: pathlib.Path):
  """Everything that the last checkpoint holds, optimizer state included."""
  path = folder / 'checkpoints' / 'train' / str(ITERATIONS) / 'default'
  with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
    return reader.restore(path.resolve())


def leaves(tree, path=()):
  if isinstance(tree, dict):
    for name in sorted(tree):
      yield from leaves(tree[name], (*path, name))
  elif isinstance(tree, (list, tuple)):
    for index, part in enumerate(tree):
      yield from leaves(part, (*path, str(index)))
  elif tree is not None:
    yield '/'.join(path), np.asarray(tree)


def timeless(records):
  """Records without the clock, sorted: evaluations stand where they fell."""
  return sorted(
    (
      {
        name: value
        for name, value in record.items()
        if name not in ('time', 'accelerator_idle_share')
        and not name.startswith('seconds_')
      }
      for record in records
    ),
    key=lambda r: (r['stage'], r['iteration']),
  )


def assert_same_run(folder: pathlib.Path, expected: pathlib.Path) -> None:
  ours, theirs = (dict(leaves(final_parameters(f))) for f in (folder, expected))
  assert list(ours) == list(theirs)
  assert any('params' in name for name in ours)
  for name, array in ours.items():
    np.testing.assert_array_equal(array, theirs[name], err_msg=name)
  for name in ('evaluations.json', 'episodes.jsonl'):
    assert (folder / name).read_text() == (expected / name).read_text(), name
  assert timeless(json_lines(folder / 'metrics.jsonl')) == timeless(
    json_lines(expected / 'metrics.jsonl')
  )


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs') / 'uninterrupted'
  complete(folder)
  return folder


def test_the_run_that_others_are_compared_with_learns(uninterrupted):
  metrics = json_lines(uninterrupted / 'metrics.jsonl')
  train = [r for r in metrics if r['stage'] == 'train']
  assert [r['iteration'] for r in train] == list(range(1, ITERATIONS + 1))
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
    (lambda: newest(folder, 'warm_start') >= 6, 0.1),
    (lambda: trained(folder) >= 1, 0.3),
    (lambda: trained(folder) >= 5, 0.3),
  ]
  for number, (reached, spread) in enumerate(moments):
    process = script.start(*command(folder), log=log)
    wait_until(reached, process, log)
    time.sleep(delay.uniform(0, spread))
    workers = children(process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, 'it was over before the kill'
    if number == 0:
      assert newest(folder, 'train') == 0, 'the warm start was over'
      assert newest(folder, 'warm_start') < 24
    deadline = time.monotonic() + 20
    while any(alive(worker) for worker in workers):
      assert time.monotonic() < deadline, 'workers outlive the run'
      time.sleep(0.05)
  # Two ends of a killed run that chance may not have hit: records of an
  # iteration whose checkpoint was not yet whole, and a line cut in the middle.
  last = newest(folder, 'train')
  assert last >= 2
  shutil.rmtree(folder / 'checkpoints' / 'train' / str(last))
  for name in ('metrics.jsonl', 'episodes.jsonl'):
    with open(folder / name, 'a', encoding='utf-8') as file:
      file.write('{"stage": "train", "iterat')
  words = complete(folder)
  assert f'{folder} holds this run: going on' in words
  assert f'resuming after iteration {last - 1}' in words
  assert_same_run(folder, uninterrupted)


def test_ctrl_c_finishes_the_iteration_and_the_same_command_goes_on(
  uninterrupted,
):
  folder = uninterrupted.parent / 'interrupted'
  log = uninterrupted.parent / 'interrupted.log'
  process = script.start(*command(folder), log=log)
  wait_until(lambda: trained(folder) >= 1, process, log)
  # A terminal sends Ctrl-C to the script and its workers alike. The workers
  # get theirs first here, so that episodes are sure to need them afterwards.
  for worker in children(process):
    os.kill(worker, signal.SIGINT)
  wait_until(lambda: trained(folder) >= 3, process, log)
  os.killpg(process.pid, signal.SIGINT)
  seen = trained(folder)
  status = process.wait(120)
  words = log.read_text(encoding='utf-8')
  assert status == 130, words
  assert 'Stopping after this iteration; once more to stop at once.' in words
  assert f'stopped; the same command goes on from {folder}' in words
  assert 'Traceback' not in words
  assert (folder / 'report.html').exists()
  done = trained(folder)
  assert done <= seen + 1 < ITERATIONS
  assert newest(folder, 'train') == done

  complete(folder)
  assert_same_run(folder, uninterrupted)


def test_a_complete_run_only_reports_when_run_again(uninterrupted):
  files = ('metrics.jsonl', 'evaluations.json', 'episodes.jsonl')
  before = {name: (uninterrupted / name).read_bytes() for name in files}
  report = uninterrupted / 'report.html'
  report.unlink()
  words = complete(uninterrupted)
  assert 'iteration ' not in words.replace('after iteration ', '')
  assert 'Success on 4 generated games' in words
  assert report.exists()
  assert {n: (uninterrupted / n).read_bytes() for n in files} == before
  assert newest(uninterrupted, 'train') == ITERATIONS
