"""Questions with verifiable answers, as a domain to train on."""

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.domains import worked_solutions
from jaxcredit import options as options_lib
from jaxcredit.environments import questions
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.rollouts import chat_history, formats
from jaxcredit.rollouts import episodes as episodes_lib

# Kinds that are read from files.
FILES: dict[str, Callable[[str], list[questions.Question]]] = {
  'gsm8k': questions.gsm8k.load,
  'svamp': questions.svamp.load,
  'medqa': questions.medqa.load,
  'math': questions.competition_math.load,
}
# Seeds of generated questions, of the training split; those of evaluation are
# of the other split.
_TRAINING, _DEMONSTRATIONS = 0, 1


@dataclasses.dataclass(frozen=True)
class QuestionOptions:
  """What is asked."""

  tasks: tuple[str, ...] = options_lib.option(
    ('chain_sum',),
    'Kinds of questions: names of reasoning-gym; or gsm8k, svamp, medqa or '
    'math (as of MATH: a boxed answer), which are read from files.',
  )
  task_settings: str = options_lib.option(
    '',
    'Settings of the kinds of reasoning-gym, as JSON: '
    '{"chain_sum": {"max_terms": 3}}.',
  )
  questions: str | None = options_lib.option(
    None, 'File of the questions to train on (.jsonl, .jsonl.xz).'
  )
  evaluate_on: str | None = options_lib.option(
    None, 'File of the questions to evaluate on.'
  )
  training_count: int = options_lib.option(
    0,
    'How many questions to train on. 0: all of a file, or 5000 generated.',
    0,
    1_000_000,
  )
  evaluation_count: int = options_lib.option(
    0,
    'How many questions to evaluate on. 0: all of a file, or 200 generated.',
    0,
    1_000_000,
  )
  instruction: str = options_lib.option(
    'own',
    'How to answer, added to each question; "own" for the words of its kind.',
  )
  tries: int = options_lib.option(
    1, 'Answers that may be given to a question.', 1
  )
  failed_check: str = options_lib.option(
    'lost',
    'Treatment of an answer whose check failed (it raised, or ran out of '
    'time): the episode is lost and takes no part, or the answer is wrong.',
    choices=('lost', 'wrong'),
  )
  warm_start_questions: int = options_lib.option(
    2000, 'Worked solutions that are shown.', 1, 1_000_000
  )

  __post_init__ = options_lib.check

  def settings_of(self, task: str) -> Mapping[str, Any]:
    """Settings of a kind.

    Raises:
      ValueError: the settings are not of the form kind -> settings.
    """
    try:
      settings = json.loads(self.task_settings or '{}')
    except json.JSONDecodeError as error:
      raise ValueError(
        f'--task_settings is not JSON ({error}): {self.task_settings!r}'
      ) from None
    if not isinstance(settings, dict) or not all(
      isinstance(value, dict) for value in settings.values()
    ):
      raise ValueError(
        '--task_settings must be a JSON object of objects, such as '
        f'{{"chain_sum": {{"max_terms": 3}}}}, not {self.task_settings!r}'
      )
    unknown = settings.keys() - set(self.tasks)
    if unknown:
      raise ValueError(
        f'--task_settings has {", ".join(sorted(unknown))}, which is not among '
        f'--task ({", ".join(self.tasks)})'
      )
    return settings.get(task, {})


@dataclasses.dataclass(frozen=True)
class WorkedSolutions:
  """Solutions to imitate; see `domain.Demonstrations`."""

  solved: list[tuple[questions.Question, str]]

  advice = 'give more --warm_start_questions'

  @property
  def count(self) -> int:
    return len(self.solved)

  @property
  def words(self) -> str:
    return f'{self.count} worked solutions'

  def corpus(self, text_format: formats.Format) -> list[str]:
    return [
      text
      for question, solution in self.solved
      for text in (
        text_format.prompt((), question.prompt, question.choices, ''),
        text_format.answer(solution),
      )
    ]

  def rows(
    self,
    tokenizer: tokenizer_lib.Tokenizer,
    text_format: formats.Format,
    row_tokens: int,
  ) -> list[episodes_lib.TokenRow]:
    rows = []
    for question, solution in self.solved:
      prompt = chat_history.begin(tokenizer).add_observation(
        text_format.prompt((), question.prompt, question.choices, '')
      )
      answer = [
        *tokenizer.encode(text_format.answer(solution)),
        tokenizer.turn_end_id,
      ]
      if len(prompt) + len(answer) <= row_tokens:
        row = episodes_lib.TokenRow()
        row.read(prompt)
        row.sample(answer, [0.0] * len(answer), 0)
        rows.append(row)
    return rows


