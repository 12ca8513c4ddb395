"""What a text must be before Python's parser reads it.

The parser recurses in C, reads numbers of any length, and takes look-alikes of
letters for the letters. So the text is cut into tokens first, which recurses
nowhere, and each bound that keeps the parser short is checked on those.
"""

import io
import string
import token as token_lib
import tokenize

from jaxcredit.latent_rewards import refusal

Refused = refusal.Refused

MAX_CHARACTERS = 16_000
MAX_TOKENS = 3_000
MAX_STATEMENT_TOKENS = 600
MAX_BRACKETS = 12
MAX_NUMBER = 30
MAX_NAME = 60

_LAYOUT = {
  token_lib.COMMENT,
  token_lib.DEDENT,
  token_lib.ENCODING,
  token_lib.ENDMARKER,
  token_lib.INDENT,
  token_lib.NEWLINE,
  token_lib.NL,
}
# What moves a terminal's cursor, ends a line for some readers, or shows text in
# another order than it stands: somebody may want to read the function.
_CONTROLS = frozenset(
  map(
    chr,
    (
      *range(32),
      *range(0x7F, 0xA0),
      0x061C,
      0x200E,
      0x200F,
      *range(0x2028, 0x202F),
      *range(0x2066, 0x206A),
    ),
  )
) - set('\n\t')


def screen(text: str) -> str:
  """Returns the text with Unix line ends, if the parser may read it.

  Raises:
    refusal.Refused: it is too long, nested too deep, or holds characters,
      strings or numbers that the language does not have.
  """
  text = text.replace('\r\n', '\n')
  if len(text) > MAX_CHARACTERS:
    raise Refused(
      f'{len(text)} characters',
      f'write at most {MAX_CHARACTERS}; fewer factors will do',
    )
  _check_characters(text)
  count, statement, depth = 0, 0, 0
  for token in _tokens(text):
    line = token.start[0]
    if token.type in _LAYOUT:
      if token.type == token_lib.NEWLINE:
        statement = 0
      continue
    count += 1
    statement += 1
    _check_token(token)
    if token.string in '([{':
      depth += 1
    elif token.string in ')]}':
      depth -= 1
    if depth > MAX_BRACKETS:
      raise Refused(
        f'brackets nested {depth} deep', 'give the parts names', line
      )
    if statement > MAX_STATEMENT_TOKENS:
      raise Refused(
        f'a statement of more than {MAX_STATEMENT_TOKENS} tokens',
        'cut it into several',
        line,
      )
    if count > MAX_TOKENS:
      raise Refused(f'more than {MAX_TOKENS} tokens', 'write less', line)
  return text


def _check_characters(text: str) -> None:
  for number, line in enumerate(text.split('\n'), 1):
    wrong = next((c for c in line if c in _CONTROLS), None)
    if wrong is not None:
      raise Refused(
        f'the control character {wrong!r}', 'write plain text', number
      )
    if any('\ud800' <= c <= '\udfff' for c in line):
      raise Refused('half a character', 'write plain text', number)


def _tokens(text: str):
  try:
    yield from tokenize.generate_tokens(io.StringIO(text).readline)
  # Python 3.12 has SyntaxError where 3.11 has TokenError.
  except (tokenize.TokenError, SyntaxError) as error:
    reason = error.args[0] if error.args else 'unreadable'
    raise Refused(
      f'no Python ({reason})', 'close every bracket and string'
    ) from None


def _check_token(token: tokenize.TokenInfo) -> None:
  line = token.start[0]
  if token.type == token_lib.STRING:
    # Docstrings may hold any letter; the allow-list says where they may stand.
    if token.string[0] in string.ascii_letters:
      raise Refused(
        'a string with a prefix', 'docstrings alone, and plain ones', line
      )
    return
  if not token.string.isascii():
    raise Refused(
      f'the characters {token.string[:20]!r} in code',
      'write names and operators in ASCII; others belong into comments',
      line,
    )
  if token.type == token_lib.NUMBER:
    if len(token.string) > MAX_NUMBER:
      raise Refused(
        f'a number of {len(token.string)} characters', 'write a short one', line
      )
  elif token.type == token_lib.NAME:
    if len(token.string) > MAX_NAME:
      raise Refused('a very long name', 'write a short one', line)
  elif token.type != token_lib.OP:
    # Errors of the tokenizer, and the parts of f-strings from 3.12 on.
    raise Refused(
      f'{token.string[:20]!r}', 'only names, numbers and operators', line
    )
