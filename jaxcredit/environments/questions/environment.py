"""Questions as a text environment: answer, hear the verdict, try again."""

import json

from jaxcredit.environments import protocol
from jaxcredit.environments.questions import question as question_lib

_SHOWN = 60
FAILED_CHECK = ('lost', 'wrong')
# What is said where a check failed and the answer counts as wrong.
UNCHECKED = protocol.UNCHECKED


class CheckFailedError(RuntimeError):
  """Whether an answer is right could not be decided: the episode is lost."""


class QuestionEnvironment:
  """Asks a question; see `protocol.TextEnvironment`.

  The task that `reset` takes is a `Question`, the first observation its
  prompt. An answer that scores `solved_at` or more ends the episode; another
  is answered with the verdict, until the tries are used up. The reward comes
  late: it is the score of the answer that was right, in the step that ends the
  episode, and 0 before. With one try the question is single-turn.

  Equal anchors mean that the same question was asked and the same wrong
  answers were given, in that order; for checkers that do not tell what they
  read, that as many were given.

  Args:
    tries: answers that may be given.
    solved_at: the score, from 0 (not included) to 1, that ends the episode.
    try_discount: what a right answer is worth is multiplied by this for every
      try before it; 1 for no discount.
    failed_check: what becomes of an answer whose check failed (raised, ran out
      of time, gave no finite number). 'lost': `step` raises CheckFailedError,
      by which a pool loses the episode, with the reason, so that it takes no
      part; 'wrong': it counts as a wrong answer, and the verdict says that it
      was not checked.
    partial_credit: whether a last answer that is wrong is worth its score, for
      checkers that give scores between 0 and 1. Episodes that end so have a
      return above 0, which elsewhere counts as success.
  """

  def __init__(
    self,
    *,
    tries: int = 1,
    solved_at: float = 1.0,
    try_discount: float = 1.0,
    partial_credit: bool = False,
    failed_check: str = 'lost',
  ):
    if tries < 1:
      raise ValueError(f'tries must be positive, not {tries}')
    if not 0 < solved_at <= 1:
      raise ValueError(
        f'solved_at must lie above 0 and not above 1, not {solved_at}'
      )
    if not 0 <= try_discount <= 1:
      raise ValueError(
        f'try_discount must lie between 0 and 1, not {try_discount}'
      )
    if failed_check not in FAILED_CHECK:
      raise ValueError(
        f'failed_check must be one of {FAILED_CHECK}, not {failed_check!r}'
      )
    self._failed_check = failed_check
    self._tries = tries
    self._solved_at = solved_at
    self._try_discount = try_discount
    self._partial_credit = partial_credit
    self._question: question_lib.Question | None = None

  def reset(self, task: question_lib.Question) -> protocol.TextStep:
    """Asks a question."""
    if not isinstance(task, question_lib.Question):
      raise TypeError(
        'the task of a QuestionEnvironment is a Question, not '
        f'{type(task).__name__}'
      )
    task.prepare()
    self._question = task
    self._answers: list[str | None] = []
    self._ended = False
    return self._observe(task.prompt, 0.0)

  def step(self, action: str) -> protocol.TextStep:
    """Takes an answer.

    Raises:
      CheckFailedError: its check failed, and `failed_check` is 'lost'.
    """
    if self._question is None:
      raise RuntimeError('reset the environment before it is stepped')
    if self._ended:
      return self._observe('The question was answered.', 0.0)
    score, reason = self._question.judge(action)
    if score is None and self._failed_check == 'lost':
      self._ended = True
      raise CheckFailedError(
        f'the answer to {self._question.name!r} could not be checked: {reason}'
      )
    unchecked, score = score is None, score or 0.0
    answer = self._question.read(action)
    solved = score >= self._solved_at
    worth = score * self._try_discount ** len(self._answers)
    self._answers.append(answer)
    left = self._tries - len(self._answers)
    self._ended = solved or left == 0
    paid = solved or (self._ended and self._partial_credit)
    return self._observe(
      'Right.' if solved else _verdict(answer, left, unchecked),
      worth if paid else 0.0,
    )

  def _observe(self, text: str, reward: float) -> protocol.TextStep:
    question = self._question
    return protocol.TextStep(
      observation=text,
      reward=reward,
      terminated=self._ended,
      truncated=False,
      admissible=() if self._ended else tuple(sorted(question.choices)),
      # ASCII: an answer may hold half of a surrogate pair.
      anchor=json.dumps([question.prompt, *self._answers]),
    )


def _verdict(answer: str | None, left: int, unchecked: bool) -> str:
  if unchecked:
    text = UNCHECKED
  elif answer is None:
    text = 'That is wrong.'
  elif not answer.strip():
    text = 'No answer was found in that.'
  else:
    shown = ' '.join(answer.encode('utf-8', 'replace').decode().split())
    if len(shown) > _SHOWN:
      shown = f'{shown[:_SHOWN]}...'
    text = f'{shown!r} is wrong.'
  if left == 0:
    return text
  return f'{text} You may try {left} more time{"s" if left > 1 else ""}.'
