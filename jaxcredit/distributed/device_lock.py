"""A lock on the devices, for threads that share them.

A program on several devices that exchange data needs all of them at once. If
two threads start such programs at the same time, each can hold some devices and
wait forever for the others. The lock prevents that deadlock.
"""

import collections
import threading


class FairLock:
  """A lock that is granted in the order of requests.

  A plain lock may go to the thread that just released it, again and again. A
  learner would then finish all its micro-batches before a sampler continues.
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
