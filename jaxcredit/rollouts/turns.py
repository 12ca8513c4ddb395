"""The turns of an episode as tokens of one growing text.

What a policy reads next is a text of the environment; what it drew is tokens,
and stays the tokens that were drawn. With a chat template each text is a user's
message; without one the texts simply follow each other.
"""

from collections.abc import Sequence
from typing import Protocol

from jaxcredit.networks.tokenizers import conversation, pretrained_tokenizer
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib


class Turns(Protocol):
  """The turns of one episode, read and drawn in alternation."""

  def read(self, text: str) -> list[int]:
    """The tokens behind the last that was drawn, for the policy to read."""
    ...

  def draw(self, tokens: Sequence[int]) -> None:
    """Takes note of what the policy drew."""
    ...


class TextTurns:
  """Turns without a chat template."""

  def __init__(self, tokenizer: tokenizer_lib.Tokenizer):
    self._tokenizer = tokenizer
    self._begun = False

  def read(self, text: str) -> list[int]:
    if self._begun:
      return self._tokenizer.encode(text)
    self._begun = True
    return self._tokenizer.encode_prompt(text)

  def draw(self, tokens: Sequence[int]) -> None:
    del tokens


class ChatTurns:
  """Turns of a chat; see `conversation.Conversation`."""

  def __init__(self, tokenizer: pretrained_tokenizer.PretrainedTokenizer):
    self._tokenizer = tokenizer
    self._chat: conversation.Conversation | None = None

  def read(self, text: str) -> list[int]:
    message = {'role': 'user', 'content': text}
    if self._chat is None:
      self._chat = conversation.Conversation(self._tokenizer, [message])
    else:
      self._chat.add_messages([message])
    return self._chat.unread()

  def draw(self, tokens: Sequence[int]) -> None:
    self._chat.add_drawn(tokens)


def begin(tokenizer: tokenizer_lib.Tokenizer) -> Turns:
  """The turns of an episode that begins."""
  if getattr(tokenizer, 'has_template', False):
    return ChatTurns(tokenizer)
  return TextTurns(tokenizer)
