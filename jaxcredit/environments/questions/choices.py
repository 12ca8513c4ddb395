"""Which of several options, named by letters, a text chooses.

Letters that are words ('A man', 'I think') or parts of names ('hepatitis A',
'vitamin B') are not choices: a letter counts where it stands in front and is
set apart, in parentheses, or behind a word that chooses ('option B', 'I pick
B').
"""

import re
import unicodedata
from collections.abc import Mapping

# What may follow a letter in front, where no sign sets it apart.
_AFTER = (
  'because since as for is was due by which would will seems fits and but not '
  'with given in on from here that this when if so then over rather instead '
  'correct right best'
)
_SET_APART = r'(?=\s{0,3}(?:[).:,;!\]*"\'}$\u2014\u2013]|\n|\Z|-(?=\s)))'
_FOLLOWED = rf'(?=\s{{1,3}}(?:{"|".join(_AFTER.split())})(?![A-Za-z\'\u2019]))'
_OPENING = re.compile(
  r'(?:[\s:*_`("\'\[${]|\\(?:text|textbf|mathrm|mathbf|boxed|left)\s?\{?|'
  r'(?:most\s+likely|clearly|probably|definitely|therefore|option|choice|'
  r'letter|answer)(?![A-Za-z]))*+',
  re.IGNORECASE,
)
_CHOOSES = (
  r'(?i:options?|choices?|letters?|answers?|choose|chose|pick|select|say|'
  r'with|but|be|is|:|=)'
)


def _plain(text: str) -> str:
  text = unicodedata.normalize('NFKC', text).casefold()
  return ' '.join(re.sub(r'[$*_`{}]|\\[a-z]+', ' ', text).split()).strip(
    '.,;:"\'\u201c\u201d '
  )


def _spelled_out(text: str, options: Mapping[str, str]) -> str | None:
  """The letter of the option that the text spells out, if just one does."""
  wanted = _plain(text)
  found = [k for k, option in options.items() if _plain(option) == wanted]
  return found[0] if len(found) == 1 and wanted else None


def _is_word(text: str) -> bool:
  """Whether a text begins with a word of one letter: 'I, for one, ...'."""
  return bool(
    re.match(r'[AIai],\s+(?!because|since|as\s+(?:it|the)|for\s)[a-z]', text)
  )


def _begun(text: str, options: Mapping[str, str]) -> str | None:
  """The letter of the longest option that the text begins with."""
  text = _plain(text)
  found: list[tuple[int, str]] = []
  for letter, option in options.items():
    plain = _plain(option)
    if plain and re.match(rf'{re.escape(plain)}(?!\w)', text):
      found.append((len(plain), letter))
  found.sort(reverse=True)
  if not found or (len(found) > 1 and found[0][0] == found[1][0]):
    return None
  return found[0][1]


def _joined(text: str, end: int, letter: str, letters: str) -> bool:
  """Whether another letter is named in one breath: 'B or C', '(A), (B)'."""
  behind = re.match(
    r'[\s)\].*_"\'}$]{0,6}(?:,|/|&|;|\bor\b|\band\b|\bto\b)+\s{0,3}'
    rf'(?:(?:or|and|also|option|maybe|perhaps)\s+){{0,2}}'
    rf'[(\["\'*$]{{0,3}}(?P<other>[{letters}])(?![A-Za-z0-9_\'\u2019])',
    text[end : end + 60],
  )
  if behind is None or behind['other'] == letter:
    return False
  # 'A, I think': a word.
  following = text[end + behind.end() : end + behind.end() + 30]
  if behind['other'] in 'AI':
    return not re.match(r'\s+[a-z]', following) or bool(
      re.match(r'\s+(?:or|and|are|both)\b', following)
    )
  return True


def stated(text: str, options: Mapping[str, str]) -> str | None:
  """The letter that a statement of an answer names.

  Args:
    text: of a box, or behind a mark.
    options: letter, in upper case -> option.

  Returns:
    The letter; '' where several are named; None where none is.
  """
  letters = ''.join(options)
  found = _spelled_out(text, options)
  if found:
    return found
  begins = _OPENING.match(text).end()
  rest = text[begins:]
  option = _begun(rest, options)
  if re.match(r'(?:both|either|neither)(?![A-Za-z])', rest, re.IGNORECASE):
    return ''
  letter = re.match(
    rf'(?:([{letters}])(?:{_SET_APART}|{_FOLLOWED})|([{letters.lower()}])'
    rf'{_SET_APART})',
    rest,
  )
  if letter and _is_word(rest):
    letter = None
  if letter is None:
    # 'B zinc', with nothing between the letter and its option.
    named = re.match(rf'([{letters}])\s', rest)
    if named and _begun(rest[named.end() :], options) == named[1]:
      return named[1]
    if option:
      return option
    return _named(text, letters)
  name = (letter[1] or letter[2]).upper()
  if option and option != name and len(_plain(options[option])) > 1:
    return option
  if _joined(text, begins + letter.end(), name, letters):
    return ''
  # A letter beside the full text of another option is no choice.
  behind = _spelled_out(
    re.sub(r'^[\s).:,\]*-]+', '', rest[letter.end() :]), options
  )
  return name if behind in (None, name) else ''


def _named(text: str, letters: str) -> str | None:
  """The last letter that is named as a choice; '' where several are at once."""
  last = None
  for found in _patterns(letters).finditer(text):
    last = found
  if last is None:
    return None
  name = next(filter(None, last.groups())).upper()
  end = last.end()
  if _joined(text, end, name, letters):
    return ''
  before = text[max(0, last.start() - 40) : last.start()]
  other = re.search(
    rf'(?<![A-Za-z0-9_])[(]?([{letters}])[)]?\s{{0,3}}(?:,|/|&|\bor|\band)'
    r'\s{0,3}(?:or\s|and\s|option\s|choice\s)?\s{0,3}$',
    before,
  )
  return '' if other and other[1] != name else name


def _patterns(letters: str) -> re.Pattern:
  alone = r'(?<![A-Za-z0-9_])'
  follows = rf'(?:{_SET_APART}|{_FOLLOWED})'
  return re.compile(
    # '(b)', 'b)'; a letter on a line of its own; 'option B'.
    rf'{alone}([{letters}{letters.lower()}])\)'
    rf'|(?:\A|\n)[ \t*_$]{{0,6}}([{letters}])[ \t*_.$]{{0,6}}(?=\n|\Z)'
    rf'|(?<![A-Za-z]){_CHOOSES}\s{{0,3}}(?:is\s)?[*_"\'$]{{0,3}}'
    rf'([{letters}]){follows}'
  )


def named(text: str, options: Mapping[str, str]) -> str:
  """The letter that a text without statements chooses.

  Args:
    text: what was said.
    options: letter, in upper case -> option.

  Returns:
    The letter; '' where none is named, or several at once.
  """
  letters = ''.join(options)
  found = _spelled_out(text[:2_000], options)
  if found:
    return found
  begins = re.match(r'[\s*_$("\'\[]*', text).end()
  letter = re.match(
    rf'([{letters}{letters.lower()}]){_SET_APART}', text[begins : begins + 20]
  )
  if letter is None or _is_word(text[begins:]):
    return _named(text, letters) or ''
  name = letter[1].upper()
  return '' if _joined(text, begins + letter.end(), name, letters) else name
