"""Ctrl-C and SIGTERM without loss of work."""

import contextlib
import os
import pathlib
import select
import signal
import sys
import threading
import types
from collections.abc import Iterator
from typing import BinaryIO

from jaxcredit.distributed import processes

# Seconds after which a stage that does not stop is named.
PATIENCE = 2.0
# Seconds after a second signal after which the process ends without unwinding.
LAST_PATIENCE = 10.0


class InterruptedRunError(Exception):
  """The user wants to stop; what is done is saved."""


def _say(words: str) -> None:
  """Prints a line, also in the middle of another print and from a thread."""
  try:
    print(words, flush=True)
  except RuntimeError:
    # Nothing may enter a print under way.
    os.write(1, f'{words}\n'.encode())


def _next_signal(pipe: BinaryIO, seconds: float | None) -> int | None:
  """Waits for a signal that asks to stop.

  Args:
    pipe: gets the number of each signal.
    seconds: how long; None for ever.

  Returns:
    Its number; 0 at the end of the pipe, None if time is up.
  """
  while select.select([pipe], [], [], seconds)[0]:
    found = pipe.read(1)
    if not found:
      return 0
    if found[0] in (signal.SIGINT, signal.SIGTERM):
      return found[0]
  return None


class Interruption:
  """Turns the first SIGINT or SIGTERM into a request to stop.

  Used as a context manager; the second signal interrupts at once. Of several
  processes, a signal to one is a request to all. A stage heeds the request by
  looking at `requested`, or lies within `at_once`; where neither happens within
  two seconds, the console says what is being waited for.

  Attributes:
    exit_status: what a script ends with that was stopped: 128 and the signal's
      number, so 130 after SIGINT (Ctrl-C) and 143 after SIGTERM, or after a
      signal to another process; 0 before.
    stage: what the console names where a request is not heeded yet.
  """

  def __init__(self):
    self._signalled = False
    self.exit_status = 0
    self.stage = 'the step under way'
    self._breakable = False
    self._previous = {}
    self._wakeup: tuple[int, int, int] | None = None

  def __enter__(self) -> 'Interruption':
    for number in (signal.SIGINT, signal.SIGTERM):
      self._previous[number] = signal.signal(number, self._handle)
    self._watch()
    return self

  def __exit__(self, *unused) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)
    self._end_watch()

  @property
  def requested(self) -> bool:
    """Whether to stop; of several processes, all must ask."""
    agreed = processes.any_of(self._signalled)
    if agreed and not self.exit_status:
      self.exit_status = 128 + signal.SIGTERM
    return agreed

  @property
  def terminated(self) -> bool:
    """Whether it was SIGTERM: whoever sent it waits only so long."""
    return self.exit_status == 128 + signal.SIGTERM

  def check(self) -> None:
    """Raises `InterruptedRunError` if `requested`; all processes must ask."""
    if self.requested:
      raise InterruptedRunError

  @contextlib.contextmanager
  def at_once(self, stage: str) -> Iterator[None]:
    """Around a stage that has nothing to save and need not be finished.

    Within it the first signal raises `InterruptedRunError`.

    Args:
      stage: what is done there, for people.

    Raises:
      InterruptedRunError: there was a signal, also before.
    """
    before = self.stage, self._breakable
    self.stage, self._breakable = stage, True
    try:
      if self._signalled:
        raise InterruptedRunError
      yield
    finally:
      self.stage, self._breakable = before

  @contextlib.contextmanager
  def during(self, stage: str) -> Iterator[None]:
    """Around a stage that is finished first, such as an optimizer step.

    Args:
      stage: what the console names if that takes long after a signal.
    """
    before, self.stage = self.stage, stage
    try:
      yield
    finally:
      self.stage = before

  def stopped_at_once(self, folder: pathlib.Path) -> int:
    """Words and exit status of a run that a second signal ended."""
    print(
      'stopped at once; the same command goes on from what is complete in '
      f'{folder}',
      file=sys.stderr,
    )
    return self.exit_status or 128 + signal.SIGINT

  def _handle(self, number: int, frame: types.FrameType | None) -> None:
    del frame
    if self._signalled:
      raise KeyboardInterrupt
    self._signalled = True
    self.exit_status = 128 + number
    if self._breakable:
      raise InterruptedRunError
    _say('\nStopping, and saving what is done; once more to stop at once.')

  def _watch(self) -> None:
    """Has a thread say what is waited for, also while a program compiles.

    Python runs a handler between two of its instructions only. What the system
    writes into this pipe is there at once.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    previous = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    self._wakeup = reading, writing, previous
    threading.Thread(
      target=self._say_what_takes_long, args=(reading,), daemon=True
    ).start()

  def _end_watch(self) -> None:
    reading, writing, previous = self._wakeup
    signal.set_wakeup_fd(previous)
    # The thread sees the end of the pipe, and closes its side.
    os.close(writing)
    self._wakeup = None

  def _say_what_takes_long(self, reading: int) -> None:
    with open(reading, 'rb', buffering=0) as pipe:
      first = _next_signal(pipe, None)
      if not first:
        return
      second = _next_signal(pipe, PATIENCE)
      if second is None:
        _say(
          f'Still busy with {self.stage}, which is finished first; once more '
          'to stop at once.'
        )
        second = _next_signal(pipe, None)
      if not second:
        return
      while another := _next_signal(pipe, LAST_PATIENCE):
        pass
      if another is None:
        _say('stopped at once, in the middle of a call')
        os._exit(128 + first)
