"""A question whose answer a program can check.

A question is data: its text, a reference answer, and a checker that gives any
text a score between 0 and 1. Checkers are small frozen dataclasses, so that
questions travel to the processes of an environment pool.

What a model wrote is judged under guard: too long a text loses its beginning
(the answer stands at the end), and a check that fails is no score: a checker
that raises, takes too long or returns anything but a finite number gives None,
with a warning and a count. An answer that was refused, or that took up the
memory which judging may take, was judged: it scores 0, and is counted too.
"""

import collections
import dataclasses
import logging
import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from jaxcredit.environments import completion
from jaxcredit.environments.questions import time_limit as time_limit_lib

_log = logging.getLogger(__name__)

# How often a checker failed in this process, by (checker, kind of failure).
failures: collections.Counter = collections.Counter()
# Checkers whose scores outside [0, 1] were told of.
_out_of_bounds: set[str] = set()


class CheckFailure(Exception):
  """A checker could not judge a text.

  Attributes:
    kind: 'error', 'time', 'memory' or 'refused'.
    by_answer: whether the answer alone brought it about, so that it is wrong:
      it would have been executed, could not be parsed, or took up the memory of
      a process that does for other answers.
  """

  def __init__(self, kind: str, reason: str, *, by_answer: bool = False):
    super().__init__(reason)
    self.kind = kind
    self.by_answer = by_answer


class CheckerUnavailable(RuntimeError):
  """What a checker needs is not there, whatever the text; says what to do."""


@runtime_checkable
class Checker(Protocol):
  """Judges texts; any callable text -> score will do.

  Two methods are optional. `read(text)` returns the answer that the checker
  finds in a text, '' where it finds none: the agent is then told what was
  read. `prepare()` does what takes long and is needed once in a process.

  A checker that ends for certain, because it works in a process with limits,
  takes the limit as a second argument and says so by `limits_itself = True`.
  """

  def __call__(self, text: str) -> float: ...


@dataclasses.dataclass(frozen=True)
class Question:
  """A question and how to check its answer.

  Attributes:
    prompt: the text of the question, with how to answer it.
    reference: an answer that the checker gives the score 1.
    checker: text -> score in [0, 1].
    choices: the answers to choose from; empty for an open question.
    time_limit: seconds that checking one text may take.
    max_length: characters of a text that are read, from its end.
    name: identifies the question, in messages.
  """

  prompt: str
  reference: str
  checker: Checker | Callable[[str], float]
  choices: tuple[str, ...] = ()
  time_limit: float = 5.0
  max_length: int = 20_000
  name: str = 'question'

  def __post_init__(self):
    if not callable(self.checker):
      raise TypeError(
        f'{self.name}: the checker must be callable (text -> score), not '
        f'{self.checker!r}'
      )
    if self.time_limit <= 0 or self.max_length < 1:
      raise ValueError(
        f'{self.name}: limits must be positive, not '
        f'time_limit={self.time_limit}, max_length={self.max_length}'
      )

  def score(self, text: str) -> float | None:
    """Judges a text; never raises on what the text holds.

    Args:
      text: what was answered.

    Returns:
      A number in [0, 1]; None where the check failed: whether the answer is
      right is not known. The reason is logged and counted (`failures`).

    Raises:
      CheckerUnavailable: a library that the checker needs is not installed.
    """
    return self.judge(text)[0]

  def judge(self, text: str) -> tuple[float | None, str]:
    """As `score`, with the reason where the checker failed, else ''."""
    if not isinstance(text, str):
      raise TypeError(
        f'{self.name}: an answer is text, not {type(text).__name__}'
      )
    try:
      return self._checked(completion.ending(text, self.max_length)), ''
    except time_limit_lib.OutOfTime:
      return self._failed('time', f'took longer than {self.time_limit:g} s')
    except CheckFailure as failure:
      return self._failed(failure.kind, str(failure), failure.by_answer)
    except CheckerUnavailable:
      raise
    except MemoryError:
      return self._failed('memory', 'needs more memory than there is')
    # Checkers meet text that nobody thought of.
    except Exception as error:
      return self._failed('error', f'{type(error).__name__}: {error}')

  def read(self, text: str) -> str | None:
    """The answer found in a text, '' for none; None if there is no telling."""
    read = getattr(self.checker, 'read', None)
    if read is None:
      return None
    try:
      with time_limit_lib.time_limit(self.time_limit):
        return read(completion.ending(text, self.max_length))
    except (Exception, time_limit_lib.OutOfTime):
      return ''

  def prepare(self) -> None:
    """Does what the checker needs once in a process; may take a while."""
    prepare = getattr(self.checker, 'prepare', None)
    if prepare is not None:
      prepare()

  def _checked(self, text: str) -> float:
    if getattr(self.checker, 'limits_itself', False):
      score = self.checker(text, self.time_limit)
    else:
      with time_limit_lib.time_limit(self.time_limit):
        score = self.checker(text)
    score = float(score)
    if not math.isfinite(score):
      raise ValueError(f'the score is {score}, not a finite number')
    if not 0 <= score <= 1 and self._checker_name not in _out_of_bounds:
      _out_of_bounds.add(self._checker_name)
      _log.warning(
        '%s: its checker (%s) gave the score %g; scores below 0 count as 0, '
        'above 1 as 1 (this is said once)',
        self.name,
        self._checker_name,
        score,
      )
    return min(max(score, 0.0), 1.0)

  @property
  def _checker_name(self) -> str:
    return getattr(self.checker, 'label', type(self.checker).__name__)

  def _failed(
    self, kind: str, reason: str, by_answer: bool = False
  ) -> tuple[float | None, str]:
    checker = self._checker_name
    failures[checker, kind] += 1
    count = failures[checker, kind]
    # The first, and then ever more rarely: a policy repeats its mistakes.
    printable = reason[:300].encode('utf-8', 'backslashreplace').decode()
    if count & (count - 1) == 0:
      _log.warning(
        '%s: its checker (%s) failed (%d times so far), which %s: %s',
        self.name,
        checker,
        count,
        'scores 0' if by_answer else 'is no score',
        printable,
      )
    return 0.0 if by_answer else None, printable
