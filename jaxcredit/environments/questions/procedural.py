"""Tasks made from seeds by reasoning-gym, more than 100 kinds (Apache 2.0).

Questions are generated, and answers scored, in a limited process: some of its
scorers raise on what a model may write, and some evaluate it
(`limited_program` says what is refused). A question is known by its kind,
settings, seed and place; its checker generates it again where it is needed.

Training and evaluation never meet: the seeds of the two splits are disjoint.
The library seeds the question at place i by seed + i; seeds of ours lie
further apart than there are places.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jaxcredit.environments.questions import limited_process, question

INSTRUCTION = 'Give the answer between <answer> and </answer>.'
SPLITS = ('train', 'eval')
# Seeds of the library are the integers below 2**32; evaluation has those of
# the upper half, and a seed of ours has a block of them.
_HALF = 2**31
BLOCK = 2**20
# Places of one data set of the library: some kinds make all of them at once.
_CHUNK = 512
_ANSWER = re.compile(r'<answer>((?:(?!</?answer>).)*)</answer>', re.DOTALL)
# Generating may take longer than scoring: some kinds search for a puzzle.
_GENERATION_LIMIT = 60.0


def names() -> tuple[str, ...]:
  """The kinds of tasks that the installed reasoning-gym has."""
  reply = limited_process.shared('procedural').ask('names', 10.0)
  return tuple(reply['names'])


def seed_of(split: str, seed: int) -> int:
  """The library's seed for a split and a seed of ours.

  Args:
    split: 'train' or 'eval'.
    seed: from 0 to 2047.
  """
  if split not in SPLITS:
    raise ValueError(f'split must be one of {SPLITS}, not {split!r}')
  if not 0 <= seed < _HALF // BLOCK:
    raise ValueError(
      f'seed must lie between 0 and {_HALF // BLOCK - 1}, not {seed}'
    )
  return SPLITS.index(split) * _HALF + seed * BLOCK


@dataclasses.dataclass(frozen=True)
class ProceduralChecker:
  """The scorer of reasoning-gym, guarded.

  The answer is what stands between the last pair of answer tags, else the
  whole text. Scores between 0 and 1 are the library's.

  Attributes:
    task: kind of task.
    config: its settings as JSON, the library's seed and size among them.
    index: place of the question.
    prompt: the question as the library put it.
  """

  task: str
  config: str
  index: int
  prompt: str = dataclasses.field(repr=False)
  limits_itself = True

  @property
  def label(self) -> str:
    return f'reasoning-gym {self.task}'

  def read(self, text: str) -> str:
    last = None
    for found in _ANSWER.finditer(text):
      last = found
    return (text if last is None else last.group(1)).strip()

  def prepare(self) -> None:
    limited_process.shared('procedural').start()

  def __call__(self, text: str, limit: float = 5.0) -> float:
    answer = self.read(text)
    if not answer:
      return 0.0
    process = limited_process.shared('procedural')
    place = {
      'task': self.task,
      'config': json.loads(self.config),
      'index': self.index,
    }
    process.ask('load', _GENERATION_LIMIT, **place)
    reply = process.ask(
      'score', limit, prompt=self.prompt, answer=answer, **place
    )
    return reply['score']


def generate(
  task: str,
  count: int,
  *,
  split: str = 'train',
  seed: int = 0,
  settings: Mapping[str, Any] | None = None,
  instruction: str = INSTRUCTION,
  time_limit: float = 5.0,
) -> list[question.Question]:
  """Generates questions of one kind.

  Args:
    task: kind of task; see `names`.
    count: number of questions; the first ones of more are those of fewer.
    split: 'train' or 'eval', which have no seed in common.
    seed: from 0 to 2047; different seeds have no question's seed in common.
    settings: of the kind, in the library's words, such as {'max_terms': 3}.
    instruction: how to answer; it follows the question, on a line of its own.
    time_limit: seconds that checking one answer may take.

  Returns:
    The questions; the reference is '' where the library names no answer.

  Raises:
    ValueError: the kind or a setting is unknown, generating failed, or the
      scorer takes any answer (as that of game_of_life_halting does).
  """
  if not 0 < count <= BLOCK:
    raise ValueError(f'count must lie between 1 and {BLOCK}, not {count}')
  settings = dict(settings or {})
  for reserved in ('seed', 'size'):
    if reserved in settings:
      raise ValueError(
        f'{reserved!r} is no setting: it follows from split, seed and count'
      )
  first = seed_of(split, seed)
  known = names()
  if task not in known:
    raise ValueError(
      f'reasoning-gym has no task {task!r}; it has {", ".join(known)}'
    )
  questions = []
  for place in range(count):
    chunk, index = divmod(place, _CHUNK)
    config = {**settings, 'seed': first + chunk * _CHUNK, 'size': _CHUNK}
    name = f'{task} {split} {seed}:{place}'
    questions.append(
      _question(task, config, index, name, instruction, time_limit)
    )
  return questions


def _question(task, config, index, name, instruction, time_limit):
  try:
    made = limited_process.shared('procedural').ask(
      'generate', _GENERATION_LIMIT, task=task, config=config, index=index
    )
  except question.CheckFailure as failure:
    raise ValueError(
      f'reasoning-gym cannot generate question {index} of {task!r} with '
      f'{config}: {failure}'
    ) from None
  if made['fault']:
    raise ValueError(
      f'question {index} of {task!r} with {config} cannot be used: '
      f'{made["fault"]}'
    )
  prompt = made['prompt'].strip()
  reference = made['reference']
  return question.Question(
    prompt=f'{prompt}\n{instruction}' if instruction else prompt,
    # A few kinds have many answers and name none.
    reference='' if reference is None else f'<answer>{reference}</answer>',
    checker=ProceduralChecker(
      task, json.dumps(config, sort_keys=True), index, made['prompt']
    ),
    time_limit=time_limit,
    name=name,
  )


def mix(*parts: Sequence[question.Question]) -> list[question.Question]:
  """Takes turns among several lists of questions, until all are used up."""
  longest = max((len(part) for part in parts), default=0)
  return [
    part[index]
    for index in range(longest)
    for part in parts
    if index < len(part)
  ]
