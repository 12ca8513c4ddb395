"""True progress of an episode, for environments that know it.

Estimates of progress (as in SPA, arXiv 2505.20732) are compared with it. It is
no reward: nothing is trained on it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from jaxcredit.environments import protocol


class ProgressEnvironment(protocol.TextEnvironment, Protocol):
  """A text environment that tells which share of its goal's conditions hold."""

  def progress(self) -> float:
    """A function of the state in [0, 1]; 1 where, and only where, it is won."""
    ...


def known(environment: Any) -> bool:
  """Whether an environment can tell its progress."""
  return callable(getattr(environment, 'progress', None))


def replay(
  environment: ProgressEnvironment, task: Any, actions: Sequence[str]
) -> Iterator[tuple[protocol.TextStep, float]]:
  """Plays an episode again and reads its progress.

  Args:
    environment: a deterministic one; it is reset.
    task: of the episode.
    actions: T of them.

  Yields:
    T + 1 times what it answers, and the progress then: after the reset, and
    after each action.
  """
  yield environment.reset(task), float(environment.progress())
  for action in actions:
    yield environment.step(action), float(environment.progress())
