"""The first signal asks, the second interrupts."""

import signal
import subprocess
import sys
import time

import pytest

from experiments.run import interruption


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_interrupts(number, capsys):
  with interruption.Interruption() as stop:
    assert not stop.requested
    assert stop.exit_status == 0
    signal.raise_signal(number)
    assert stop.requested
    words = capsys.readouterr().out
    assert 'Stopping, and saving what is done; once more to stop' in words
    # As shells tell of a process that a signal ended.
    assert stop.exit_status == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert stop.terminated == (number == signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
      signal.raise_signal(number)
  assert capsys.readouterr().out == ''


def test_words_and_status_of_a_run_that_stopped_at_once(capsys):
  with interruption.Interruption() as stop:
    signal.raise_signal(signal.SIGTERM)
    assert stop.stopped_at_once('FOLDER') == 143
  assert 'stopped at once' in capsys.readouterr().err


def test_handlers_are_as_before_afterwards():
  numbers = (signal.SIGINT, signal.SIGTERM)
  before = [signal.getsignal(number) for number in numbers]
  try:
    with interruption.Interruption():
      inside = [signal.getsignal(number) for number in numbers]
      raise ValueError
  except ValueError:
    pass
  assert [signal.getsignal(number) for number in numbers] == before
  assert all(a != b for a, b in zip(inside, before, strict=True))


def test_a_stage_with_nothing_to_save_is_left_at_the_first_signal():
  with (
    interruption.Interruption() as stop,
    pytest.raises(interruption.InterruptedRunError),
    stop.at_once('making games'),
  ):
    signal.raise_signal(signal.SIGTERM)
  assert stop.exit_status == 143
  assert stop.stage == 'the step under way'


def test_such_a_stage_does_not_begin_after_a_signal():
  with interruption.Interruption() as stop:
    signal.raise_signal(signal.SIGINT)
    with (
      pytest.raises(interruption.InterruptedRunError),
      stop.at_once('making games'),
    ):
      pytest.fail('it began')
    with pytest.raises(interruption.InterruptedRunError):
      stop.check()


# Python heeds no signal within one call, as while a program compiles.
_BUSY = """
import hashlib
from experiments.run import interruption
interruption.LAST_PATIENCE = 1.0
with interruption.Interruption() as stop:
  with stop.during('a long call'):
    print('begins', flush=True)
    hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)
"""


@pytest.mark.system
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_long_call_is_named_and_ended(number):
  with subprocess.Popen(
    [sys.executable, '-c', _BUSY],
    stdout=subprocess.PIPE,
    text=True,
    start_new_session=True,
  ) as process:
    assert process.stdout.readline() == 'begins\n'
    process.send_signal(number)
    start = time.monotonic()
    # Unless the signal came before the call, nothing else is said.
    words = iter(process.stdout.readline, '')
    assert any(line.startswith('Still busy with a long call') for line in words)
    assert time.monotonic() - start < interruption.PATIENCE + 5
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    assert 'stopped at once' in process.stdout.read()


def test_a_stage_that_stops_in_time_is_not_named(capsys):
  with interruption.Interruption():
    signal.raise_signal(signal.SIGTERM)
  time.sleep(interruption.PATIENCE + 0.5)
  assert 'Still busy' not in capsys.readouterr().out
