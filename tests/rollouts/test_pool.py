"""Tests of the environment pool: one failure costs one episode."""

import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

from jaxcredit.rollouts import pool as pool_lib
from tests.rollouts import faulty_environments


def make_pool(count=4, workers=1, time_limit=2.0):
  return pool_lib.EnvironmentPool(
    faulty_environments.CountingEnvironment,
    count,
    workers=workers,
    time_limit=time_limit,
  )


@pytest.mark.parametrize('workers', [0, 1, 2])
def test_steps_every_environment(workers):
  with make_pool(workers=workers) as pool:
    first = pool.reset({i: f'task {i}' for i in range(4)})
    assert [first[i].observation for i in range(4)] == [
      f'task {i} starts' for i in range(4)
    ]
    second = pool.step({1: 'wait', 3: 'look'})
    assert second[1].observation == 'task 1 1 wait'
    assert second[3].reward == 0.5
    assert second[3].admissible == ('wait',)
    assert set(second) == {1, 3}


@pytest.mark.parametrize(
  ('action', 'message'),
  [
    ('hang', 'gave no answer within 2 s'),
    ('die', r'worker process died \(exit status 3\)'),
    ('kill', r'worker process died \(signal SIGKILL\)'),
  ],
)
def test_lost_worker_costs_one_episode(action, message):
  with make_pool() as pool:
    pool.reset({i: f'task {i}' for i in range(4)})
    pool.step(dict.fromkeys(range(4), 'wait'))
    # Environment 0 was served before the failure, 2 waits behind it, 3 takes
    # no part in this batch.
    answers = pool.step({0: 'look', 1: action, 2: 'look'})
    assert answers[1] is None
    assert answers[0].observation == 'task 0 2 look'
    assert answers[2].observation == 'task 2 2 look'
    (failure,) = pool.failures
    assert (failure.environment, failure.task, failure.step) == (1, 'task 1', 2)
    assert re.search(
      message + r" \(environment 1, step 2 of 'task 1'\)$", failure.in_words()
    )
    # All the others go on where they were.
    later = pool.step({0: 'wait', 2: 'wait', 3: 'wait'})
    assert [later[i].anchor for i in (0, 2, 3)] == [
      'task 0:3',
      'task 2:3',
      'task 3:2',
    ]
    with pytest.raises(ValueError, match='reset it first'):
      pool.step({1: 'wait'})
    assert pool.reset({1: 'again'})[1].observation == 'again starts'


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize(
  ('action', 'message'),
  [
    ('raise', 'inside the environment'),
    ('exit', 'SystemExit: no more'),
    ('nan', 'the reward is nan, not a finite number'),
    ('inf', 'the reward is inf, not a finite number'),
    ('-inf', 'the reward is -inf, not a finite number'),
    ('long', 'answered 20,000,'),
    ('garbage', 'answered out of protocol'),
    ('number', 'must be text'),
  ],
)
def test_bad_answer_costs_one_episode(workers, action, message, caplog):
  with make_pool(workers=workers, time_limit=60.0) as pool:
    pool.reset({0: 'a', 1: 'b'})
    answers = pool.step({0: action, 1: 'wait'})
    assert answers[0] is None
    assert answers[1].observation == 'b 1 wait'
    (failure,) = pool.failures
    assert message in failure.reason
    assert "(environment 0, step 1 of 'a')" in caplog.text
    # The environment can play on.
    assert pool.reset({0: 'c'})[0].observation == 'c starts'


def test_what_an_environment_prints_goes_nowhere(capfd):
  with make_pool(time_limit=60.0) as pool:
    pool.reset({0: 'a', 1: 'b'})
    answers = pool.step({0: 'print', 1: 'wait'})
    assert answers[0].observation == 'a 1 print'
    assert not pool.failures
  out, error = capfd.readouterr()
  assert 'flood' not in out + error


PROGRAM = """
import sys
from tests.rollouts import test_pool

if __name__ == '__main__':
  pool = test_pool.make_pool(time_limit=60.0)
  pool.reset({0: 'a'})
  print(pool._workers[0].process.pid, flush=True)
  pool.step({0: 'hang'})
"""


@pytest.mark.system
def test_a_worker_that_hangs_ends_with_the_process_that_was_killed(tmp_path):
  path = tmp_path / 'hanging.py'
  path.write_text(PROGRAM)
  root = pathlib.Path(__file__).parents[2]
  process = subprocess.Popen(
    [sys.executable, str(path)],
    stdout=subprocess.PIPE,
    text=True,
    env={**os.environ, 'PYTHONPATH': str(root)},
  )
  worker = int(process.stdout.readline())
  # It is in the middle of a step by then, or about to be.
  time.sleep(0.5)
  process.kill()
  process.wait()
  deadline = time.monotonic() + 30
  while pathlib.Path(f'/proc/{worker}').exists():
    state = pathlib.Path(f'/proc/{worker}/stat').read_text()
    if state.rpartition(')')[2].split()[0] == 'Z':
      break
    assert time.monotonic() < deadline, 'the worker outlives its parent'
    time.sleep(0.05)


def test_unplayable_task_is_reported():
  with make_pool() as pool:
    answers = pool.reset({0: 'unplayable', 1: 'b'})
    assert answers[0] is None
    assert answers[1] is not None
    assert 'cannot be played' in pool.failures[0].reason
    assert "(environment 0, its start of 'unplayable')" in (
      pool.failures[0].in_words()
    )
    words = pool.failures[0].in_words(lambda task: f'first {task}')
    assert "of 'first unplayable'" in words


def test_wrong_arguments():
  with pytest.raises(ValueError, match='at least one'):
    make_pool(count=0)
  with pytest.raises(ValueError, match='workers'):
    make_pool(count=2, workers=3)
  with pytest.raises(ValueError, match='positive'):
    make_pool(time_limit=0)
  with make_pool(workers=0) as pool, pytest.raises(ValueError, match='exist'):
    pool.reset({9: 'x'})
