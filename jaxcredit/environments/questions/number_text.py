r"""Numbers as people and models write them, with their exact values.

Read are: separators of thousands (1,234 and, in LaTeX, 1{,}234, 1\,234, 1~234,
1\;234, 1,\!234), signs with or without a space, dashes that are typeset for a
minus, decimals, powers of ten (6e3, 6 \times 10^3, 10^{-3}), fractions (3/8,
\frac{3}{8}, {3 \over 8}), mixed numbers (3 1/2, 3\frac{1}{2}), currency,
units, per cent (50% is 50), words of number (5 million), and digits with a base
(101_2), whose base is part of the value. Nothing is evaluated: '9 * 2' is no
number, and no two numbers beside each other are one.

No pattern here can be matched in more than one way at a place, or they are
possessive: all searches take time in proportion to the text.
"""

import fractions
import re
from typing import NamedTuple

Value = fractions.Fraction | tuple[str, int]

_MAX_DIGITS = 200
_MAX_EXPONENT = 100

# Between groups of three digits, never between other digits.
_SEPARATOR = (
  r'(?:\{,\}|\{\\,\}|,(?:\\[,;:! ])?|\\[,;:! ]|~|[\u00a0\u2009\u202f\'\u2019])'
)
_WHOLE = (
  rf'(?:[1-9][0-9]{{0,2}}(?:{_SEPARATOR}[0-9]{{3}}(?![0-9]))++'
  # In India the groups have two digits but for the last.
  r'|[1-9][0-9]?(?:,[0-9]{2}(?![0-9]))++,[0-9]{3}(?![0-9])'
  r'|[1-9][0-9]{0,2}(?:\.[0-9]{3}(?![0-9])){2,}+(?!\.?[0-9])'
  r'|[0-9]++)'
)
_DECIMAL = (
  rf'(?:{_WHOLE}(?:\.[0-9]++)?+|\.[0-9]++)'
  r'(?:[eE][-+\u2212]?[0-9]++(?![0-9A-Za-z]))?+'
)
_SIGN = r'(?:[-+\u2212\u2010-\u2015\uff0d]|\\-|(?:minus|negative)(?=\s))'
_PART = rf'\{{\s*+(?:{_SIGN}\s*+)?+{_DECIMAL}\s*+\}}'
_FRACTION = (
  rf'(?:\\[dtc]?frac\s*+(?:{_PART}|[0-9])\s*+(?:{_PART}|[0-9])'
  rf'|\{{\s*+{_DECIMAL}\s*+\\over\s*+{_DECIMAL}\s*+\}})'
)
_SUPERSCRIPT = '\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079'
_POWER = (
  r'10\s?(?:(?:\^|\*\*)\s?(?:\{\s?[-+\u2212]?[0-9]++\s?\}|[-+\u2212]?[0-9]++)'
  rf'|[\u207b\u207a]?[{_SUPERSCRIPT}]++)'
)
_TIMES = r'\s*+(?:\\times|\\cdot|[\u00d7\u00b7*x])\s*+'
# The body of a number, without its sign and currency.
_BODY = (
  rf'(?:(?P<mixed>[0-9]++)(?:\s++|\\[ ,;]|~)?+(?P<part>{_FRACTION})'
  r'|(?P<whole>[0-9]++)(?:\s++|\\\s|~)'
  r'(?P<over>[0-9]++)\s?[/\u2044]\s?(?P<under>[0-9]++)'
  r'(?!\.?[0-9]|\s?/)'
  rf'|(?P<fraction>{_FRACTION})'
  rf'|(?P<power>{_POWER})'
  rf'|(?P<decimal>{_DECIMAL})(?:{_TIMES}(?P<times>{_POWER})'
  rf'|\s?[/\u2044]\s?(?P<denominator>{_DECIMAL})(?!\s?/\s?[0-9])'
  r'|_\{?\(?(?P<base>[0-9]{1,3})\)?\}?)?+)'
)
_CURRENCY = (
  r'(?:(?:US|AU|CA)?\\?\$|[\u20ac\u00a3\u00a5\u20b9]|\\(?:euro|pounds|yen)(?![A-Za-z])'
  r'|(?:USD|EUR|GBP|Rs\.?)(?![A-Za-z]))'
)
NUMBER = re.compile(
  rf'(?:(?P<sign>{_SIGN})\s*+)?+(?:{_CURRENCY}\s?)?+'
  rf'(?:(?P<inner>{_SIGN})\s*+)?+{_BODY}',
)
# In prose a sign stands at its number, and behind a space or a bracket.
_IN_PROSE = re.compile(
  r'(?<![0-9A-Za-z_.^])(?<!\^\{)(?<!_\{)'
  rf'(?:(?<![)}}\]])(?<![0-9)}}\]]\s)(?P<sign>{_SIGN}))?+'
  rf'(?:{_CURRENCY}\s?)?+(?P<inner>(?!))?+{_BODY}'
)
_VULGAR = {
  '\u00bc': '1/4', '\u00bd': '1/2', '\u00be': '3/4', '\u2150': '1/7',
  '\u2151': '1/9', '\u2152': '1/10', '\u2153': '1/3', '\u2154': '2/3',
  '\u2155': '1/5', '\u2156': '2/5', '\u2157': '3/5', '\u2158': '4/5',
  '\u2159': '1/6', '\u215a': '5/6', '\u215b': '1/8', '\u215c': '3/8',
  '\u215d': '5/8', '\u215e': '7/8',
}  # fmt: skip
_VULGAR_SIGN = re.compile(f'[{"".join(_VULGAR)}]')
_SPACED = re.compile(
  r'(?<![0-9.,/])(?:[1-9][0-9]{0,2})(?: [0-9]{3}(?![0-9]))++(?! ?/)'
)

