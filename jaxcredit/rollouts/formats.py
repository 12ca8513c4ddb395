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

Thoughts are never acted upon: every format reads what follows them, by the rule
of `environments.completion`, and an answer that was cut off inside them has no
action. What a model wrote is data: it is searched for tags and handed on, no
more.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from jaxcredit.environments import completion


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
    thoughts_opened: whether prompts end inside a thought, as those of templates
      do that write the opening tag themselves. An answer that does not close it
      has no action.
  """

  repeats_task: bool = True
  thoughts_opened: bool = False
  rebuilds_prompt = False

  def prompt(self, history, observation, admissible, task) -> str:
    del history, admissible
    if self.repeats_task:
      return f'{observation}\n{task}>'
    return f'{observation}\n>'

  def answer(self, action: str) -> str:
    # The space in front keeps the names in actions the same tokens as in
    # observations.
    return f'{_closing(self.thoughts_opened)} {action}'

  def read(self, answer: str, finished: bool) -> Action:
    return _what_is_said(answer, finished, self.thoughts_opened)


@dataclasses.dataclass(frozen=True)
class Message:
  """Observations and answers as they are, for policies that chat.

  Attributes:
    thoughts_opened: see `Plain`.
  """

  thoughts_opened: bool = False
  rebuilds_prompt = False

  def prompt(self, history, observation, admissible, task) -> str:
    del history, admissible, task
    return observation

  def answer(self, action: str) -> str:
    return f'{_closing(self.thoughts_opened)}{action}'

  def read(self, answer: str, finished: bool) -> Action:
    return _what_is_said(answer, finished, self.thoughts_opened)


def _closing(opened: bool) -> str:
  """What an answer without thoughts begins with."""
  return '</think>' if opened else ''


def _what_is_said(answer: str, finished: bool, opened: bool) -> Action:
  text = completion.said(answer, opened=opened).text.strip()
  return Action(text, finished and bool(text))


_CHINESE = re.compile('[\u4e00-\u9fff]')
# Of an answer without an action, so many characters at its end are sent on.
_SENT_ON = 30


@dataclasses.dataclass(frozen=True)
class ThinkAction:
  """The published template: think and action tags, a prompt for each step.

  The action is what the first pair of action tags behind the thoughts holds;
  empty pairs and placeholders ('...') are passed over. An answer is valid if it
  has an action and thoughts that were closed, and no Chinese character, as in
  the released code. There, the closing tag is sought independently of the
  opening one, and actions within the thoughts count; here they do not. The
  opening tag may be the template's.

  Attributes:
    history_length: past steps that the prompt repeats (the paper: 2).
    thoughts_opened: see `Plain`.
  """

  history_length: int = 2
  thoughts_opened: bool = False
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
    opening = '' if self.thoughts_opened else '<think>'
    return f'{opening}</think><action>{action}</action>'

  def read(self, answer: str, finished: bool) -> Action:
    del finished
    said = completion.said(answer, opened=self.thoughts_opened)
    actions = completion.tagged(said.text, 'action')
    if not actions:
      if not said.text.strip():
        return Action('', False)
      # The released code sends the answer's end on, in lower case.
      start = max(0, said.ends - _SENT_ON)
      return Action(answer[start : said.ends].lower().strip(), False)
    valid = said.thought and not _CHINESE.search(answer)
    return Action(actions[0].lower(), valid)
