"""The lock of a run's folder: one run, however it ends."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from experiments.run import lock

# Takes the lock, says so, and keeps it.
_HOLDER = """
import pathlib, sys, time
from experiments.run import lock
lock.Lock(pathlib.Path(sys.argv[1])).take()
print('holds', flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
  with subprocess.Popen(
    [sys.executable, '-c', _HOLDER, str(tmp_path)],
    stdout=subprocess.PIPE,
    text=True,
  ) as process:
    assert process.stdout.readline() == 'holds\n'
    yield process
    process.kill()


def test_the_holder_is_named_and_the_lock_goes_with_it(tmp_path, holder):
  mine = lock.Lock(tmp_path)
  with pytest.raises(lock.FolderInUseError) as error:
    mine.take(patience=0.2)
  assert re.fullmatch(
    rf'{tmp_path} is in use: process {holder.pid} on {os.uname().nodename} '
    r'since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+ runs in it. Wait for it, stop '
    'it, or choose another --run',
    str(error.value),
  )
  # A stopped process holds it too.
  holder.send_signal(signal.SIGSTOP)
  with pytest.raises(lock.FolderInUseError):
    mine.take(patience=0.2)
  holder.kill()
  holder.wait()
  mine.take(patience=0)
  mine.release(remove=True)
  assert list(tmp_path.iterdir()) == []


def test_one_that_is_just_ending_is_waited_for(tmp_path, holder):
  holder.send_signal(signal.SIGKILL)
  lock.Lock(tmp_path).take()


def test_processes_of_a_run_share_it(tmp_path):
  first, second, other = (lock.Lock(tmp_path) for _ in range(3))
  first.take()
  second.join()
  # The first may end before the second.
  first.release()
  with pytest.raises(lock.FolderInUseError, match=r'process \d+ .*, process'):
    other.take(patience=0)
  second.release()
  other.take(patience=0)
  other.release()


def test_a_file_that_its_holder_removes_locks_nobody_out(tmp_path):
  first, second, third = (lock.Lock(tmp_path) for _ in range(3))
  first.take()
  first.release(remove=True)
  second.take(patience=0)
  with pytest.raises(lock.FolderInUseError):
    third.take(patience=0)


def test_a_link_is_not_followed(tmp_path):
  target = tmp_path / 'elsewhere'
  target.write_text('mine')
  (tmp_path / lock.NAME).symlink_to(target)
  with pytest.raises(OSError, match='symbolic links'):
    lock.Lock(tmp_path).take()
  assert target.read_text() == 'mine'


def test_it_waits_no_longer_than_it_says(tmp_path, holder):
  start = time.monotonic()
  with pytest.raises(lock.FolderInUseError):
    lock.Lock(tmp_path).take(patience=0.5)
  assert 0.5 <= time.monotonic() - start < 5