class QuestionDomain:
  """Questions; see `domain.Domain`.

  Args:
    options: what is asked.
    max_steps: of an episode; the tries bound it here.
    seed: of the order in which questions of a file are taken.
  """

  won = 'questions answered'
  answers = True

  def __init__(self, options: QuestionOptions, max_steps: int, seed: int):
    del max_steps
    self._options = options
    self._seed = seed
    self.demonstration_count = options.warm_start_questions
    self.train_tasks: Sequence[questions.Question]
    self.test_tasks: Sequence[questions.Question]
    self.train_from = self.test_from = ''
    self._kinds: dict[str, str] = {}

  def load(self) -> None:
    options = self._options
    if not options.tasks:
      raise ValueError('there is no --task to ask questions of')
    self.train_tasks, self.train_from = self._load(
      options.questions,
      options.training_count or (0 if options.questions else 5000),
      'train',
      _TRAINING,
    )
    self.test_tasks, self.test_from = self._load(
      options.evaluate_on,
      options.evaluation_count or (0 if options.evaluate_on else 200),
      'eval',
      0,
    )

  def _load(self, path, count, split, seed):
    """Questions, and in words where they come from."""
    tasks = self._options.tasks
    if any(task in FILES for task in tasks):
      if len(tasks) > 1:
        raise ValueError(
          f'--task={", ".join(tasks)}: questions of a file are of one kind'
        )
      return self._read(tasks[0], path, count, split)
    if path:
      raise ValueError(
        f'questions of {", ".join(tasks)} are generated, not read from {path}: '
        f'--task must be one of {", ".join(FILES)} for that'
      )
    return self._generate(count, split, seed), (
      f'{count} questions of {", ".join(tasks)} ({split} split)'
    )

  def _read(self, task, path, count, split):
    if not path:
      flag = 'questions' if split == 'train' else 'evaluate_on'
      raise ValueError(f'--task={task} needs a file: give --{flag}=PATH')
    own = self._options.instruction == 'own'
    words = {} if own else {'instruction': self._options.instruction}
    found = FILES[task](os.path.expanduser(path), **words)
    # Any part of a file is a fair one.
    order = np.random.default_rng([self._seed, 5]).permutation(len(found))
    found = [found[i] for i in order[: count or None]]
    self._kinds.update({question.name: task for question in found})
    return found, f'{len(found)} questions of {os.path.basename(path)}'

  def _generate(self, count, split, seed):
    tasks = self._options.tasks
    own = self._options.instruction == 'own'
    words = {} if own else {'instruction': self._options.instruction}
    parts = []
    for number, task in enumerate(tasks):
      share = count // len(tasks) + (number < count % len(tasks))
      if share:
        try:
          part = questions.procedural.generate(
            task,
            share,
            split=split,
            seed=seed,
            settings=self._options.settings_of(task),
            **words,
          )
        except questions.CheckerUnavailable as error:
          raise ValueError(f'{error} (here: make procedural)') from None
        parts.append(part)
    return questions.procedural.mix(*parts)

  def environment(self) -> functools.partial:
    return functools.partial(
      questions.QuestionEnvironment,
      tries=self._options.tries,
      failed_check=self._options.failed_check,
    )

  def task_sentence(self, task: questions.Question) -> str:
    return task.name

  def task_type(self, task: questions.Question) -> str:
    # Generated questions, which are made when they are asked for, know it.
    return getattr(task.checker, 'task', None) or self._kinds[task.name]

  def demonstrate(self, on_task: Callable[[], None]) -> WorkedSolutions:
    count = self._options.warm_start_questions
    if self._options.tasks[0] in FILES:
      asked = self.train_tasks[:count]
    else:
      asked = self._generate(count, 'train', _DEMONSTRATIONS)
    solved = []
    for question in asked:
      solved.append((question, worked_solutions.solve(question)))
      on_task()
    return WorkedSolutions(solved)
