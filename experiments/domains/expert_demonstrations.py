"""Demonstrations of an expert: its steps, and rows made of them.

For every domain whose expert plays episodes. It observes and acts, and makes a
mistake now and then. Its steps become rows in the text format of the policy,
and texts for a tokenizer.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from jaxcredit.environments import protocol
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.rollouts import chat_history, formats
from jaxcredit.rollouts import episodes as episodes_lib


@dataclasses.dataclass(frozen=True)
class Demonstration:
  """A step of the expert.

  Attributes:
    seen: what it saw.
    action: what was done.
    slip: whether this is a slip, which is answered but not imitated.
  """

  seen: protocol.TextStep
  action: str
  slip: bool = False


class Expert(Protocol):
  """Acts on observations, and knows the mistakes of a learner."""

  def observe(self, step: protocol.TextStep) -> None:
    """Reads the reply of the environment to the last action."""
    ...

  def act(self) -> str:
    """The next action."""
    ...

  def slip(self) -> str:
    """An action that a learner gets wrong, in place of that of `act`."""
    ...


def demonstrate(
  environment: protocol.TextEnvironment,
  task: Any,
  guide: Expert,
  max_steps: int,
  slips: float,
  chance: np.random.Generator,
) -> list[Demonstration] | None:
  """Returns an expert's steps, or None if it failed.

  An expert does nothing that fails, so its imitator does not know how to go on
  once something did. Slips put in by chance show it (noise injection: Laskey
  et al., "DART", CoRL 2017).

  Args:
    environment: in which the expert acts.
    task: for its `reset`.
    guide: the expert.
    max_steps: after which the expert has failed.
    slips: share of steps that become slips.
    chance: of slips; a stream of its own, so that what the expert does between
      them does not depend on it.
  """
  seen = environment.reset(task)
  trace = []
  for _ in range(max_steps):
    guide.observe(seen)
    action = guide.act()
    slip = chance.random() < slips
    if slip:
      action = guide.slip()
    trace.append(Demonstration(seen, action, slip))
    seen = environment.step(action)
    if seen.terminated:
      return None if seen.success is False else trace
  return None


def corpus(
  traces: Sequence[tuple[str, Sequence[Demonstration]]],
  text_format: formats.Format,
  refusals: Sequence[str] = (),
) -> list[str]:
  """Texts for the tokenizer: all that a policy reads or writes.

  Args:
    traces: of each episode, the sentence that states its task, and its steps.
    text_format: how episodes are put into text.
    refusals: what the environment says to actions that it does not accept.
      Experts that do not slip do not hear it; policies will.
  """
  texts = []
  for task, trace in traces:
    history: list[formats.Exchange] = []
    for step in trace:
      seen = step.seen
      texts.append(
        text_format.prompt(history, seen.observation, seen.admissible, task)
      )
      texts.append(text_format.answer(step.action))
      history.append(formats.Exchange(seen.observation, step.action))
  texts += [
    text_format.prompt((), refusal, (), task)
    for refusal in refusals
    for task, _ in traces
  ]
  return texts


def token_rows(
  traces: Sequence[tuple[str, Sequence[Demonstration]]],
  tokenizer: tokenizer_lib.Tokenizer,
  text_format: formats.Format,
  row_tokens: int,
) -> list[episodes_lib.TokenRow]:
  """Turns traces into rows in the text format of the policy.

  Args:
    traces: see `corpus`.
    tokenizer: of the policy.
    text_format: how episodes are put into text.
    row_tokens: the longest row; what does not fit is left out, step by step.
  """
  rows = []
  for task, trace in traces:
    row = episodes_lib.TokenRow()
    chat = chat_history.begin(tokenizer)
    history: list[formats.Exchange] = []
    for number, step in enumerate(trace):
      seen, action = step.seen, step.action
      if text_format.rebuilds_prompt:
        row = episodes_lib.TokenRow()
        chat = chat_history.begin(tokenizer)
      prompt = chat.add_observation(
        text_format.prompt(history, seen.observation, seen.admissible, task)
      )
      answer = [
        *tokenizer.encode(text_format.answer(action)),
        tokenizer.turn_end_id,
      ]
      if len(row.tokens) + len(prompt) + len(answer) > row_tokens:
        break
      chat.add_completion(answer)
      row.read(prompt)
      if step.slip:
        row.skip(answer)
      else:
        row.sample(answer, [0.0] * len(answer), number)
      history.append(formats.Exchange(seen.observation, action))
      if text_format.rebuilds_prompt and not step.slip:
        rows.append(row)
    if not text_format.rebuilds_prompt and row.tokens:
      rows.append(row)
  return rows


@dataclasses.dataclass(frozen=True)
class ExpertEpisodes:
  """Episodes in which an expert succeeded; see `domain.Demonstrations`.

  Attributes:
    traces: (task, steps) of each.
    tried: episodes that it played, those included in which it failed.
    sentence: task -> the sentence that states it.
    won: what a success is, such as 'games won'.
    advice: what to do where there are too few.
    refusals: see `corpus`.
  """

  traces: Sequence[tuple[Any, Sequence[Demonstration]]]
  tried: int
  sentence: Callable[[Any], str]
  won: str
  advice: str
  refusals: tuple[str, ...] = ()

  @property
  def count(self) -> int:
    return len(self.traces)

  @property
  def words(self) -> str:
    steps = np.mean([len(trace) for _, trace in self.traces] or [0])
    return (
      f'expert: {self.count} of {self.tried} {self.won}, {steps:.1f} steps on '
      'average'
    )

  def _stated(self) -> list[tuple[str, Sequence[Demonstration]]]:
    return [(self.sentence(task), trace) for task, trace in self.traces]

  def corpus(self, text_format: formats.Format) -> list[str]:
    return corpus(self._stated(), text_format, self.refusals)

  def rows(
    self,
    tokenizer: tokenizer_lib.Tokenizer,
    text_format: formats.Format,
    row_tokens: int,
  ) -> list[episodes_lib.TokenRow]:
    return token_rows(self._stated(), tokenizer, text_format, row_tokens)
