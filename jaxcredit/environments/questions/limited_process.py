"""A process with limits in which libraries of others judge texts.

See `limited_program` for what it may not do. It is started when first needed,
and again after it was lost; one is shared by all questions of a process.
"""

import atexit
import contextlib
import json
import os
import pathlib
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from jaxcredit.environments.questions import question

_PROGRAM = pathlib.Path(__file__).with_name('limited_program.py')
# What a Python that is started needs to find its packages, and no more: the
# process that reads a model's texts knows no secrets.
_VARIABLES = (
  'HOME',
  'LANG',
  'LD_LIBRARY_PATH',
  'PATH',
  'PYTHONPATH',
  'TMPDIR',
  'VIRTUAL_ENV',
)
_LONGEST_ANSWER = 16 * 2**20
# Beyond its timer, for a machine that is busy.
_GRACE = 5.0


class LimitedProcess:
  """A process that answers requests.

  Args:
    service: 'mathematics' or 'procedural', or one of another program.
    needs: what to install, for the message where a library is missing.
    program: that serves it, by `limited_program.main`.
    variables: of its environment, beside those it needs to find packages.
    memory: bytes of address space.
    start_limit: seconds to start in, which imports the libraries.
  """

  def __init__(
    self,
    service: str,
    needs: str,
    *,
    program: pathlib.Path = _PROGRAM,
    variables: Mapping[str, str] | None = None,
    memory: int = 2 * 2**30,
    start_limit: float = 120.0,
  ):
    self._service = service
    self._needs = needs
    self._program = program
    self._variables = dict(variables or {})
    self._memory = memory
    self._start_limit = start_limit
    self._process: subprocess.Popen | None = None
    self._owner = 0
    self._lock = threading.RLock()

  def start(self) -> None:
    """Starts the process where it does not run."""
    with self._lock:
      if self._process is not None and self._owner == os.getpid():
        if self._process.poll() is None:
          return
        self.close()
      variables = {n: os.environ[n] for n in _VARIABLES if n in os.environ}
      variables |= {
        'MPLBACKEND': 'agg',
        'OMP_NUM_THREADS': '1',
        'OPENBLAS_NUM_THREADS': '1',
        # The same question from the same seed in every process.
        'PYTHONHASHSEED': '0',
        **self._variables,
      }
      self._process = subprocess.Popen(
        [sys.executable, '-P', '-W', 'ignore', str(self._program)]
        + [self._service, str(self._memory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=variables,
      )
      self._owner = os.getpid()
      try:
        answer = self._receive(self._start_limit)
      except question.CheckFailure as failure:
        raise question.CheckerUnavailable(
          f'the process for {self._service} does not start: {failure}'
        ) from None
      except BaseException:
        self.close()
        raise
      if 'error' in answer:
        self.close()
        raise question.CheckerUnavailable(
          f'the process for {self._service} does not start '
          f'({answer["error"]}): {self._needs}'
        )

  def ask(self, operation: str, limit: float, **request: Any) -> dict[str, Any]:
    """Sends a request and returns the answer.

    Args:
      operation: what to do, in the service's words.
      limit: seconds that it may take; starting is not counted.
      **request: what JSON can hold.

    Returns:
      The answer.

    Raises:
      question.CheckFailure: it took too long, died, or answered with an error.
      question.CheckerUnavailable: it cannot start.
    """
    message = json.dumps({'operation': operation, 'limit': limit, **request})
    with self._lock:
      self.start()
      try:
        self._send(message)
        answer = self._receive(limit + _GRACE, limit)
      except BaseException:
        # Whatever stopped this, its answer may come yet: to nobody.
        self.close()
        raise
      if answer.get('kind') == 'memory':
        self.close()
    if 'error' in answer:
      raise question.CheckFailure(
        answer['kind'],
        answer['error'],
        by_answer=answer.get('by_answer', False),
      )
    return answer

  def close(self) -> None:
    """Ends the process."""
    with self._lock:
      process, self._process = self._process, None
      if process is None or self._owner != os.getpid():
        return
      process.kill()
      process.wait()
      process.stdout.close()
      # What it did not read cannot be written any more.
      with contextlib.suppress(OSError):
        process.stdin.close()

  def _send(self, message: str) -> None:
    try:
      self._process.stdin.write(message.encode('ascii') + b'\n')
      self._process.stdin.flush()
    except OSError:
      raise question.CheckFailure('error', 'its process died') from None

  def _receive(self, patience: float, limit: float = 0.0) -> dict[str, Any]:
    """Reads one line; closes the process where none comes."""
    output = self._process.stdout.fileno()
    start = time.monotonic()
    line = b''
    while not line.endswith(b'\n'):
      left = patience - (time.monotonic() - start)
      ready = left > 0 and _readable(output, left)
      piece = os.read(output, 2**16) if ready else b''
      if not piece or len(line) > _LONGEST_ANSWER:
        self.close()
        # Its own timer ends it without a word.
        if not ready or (limit and time.monotonic() - start >= limit * 0.9):
          reason = f'took longer than {limit or patience:g} s'
          raise question.CheckFailure('time', reason)
        raise question.CheckFailure('error', 'its process died')
      line += piece
    return json.loads(line)


def _readable(output: int, patience: float) -> bool:
  """Waits until there is something to read, or an end."""
  # Not select.select, which fails where many files are open.
  with selectors.DefaultSelector() as selector:
    selector.register(output, selectors.EVENT_READ)
    return bool(selector.select(patience))


_shared: dict[str, LimitedProcess] = {}


def shared(service: str) -> LimitedProcess:
  """The process of a service that this process shares."""
  if service not in _shared:
    extra = {'mathematics': 'questions', 'procedural': 'procedural'}[service]
    _shared[service] = LimitedProcess(
      service, f"install jaxcredit with its extra '{extra}'"
    )
  return _shared[service]


@atexit.register
def _close_all() -> None:
  for process in _shared.values():
    process.close()
