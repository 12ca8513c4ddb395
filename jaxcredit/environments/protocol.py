"""The protocol of host text environments.

An environment is stepped with the text of an action and answers with text. It
is created once and reset to many tasks. Whatever `reset` accepts as a task is
the environment's own matter (a game, a question, a seed).
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

# How the verdict on an answer begins whose check failed, where that does not
# lose the episode.
UNCHECKED = 'That could not be checked.'


class TextStep(NamedTuple):
  """What an environment answers, to `reset` as to `step`.

  Attributes:
    observation: the text that the agent reads.
    reward: reward of the step (0 after a reset).
    terminated: whether the task ended (success, or failure for good).
    truncated: whether a limit of the environment ended the episode.
    admissible: the actions that the environment would accept now, sorted;
      empty where the environment cannot list them.
    anchor: text that identifies the state in which the next action is chosen;
      equal texts are treated as one state by group-relative step credit.
    executed: whether the action that this answers was carried out, where the
      list of admissible actions cannot tell (it holds no free text, such as
      the query of a search); None: it was if it was admissible.
    success: whether the task is solved, where the reward cannot tell (a poor
      solution is paid too); None: an end with a positive return is a success.
  """

  observation: str
  reward: float
  terminated: bool
  truncated: bool
  admissible: tuple[str, ...]
  anchor: str
  executed: bool | None = None
  success: bool | None = None


@runtime_checkable
class TextEnvironment(Protocol):
  """An environment that reads and writes text."""

  def reset(self, task: Any) -> TextStep:
    """Starts an episode of `task`."""
    ...

  def step(self, action: str) -> TextStep:
    """Takes one action; any text is accepted."""
    ...
