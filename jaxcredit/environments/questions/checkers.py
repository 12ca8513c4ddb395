"""Checkers that need nothing but the standard library.

Thoughts are never read (`environments.completion`); docs/answers.md has a table
of what is accepted.
"""

import dataclasses
import unicodedata

from jaxcredit.environments import completion
from jaxcredit.environments.questions import answers, choices, number_text


@dataclasses.dataclass(frozen=True)
class NumberChecker:
  r"""Scores 1 where the number answered equals the reference.

  The answer is the number of the last statement that has one: a box, or what
  stands behind a mark ('####', 'answer is', 'answer:'); else, unless `strict`,
  the last number of the text. '18', '$18.00' and '18.' are equal; 1/3 and 0.33
  are not. A box with several numbers, or an expression, is no number. Nothing
  is evaluated: '9 * 2' is read as a text whose last number is 2.

  Attributes:
    reference: the number, such as '1,234', '-3/4' or, with its base, '101_2'.
    strict: whether an answer needs a mark or a box.
    tolerance: how far an answer may be from the reference, as a part of it; 0
      for exactly equal.
  """

  reference: str
  strict: bool = False
  tolerance: float = 0.0

  def __post_init__(self):
    if answers.reference(self.reference) is None:
      raise ValueError(
        f'the reference answer must be a number, not {self.reference!r}'
      )
    check_tolerance(self.tolerance)

  def read(self, text: str) -> str:
    text = completion.said(text).text
    for statement in answers.statements(text):
      found = answers.number_stated(statement)
      if found is not None:
        return found
    if self.strict or answers.denies(text):
      return ''
    return answers.last_number(text) or ''

  def __call__(self, text: str) -> float:
    found = number_text.whole(self.read(text))
    wanted = answers.reference(self.reference)
    if found is None or isinstance(found, tuple) or isinstance(wanted, tuple):
      return float(found == wanted)
    return float(abs(found - wanted) <= self.tolerance * abs(wanted))


def check_tolerance(tolerance: float) -> None:
  """Raises ValueError for what is no relative tolerance."""
  if not 0 <= tolerance < 1:
    raise ValueError(
      f'tolerance must lie between 0 and 1 (1 not included), not {tolerance}'
    )


@dataclasses.dataclass(frozen=True)
class ChoiceChecker:
  """Scores 1 where the letter answered is the reference.

  The last statement that names one counts (a box, or what stands behind a
  mark), else the whole text: an option in full, or the letter that is named;
  see `choices`. Where several are named ('B or C') none is.

  Attributes:
    reference: the letter of the right option.
    options: the options, that of 'A' first.
  """

  reference: str
  options: tuple[str, ...]

  def __post_init__(self):
    if not 2 <= len(self.options) <= 26:
      raise ValueError(f'options must be 2 to 26, not {len(self.options)}')
    if len(self.reference) != 1 or self.reference not in self.letters:
      raise ValueError(
        f'the reference answer must be one of {self.letters}, not '
        f'{self.reference!r}'
      )

  @property
  def letters(self) -> str:
    return 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[: len(self.options)]

  def read(self, text: str) -> str:
    text = completion.said(text).text
    options = dict(zip(self.letters, self.options, strict=True))
    for statement in answers.statements(text):
      found = choices.stated(statement.text[: answers.LONGEST], options)
      if found is not None:
        return found
    return choices.named(text, options)

  def __call__(self, text: str) -> float:
    return float(self.read(text) == self.reference)


@dataclasses.dataclass(frozen=True)
class ExactChecker:
  """Scores 1 where the answer is the reference, case and spaces aside.

  The answer is what the last box holds or the rest of the line after the last
  mark, whichever stands later, else the whole text; without signs of
  mathematics and markdown around it.

  Attributes:
    reference: the answer.
  """

  reference: str

  def __post_init__(self):
    if not _plain(self.reference):
      raise ValueError('the reference answer must not be empty')

  def read(self, text: str) -> str:
    text = completion.said(text).text
    for statement in answers.statements(text):
      return answers.bare(statement.text)
    return text.strip()

  def __call__(self, text: str) -> float:
    found = self.read(text)
    said = completion.said(text).text
    wanted = _plain(self.reference)
    return float(
      wanted in (_plain(found), _plain(answers.bare(found[: answers.LONGEST])))
      or _plain(said) == wanted
    )


def _plain(text: str) -> str:
  """Case, forms of characters, spaces and a full stop at the end removed."""
  text = unicodedata.normalize('NFKC', text).casefold()
  return ' '.join(text.split()).strip('.').strip()