MULTIPLIERS = {
  'hundred': 100, 'thousand': 1000, 'million': 10**6, 'billion': 10**9,
  'trillion': 10**12,
}  # fmt: skip
# Short names that are units, and not variables or other things.
_UNITS = frozenset(
  'm s h g l L N V W A C K J F mm cm dm km mi ft in yd ms hr kg mg lb oz ml mL '
  'kJ kW Hz kHz Pa kPa mA kV mV mph kph rpm rad deg min sec hrs lbs sq cu am '
  'pm'.split()
)
_NO_UNITS = frozenset(
  'and or to of plus minus times not if pi sqrt log sin cos tan exp mod choose '
  'frac over divided squared cubed inf nan than half quarter third'.split()
)
_UNIT_PIECE = re.compile(
  r'\\(?:text|textrm|textnormal|textbf|textit|mathrm|mathbf|mathit|mbox|rm|'
  r'operatorname|unit)\s?\{(?P<text>[^{}\\]*)\}'
  r'|(?P<word>[^\W\d_][^\W_]*)'
  r'|\s++|\\[,;:! ]|~|\\%|%|\\(?:circ|degree|cdot|quad)(?![A-Za-z])'
  rf'|\^\s?\{{?\s?(?:\\circ|-?[0-9])\s?\}}?|[\u00b0{_SUPERSCRIPT}/\u00b7.\'\u2019-]'
  r'|\\?\$|[\u20ac\u00a3\u00a5\u20b9]'
)


class Found(NamedTuple):
  """A number in a text.

  Attributes:
    text: as it is written.
    value: its value; None for one that nobody asked for (more than 200 digits,
      an exponent above 100, a denominator of 0).
    begins, ends: where it stands.
  """

  text: str
  value: Value | None
  begins: int
  ends: int


def plain(text: str) -> str:
  """A text with vulgar fractions spelled out: '3½' becomes '3 1/2'."""
  if not _VULGAR_SIGN.search(text):
    return text
  return _VULGAR_SIGN.sub(lambda found: f' {_VULGAR[found.group()]}', text)


def joined(text: str) -> str:
  """A text whose spaces between groups of three digits are left out."""
  return _SPACED.sub(lambda found: found.group().replace(' ', ''), text)


def _digits(text: str) -> str:
  """A decimal in Python's form; separators of groups are left out."""
  text = text.strip().replace('\u2212', '-')
  mantissa, mark, exponent = re.fullmatch(
    r'([^eE]*)([eE]?)(.*)', text, re.DOTALL
  ).groups()
  if mantissa.count('.') > 1:
    mantissa = mantissa.replace('.', '')
  return re.sub(r'[^0-9.]', '', mantissa) + mark + exponent


def _decimal(text: str) -> fractions.Fraction | None:
  literal = _digits(text)
  _, _, exponent = literal.lower().partition('e')
  if len(literal) > _MAX_DIGITS or (
    exponent and (len(exponent) > 5 or abs(int(exponent)) > _MAX_EXPONENT)
  ):
    return None
  return fractions.Fraction(literal)


def _signed(text: str) -> fractions.Fraction | None:
  """A number in braces, or a single digit."""
  text = text.strip().strip('{}').strip()
  sign = re.match(_SIGN, text)
  value = _decimal(text[sign.end() :].strip() if sign else text)
  negative = sign is not None and sign.group() != '+'
  return -value if value is not None and negative else value


