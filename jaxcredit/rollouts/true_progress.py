"""The true progress of an episode, from an environment that knows it.

Episodes are played again in a fresh environment, whose answers depend on the
task and the actions alone.
"""

import itertools

from jaxcredit.environments import progress, protocol
from jaxcredit.rollouts import episodes as episodes_lib


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
  if not progress.known(environment) or episode.failure:
    return None
  played = progress.replay(
    environment, episode.task, [step.action for step in episode.steps]
  )
  shares = []
  for step, (answer, share) in zip(
    episode.steps, itertools.islice(played, 1, None), strict=True
  ):
    if answer.observation != step.next_observation:
      return None
    shares.append(share)
  return shares
