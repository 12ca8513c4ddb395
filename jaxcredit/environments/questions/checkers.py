"""Checkers that need nothing but the standard library."""

import dataclasses
import unicodedata

from jaxcredit.environments.questions import answers


@dataclasses.dataclass(frozen=True)
class NumberChecker:
  r"""Scores 1 where the number answered equals the reference exactly.

  The answer is the first number after the last mark ('####', 'answer is',
  'answer:'), else what the last `\boxed{...}` holds, else, unless `strict`,
  the last number of the text. '18', '$18.00' and '18.' are equal; 1/3 and 0.33
  are not. Nothing is evaluated: '9 * 2' is read as a text whose last number
  is 2.

  Attributes:
    reference: the number, such as '1,234' or '-3/4'.
    strict: whether an answer needs a mark or a box.
  """

  reference: str
  strict: bool = False

  def __post_init__(self):
    if answers.number(self.reference) is None:
      raise ValueError(
        f'the reference answer must be a number, not {self.reference!r}'
      )

  def read(self, text: str) -> str:
    marked = answers.marked_part(text)
    if marked is not None:
      found = answers.first_number(marked)
      if found is not None:
        return found
    box = answers.boxed(text)
    if box is not None:
      return answers.last_number(box) or ''
    if self.strict:
      return ''
    return answers.last_number(text) or ''

  def __call__(self, text: str) -> float:
    return float(
      answers.number(self.read(text)) == answers.number(self.reference)
    )


@dataclasses.dataclass(frozen=True)
class ChoiceChecker:
  """Scores 1 where the letter answered is the reference.

  It is looked for after the last mark, then in the last box, then in the whole
  text: an option in full, else the letter that stands at the beginning, else
  the last letter that stands alone.

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
    for part in (answers.marked_part(text), answers.boxed(text), text):
      if part is not None:
        found = (
          self._option(part)
          or answers.choice(part, self.letters, set_apart=part is text)
          or answers.last_choice(part, self.letters)
        )
        if found:
          return found
    return ''

  def _option(self, text: str) -> str | None:
    """The letter of the option that the text spells out, if just one does."""
    wanted = _plain(text)
    found = [
      letter
      for letter, option in zip(self.letters, self.options, strict=True)
      if _plain(option) == wanted
    ]
    return found[0] if len(found) == 1 and wanted else None

  def __call__(self, text: str) -> float:
    return float(self.read(text) == self.reference)


@dataclasses.dataclass(frozen=True)
class ExactChecker:
  """Scores 1 where the answer is the reference, case and spaces aside.

  The answer is the rest of the line after the last mark, else what the last
  box holds, else the whole text.

  Attributes:
    reference: the answer.
  """

  reference: str

  def __post_init__(self):
    if not _plain(self.reference):
      raise ValueError('the reference answer must not be empty')

  def read(self, text: str) -> str:
    marked = answers.marked_part(text)
    if marked is not None and marked.strip():
      return marked.strip().splitlines()[0].strip()
    box = answers.boxed(text)
    return text.strip() if box is None else box

  def __call__(self, text: str) -> float:
    return float(
      _plain(self.read(text)) == _plain(self.reference)
      or _plain(text) == _plain(self.reference)
    )


def _plain(text: str) -> str:
  """Case, forms of characters, spaces and a full stop at the end removed."""
  text = unicodedata.normalize('NFKC', text).casefold()
  return ' '.join(text.split()).strip('.').strip()
