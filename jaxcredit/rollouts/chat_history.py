"""The history of an episode as tokens of one growing text.

Observations are texts of the environment. Completions are tokens, and stay the
tokens that were sampled. With a chat template each observation is a user's
message; without one the texts simply follow each other.
"""

from collections.abc import Sequence
from typing import Protocol

from jaxcredit.networks.tokenizers import conversation, pretrained_tokenizer
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib


class ChatHistory(Protocol):
  """One episode: observations and completions in alternation."""

  def add_observation(self, text: str) -> list[int]:
    """Adds an observation; returns the tokens that the policy reads next."""
    ...

  def add_completion(self, tokens: Sequence[int]) -> None:
    """Adds the tokens that the policy sampled, the stop token included."""
    ...


class PlainHistory:
  """A history without a chat template."""

  def __init__(self, tokenizer: tokenizer_lib.Tokenizer):
    self._tokenizer = tokenizer
    self._begun = False

  def add_observation(self, text: str) -> list[int]:
    if self._begun:
      return self._tokenizer.encode(text)
    self._begun = True
    return self._tokenizer.encode_prompt(text)

  def add_completion(self, tokens: Sequence[int]) -> None:
    del tokens


class TemplatedHistory:
  """A history in a chat template; see `conversation.Conversation`."""

  def __init__(self, tokenizer: pretrained_tokenizer.PretrainedTokenizer):
    self._tokenizer = tokenizer
    self._chat: conversation.Conversation | None = None

  def add_observation(self, text: str) -> list[int]:
    message = {'role': 'user', 'content': text}
    if self._chat is None:
      self._chat = conversation.Conversation(self._tokenizer, [message])
    else:
      self._chat.add_messages([message])
    return self._chat.pending_tokens()

  def add_completion(self, tokens: Sequence[int]) -> None:
    self._chat.add_drawn(tokens)


def begin(tokenizer: tokenizer_lib.Tokenizer) -> ChatHistory:
  """An empty history, in the chat template if the tokenizer has one."""
  if getattr(tokenizer, 'has_template', False):
    return TemplatedHistory(tokenizer)
  return PlainHistory(tokenizer)
