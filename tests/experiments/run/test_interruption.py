"""The first signal asks, the second interrupts."""

import signal

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
    assert stop.at_once('FOLDER') == 143
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
