"""What a test costs: processor seconds of it and of its processes, and memory.

Seconds of the processor, not of the clock, so that other work on the machine
does not count. Compiling does: it is most of what the first tier costs.

A test has its set-up, its call and its tear-down, and fixtures of its own. What
a fixture of a module or a session costs is its own account: whichever test asks
first would pay for all.
"""

import collections
import contextlib
import ctypes
import os
import pathlib
import time

# Processor seconds that a test of the first tier may take, and the variable
# that says otherwise; 0 for no limit.
LIMIT = 20.0
VARIABLE = 'JAXCREDIT_TEST_SECONDS'
# What `speed` takes on the machine on which the limit was set.
REFERENCE = 0.045
_TICKS = os.sysconf('SC_CLK_TCK')
_PAGE = os.sysconf('SC_PAGE_SIZE')
_PROCESSES = pathlib.Path('/proc')


def speed() -> float:
  """Processor seconds of a fixed piece of work, the best of five."""

  def work():
    start = time.process_time()
    total = 0
    for i in range(500_000):
      total += i & 7
    return time.process_time() - start

  return min(work() for _ in range(5))


def limit() -> float:
  """The limit here: longer where the processor is slower, never shorter."""
  seconds = float(os.environ.get(VARIABLE, LIMIT))
  return seconds * max(1.0, speed() / REFERENCE)


def _children(pid: int | str) -> list[int]:
  """Processes that a process has started and not yet waited for."""
  found = []
  for path in (_PROCESSES / str(pid) / 'task').glob('*/children'):
    # A thread may end while this reads.
    with contextlib.suppress(OSError):
      found.extend(int(word) for word in path.read_text().split())
  return found


def _of_living_children() -> float:
  """Seconds of descendants that nobody has waited for so far."""
  total, left = 0.0, _children('self')
  while left:
    pid = left.pop()
    with contextlib.suppress(OSError):
      words = (_PROCESSES / str(pid) / 'stat').read_text()
      # utime, stime, and those of children that it has waited for.
      ticks = words.rpartition(')')[2].split()[11:15]
      total += sum(int(tick) for tick in ticks) / _TICKS
      left.extend(_children(pid))
  return total


def processor_seconds() -> float:
  """Of this process so far, its threads, and all its descendants."""
  times = os.times()
  own = times.user + times.system
  return (
    own + times.children_user + times.children_system + (_of_living_children())
  )


def memory() -> int:
  """Bytes that this process holds now; 0 where the system does not say."""
  try:
    words = (_PROCESSES / 'self' / 'statm').read_text().split()
  except OSError:
    return 0
  return int(words[1]) * _PAGE


def peak_memory() -> int:
  """The most bytes that this process has ever held."""
  import resource

  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def mappings() -> int:
  """Memory mappings of this process; 0 where the system does not say."""
  path = _PROCESSES / 'self' / 'maps'
  if not path.exists():
    return 0
  with path.open('rb') as lines:
    return sum(1 for _ in lines)


def give_back() -> None:
  """Has the C library return what is freed: compiling leaves much of it."""
  with contextlib.suppress(OSError, AttributeError):
    ctypes.CDLL('libc.so.6').malloc_trim(0)


class Meter:
  """Accounts of tests and of fixtures that several tests share.

  Attributes:
    seconds: of each account that was ever open.
  """

  def __init__(self, clock=processor_seconds):
    self._clock = clock
    self._open = []
    self._read = 0.0, 0.0
    self.seconds = collections.Counter()

  def begin(self, account: str) -> None:
    """Charges `account` from now on, and whoever was charged no more."""
    self._charge()
    self._open.append(account)

  def end(self) -> None:
    """Charges again whoever was charged before."""
    self._charge()
    self._open.pop()

  def _charge(self) -> None:
    at, before = self._read
    # Reading takes a millisecond, more than most tests. What is not read now
    # is charged with the next reading.
    if time.monotonic() - at < 0.02:
      return
    now = self._clock()
    if self._open:
      self.seconds[self._open[-1]] += now - before
    self._read = time.monotonic(), now


def complaint(seconds: float, allowed: float) -> str:
  """Says what to do with a test that costs too much."""
  return (
    f'took {seconds:.1f} s of processor time; a test of the first tier may take'
    f' {allowed:.1f} s here. Give it less to do, share a fixture, or mark it'
    f' `system`. {VARIABLE} sets the limit; 0 is none.'
  )
