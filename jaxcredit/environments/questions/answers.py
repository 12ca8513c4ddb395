r"""Finds the answer in what was said: statements, and the numbers in them.

A statement of an answer is a box (`\boxed{...}`), what follows a mark ('####',
'answer is', 'answer:') or, for some checkers, the whole text. The last complete
statement counts: boxes that are empty or not closed, boxes that only speak of
an answer ('\boxed{your answer}'), marks with nothing behind them and headings
('#### Step 2') are passed over.

All searches take time in proportion to the text: no pattern below can be
matched in more than one way at a place, so none backtracks. Text is compared,
never evaluated.
"""

import fractions
import re
from collections.abc import Iterator
from typing import NamedTuple

from jaxcredit.environments import completion
from jaxcredit.environments.questions import number_text

_MARK = re.compile(
  r'(?P<heading>####)|'
  r'answer(?:[\s*_]{0,4}(?:=|:|\uff1a)'
  r'|\s{1,4}(?:is|was|will be|would be)(?![A-Za-z])'
  r'(?!\s{1,4}not(?![A-Za-z]))[\s*_]{0,4}:?)',
  re.IGNORECASE,
)
# More statements than that are a model in a loop, and each costs a look.
_MOST = 64
# Longer ones are no answers.
LONGEST = 1_000


class Statement(NamedTuple):
  """Where a text states an answer.

  Attributes:
    kind: 'box', 'mark' or 'heading' (####).
    text: what it states; of marks the rest of the line, or the line below.
    begins: where that stands.
  """

  kind: str
  text: str
  begins: int


def statements(text: str) -> Iterator[Statement]:
  """Statements of an answer that hold something, the last one first.

  Args:
    text: what was said.
  """
  found = [
    Statement('box', content, begins)
    for begins, content in _boxes(text)[-_MOST:]
    if not completion.is_placeholder(content)
  ]
  marks = list(_MARK.finditer(text))[-_MOST:]
  ends = [mark.start() for mark in marks[1:]] + [len(text)]
  for mark, end in zip(marks, ends, strict=False):
    line = text[mark.end() : min(end, mark.end() + 2 * LONGEST)]
    # Of a mark with its line to itself: '**Answer:**' and the answer below.
    opening = re.match(r'[\s*_]*', line).end()
    rest = line[opening:].split('\n', 1)[0].strip()
    kind = 'heading' if mark['heading'] else 'mark'
    if rest and not completion.is_placeholder(rest):
      if kind == 'mark' or '\n' not in line[:opening]:
        found.append(Statement(kind, rest, mark.end() + opening))
  found.sort(key=lambda statement: statement.begins, reverse=True)
  yield from found


_BOX = re.compile(r'\\(?:boxed|fbox)(?![A-Za-z])\s{0,4}')
_BRACE = re.compile(r'\\.|[{}]', re.DOTALL)
# Without braces a box holds what LaTeX puts into it, or a whole number; a word
# is the sentence going on: 'as in \boxed above'.
_BARE = re.compile(
  r'[-+\u2212]?[0-9][0-9.,/]*+(?<![.,/])'
  r'|(?:[A-Za-z]|\\[dt]?frac\s?[0-9]\s?[0-9])'
  r'(?=\s{0,4}(?:\$|\\\)|\\\]|[.,;]?\s{0,4}(?:\n|\Z)))'
)


def _boxes(text: str) -> list[tuple[int, str]]:
  """Where each closed box begins, and what it holds; no box within another."""
  opened, closed_by = [], {}
  for brace in _BRACE.finditer(text):
    if brace.group() == '{':
      opened.append(brace.start())
    elif brace.group() == '}' and opened:
      closed_by[opened.pop()] = brace.start()
  found, inside = [], -1
  for box in _BOX.finditer(text):
    begins = box.end()
    if begins <= inside:
      continue
    if text.startswith('{', begins):
      if begins in closed_by:
        inside = closed_by[begins]
        # Of a box that holds a box, and nothing else, the inner one.
        ends = inside
        while inner := _BOX.match(text, begins + 1):
          if closed_by.get(inner.end(), -1) + 1 != ends:
            break
          begins, ends = inner.end(), ends - 1
        found.append((begins, text[begins + 1 : ends].strip()))
    elif bare := _BARE.match(text, begins):
      found.append((begins, bare.group()))
  return found


def boxed(text: str) -> str | None:
  r"""What the last \boxed{...} of a text holds, braces nested as they may be.

  Args:
    text: any.

  Returns:
    The content; '' where all closed boxes are empty, None where no box is
    closed. `\fbox{...}` and the form without braces, `\boxed 3`, count too.
  """
  found = [content for _, content in _boxes(text)]
  stated = [c for c in found if not completion.is_placeholder(c)]
  return (stated or found or [None])[-1]


