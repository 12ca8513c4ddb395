"""Reads and writes planning problems in PDDL.

Here: parentheses, and the part of the language that problems use: a list of
typed objects, facts and a goal. ALFWorld's domain is compiled by hand
(`world`); others are read by `virtualhome.domain`, with the parentheses of this
file. Names are case-insensitive in PDDL and are kept in lower case.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence

Fact = tuple[str, ...]


class GameError(ValueError):
  """A game that cannot be read.

  Attributes:
    source: the file (and, where one file holds many games, which of them).
    line: line in that file, from 1; 0 where it is unknown.
    reason: what is wrong.
  """

  def __init__(self, source: str, line: int, reason: str):
    # Lone surrogates, which JSON can hold, cannot be printed.
    reason = reason.encode('utf-8', 'backslashreplace').decode('utf-8')
    super().__init__(
      f'{source}:{line}: {reason}' if line else f'{source}: {reason}'
    )
    self.source = source
    self.line = line
    self.reason = reason

  def __reduce__(self):
    return GameError, (self.source, self.line, self.reason)


@dataclasses.dataclass(frozen=True)
class Problem:
  """A planning problem.

  Attributes:
    name: its name.
    objects: name of each object -> its type.
    facts: what holds at the start, each (predicate, argument, ...).
    goal: the goal as nested tuples, such as ('and', ('ishot', '?o'), ...).
      Lists of typed variables are flat, as they were written.
    lines: line of each fact in `source`, for error messages.
    goal_line: line at which the goal begins.
    source: where the problem came from, in words.
  """

  name: str
  objects: dict[str, str]
  facts: tuple[Fact, ...]
  goal: tuple
  lines: tuple[int, ...]
  goal_line: int
  source: str


class Parenthesis(list):
  """A parenthesis with the line at which it opened."""

  def __init__(self, line: int):
    super().__init__()
    self.line = line


# ALFWorld's goals nest five deep; far more would exhaust Python's stack.
_DEEPEST = 100
_TOKEN = re.compile(r'\n|;[^\n]*|[()]|[^\s();]+')


def parse_text(text: str, source: str, what: str = 'problem') -> Parenthesis:
  """Reads the one `(define ...)` that a text consists of.

  Args:
    text: PDDL text.
    source: the file's name, for error messages.
    what: what it defines, for error messages.

  Returns:
    The parenthesis, of names in lower case and of parentheses.

  Raises:
    GameError: with the line and what is wrong.
  """
  if not isinstance(text, str):
    raise GameError(
      source, 0, f'a {what} must be text, not {type(text).__name__}'
    )
  line = 1
  stack: list[Parenthesis] = []
  done: Parenthesis | None = None
  for match in _TOKEN.finditer(text):
    token = match.group()
    if token == '\n':
      line += 1
    elif token[0] == ';':
      continue
    elif done is not None:
      raise GameError(
        source, line, f'{token!r} after the end of the definition'
      )
    elif token == '(':
      if len(stack) == _DEEPEST:
        raise GameError(
          source, line, f'more than {_DEEPEST} parentheses inside each other'
        )
      stack.append(Parenthesis(line))
    elif token == ')':
      if not stack:
        raise GameError(source, line, "')' without an opening '('")
      closed = stack.pop()
      if stack:
        stack[-1].append(closed)
      else:
        done = closed
    elif not stack:
      raise GameError(
        source, line, f"a {what} begins with '(define', not {token!r}"
      )
    else:
      stack[-1].append(token.lower())
  if stack:
    raise GameError(
      source,
      line,
      f"the text ends, but the '(' of line {stack[-1].line} is not closed",
    )
  if done is None:
    raise GameError(source, line, f'no {what} definition: the text is empty')
  if not done or done[0] != 'define':
    raise GameError(source, done.line, f"a {what} begins with '(define'")
  return done


def parse_problem(text: str, source: str = 'problem') -> Problem:
  """Parses a problem.

  Args:
    text: `(define (problem ...) (:objects ...) (:init ...) (:goal ...))`.
    source: the file's name, for error messages.

  Raises:
    GameError: with the line and what is wrong.
  """
  tree = parse_text(text, source)
  name = ''
  objects: dict[str, str] = {}
  facts: list[Fact] = []
  lines: list[int] = []
  goal: tuple | None = None
  goal_line = 0
  seen: set[str] = set()
  for part in tree[1:]:
    if not isinstance(part, Parenthesis) or not part:
      raise GameError(source, tree.line, f'unexpected {part!r} in the problem')
    key = part[0]
    if not isinstance(key, str):
      raise GameError(source, part.line, 'a section needs a name')
    if key in seen:
      raise GameError(source, part.line, f'{key} is given twice')
    seen.add(key)
    if key == 'problem':
      name = str(part[1]) if len(part) > 1 else ''
    elif key == ':objects':
      objects = typed_names(part, source)
    elif key == ':init':
      for fact in part[1:]:
        if not isinstance(fact, Parenthesis):
          raise GameError(source, part.line, f'{fact!r} in :init is not a fact')
        if not fact:
          raise GameError(source, fact.line, 'empty fact in :init')
        if fact[0] == '=':
          continue  # Costs and distances, which do not change what happens.
        if any(isinstance(x, Parenthesis) for x in fact):
          raise GameError(
            source, fact.line, f'{fact[0]} in :init is not a plain fact'
          )
        facts.append(tuple(fact))
        lines.append(fact.line)
    elif key == ':goal':
      if len(part) != 2:
        raise GameError(source, part.line, ':goal must hold one formula')
      goal, goal_line = freeze(part[1]), part.line
    elif key not in (':domain', ':metric', ':requirements'):
      raise GameError(source, part.line, f'unknown section {key}')
  for section in (':objects', ':init', ':goal'):
    if section not in seen:
      raise GameError(source, tree.line, f'the problem has no {section}')
  for fact, line in zip(facts, lines, strict=True):
    for argument in fact[1:]:
      if argument not in objects:
        raise GameError(source, line, f'{argument} is not among the :objects')
  return Problem(
    name, objects, tuple(facts), goal, tuple(lines), goal_line, source
  )


def typed_names(
  section: Parenthesis, source: str, where: str = ':objects', skip: int = 1
) -> dict[str, str]:
  """Reads `a b - type c - type`.

  Args:
    section: that holds the names.
    source: the file's name, for error messages.
    where: what the section is, for error messages.
    skip: entries that stand before the first name.

  Returns:
    Name -> type.

  Raises:
    GameError: with the line and what is wrong.
  """
  objects: dict[str, str] = {}
  waiting: list[str] = []
  tokens = iter(section[skip:])
  for token in tokens:
    if isinstance(token, Parenthesis):
      raise GameError(
        source,
        token.line,
        'parenthesis in the list of objects'
        if where == ':objects'
        else f'parenthesis in {where}',
      )
    if token != '-':
      waiting.append(token)
      continue
    kind = next(tokens, None)
    if not waiting or not isinstance(kind, str):
      raise GameError(
        source,
        section.line,
        f"'-' in {where} must stand between names and their type",
      )
    for name in waiting:
      if name in objects and objects[name] != kind:
        raise GameError(
          source,
          section.line,
          f'{name} has two types, {objects[name]} and {kind}',
        )
      objects[name] = kind
    waiting = []
  if waiting:
    raise GameError(
      source, section.line, f'{waiting[0]} in {where} has no type'
    )
  return objects


def freeze(node):
  """Parentheses as nested tuples."""
  if isinstance(node, Parenthesis):
    return tuple(freeze(child) for child in node)
  return node


def written(formula) -> str:
  """A formula of nested tuples as PDDL text."""
  if isinstance(formula, str):
    return formula
  return '(' + ' '.join(written(part) for part in formula) + ')'


def problem_text(
  name: str,
  objects: dict[str, str],
  facts: Sequence[Fact],
  goal: tuple,
  domain: str = 'alfred',
) -> str:
  """Writes a problem as PDDL; by default one of the household's domain."""

  def lines() -> Iterator[str]:
    yield f'(define (problem {name})'
    yield f'(:domain {domain})'
    yield '(:objects'
    yield from (f'  {o} - {kind}' for o, kind in objects.items())
    yield ')'
    yield '(:init'
    yield from (f'  ({" ".join(fact)})' for fact in facts)
    yield ')'
    yield f'(:goal {written(goal)})'
    yield ')'

  return '\n'.join(lines()) + '\n'
