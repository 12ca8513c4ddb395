"""A conversation of many turns, tokenised once.

The learner must see the very tokens that the sampler drew. Text does not give
them back: "ab" drawn as "a", "b" is read again as "ab", a template may strip
what the policy thought, and the log-probabilities then belong to other tokens.
So tokens drawn are kept as they are, and only what a turn adds (the end of the
answer, the next message, the opening of the next answer) is tokenised, from the
difference that it makes in the chat template. A template may rewrite earlier
answers (Qwen3 takes out what was thought before the last question): they stay
as they were drawn and read.
"""

from collections.abc import Sequence
from typing import Any

from jaxcredit.networks.tokenizers import pretrained_tokenizer

Message = pretrained_tokenizer.Message
# Around what stands for an answer when the template is asked what comes behind
# one. Of the private use area, so that no template trims it.
_EDGE = '\ue0f0'


class Conversation:
  """Tokens of one conversation, in the order in which they are read or drawn.

  >>> chat = Conversation(tokenizer, [{'role': 'user', 'content': 'hi'}])
  >>> chat.add_drawn(sample(chat.pending_tokens()))  # doctest: +SKIP
  >>> chat.add_messages([{'role': 'user', 'content': 'and?'}])

  Args:
    tokenizer: with a chat template.
    messages: up to the first that the policy answers.
    **options: for the template at every turn, such as enable_thinking.

  Attributes:
    tokens: all so far.
    drawn: for each token whether the policy drew it.
    messages: all so far, answers as text.
  """

  def __init__(
    self,
    tokenizer: pretrained_tokenizer.PretrainedTokenizer,
    messages: Sequence[Message],
    **options: Any,
  ):
    self._tokenizer = tokenizer
    self._options = options
    self._start = tuple(messages)
    self.messages: list[Message] = list(messages)
    self.tokens: list[int] = tokenizer.encode_chat(messages, **options)
    self.drawn: list[bool] = [False] * len(self.tokens)
    self._read = 0
    self._stopped = False

  def pending_tokens(self) -> list[int]:
    """Tokens that stand behind the last one drawn: what a sampler reads."""
    return self.tokens[self._read :]

  def add_drawn(self, tokens: Sequence[int]) -> None:
    """Appends an answer, exactly as it was drawn, the stop token included."""
    if self._read == len(self.tokens):
      raise ValueError(
        'an answer was added already: add_messages comes before the next'
      )
    tokens = [int(token) for token in tokens]
    stopped = bool(tokens) and tokens[-1] in self._tokenizer.stop_ids
    text = self._tokenizer.decode(tokens[:-1] if stopped else tokens)
    self._stopped = stopped
    self.tokens += tokens
    self.drawn += [True] * len(tokens)
    self._read = len(self.tokens)
    self.messages.append({'role': 'assistant', 'content': text})

  def add_messages(self, messages: Sequence[Message]) -> None:
    """Appends what the policy is to answer next."""
    if not messages:
      raise ValueError('there is no message to add')
    if self._read < len(self.tokens):
      raise ValueError(
        'the messages before were not answered: add_drawn comes first'
      )
    added = self._behind_answer(messages)
    self.tokens += added
    self.drawn += [False] * len(added)
    self.messages += messages

  def _behind_answer(self, messages: Sequence[Message]) -> list[int]:
    # Behind the first answer the template writes what it writes behind any.
    edge = _EDGE
    while any(
      edge in text
      for text in pretrained_tokenizer.texts_in([*self._start, *messages])
    ):
      edge += _EDGE
    words = f'{edge}answer{edge}'
    answer = {'role': 'assistant', 'content': words}
    text, mark = self._tokenizer.render(
      [*self._start, answer, *messages], **self._options
    )
    front, found, behind = text.rpartition(words)
    if not found:
      raise ValueError(
        "the chat template does not write an assistant's message as it is, so "
        'turns cannot be added behind one: tokenise every turn anew with '
        'encode_chat, each as a row of its own'
      )
    self._check_start(front.replace(mark, ''))
    if self._stopped:
      behind = self._without_stop(behind)
    return self._tokenizer.encode_rendered(
      behind, mark, behind=self.tokens[-1] if self.tokens else None
    )

  def _check_start(self, front: str) -> None:
    """Raises if the template rewrites what was read before the first answer."""
    # A template may drop what an assistant thought; that is said above.
    if any(message.get('role') == 'assistant' for message in self._start):
      return
    options = {**self._options, 'add_generation_prompt': False}
    start, mark = self._tokenizer.render(self._start, **options)
    if not front.startswith(start.replace(mark, '')):
      raise ValueError(
        'the chat template rewrites the messages before an answer when others '
        'come behind it (as some do with tools or the system message), so '
        'turns cannot be added: tokenise every turn anew with encode_chat, '
        'each as a row of its own'
      )

  def _without_stop(self, behind: str) -> str:
    """What the template writes behind an answer whose end was drawn."""
    text = behind.lstrip()
    for token in self._tokenizer.stop_ids:
      stop = self._tokenizer.decode([token])
      if stop and text.startswith(stop):
        return text[len(stop) :]
    return behind


def retokenisation_drift(
  tokenizer: pretrained_tokenizer.PretrainedTokenizer, tokens: Sequence[int]
) -> int | None:
  """Where tokens differ from those of their own text read again.

  Returns:
    Index of the first token that differs; None: the text gives all back.
  """
  tokens = list(tokens)
  again = tokenizer.encode_marked(tokenizer.decode(tokens))
  for index, (token, other) in enumerate(zip(tokens, again, strict=False)):
    if token != other:
      return index
  if len(tokens) == len(again):
    return None
  return min(len(tokens), len(again))
