"""The true progress of an episode, from an environment that knows it.

An environment may have a method `progress()`: the share of its task that is
done, in [0, 1]. Episodes are played again in a fresh environment, whose answers
depend on the task and the actions alone.
"""

from typing import Any

from jaxcredit.environments import protocol
from jaxcredit.rollouts import episodes as episodes_lib


def known(environment: Any) -> bool:
  """Whether an environment can tell its progress."""
  return callable(getattr(environment, 'progress', None))


def replay(
  environment: protocol.TextEnvironment, episode: episodes_lib.Episode
) -> list[float] | None:
  """Plays an episode again.

  Args:
    environment: of the kind that the episode was played in; it is reset.
    episode: whole.

  Returns:
    The progress after each step; None where the environment cannot tell it, or
    answered otherwise than before.
  """
  if not known(environment) or episode.failure:
    return None
  environment.reset(episode.task)
  progress = []
  for step in episode.steps:
    if environment.step(step.action).observation != step.answer:
      return None
    progress.append(float(environment.progress()))
  return progress
