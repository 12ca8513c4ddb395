"""Ctrl-C that lets an iteration finish."""

import signal
import types

from jaxcredit.networks import processes


class Interruption:
  """Turns the first SIGINT or SIGTERM into a request to stop.

  Used as a context manager; the second signal interrupts at once. Of several
  processes, a signal to one is a request to all.
  """

  def __init__(self):
    self._signalled = False
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
    return processes.any_of(self._signalled)

  def _handle(self, number: int, frame: types.FrameType | None) -> None:
    del frame
    if self._signalled:
      raise KeyboardInterrupt
    self._signalled = True
    print(
      '\nStopping after this iteration; once more to stop at once.', flush=True
    )
    del number
