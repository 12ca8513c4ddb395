"""A lock on the devices, for threads that share them.

A program of several devices that exchange data needs all of them at once. Two
threads that start such programs side by side can have each of them hold some
devices and wait for ever for the rest. So threads take the lock.
"""

import collections
import threading


class FairLock:
  """A lock that is given in the order in which it was asked for.

  A plain lock may go to the thread that just gave it back, again and again: a
  learner would then finish all its micro-batches before a sampler draws.
  """

  def __init__(self):
    self._changed = threading.Condition()
    self._queue: collections.deque[object] = collections.deque()

  def __enter__(self) -> None:
    ticket = object()
    with self._changed:
      self._queue.append(ticket)
      try:
        while self._queue[0] is not ticket:
          self._changed.wait()
      except BaseException:
        # An interrupted thread must not hold up those behind it.
        self._queue.remove(ticket)
        self._changed.notify_all()
        raise

  def __exit__(self, *unused) -> None:
    with self._changed:
      self._queue.popleft()
      self._changed.notify_all()
