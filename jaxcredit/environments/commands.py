"""When two commands are the same: whatever their letters' case, form and width.

What an environment lists as admissible comes back through a policy's tokenizer
and a format that may write it in lower case. So commands, names and options are
compared by Unicode's compatible form (NFKC) and case folding: 'XL' is 'xl',
'ＸＬ' and 'ⅹl', '6½' is '6 1/2', 'STRASSE' is 'straße'.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TypeVar

Thing = TypeVar('Thing')
# A fraction that follows a digit: '6½' is not '61/2'.
_MIXED = re.compile('(?<=[0-9])(?=[\u00bc-\u00be\u2150-\u215e\u2189])')


def plain(text: str) -> str:
  """The form in which texts are compared.

  Args:
    text: any.

  Returns:
    Equal texts for equal commands, with single spaces between words.
  """
  if text.isascii():
    return ' '.join(text.lower().split())
  return _folded(text)


@functools.lru_cache(maxsize=65536)
def _folded(text: str) -> str:
  text = unicodedata.normalize('NFKC', _MIXED.sub(' ', text))
  # Folding can take a text out of its normal form.
  text = unicodedata.normalize('NFKC', text.casefold())
  # Arabic and other digits have the value of ASCII's.
  text = ''.join(
    str(unicodedata.decimal(c)) if c.isdecimal() and not c.isascii() else c
    for c in text
  )
  return ' '.join(text.replace('\u2044', '/').split())


def find(command: str, things: Mapping[str, Thing]) -> Thing | None:
  """What a command names.

  Args:
    command: as it was given.
    things: by the command as it is listed.

  Returns:
    The thing that is listed in these very letters, else the only one that is
    listed in other letters; None where there is none, or several.
  """
  if command in things:
    return things[command]
  name = listed(command, things)
  return None if name is None else things[name]


def listed(command: str, names: Iterable[str]) -> str | None:
  """The name, among those listed, that a command means; as in `find`."""
  names = names if isinstance(names, Mapping | tuple | list) else tuple(names)
  if command in names:
    return command
  wanted = plain(command)
  found = [name for name in names if plain(name) == wanted]
  # Two that differ in case alone: those of the command's own words.
  if len(found) > 1:
    stripped = ' '.join(command.split())
    found = [name for name in found if ' '.join(name.split()) == stripped]
  return found[0] if len(found) == 1 else None
