"""A test of the first tier that costs too much fails, and says so."""

import json
import os
import subprocess
import sys

import pytest

from tests import cost
from tests.experiments import script


class Clock:
  now = 0.0

  def __call__(self):
    return self.now


@pytest.fixture
def meter(monkeypatch):
  clock = Clock()
  # Between any two readings there is time enough to read.
  ticks = iter(range(1000))
  monkeypatch.setattr(cost.time, 'monotonic', lambda: next(ticks))
  made = cost.Meter(clock)

  def spend(seconds):
    clock.now += seconds

  return made, spend


def test_who_is_charged(meter):
  made, spend = meter
  made.begin('one')
  spend(1)
  made.begin('shared')
  spend(10)
  made.end()
  spend(2)
  made.end()
  spend(100)
  made.begin('two')
  spend(3)
  made.end()
  assert made.seconds == {'one': 3, 'shared': 10, 'two': 3}


def test_a_slow_machine_has_a_longer_limit_and_a_fast_one_no_shorter(
  monkeypatch,
):
  monkeypatch.delenv(cost.VARIABLE, raising=False)
  for speed, expected in (
    (cost.REFERENCE, cost.LIMIT),
    (cost.REFERENCE / 3, cost.LIMIT),
    (cost.REFERENCE * 3, 3 * cost.LIMIT),
  ):
    monkeypatch.setattr(cost, 'speed', lambda speed=speed: speed)
    assert cost.limit() == pytest.approx(expected)
  monkeypatch.setenv(cost.VARIABLE, '7')
  assert cost.limit() == pytest.approx(21)


def test_processes_that_still_run_count():
  program = 'import time\nwhile time.process_time() < 0.3: pass\nprint(1)\n'
  before = cost.processor_seconds()
  process = subprocess.Popen(
    [sys.executable, '-c', program + 'input()'],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  )
  process.stdout.readline()
  living = cost.processor_seconds() - before
  process.communicate(b'\n')
  ended = cost.processor_seconds() - before
  assert living >= 0.28
  # And it counts once, not twice, when it was waited for.
  assert living <= ended < living + 0.28


def test_memory():
  pages = bytearray(50_000_000)
  assert len(pages) < cost.memory() < cost.peak_memory() + 10_000_000


SUITE = """
import time
import pytest


def work(seconds):
  end = time.process_time() + seconds
  while time.process_time() < end:
    pass


@pytest.fixture(scope='module')
def shared():
  work(0.8)


@pytest.fixture
def own():
  work(0.4)


def test_little(): work(0.1)
def test_sleeps(): time.sleep(1.0)
def test_much(own): work(0.4)
def test_asks_first(shared): work(0.1)
def test_asks_later(shared): work(0.1)
@pytest.mark.system
def test_of_processes(): work(0.9)
"""


@pytest.mark.system
def test_a_run_of_tests_that_cost_too_much(tmp_path):
  path = script.REPOSITORY / 'tests' / f'made_up_{os.getpid()}_test.py'
  costs = tmp_path / 'costs.jsonl'
  path.write_text(SUITE, encoding='utf-8')
  try:
    done = subprocess.run(
      [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', str(path)],
      cwd=script.REPOSITORY,
      env={
        **os.environ,
        cost.VARIABLE: '0.6',
        'JAXCREDIT_TEST_COSTS': str(costs),
      },
      capture_output=True,
      text=True,
      check=False,
    )
  finally:
    path.unlink()
  words = done.stdout
  # Its fixtures and itself; and the fixture of several, by its own name.
  assert '6 passed, 2 errors' in words, words
  assert f'{path.name}::test_much took 0.' in words
  assert f'{path.name}, fixture shared took 0.' in words
  assert 'Give it less to do, share a fixture, or mark it `system`' in words
  assert 'largest memory: this process' in words
  records = [json.loads(line) for line in costs.read_text().splitlines()]
  seconds = {r['account'].rpartition(':')[2]: r['seconds'] for r in records}
  assert seconds['test_much'] >= 0.8
  assert seconds['test_of_processes'] >= 0.9
  assert seconds['test_sleeps'] < 0.5
  assert all(r['memory'] > 50_000_000 for r in records)
