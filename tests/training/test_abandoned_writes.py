"""Late writes of a failed save are silent, and nothing else is."""

import asyncio
import sys
import threading
import types

import pytest

from jaxcredit.training import abandoned_writes


def caught(call) -> types.SimpleNamespace:
  """What Python tells its hook of an error that nobody can catch."""
  with pytest.raises(RuntimeError) as error:
    call()
  # Without the frames of this file: compiled code called.
  traceback = error.value.__traceback__
  while traceback.tb_frame.f_code.co_filename == __file__:
    traceback = traceback.tb_next
  return types.SimpleNamespace(
    exc_type=RuntimeError,
    exc_value=error.value,
    exc_traceback=traceback,
    err_msg=None,
    object=None,
  )


def closed_loop():
  loop = asyncio.new_event_loop()
  loop.close()
  return loop


@pytest.fixture
def told(monkeypatch):
  told = []
  monkeypatch.setattr(sys, 'unraisablehook', told.append)
  abandoned_writes.silence()
  return told


def test_a_late_write_is_silent(told):
  loop = closed_loop()
  failure = caught(lambda: loop.call_soon_threadsafe(print))
  sys.unraisablehook(failure)
  assert told == []


def test_all_else_is_told(told):
  loop = closed_loop()
  # Another call of a closed loop, another error, and a person's own code.
  others = [caught(loop.run_forever)]
  late = caught(lambda: loop.call_soon_threadsafe(print))
  others.append(types.SimpleNamespace(**{**vars(late), 'object': threading}))
  wrong = RuntimeError('Event loop is open')
  others.append(types.SimpleNamespace(**{**vars(late), 'exc_value': wrong}))
  for failure in others:
    sys.unraisablehook(failure)
  assert told == others


def test_it_is_put_in_place_once(told):
  hook = sys.unraisablehook
  abandoned_writes.silence()
  assert sys.unraisablehook is hook
