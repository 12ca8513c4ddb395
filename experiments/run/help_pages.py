"""The short help of a script: its docstring, and at most 40 flags in groups.

A script names the flags that a reader meets first, by group:

  SHORT = {'Run': ('run', 'seed'), 'Credit': ('method', 'discount')}
  ...
  script.start(main, SHORT)

--help and --helpshort show these; --helpfull shows all.
"""

import itertools
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence

from absl import app, flags

# Title of a group -> names of its flags.
Groups = Mapping[str, Sequence[str]]

# Flags that a short page shows at most.
MOST = 40
_WIDTH = 80
_COLUMN = 30
_REPEAT = '; repeat this option to specify a list of values'
_ASKS = frozenset({'help', 'helpshort', '?'})


def merge(*several: Groups) -> dict[str, tuple[str, ...]]:
  """Groups of several modules as one; those of one title are joined."""
  merged: dict[str, tuple[str, ...]] = {}
  for groups in several:
    for title, names in groups.items():
      merged[title] = (*merged.get(title, ()), *names)
  return merged


def _given(flag: flags.Flag) -> str:
  """A flag as one would type it, with its default."""
  default = flag.default
  if flag.boolean and default is not None:
    default = str(default).lower()
  if isinstance(default, (list, tuple)):
    default = ','.join(map(str, default))
  return f'--{flag.name}=' + ('' if default is None else str(default))


def _entry(flag: flags.Flag) -> str:
  """The lines of one flag."""
  words = ' '.join((flag.help or '').split())
  # absl puts the values in front, and what may be repeated at the end.
  words = re.sub(r'^<[^>]*>: ', '', words)
  words = words.removesuffix(_REPEAT)
  values = getattr(flag.parser, 'enum_values', None)
  if values:
    words += f' One of: {", ".join(values)}.'
  if isinstance(flag, flags.MultiFlag):
    words += ' May be given several times.'
  head = f'  {_given(flag)}'
  if len(head) >= _COLUMN:
    head = f'{head}\n{"":{_COLUMN}}'
  head = f'{head:<{_COLUMN}}'
  lines = textwrap.wrap(words, _WIDTH - _COLUMN)
  return head + f'\n{"":{_COLUMN}}'.join(lines)


def page(words: str, groups: Groups, own: Iterable[str], command: str) -> str:
  """The short page of a script.

  Args:
    words: what the script is: its docstring.
    groups: title -> names of flags.
    own: names of all flags of the script.
    command: as it is typed, such as 'python -m experiments.gigpo'.

  Raises:
    ValueError: more flags than a reader wants to see, one twice, or one that
      the script does not have.
  """
  names = list(itertools.chain.from_iterable(groups.values()))
  own = set(own)
  if len(names) > MOST:
    raise ValueError(f'{len(names)} flags are too many for a short help')
  if len(set(names)) < len(names):
    raise ValueError(f'a flag stands twice in the short help: {sorted(names)}')
  if unknown := set(names) - own:
    raise ValueError(f'the short help names no flags: {sorted(unknown)}')
  parts = [words.strip()]
  for title, members in groups.items():
    entries = '\n'.join(_entry(flags.FLAGS[name]) for name in members)
    parts.append(f'{title}\n{entries}')
  left = len(own) - len(names)
  if left:
    parts.append(f'{left} more flags: {command} --helpfull')
  return '\n\n'.join(parts)


def _asks(arguments: Sequence[str]) -> bool:
  """Whether the arguments ask for the short help."""
  flags_only = itertools.takewhile(lambda word: word != '--', arguments)
  return any(
    word.startswith('-') and word.lstrip('-') in _ASKS for word in flags_only
  )


def parser(
  make_page: Callable[[], str],
) -> Callable[[list[str]], list[str]]:
  """A `flags_parser` of `app.run` that shows a page where help is asked for.

  Args:
    make_page: the short page.
  """

  def parse(argv: list[str]) -> list[str]:
    if _asks(argv[1:]):
      print(make_page())
      sys.exit(0)
    return app.parse_flags_with_usage(argv)

  return parse
