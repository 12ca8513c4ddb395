"""How an episode is put into text for a policy, and an answer read back.

Three formats:

* `Message`: what is said is all there is, for chat templates.
* `Plain`: the episode is one growing text, every observation followed by a
  prompt sign, every action ended by the stop token. One row of the learner's
  batch is a whole episode.
* `ThinkAction`: GiGPO's published form (arXiv 2505.10978). The prompt is
  rebuilt at each step from the task, the last observations and actions, the
  present observation and the admissible actions; the answer reasons between
  think tags and acts between action tags. One row is one step.

What a model wrote is data: it is searched for tags and handed on, no more.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Action(NamedTuple):
  """An action read from a policy's answer.

  Attributes:
    text: what is sent to the environment.
    valid: whether the answer had the right form. This is not whether the
      environment accepts the action.
  """

  text: str
  valid: bool


class Exchange(NamedTuple):
  """One past step: what the agent saw and what it did."""

  observation: str
  action: str


class Format(Protocol):
  """Puts steps into text and reads actions."""

  # Whether each step has a prompt of its own (a row a step) or continues the
  # text of the episode (a row an episode).
  rebuilds_prompt: bool

  def prompt(
    self,
    history: Sequence[Exchange],
    observation: str,
    admissible: Sequence[str],
    task: str,
  ) -> str:
    """The text that the policy reads before its next action.

    Args:
      history: past steps, oldest first.
      observation: what the environment answered last.
      admissible: actions that it would accept.
      task: the sentence that states the task.

    Returns:
      The whole prompt where the format rebuilds it, else what is appended.
    """
    ...

  def answer(self, action: str) -> str:
    """The text in which an expert's action is taught."""
    ...

  def read(self, answer: str, finished: bool) -> Action:
    """Reads an answer; `finished` says whether it ended by a stop token."""
    ...


@dataclasses.dataclass(frozen=True)
class Plain:
  """Observation, task, prompt sign, action: one text an episode.

  Attributes:
    repeats_task: whether the task is written again before each action; small
      policies learn much faster to act on a sentence that stands near.
  """

  repeats_task: bool = True
  rebuilds_prompt = False

  def prompt(self, history, observation, admissible, task) -> str:
    del history, admissible
    if self.repeats_task:
      return f'{observation}\n{task}>'
    return f'{observation}\n>'

  def answer(self, action: str) -> str:
    # The space in front keeps the names in actions the same tokens as in
    # observations.
    return f' {action}'

  def read(self, answer: str, finished: bool) -> Action:
    text = answer.strip()
    return Action(text, finished and bool(text))


@dataclasses.dataclass(frozen=True)
class Message:
  """Observations and answers as they are, for policies that chat."""

  rebuilds_prompt = False

  def prompt(self, history, observation, admissible, task) -> str:
    del history, admissible, task
    return observation

  def answer(self, action: str) -> str:
    return action

  def read(self, answer: str, finished: bool) -> Action:
    text = answer.strip()
    return Action(text, finished and bool(text))


_THINK = re.compile(r'<think>.*?</think>', re.DOTALL)
_ACTION = re.compile(r'<action>(.*?)</action>', re.DOTALL)
_CHINESE = re.compile('[\u4e00-\u9fff]')


@dataclasses.dataclass(frozen=True)
class ThinkAction:
  """The published template: think and action tags, a prompt for each step.

  An answer is valid if it holds a pair of think tags and a pair of action tags
  and no Chinese character, as in the released code. There, the closing tag is
  sought independently of the opening one, so that reversed tags count as a
  valid, empty action; here tags must be in order and the action not empty.

  Attributes:
    history_length: past steps that the prompt repeats (the paper: 2).
  """

  history_length: int = 2
  rebuilds_prompt = True

  def prompt(self, history, observation, admissible, task) -> str:
    lines = [
      'You act in a world that answers in text.',
      f'Your task: {task}',
    ]
    recent = list(history)[
      len(history) - min(len(history), self.history_length) :
    ]
    if recent:
      lines.append(
        f'You have taken {len(history)} steps. The last {len(recent)}:'
      )
      first = len(history) - len(recent) + 1
      for number, exchange in enumerate(recent, start=first):
        lines.append(f'[{number}] saw: {exchange.observation}')
        lines.append(f'[{number}] did: {exchange.action}')
    lines.append(f'You are at step {len(history) + 1} and see: {observation}')
    lines.append('You can: ' + '; '.join(admissible))
    lines.append(
      'Reason between <think> and </think>, then give one of these actions '
      'between <action> and </action>.\n'
    )
    return '\n'.join(lines)

  def answer(self, action: str) -> str:
    return f'<think></think><action>{action}</action>'

  def read(self, answer: str, finished: bool) -> Action:
    del finished
    found = _ACTION.search(answer)
    if found is None or not found.group(1).strip():
      # The released code sends the answer's end on, in lower case.
      return Action(answer[-30:].lower().strip(), False)
    valid = _THINK.search(answer) is not None and not _CHINESE.search(answer)
    return Action(found.group(1).strip().lower(), valid)
