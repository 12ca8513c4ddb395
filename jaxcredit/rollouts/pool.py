"""A pool of host text environments, each step under a time limit.

The environments run in worker processes. An environment that raises, dies,
hangs past its limit, or answers something that is no `TextStep` or too long
costs its own episode: the failure is reported, the worker is replaced, and the
other episodes of that worker are played again from their recorded actions, so
that they go on where they were. This relies on environments being deterministic
functions of the task and the actions; where one is not, give it a worker of its
own (`workers=count`).

Answers travel as JSON, never as pickles: an environment is fed with text that a
model wrote, and what comes back from it is data. What an environment prints
goes nowhere: it could fill the disk that a log lies on.
"""

import dataclasses
import json
import logging
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from jaxcredit.environments import protocol

_log = logging.getLogger(__name__)

Factory = Callable[[], protocol.TextEnvironment]

# Of an answer: text that a policy will read has no more.
ANSWER_BYTES = 1 << 22


@dataclasses.dataclass(frozen=True)
class Failure:
  """Why an environment lost its episode.

  Attributes:
    environment: its number.
    reason: what went wrong.
    task: that it played; None where it had none.
    step: which action of the episode it was, from 1; 0 for the reset.
  """

  environment: int
  reason: str
  task: Any = None
  step: int = 0

  def in_words(self, task_sentence: Callable[[Any], str] = str) -> str:
    """The reason and where it was, for a person."""
    at = f'step {self.step}' if self.step else 'its start'
    words = f'environment {self.environment}, {at}'
    if self.task is not None:
      words += f' of {task_sentence(self.task)!r}'
    return f'{self.reason} ({words})'


def _encode(index: int, step: protocol.TextStep) -> bytes:
  message = json.dumps([index, list(step), None]).encode()
  if len(message) > ANSWER_BYTES:
    raise ValueError(
      f'it answered {len(message):,} bytes, more than {ANSWER_BYTES:,}'
    )
  return message


def _encode_failure(index: int, reason: str) -> bytes:
  return json.dumps([index, None, reason[:1000]]).encode()


def _decode(message: bytes) -> tuple[int, protocol.TextStep | None, str]:
  """Checks an answer and returns (environment, step or None, reason)."""
  index, fields, reason = json.loads(message)
  if fields is None:
    return index, None, str(reason)
  return index, _checked(protocol.TextStep(*fields)), ''


def _checked(step: protocol.TextStep) -> protocol.TextStep:
  """Raises ValueError where an answer is not what the protocol asks for."""
  if not isinstance(step.observation, str) or not isinstance(step.anchor, str):
    raise ValueError('observation and anchor must be text')
  reward = float(step.reward)
  if not math.isfinite(reward):
    raise ValueError(f'the reward is {reward}, not a finite number')
  return protocol.TextStep(
    observation=step.observation,
    reward=reward,
    terminated=bool(step.terminated),
    truncated=bool(step.truncated),
    admissible=tuple(step.admissible),
    anchor=step.anchor,
    executed=None if step.executed is None else bool(step.executed),
    success=None if step.success is None else bool(step.success),
  )


def _answer(environments, factory, index: int, request) -> bytes:
  """Serves one request in a worker; an error becomes a failure message."""
  kind, value = request
  try:
    if kind == 'reset':
      if index not in environments:
        environments[index] = factory()
      return _encode(index, environments[index].reset(value))
    if kind == 'replay':
      task, actions = value
      environments[index] = factory()
      step = environments[index].reset(task)
      for action in actions:
        step = environments[index].step(action)
      return _encode(index, step)
    return _encode(index, environments[index].step(value))
  # Anything may come out of an environment, its sys.exit() included; it must
  # cost this episode alone.
  except (Exception, SystemExit) as error:
    environments.pop(index, None)
    return _encode_failure(index, f'{type(error).__name__}: {error}')


def _end_with_parent() -> None:
  """Ends this process when its parent has gone, whatever it is doing.

  A parent that was killed cannot end its workers. One that waits for requests
  notices; one whose environment hangs would stay for ever.
  """
  parent = multiprocessing.parent_process()
  if parent is not None:
    parent.join()
    os._exit(1)