def _fraction(text: str) -> fractions.Fraction | None:
  text = text.replace('{,}', ',').replace('{\\,}', ',')
  if '\\over' in text:
    parts = text.strip('{}').split('\\over')
  else:
    parts = re.findall(r'\{[^{}]*\}|[0-9]', re.sub(r'^\\[a-z]+', '', text))
  above, below = (_signed(part) for part in parts)
  return above / below if above is not None and below else None


def _power(text: str) -> fractions.Fraction | None:
  text = text.translate(
    {ord(c): str(i) for i, c in enumerate(_SUPERSCRIPT)}
    | {0x207B: '-', 0x207A: '+', 0x2212: '-'}
  )
  found = re.fullmatch(r'10\s?(?:\^|\*\*)?\s?\{?\s?([-+]?[0-9]+)\s?\}?', text)
  if found is None or len(found[1]) > 5 or abs(int(found[1])) > _MAX_EXPONENT:
    return None
  return fractions.Fraction(10) ** int(found[1])


def _mixed(whole: str, part: fractions.Fraction | None):
  if part is None or not 0 < part < 1 or len(whole) > _MAX_DIGITS:
    return None
  return int(whole) + part


def _value(found: re.Match) -> Value | None:
  """The value of a match of a pattern with _BODY."""
  if found['mixed'] is not None:
    value = _mixed(found['mixed'], _fraction(found['part']))
  elif found['whole'] is not None:
    below = found['under']
    if max(len(found['over']), len(below)) > _MAX_DIGITS or not int(below):
      return None
    part = fractions.Fraction(int(found['over']), int(below))
    value = _mixed(found['whole'], part)
  elif found['fraction'] is not None:
    value = _fraction(found['fraction'])
  elif found['power'] is not None:
    value = _power(found['power'])
  elif found['base'] is not None:
    base = int(found['base'])
    if _negative(found) or len(found['decimal']) > _MAX_DIGITS:
      return None
    return (_digits(found['decimal']), base) if 2 <= base <= 36 else None
  else:
    value = _decimal(found['decimal'])
    for name, reads in (('times', _power), ('denominator', _decimal)):
      if value is not None and found[name] is not None:
        other = reads(found[name])
        if other is None or (name == 'denominator' and not other):
          return None
        value = value * other if name == 'times' else value / other
  if value is None or (found['sign'] and found['inner']):
    return None
  return -value if _negative(found) else value


def _negative(found: re.Match) -> bool:
  return any(found[name] not in (None, '', '+') for name in ('sign', 'inner'))


def at(text: str, start: int = 0) -> Found | None:
  """The number that begins at a place, signs with spaces included."""
  found = NUMBER.match(text, start)
  if found is None:
    return None
  return Found(found.group(), _value(found), found.start(), found.end())


def in_prose(text: str) -> list[Found]:
  """All numbers of a text, in their order."""
  return [
    Found(found.group(), _value(found), found.start(), found.end())
    for found in _IN_PROSE.finditer(text)
  ]


def factor(rest: str) -> int | None:
  """What the unit behind a number multiplies it by.

  Args:
    rest: what follows the number, to the end.

  Returns:
    1 for a unit or nothing, 10**6 for 'million dollars'; None where it is no
    unit: other numbers, variables, operators.
  """
  place, result, words = 0, 1, 0
  rest = re.sub(r'^([kK])(?![^\W_])', ' thousand', rest)
  while place < len(rest):
    piece = _UNIT_PIECE.match(rest, place)
    if piece is None or piece.end() == place:
      return None
    text = piece['text'] if piece['text'] is not None else piece['word']
    for word in re.findall(r'[^\W_]+', text or ''):
      words += 1
      if word.casefold() in MULTIPLIERS and words == 1:
        result = MULTIPLIERS[word.casefold()]
      elif not _is_unit(word, piece['text'] is not None):
        return None
    place = piece.end()
  # '5.' or '5/' with nothing behind is what prose does; '5-' is not.
  return None if rest.rstrip().endswith(('/', '-', '^')) else result


def _is_unit(word: str, in_text: bool) -> bool:
  # 'm2' and 'cm3' are powers of units.
  word = re.sub('(?<=[a-z])[23]$', '', word)
  if not word.isalpha() or word.casefold() in _NO_UNITS:
    return False
  if word.casefold() in MULTIPLIERS:
    return False
  return word in _UNITS or len(word) > 2 or (in_text and len(word) > 1)


def whole(text: str) -> Value | None:
  """The value of a text that is one number, with its unit and no more.

  Args:
    text: such as '1{,}234 \\text{ cm}^2', '-\\frac{3}{8}' or '5 million'.
  """
  found = at(text)
  if found is None or found.value is None:
    return None
  multiplier = factor(text[found.ends :])
  if multiplier is None:
    return None
  if multiplier == 1:
    return found.value
  return None if isinstance(found.value, tuple) else found.value * multiplier
