"""Ctrl-C, or the notice of a machine that is taken away, without loss."""

import os
import pathlib
import signal
import sys
import types


class Interruption:
  """Turns the first SIGINT or SIGTERM into a request to stop.

  Used as a context manager; the second signal interrupts at once.

  Attributes:
    requested: whether to stop.
    exit_status: what a script ends with that was stopped: 128 and the signal's
      number, so 130 after SIGINT (Ctrl-C) and 143 after SIGTERM; 0 before.
  """

  def __init__(self):
    self.requested = False
    self.exit_status = 0
    self._previous = {}

  def __enter__(self) -> 'Interruption':
    for number in (signal.SIGINT, signal.SIGTERM):
      self._previous[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, *unused) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  @property
  def terminated(self) -> bool:
    """Whether it was SIGTERM: whoever sent it waits only so long."""
    return self.exit_status == 128 + signal.SIGTERM

  def at_once(self, folder: pathlib.Path) -> int:
    """Words and exit status of a run that a second signal ended."""
    print(
      'stopped at once; the same command goes on from what is complete in '
      f'{folder}',
      file=sys.stderr,
    )
    return self.exit_status or 128 + signal.SIGINT

  def _handle(self, number: int, frame: types.FrameType | None) -> None:
    del frame
    if self.requested:
      raise KeyboardInterrupt
    self.requested = True
    self.exit_status = 128 + number
    words = '\nStopping, and saving what is done; once more to stop at once.'
    try:
      print(words, flush=True)
    except RuntimeError:
      # The signal came in the middle of a print, which nothing may enter.
      os.write(1, f'{words}\n'.encode())
