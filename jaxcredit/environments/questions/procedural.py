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
import functools
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxcredit.environments import completion, generated
from jaxcredit.environments.questions import limited_process, question

_log = logging.getLogger(__name__)

INSTRUCTION = 'Give the answer between <answer> and </answer>.'
SPLITS = ('train', 'eval')
# Seeds of the library are the integers below 2**32; evaluation has those of
# the upper half, and a seed of ours has a block of them.
_HALF = 2**31
BLOCK = 2**20
# Places of one data set of the library: some kinds make all of them at once.
_CHUNK = 512
# Where a question is faulty, so many others are tried in its place.
_SPARE = 8
# Questions, and seconds, that it may take to see what guessing is worth.
_GUESSED, _GUESSING_SECONDS = 30, 2.0
# A constant answer to that part of the questions is told, and refused.
_TOLD, _REFUSED = 1 / 3, 0.9
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

  The answer is what stands between the last pair of answer tags behind the
  thoughts, else all that is said there. Scores between 0 and 1 are the
  library's; numbers that are not finite score 0, since comparisons with them
  refuse nothing.

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
    said = completion.said(text).text
    answers = completion.tagged(said, 'answer')
    return answers[-1] if answers else said.strip()

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


class Guess(NamedTuple):
  """What a constant answer is worth on a kind.

  Attributes:
    answer: the constant that solves most.
    solved: questions that it solves.
    count: questions that it was tried on.
  """

  answer: str
  solved: int
  count: int

  @property
  def share(self) -> float:
    return self.solved / self.count if self.count else 0.0


def guess(task: str, settings: Mapping[str, Any] | None = None) -> Guess:
  """Tries constant answers on a kind.

  Args:
    task: kind of task; see `names`.
    settings: of the kind.

  Returns:
    The best constant. A score near its share is no sign of learning. Kinds
    that are slow to generate are tried on fewer than 30 questions.
  """
  return _guess(task, json.dumps(dict(settings or {}), sort_keys=True))


@functools.lru_cache(maxsize=256)
def _guess(task: str, settings: str) -> Guess:
  config = {**json.loads(settings), 'seed': seed_of('eval', 2047)}
  try:
    reply = limited_process.shared('procedural').ask(
      'guesses',
      _GENERATION_LIMIT,
      task=task,
      config={**config, 'size': _GUESSED},
      count=_GUESSED,
      seconds=_GUESSING_SECONDS,
    )
  except question.CheckFailure:
    # What is wrong shows where a question is made.
    return Guess('', 0, 0)
  best = max(reply['solved'], key=reply['solved'].get)
  return Guess(best, reply['solved'][best], reply['count'])


def _refuse_guessing(task: str, settings: Mapping[str, Any]) -> None:
  """Raises ValueError for a kind on which guessing scores, or tells of it."""
  found = guess(task, settings)
  words = f'{found.answer!r} is right for {found.solved} of {found.count}'
  # Of few questions nothing is known.
  if found.count >= 8 and found.share >= _REFUSED:
    raise ValueError(
      f'{task!r} cannot be told from guessing: its scorer says that {words} '
      'questions'
    )
  if found.count >= 8 and found.share >= _TOLD:
    _log.warning(
      '%s: the constant answer %s questions; a success of %.2f is no learning',
      task,
      words,
      found.share,
    )


def generate(
  task: str,
  count: int,
  *,
  split: str = 'train',
  seed: int = 0,
  settings: Mapping[str, Any] | None = None,
  instruction: str = INSTRUCTION,
  time_limit: float = 5.0,
) -> generated.Tasks[question.Question]:
  """Questions of one kind, each made when it is asked for.

  Args:
    task: kind of task; see `names`.
    count: number of questions; the first ones of more are those of fewer.
    split: 'train' or 'eval', which have no seed in common.
    seed: from 0 to 2047; different seeds have no question's seed in common.
    settings: of the kind, in the library's words, such as {'max_terms': 3}.
    instruction: how to answer; it follows the question, on a line of its own.
    time_limit: seconds that checking one answer may take.

  Returns:
    The questions; the reference is '' where the library names no answer. In
    the place of a question that cannot be used stands another.

  Raises:
    ValueError: the kind or a setting is unknown, generating failed, the scorer
      takes any answer (as that of game_of_life_halting does), or a constant
      answer is right almost always (as 0 is for that of coin_flip).
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
  made = generated.Tasks(
    count,
    functools.partial(
      _question_at,
      task=task,
      settings=json.dumps(settings, sort_keys=True),
      first=first,
      name=f'{task} {split} {seed}',
      instruction=instruction,
      time_limit=time_limit,
    ),
  )
  # What is wrong with all of them shows with the first, and at once.
  _question_at(
    0, task, json.dumps(settings), first, task, instruction, time_limit, spare=1
  )
  _refuse_guessing(task, settings)
  return made


def _question_at(
  place: int,
  task: str,
  settings: str,
  first: int,
  name: str,
  instruction: str,
  time_limit: float,
  spare: int = _SPARE,
) -> question.Question:
  """The question at a place, or one of the spare ones."""
  chunk, index = divmod(place, _CHUNK)
  for attempt in range(spare):
    # Spare questions are the last of the block.
    start = chunk * _CHUNK if not attempt else BLOCK - attempt * _CHUNK
    config = {**json.loads(settings), 'seed': first + start, 'size': _CHUNK}
    try:
      return _question(
        task, config, index, f'{name}:{place}', instruction, time_limit
      )
    except ValueError:
      if attempt == spare - 1:
        raise
  raise AssertionError('spare is at least 1')


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


def mix(*parts: Sequence[question.Question]) -> Sequence[question.Question]:
  """Takes turns among several lists of questions, until all are used up."""
  return generated.Mixed(parts)