def _print_nowhere() -> None:
  nowhere = os.open(os.devnull, os.O_WRONLY)
  for descriptor in (1, 2):
    os.dup2(nowhere, descriptor)
  os.close(nowhere)


def _serve(connection, factory: Factory) -> None:
  """A worker: answers batches of requests, one message an environment."""
  # A terminal sends Ctrl-C to workers too. What it means is for the parent to
  # say: a worker that dies of it would cost an episode.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  threading.Thread(target=_end_with_parent, daemon=True).start()
  _print_nowhere()
  environments: dict[int, protocol.TextEnvironment] = {}
  while True:
    try:
      requests = connection.recv()
    except EOFError:
      return
    if requests is None:
      return
    try:
      for index, request in requests:
        connection.send_bytes(_answer(environments, factory, index, request))
    except BrokenPipeError:
      return


class _Worker:
  """One process and the connection to it."""

  def __init__(self, context, factory: Factory):
    self.connection, theirs = context.Pipe()
    self.process = context.Process(
      target=_serve, args=(theirs, factory), daemon=True
    )
    self.process.start()
    theirs.close()

  def end_in_words(self) -> str:
    """How the process ended."""
    self.process.join(1.0)
    code = self.process.exitcode
    if code is None:
      return 'its worker process closed its connection'
    if code >= 0:
      return f'its worker process died (exit status {code})'
    return f'its worker process died (signal {signal.Signals(-code).name})'

  def stop(self) -> None:
    if self.process.is_alive():
      self.process.kill()
    self.process.join()
    self.connection.close()


