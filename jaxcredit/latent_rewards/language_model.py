"""The one way in which a language model is asked."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

# With 'role' (system, user or assistant) and 'content'.
Message = Mapping[str, str]


class LanguageModelError(RuntimeError):
  """The model gave no answer; says why and what to do."""


@runtime_checkable
class LanguageModel(Protocol):
  """Answers messages.

  Attributes:
    name: of the model, for the record.
  """

  name: str

  def complete(
    self,
    messages: Sequence[Message],
    n: int,
    temperature: float,
    seed: int,
  ) -> list[str]:
    """Draws answers.

    Args:
      messages: so far, the last of them to be answered.
      n: answers, at least 1.
      temperature: of the sampling; 0 takes the likeliest.
      seed: of the draws, where the model has one.

    Returns:
      n texts.

    Raises:
      LanguageModelError: there is no answer.
    """
    ...
