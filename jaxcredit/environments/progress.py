"""True progress of an episode, for environments that know it.

Estimates of progress (as in SPA, arXiv 2505.20732) are compared with it. It is
no reward: nothing is trained on it.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from jaxcredit.environments import protocol


class ProgressEnvironment(protocol.TextEnvironment, Protocol):
  """A text environment that tells which share of its goal's conditions hold."""

  def progress(self) -> float:
    """A function of the state in [0, 1]; 1 where, and only where, it is won."""
    ...


def true_progress(
  environment: ProgressEnvironment, task: Any, actions: Sequence[str]
) -> list[float]:
  """Plays an episode again and reads its progress.

  Args:
    environment: a deterministic one; it is reset.
    task: of the episode.
    actions: T of them.

  Returns:
    T + 1 numbers: before the first action, and after each.
  """
  environment.reset(task)
  result = [environment.progress()]
  for action in actions:
    environment.step(action)
    result.append(environment.progress())
  return result
