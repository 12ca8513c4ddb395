"""Ctrl-C, or the notice of a machine that is taken away, without loss."""

import os
import pathlib
import signal
import sys
import types

from jaxcredit.distributed import processes


class Interruption:
  """Turns the first SIGINT or SIGTERM into a request to stop.

  Used as a context manager; the second signal interrupts at once. Of several
  processes, a signal to one is a request to all.

  Attributes:
    exit_status: what a script ends with that was stopped: 128 and the signal's
      number, so 130 after SIGINT (Ctrl-C) and 143 after SIGTERM, or after a
      signal to another process; 0 before.
  """

  def __init__(self):
    self._signalled = False
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
    if self._signalled:
      raise KeyboardInterrupt
    self._signalled = True
    self.exit_status = 128 + number
    words = '\nStopping, and saving what is done; once more to stop at once.'
    try:
      print(words, flush=True)
    except RuntimeError:
      # The signal came in the middle of a print, which nothing may enter.
      os.write(1, f'{words}\n'.encode())
