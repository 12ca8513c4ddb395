"""A limit on the seconds that a call of Python code may take.

In the main thread a timer interrupts the call, as long as it runs Python; one
that is stuck inside a single operation (a huge power, a regular expression)
runs to the end of that operation. In other threads, and where there are no
timers, the time is measured alone. What must end for certain runs in a process
of its own: `limited_process`.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator


class OutOfTime(BaseException):
  """The limit passed; no `except Exception` on the way catches it."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
  """Raises OutOfTime where the block takes longer than `seconds`.

  A timer that somebody else had set goes on afterwards, with the time that it
  had left.

  Args:
    seconds: positive.
  """
  if seconds <= 0:
    raise ValueError(f'a time limit must be positive, not {seconds}')
  start = time.monotonic()
  if _can_interrupt():
    with _timer(seconds):
      yield
  else:
    yield
  if time.monotonic() - start > seconds:
    raise OutOfTime


def _can_interrupt() -> bool:
  return (
    hasattr(signal, 'setitimer')
    and threading.current_thread() is threading.main_thread()
  )


@contextlib.contextmanager
def _timer(seconds: float) -> Iterator[None]:
  def expire(number, frame):
    del number, frame
    raise OutOfTime

  handler = signal.signal(signal.SIGALRM, expire)
  start = time.monotonic()
  left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
  try:
    yield
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, handler)
    if left:
      # At once, if it would have rung by now; 0 would switch it off.
      rest = max(left - (time.monotonic() - start), 1e-3)
      signal.setitimer(signal.ITIMER_REAL, rest, interval)
