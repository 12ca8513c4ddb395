"""Threads that share devices take turns."""

import threading
import time

import pytest

from jaxcredit.distributed import device_lock

SECONDS = 20


def test_one_at_a_time():
  turns, inside, most = device_lock.FairLock(), [], []

  def work():
    for _ in range(50):
      with turns:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0)
        inside.pop()

  threads = [threading.Thread(target=work) for _ in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(SECONDS)
  assert len(most) == 200 and set(most) == {1}


def test_whoever_waits_comes_before_whoever_was_just_there():
  turns, order = device_lock.FairLock(), []
  began = threading.Event()

  def sampler():
    began.set()
    with turns:
      order.append('sampler')

  thread = threading.Thread(target=sampler)
  with turns:
    thread.start()
    assert began.wait(SECONDS)
    while len(turns._queue) < 2:
      time.sleep(0.001)
    order.append('learner')
  # A plain lock would mostly be taken here again.
  for _ in range(3):
    with turns:
      order.append('learner')
  thread.join(SECONDS)
  assert order == ['learner', 'sampler', 'learner', 'learner', 'learner']


def test_an_error_gives_the_turn_back():
  turns = device_lock.FairLock()
  with pytest.raises(RuntimeError), turns:
    raise RuntimeError
  with turns:
    pass


def test_who_is_interrupted_while_waiting_holds_up_nobody(monkeypatch):
  turns = device_lock.FairLock()

  def interrupted(*unused):
    raise KeyboardInterrupt

  with turns:
    with monkeypatch.context() as patch:
      patch.setattr(turns._changed, 'wait', interrupted)
      with pytest.raises(KeyboardInterrupt), turns:
        pass
  with turns:
    pass
