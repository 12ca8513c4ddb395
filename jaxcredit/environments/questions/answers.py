"""Finds the answer in a text: number, letter or boxed formula.

All searches take time in proportion to the text: no pattern below can be
matched in more than one way at a place, so none backtracks. Text is compared,
never evaluated.
"""

import fractions
import re

# A number as prose writes it: sign, digits in groups or in a row, decimals, an
# exponent; or a fraction of integers. The lookbehind keeps the digits of a
# word or version (x2, 1.2.3) from being read as a number of their own.
_DIGITS = r'(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)'
_DECIMAL = (
  rf'(?:{_DIGITS}(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+(?![0-9A-Za-z]))?'
)
_NUMBER = re.compile(
  rf'(?<![0-9A-Za-z_.])(?P<sign>[-+\u2212])?[$\u20ac\u00a3]?(?P<number>{_DECIMAL})'
  rf'(?:/(?P<denominator>[0-9]+))?'
)
_MARK = re.compile(r'####|answer\s?(?:is:?|:|=)', re.IGNORECASE)
_MAX_DIGITS = 200
_MAX_EXPONENT = 100


def marked_part(text: str) -> str | None:
  """What follows the last mark ('####', 'answer is', 'answer:').

  Args:
    text: any.

  Returns:
    The rest of the text; None where there is no mark.
  """
  end = None
  for found in _MARK.finditer(text):
    end = found.end()
  return None if end is None else text[end:]


def boxed(text: str) -> str | None:
  r"""What the last \boxed{...} of a text holds, braces nested as they may be.

  Args:
    text: any.

  Returns:
    The content; None where no box is closed. `\fbox{...}` and the form
    without braces, `\boxed 3`, count too.
  """
  for start in reversed([f.end() for f in _BOX.finditer(text)][-_MAX_BOXES:]):
    rest = text[start:].lstrip(' ')
    if rest.startswith('{'):
      content = _braced(rest)
      if content is not None:
        return content.strip()
    elif found := _WORD.match(rest):
      return found.group()
  return None


_BOX = re.compile(r'\\(?:boxed|fbox)(?![A-Za-z])')
_WORD = re.compile(r'[^\s$\\{}]+')
# More boxes than that, none of them closed, are no answer; each costs a pass.
_MAX_BOXES = 16


def _braced(text: str) -> str | None:
  depth = 0
  escaped = False
  for i, character in enumerate(text):
    if escaped:
      escaped = False
    elif character == '\\':
      escaped = True
    elif character == '{':
      depth += 1
    elif character == '}':
      depth -= 1
      if depth == 0:
        return text[1:i]
  return None


def number(text: str) -> fractions.Fraction | None:
  """The exact value of a text that is a number and nothing else.

  Args:
    text: such as '1,234.5', '-3/4', '$18', '1e3', '50%' (which is 50).

  Returns:
    The value; None where the text is not a number, or one of more than 200
    digits or an exponent above 100, which nobody asked for.
  """
  text = text.strip().rstrip('.%').rstrip('\\').strip()
  found = _NUMBER.fullmatch(text)
  return None if found is None else _value(found)


def _value(found: re.Match) -> fractions.Fraction | None:
  literal = found['number'].replace(',', '')
  denominator = found['denominator'] or '1'
  if len(literal) > _MAX_DIGITS or len(denominator) > _MAX_DIGITS:
    return None
  _, _, exponent = literal.lower().partition('e')
  if exponent and abs(int(exponent)) > _MAX_EXPONENT:
    return None
  value = fractions.Fraction(literal)
  if int(denominator) == 0:
    return None
  value /= int(denominator)
  return -value if found['sign'] in ('-', '\u2212') else value


def last_number(text: str) -> str | None:
  """The last number in a text, as it is written there.

  Args:
    text: any.

  Returns:
    Such as '-1,200.50'; None where there is none.
  """
  last = None
  for found in _NUMBER.finditer(text):
    last = found
  return None if last is None else last.group()


def first_number(text: str) -> str | None:
  """The first number in a text, as it is written there."""
  found = _NUMBER.search(text)
  return None if found is None else found.group()


def choice(text: str, letters: str, *, set_apart: bool) -> str | None:
  """The letter that a text begins with, among those to choose from.

  Args:
    text: such as ' **(B)**', 'b' or 'B) because ...'.
    letters: upper-case letters, such as 'ABCD'.
    set_apart: whether a sign or the text's end must follow, as in lower case
      it must in any case: 'A man' and 'a man' begin with words.

  Returns:
    The letter, in upper case; None where the text begins with anything else.
  """
  follows = r'(?=[).:,\]*"\']|\s*\Z)'
  upper = follows if set_apart else '(?![A-Za-z0-9_])'
  found = re.match(
    rf'[\s:*("\'\[]*(?:([{letters}]){upper}|([{letters.lower()}]){follows})',
    text,
  )
  return None if found is None else (found[1] or found[2]).upper()


def last_choice(text: str, letters: str) -> str | None:
  """The last letter that stands alone among those to choose from.

  Args:
    text: any.
    letters: upper-case letters, such as 'ABCD'.

  Returns:
    The letter, in upper case; in lower case it counts before a parenthesis
    alone, as in '(a)', since 'a' is a word. None where there is none.
  """
  upper = rf'(?<![A-Za-z0-9_])[{letters}](?![A-Za-z0-9_\'\u2019])'
  lower = rf'(?<![A-Za-z0-9_])[{letters.lower()}](?=\))'
  last = None
  for found in re.finditer(f'{upper}|{lower}', text):
    last = found
  return None if last is None else last.group().upper()
