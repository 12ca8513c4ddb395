"""Silence about writes that a failed save has left behind.

When one array of a checkpoint cannot be written, Orbax ends the event loop of
that save, while TensorStore still writes the other arrays. Each of them then
finds the loop closed, and Python prints a traceback for it. The error itself is
raised where the save is waited for, so these tracebacks say nothing more.
"""

import sys
import types

# What a write that comes too late calls, from outermost to innermost.
_CALLS = ['call_soon_threadsafe', '_check_closed']


def _is_late(failure: 'sys.UnraisableHookArgs') -> bool:
  """Whether it is such a write: nothing of Python's called the loop."""
  calls = []
  at: types.TracebackType | None = failure.exc_traceback
  while at is not None:
    calls.append(at.tb_frame.f_code.co_name)
    at = at.tb_next
  return (
    failure.exc_type is RuntimeError
    and str(failure.exc_value) == 'Event loop is closed'
    and failure.object is None
    and calls == _CALLS
  )


class _Hook:
  """Passes on what it is told, but for late writes."""

  def __init__(self, before):
    self._before = before

  def __call__(self, failure: 'sys.UnraisableHookArgs') -> None:
    if not _is_late(failure):
      self._before(failure)


def silence() -> None:
  """From now on nothing is printed of late writes; all else is, as before."""
  if not isinstance(sys.unraisablehook, _Hook):
    sys.unraisablehook = _Hook(sys.unraisablehook)
