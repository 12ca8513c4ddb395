"""Text of a model with everything in it to be seen.

Tokens may hold control characters, halves of a character, or marks that change
the direction of what follows. A page that shows them as they are shows nothing,
or something else than the tokens.
"""

import unicodedata

# Joiners: what scripts and emoji are written with.
_JOINERS = '\u200c\u200d'
_HIDDEN = {'Cc', 'Cf', 'Cn', 'Co', 'Cs', 'Zl', 'Zp'}


def _character(character: str) -> str:
  if character == '\n':
    return '↵'
  if character == '\t':
    return '⇥'
  if character in _JOINERS or unicodedata.category(character) not in _HIDDEN:
    return character
  return f'⟨U+{ord(character):04X}⟩'


def one_line(text: str) -> str:
  """Text on one line: arrows stand for line ends and tabs."""
  return ''.join(map(_character, text))


def lines(text: str, *, mark: str = '↵') -> str:
  """Text on as many lines as it has, with a mark at the end of each."""
  return f'{mark}\n'.join(map(one_line, text.split('\n')))


def token(text: str, token_id: int) -> str:
  """A token as text; its id where it has none."""
  return text if text else f'⟨{token_id}⟩'
