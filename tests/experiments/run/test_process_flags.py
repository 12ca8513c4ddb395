"""Processes join, stop together, and none outlives another."""

import os
import re
import signal
import sys
import time

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.run import script as run_script
from experiments.tools import launch
from tests import process_group
from tests.experiments import imported_script

MODULE = 'tests.experiments.together_script'


@pytest.fixture(scope='module')
def gigpo():
  with imported_script.imported('experiments.gigpo') as module:
    yield module


# Seconds that anything may take on a machine with much else to do.
PATIENCE = 240


def start(folder, *does: str, more=(), auto=False, heartbeat=60):
  """Starts a process for each thing to do; their words go to `log`."""
  port = process_group.free_port()
  started = []
  for index in range(len(does)):
    own = [f'--processes={len(does)}', f'--process={index}',
           f'--coordinator=127.0.0.1:{port}']  # fmt: skip
    slurm = {}
    if auto:
      own = ['--processes=auto']
      slurm = {
        # The port follows from the job's number.
        'SLURM_JOB_ID': str(port),
        'SLURM_STEP_NODELIST': 'localhost',
        'SLURM_NTASKS': str(len(does)),
        'SLURM_PROCID': str(index),
        'SLURM_LOCALID': str(index),
      }
    arguments = [
      '-m',
      MODULE,
      *own,
      f'--heartbeat={heartbeat}',
      f'--here={folder}',
    ]
    arguments += [f'--does={word}' for word in does]
    started.append(
      process_group.start(
        [*arguments, *more], index, folder / 'log', more=slurm
      )
    )
  return started


def wait_for(paths, started, folder):
  end = time.monotonic() + PATIENCE
  while not all(path.exists() for path in paths):
    for index, process in enumerate(started):
      assert process.poll() is None, process_group.words(folder / 'log', index)
    assert time.monotonic() < end, process_group.words(folder / 'log', 0)
    time.sleep(0.05)


def end(started):
  for process in started:
    if process.poll() is None:
      process.kill()
    process.wait()


def words(folder, index):
  return process_group.words(folder / 'log', index)


@pytest.mark.system
@pytest.mark.parametrize('auto', [False, True])
def test_they_end_in_good_order(tmp_path, auto):
  started = start(tmp_path, 'ends', 'ends', auto=auto)
  process_group.finish(started, tmp_path / 'log')
  assert 'on the console' in words(tmp_path, 0)
  assert 'on the console' not in words(tmp_path, 1)
  for index in range(2):
    assert 'error' not in words(tmp_path, index)


@pytest.mark.system
@pytest.mark.parametrize(
  ('does', 'killed'),
  [
    # In a collective, and elsewhere; the first, which the others ask whether
    # all are there, and another.
    (('waits', 'sleeps'), 1),
    (('sleeps', 'waits'), 0),
    (('sleeps', 'sleeps'), 1),
    (('sleeps', 'sleeps'), 0),
  ],
)
def test_none_outlives_one_that_is_killed(tmp_path, does, killed):
  started = start(tmp_path, *does, heartbeat=8)
  try:
    wait_for([tmp_path / f'{i}.pid' for i in range(2)], started, tmp_path)
    # Most often enough to be where it waits; anywhere else it ends as well.
    time.sleep(0.5)
    os.kill(started[killed].pid, signal.SIGKILL)
    begin = time.monotonic()
    assert started[1 - killed].wait(60) not in (0, 130, 143)
    assert time.monotonic() - begin < 60
    # It is not this process's own fault, and none of its calls is shown.
    assert 'Traceback' not in words(tmp_path, 1 - killed)
  finally:
    end(started)


@pytest.mark.system
@pytest.mark.parametrize('failing', ['fails', 'raises'])
def test_one_that_fails_does_not_leave_the_others_waiting(tmp_path, failing):
  started = start(tmp_path, 'waits', failing)
  try:
    assert [process.wait(PATIENCE) for process in started] == [1, 1]
    assert 'as it was told to' in words(tmp_path, 1)
    assert 'error: process 1 of 2 ends: it failed' in words(tmp_path, 1)
    assert 'error: process 0 of 2 ends: another' in words(tmp_path, 0)
    assert ('Traceback' in words(tmp_path, 1)) == (failing == 'raises')
    assert 'Traceback' not in words(tmp_path, 0)
  finally:
    end(started)


@pytest.mark.system
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_stops_all_at_the_same_time(tmp_path, number):
  started = start(tmp_path, 'works', 'works')
  try:
    wait_for([tmp_path / f'{i}.works' for i in range(2)], started, tmp_path)
    os.kill(started[1].pid, number)
    # To the other it is as if its machine were taken away.
    assert [p.wait(PATIENCE) for p in started] == [143, 128 + number]
    counts = [(tmp_path / f'{i}.count').read_text() for i in range(2)]
    assert counts[0] == counts[1]
    assert int(counts[0]) > 2
    for index in range(2):
      assert 'error' not in words(tmp_path, index)
  finally:
    end(started)


@pytest.mark.system
def test_the_launcher_tags_lines_and_tells_of_a_failure(tmp_path, capfd):
  def run(*does):
    arguments = [f'--here={tmp_path}', *(f'--does={word}' for word in does)]
    return launch.run(MODULE, arguments, count=len(does))

  assert run('ends', 'ends') == 0
  assert '[0] on the console' in capfd.readouterr().out
  assert run('waits', 'fails') == 1
  output = capfd.readouterr()
  assert '[1] error: as it was told to' in output.out
  # The other one notices, and may be quicker to end.
  assert re.search('error: process [01] ended with status 1', output.err)


def test_the_launcher_gives_each_its_devices():
  assert launch.environment(1, 2)['CUDA_VISIBLE_DEVICES'] == '2,3'
  before = os.environ.get('CUDA_VISIBLE_DEVICES')
  assert launch.environment(1, 0).get('CUDA_VISIBLE_DEVICES') == before
  # One process is the script as it is.
  alone = launch.command('experiments.gigpo', ['--seed=1'], 1, 0, 9000)
  assert alone == [sys.executable, '-u', '-m', 'experiments.gigpo', '--seed=1']


@pytest.mark.parametrize(
  'given',
  [
    ['--processes=2'],
    ['--processes=2', '--process=0'],
    ['--processes=2', '--process=2', '--coordinator=a:1'],
    ['--processes=2', '--process=0', '--coordinator=a'],
    ['--processes=0'],
    ['--processes=many'],
    ['--process=0'],
    ['--processes=auto', '--process=0'],
  ],
)
def test_flags_that_do_not_go_together(gigpo, given):
  with pytest.raises(flags.IllegalFlagValueError):
    checked(given)


@pytest.mark.parametrize(
  'given',
  [
    [],
    ['--processes=1'],
    ['--processes=auto'],
    ['--processes=2', '--process=1', '--coordinator=[::1]:9000'],
  ],
)
def test_flags_that_go_together(gigpo, given):
  checked(given)


def checked(given):
  """Parses flags as the script does, and leaves them as they were."""
  with flagsaver.flagsaver():
    flags.FLAGS(['script', *given])


def test_how_a_run_is_shared_out_may_change(gigpo):
  may_change = gigpo.script.training_flags.MAY_CHANGE | run_script.MAY_CHANGE
  own = run_script.own_flags(gigpo.__name__)
  for name in (
    'processes', 'process', 'coordinator', 'heartbeat', 'mesh_data',
    'mesh_fsdp',
  ):  # fmt: skip
    assert name in own
    assert name in may_change
  assert 'mesh_tensor' not in may_change