def number(text: str) -> fractions.Fraction | None:
  """The exact value of a text that is a number and nothing else.

  Args:
    text: such as '1,234.5', '-3/4', '$18', '1e3', '50%' (which is 50).

  Returns:
    The value; None where the text is not a number, or one of more than 200
    digits or an exponent above 100, which nobody asked for.
  """
  value = reference(text)
  return None if isinstance(value, tuple) else value


def reference(text: str) -> number_text.Value | None:
  """As `number`; digits with a base, as in '101_2', are (digits, base)."""
  text = text.strip().rstrip('.%').rstrip('\\').strip()
  found = number_text.at(text)
  if found is None or found.ends != len(text):
    return None
  return found.value


_WRAPPED = re.compile(
  r'\\(?:text|textbf|textit|textrm|mathbf|mathrm|mathit|mbox|boldsymbol|bm)'
  r'\s?\{(?P<inner>(?:[^{}\\]|\\[,;:! %$])*+)\}'
)
_SPACE = re.compile(
  r'\\(?:left|right|displaystyle|bigl?|bigr|quad|qquad)(?![A-Za-z])'
)
_EDGES = (
  ('$$', '$$'), ('$', '$'), ('\\(', '\\)'), ('\\[', '\\]'), ('**', '**'),
  ('__', '__'), ('*', '*'), ('`', '`'), ('"', '"'), ("'", "'"),
  ('\u201c', '\u201d'), ('{', '}'),
)  # fmt: skip


def bare(text: str) -> str:
  r"""A statement without what is not part of the answer.

  Args:
    text: such as '**$\text{Oslo}$**.'.

  Returns:
    Such as 'Oslo': without signs of mathematics and markdown around it, without
    a full stop, and without \text{} where that holds all of it.
  """
  text = text.strip()
  while True:
    before = text
    text = text.strip().rstrip(',;:').strip()
    if text.endswith('.') and not text.endswith('..'):
      text = text[:-1]
    if text.endswith('\\') and not text.endswith('\\\\'):
      text = text[:-1]
    for opening, closing in _EDGES:
      size = len(opening) + len(closing)
      if (
        len(text) > size
        and text.startswith(opening)
        and text.endswith(closing)
        and not text.endswith('\\' + closing)
      ):
        inner = text[len(opening) : -len(closing)]
        if (
          opening not in inner
          and closing not in inner
          and (opening != '{' or '\\over' not in inner)
        ):
          text = inner
          break
    if wrapped := _WRAPPED.fullmatch(text):
      text = wrapped['inner']
    # Signs that an unfinished pair left: 'Answer: 88**', '$5$ dollars' stays.
    for sign in ('**', '$$', '$'):
      if text.endswith(sign) and text.count(sign) == 1:
        text = text[: -len(sign)]
    text = text.lstrip('*').strip()
    if text == before:
      return text


# In front of a number: what says that it is one, or about one.
_LEAD = re.compile(
  r'(?:[\s*_`:=\u2248~]|\$(?=\s|\\|[-+\u2212\u2013]|[A-Za-z(])|\\\(|\\\[|\\(?:approx|'
  r'displaystyle|quad)(?![A-Za-z])|\{(?=\s*[-+$0-9])(?![^{}]{0,80}\\over)'
  r'|(?:about|approximately|roughly|exactly|just|only|therefore|thus|simply|'
  r'clearly|equal to|equals)(?![A-Za-z])'
  r'|[A-Za-z](?:_\{?[A-Za-z0-9]+\}?)?\s?=(?!=))*+',
  re.IGNORECASE,
)
# Behind a number: what makes it a part of something else. Signs that close
# mathematics or bold letters come first.
_GOES_ON = re.compile(
  r'(?:[\s`}]|[*_]{1,3}(?!\s?[0-9(\\$])|\$|\\\)|\\\])*+'
  r'(?:[+*\u00d7\u00f7^=<>\u2212_](?!\s*$)|!(?=\S)|/\s*+[0-9(\\]'
  r'|:[0-9]|(?<=\s)[0-9]'
  r'|[-\u2010-\u2015]\s*+(?:[0-9(\\]|[a-z](?![a-z]))'
  r'|\\(?:times|cdot|div|pm|sqrt|pi|[dct]?frac)(?![A-Za-z])'
  r'|(?:or|and|to|plus|minus|times|divided)\s++(?:about\s++)?[-$\\]{0,2}[0-9]'
  r'|[,;&]\s*+(?:and\s++|or\s++)?[-$\\]{0,2}[0-9][0-9.,/]*+\s*+'
  r'(?:$|[.,;)*$]|and|or))',
  re.IGNORECASE,
)
_HEADING = re.compile(r'[.):]\s*+[*_]*[^\W\d_]')
_SENTENCE = re.compile(r'[.!?](?=\s|$)')
UNCLEAR = ''


