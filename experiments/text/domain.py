"""A domain of a text policy: tasks, environments, demonstrations."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from jaxcredit.environments import protocol
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.rollouts import formats


class Demonstrations(Protocol):
  """Demonstrations of an expert.

  Attributes:
    count: episodes.
    words: what there is, for people.
    advice: what to do where there are too few.
  """

  count: int
  words: str
  advice: str

  def corpus(self, text_format: formats.Format) -> list[str]:
    """Texts for a tokenizer: all that a policy reads or writes."""
    ...

  def rows(
    self,
    tokenizer: tokenizer_lib.Tokenizer,
    text_format: formats.Format,
    row_tokens: int,
  ) -> list[episodes_lib.TokenRow]:
    """Demonstrated rows, in the text format of the policy."""
    ...


class Domain(Protocol):
  """Tasks of one kind.

  Attributes:
    won: what a success is, such as 'games won'.
    answers: whether an episode is an answer to a question, of which the report
      draws the tokens, and not a row of steps.
    demonstration_count: episodes that an expert is to show.
    train_tasks: to train on, from `load` on; likewise the rest.
    train_from: where they come from, in words.
    test_tasks: to evaluate on.
    test_from: where they come from.
  """

  won: str
  answers: bool
  demonstration_count: int
  train_tasks: Sequence[Any]
  train_from: str
  test_tasks: Sequence[Any]
  test_from: str

  def load(self) -> None:
    """Reads or generates the tasks.

    Raises:
      OSError: a file is missing.
      ValueError: a file is damaged, or holds too little.
    """
    ...

  def environment(self) -> Callable[[], protocol.TextEnvironment]:
    """Makes environments; travels to the processes of a pool."""
    ...

  def task_sentence(self, task: Any) -> str:
    """The sentence that states a task."""
    ...

  def task_type(self, task: Any) -> str:
    """The kind of a task, by which successes are counted."""
    ...

  def demonstrate(self, on_task: Callable[[], None]) -> Demonstrations:
    """Lets an expert show how; `on_task` is called for each task."""
    ...
