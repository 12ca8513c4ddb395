"""An environment that takes its time, as a web page or a simulator does."""

import functools
import time
from collections.abc import Callable
from typing import Any

from jaxcredit.environments import protocol


class DelayedEnvironment:
  """Another environment that answers later.

  Args:
    factory: makes the other one.
    seconds: that each step takes longer; a reset does not.
  """

  def __init__(
    self, factory: Callable[[], protocol.TextEnvironment], seconds: float
  ):
    self._environment = factory()
    self._seconds = seconds

  def reset(self, task: Any) -> protocol.TextStep:
    return self._environment.reset(task)

  def step(self, action: str) -> protocol.TextStep:
    time.sleep(self._seconds)
    return self._environment.step(action)


class DelayedDomain:
  """A domain whose environments answer later; else the same."""

  def __init__(self, domain, seconds: float):
    self._domain = domain
    self._seconds = seconds

  def __getattr__(self, name: str):
    return getattr(self._domain, name)

  def environment(self) -> Callable[[], protocol.TextEnvironment]:
    return functools.partial(
      DelayedEnvironment, self._domain.environment(), self._seconds
    )
