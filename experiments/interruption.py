"""Ctrl-C that lets an iteration finish."""

import signal
import types


class Interruption:
  """Turns the first SIGINT or SIGTERM into a request to stop.

  Used as a context manager; the second signal interrupts at once.
  """

  def __init__(self):
    self.requested = False
    self._previous = {}

  def __enter__(self) -> 'Interruption':
    for number in (signal.SIGINT, signal.SIGTERM):
      self._previous[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, *unused) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _handle(self, number: int, frame: types.FrameType | None) -> None:
    del frame
    if self.requested:
      raise KeyboardInterrupt
    self.requested = True
    print(
      '\nStopping after this iteration; once more to stop at once.', flush=True
    )
    del number