def number_stated(statement: Statement) -> str | None:
  """The number that a statement states.

  Args:
    statement: see `statements`.

  Returns:
    The number as it is written, with words that multiply it; '' where the
    statement is no single number; None where it is no statement of a number
    at all, as a heading.
  """
  text = number_text.plain(statement.text[:LONGEST])
  if statement.kind == 'box':
    return _of_whole(text)
  if statement.kind == 'heading':
    text = number_text.joined(text)
  lead = _LEAD.match(text).end()
  found = number_text.at(text, lead)
  if found is None:
    return None if statement.kind == 'heading' else _only_number(text)
  rest = text[found.ends :]
  if statement.kind == 'heading' and _HEADING.match(rest):
    return None
  return _with_rest(found.text, rest, text)


def _with_rest(number: str, rest: str, text: str) -> str:
  """A number that stands in front, where what follows leaves it alone."""
  phrase = _SENTENCE.split(text, maxsplit=1)[0]
  if _GOES_ON.match(rest):
    before, equals, after = phrase.rpartition('=')
    return _of_whole(after) if equals and before else UNCLEAR
  glued = re.match(r'[^\W\d_]+', rest)
  if glued and number_text.factor(glued.group()) is None:
    return UNCLEAR
  word = re.match(r'\s*+(?:\\text\{)?\s*+([A-Za-z]+)', rest)
  if word and not glued and word[1].casefold() in number_text.MULTIPLIERS:
    return f'{number} {word[1]}'
  if glued and number_text.factor(glued.group()) != 1:
    return f'{number}{glued.group()}'
  return number


def _of_whole(text: str) -> str:
  """The number that a text is, and nothing else; '' where it is none."""
  text = text.replace('{,}', ',').replace('{\\,}', ',')
  text = bare(_SPACE.sub(' ', text))
  head, equals, tail = text.rpartition('=')
  if equals and not re.search(r'[,;=<>]|\bor\b|\band\b|\\text', head):
    text = bare(tail)
  text = number_text.joined(text)
  text = text[_LEAD.match(text).end() :]
  if text.startswith('(') and text.endswith(')') and ',' not in text:
    text = text[1:-1].strip()
  text = bare(text)
  return text if number_text.whole(text) is not None else UNCLEAR


def _only_number(text: str) -> str | None:
  """The number of a sentence that has one; '' for several, None for none."""
  sentence = _SENTENCE.split(text, maxsplit=1)[0]
  found = number_text.in_prose(sentence)
  if not found:
    return None
  if len({number.value for number in found}) == 1:
    last = found[-1]
    return _with_rest(last.text, sentence[last.ends :], sentence)
  _, equals, after = sentence.rpartition('=')
  return _of_whole(after) if equals else UNCLEAR


_PROSE = re.compile(r'(?<![\\A-Za-z])[^\W\d_]{2,}')


def formula(text: str) -> str:
  r"""The formula in LaTeX that was answered; '' for none.

  The last box or mark that holds one counts; a mark that is followed by prose
  holds one where it begins with a number ('The answer is 5 because ...').

  Args:
    text: what was said.
  """
  spare = ''
  for statement in statements(text):
    found = bare(statement.text)
    if statement.kind == 'box':
      return found
    if statement.kind == 'heading' and _HEADING.search(found[: LONGEST // 8]):
      if number_stated(statement) is None:
        continue
    sentence = bare(re.split(r'\.(?:\s|$)', statement.text, maxsplit=1)[0])
    words = _WRAPPED.sub(' ', sentence)
    if not _PROSE.search(re.sub(r'\\[A-Za-z]+', ' ', words)):
      return sentence
    spare = spare or found
    number = number_stated(statement)
    if number:
      return number
  return spare


_DENIES = re.compile(
  r'answer\s{1,4}(?:is|was)(?:\s{1,4}not|n[\'\u2019]t)(?![A-Za-z])',
  re.IGNORECASE,
)


def denies(text: str) -> bool:
  """Whether a text says what the answer is not."""
  return _DENIES.search(text) is not None


def last_number(text: str) -> str | None:
  """The last number in a text, as it is written there.

  Args:
    text: any.

  Returns:
    Such as '-1,200.50'; None where there is none.
  """
  found = number_text.in_prose(number_text.plain(text))
  return found[-1].text if found else None
