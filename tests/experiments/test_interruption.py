"""The first signal asks, the second interrupts."""

import signal

import pytest

from experiments import interruption


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_interrupts(number, capsys):
  with interruption.Interruption() as stop:
    assert not stop.requested
    signal.raise_signal(number)
    assert stop.requested
    words = capsys.readouterr().out
    assert 'Stopping after this iteration; once more to stop at once.' in words
    with pytest.raises(KeyboardInterrupt):
      signal.raise_signal(number)
  assert capsys.readouterr().out == ''


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