class EnvironmentPool:
  """Steps many environments side by side.

  Args:
    factory: makes one environment; it must be picklable (a class, a
      `functools.partial` of one) because it travels to the workers.
    count: number of environments.
    workers: number of processes; 0 steps the environments in this process,
      where one that hangs cannot be interrupted.
    time_limit: seconds that one environment may take for a step.
    start_limit: seconds that a worker may take to start and to reset.

  Attributes:
    failures: what was reported so far, oldest first.
  """

  def __init__(
    self,
    factory: Factory,
    count: int,
    *,
    workers: int = 1,
    time_limit: float = 10.0,
    start_limit: float = 120.0,
  ):
    if count < 1:
      raise ValueError(f'a pool needs at least one environment, not {count}')
    if workers < 0 or workers > count:
      raise ValueError(
        f'workers must lie between 0 and count ({count}), not {workers}'
      )
    if time_limit <= 0 or start_limit <= 0:
      raise ValueError(
        f'limits must be positive, not time_limit={time_limit}, '
        f'start_limit={start_limit}'
      )
    self.count = count
    self.failures: list[Failure] = []
    self._factory = factory
    self._time_limit = time_limit
    self._start_limit = start_limit
    self._history: dict[int, tuple[Any, list[str]]] = {}
    self._local: dict[int, protocol.TextEnvironment] = {}
    # Not fork: the parent runs the accelerator runtime's threads.
    self._context = multiprocessing.get_context('spawn')
    self._workers = [_Worker(self._context, factory) for _ in range(workers)]

  def __enter__(self) -> 'EnvironmentPool':
    return self

  def __exit__(self, *unused) -> None:
    self.close()

  def close(self) -> None:
    """Ends the workers."""
    for worker in self._workers:
      worker.stop()
    self._workers = []
    self._local = {}

  def reset(self, tasks: dict[int, Any]) -> dict[int, protocol.TextStep | None]:
    """Starts the task of each environment named.

    Args:
      tasks: environment -> task.

    Returns:
      environment -> first step; None where the environment failed.
    """
    self._history = {
      **self._history,
      **{index: (task, []) for index, task in tasks.items()},
    }
    return self._ask(
      {index: ('reset', task) for index, task in tasks.items()},
      self._start_limit,
    )

  def step(
    self, actions: dict[int, str]
  ) -> dict[int, protocol.TextStep | None]:
    """Takes one action in each environment named.

    Args:
      actions: environment -> text of the action.

    Returns:
      environment -> step; None where the environment failed. A failed
      environment can be reset again.
    """
    for index in actions:
      if index not in self._history:
        raise ValueError(
          f'environment {index} has no episode under way: reset it first'
        )
    return self._ask(
      {index: ('step', action) for index, action in actions.items()},
      self._time_limit,
    )

  def _report(self, index: int, reason: str, request=('step', '')) -> None:
    task, actions = self._history.pop(index, (None, []))
    step = len(actions) + (request[0] == 'step')
    failure = Failure(index, reason, task, step)
    self.failures.append(failure)
    _log.warning('an episode is lost: %s', failure.in_words())

  def _ask(self, requests, limit):
    for index in requests:
      if not 0 <= index < self.count:
        raise ValueError(
          f'environment {index} does not exist: the pool holds {self.count}'
        )
    if not self._workers:
      return self._ask_here(requests, limit)
    shares = [
      {i: r for i, r in requests.items() if i % len(self._workers) == w}
      for w in range(len(self._workers))
    ]
    sent = [
      self._send(number, list(share.items()))
      for number, share in enumerate(shares)
    ]
    answers = {}
    for number, share in enumerate(shares):
      answers.update(self._collect(number, share, limit, sent[number]))
    return answers

  def _ask_here(self, requests, limit):
    answers = {}
    for index, request in requests.items():
      start = time.monotonic()
      message = _answer(self._local, self._factory, index, request)
      if time.monotonic() - start > limit:
        self._report(index, f'took longer than {limit:g} s', request)
        answers[index] = None
      else:
        answers[index] = self._read(index, request, message)
    return answers

  def _send(self, number: int, batch) -> bool:
    """Returns whether the worker could be told."""
    if batch:
      try:
        self._workers[number].connection.send(batch)
      except (BrokenPipeError, ConnectionResetError):
        return False
    return True

  def _receive(self, number: int, limit: float) -> tuple[bytes | None, str]:
    """Returns a worker's next message, or None and what went wrong."""
    connection = self._workers[number].connection
    try:
      if connection.poll(limit):
        return connection.recv_bytes(maxlength=2 * ANSWER_BYTES), ''
    except (EOFError, OSError):
      return None, self._workers[number].end_in_words()
    return None, f'gave no answer within {limit:g} s'

  def _read(self, index, request, message) -> protocol.TextStep | None:
    """Takes in an answer: records the action, or reports the failure."""
    try:
      answered, step, reason = _decode(message)
      if answered != index:
        raise ValueError(f'it answered for environment {answered}')
    except (ValueError, TypeError) as error:
      step, reason = None, f'answered out of protocol: {error}'
    if step is None:
      self._report(index, reason, request)
    elif request[0] == 'step':
      self._history[index][1].append(request[1])
    return step

  def _collect(self, number, share, limit, sent):
    """Reads a worker's answers; replaces it where it dies or hangs."""
    answers = {}
    waiting = dict(share)
    while waiting:
      # A worker answers in the order of the requests, so the first without an
      # answer is the one that holds it up.
      index, request = next(iter(waiting.items()))
      del waiting[index]
      message, reason = (
        self._receive(number, limit)
        if sent
        else (None, self._workers[number].end_in_words())
      )
      if message is not None:
        answers[index] = self._read(index, request, message)
        continue
      self._report(index, reason, request)
      answers[index] = None
      self._rebuild(number)
      for lost in [i for i in waiting if i not in self._history]:
        answers[lost] = None
        del waiting[lost]
      sent = self._send(number, list(waiting.items()))
    return answers

  def _rebuild(self, number: int) -> None:
    """Replaces a worker and plays its episodes again to where they were."""
    mine = [i for i in self._history if i % len(self._workers) == number]
    self._workers[number].stop()
    self._workers[number] = _Worker(self._context, self._factory)
    for index in mine:
      task, actions = self._history[index]
      request = ('replay', (task, list(actions)))
      if self._send(number, [(index, request)]):
        message, reason = self._receive(number, self._start_limit)
      else:
        message, reason = None, self._workers[number].end_in_words()
      if message is None:
        self._report(index, f'while it was played again: {reason}', request)
        # Each pass loses an episode, so this ends.
        self._rebuild(number)
        return
      self._read(index, request, message)
