"""Questions as a text environment: answer, hear the verdict, try again."""

import json

from jaxcredit.environments import protocol
from jaxcredit.environments.questions import question as question_lib

_SHOWN = 60


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
    """Takes an answer."""
    if self._question is None:
      raise RuntimeError('reset the environment before it is stepped')
    if self._ended:
      return self._observe('The question was answered.', 0.0)
    score = self._question.score(action)
    answer = self._question.read(action)
    solved = score >= self._solved_at
    worth = score * self._try_discount ** len(self._answers)
    self._answers.append(answer)
    left = self._tries - len(self._answers)
    self._ended = solved or left == 0
    paid = solved or (self._ended and self._partial_credit)
    return self._observe(
      'Right.' if solved else _verdict(answer, left), worth if paid else 0.0
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


def _verdict(answer: str | None, left: int) -> str:
  if answer is None:
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
