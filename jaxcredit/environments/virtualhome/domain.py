"""Reads planning domains in PDDL: actions as data.

What is read: types (with parents), predicates, and actions of typed parameters
with preconditions and effects of and, or, not, imply, =, exists, forall and
when. Every name, variable and number of arguments is checked where it stands,
so that what runs later need not ask.

Types that are declared side by side are disjoint: where a domain declares
`object` beside `character`, as VirtualHome's does, a variable of type object
does not range over characters.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping

from jaxcredit.environments.household import pddl

GameError = pddl.GameError
_VIRTUALHOME = pathlib.Path(__file__).with_name('virtualhome_domain.json')
_QUANTIFIERS = ('exists', 'forall')


@dataclasses.dataclass(frozen=True)
class Action:
  """An action of a domain.

  Attributes:
    name: its name.
    parameters: variable -> type, in their order.
    precondition: formula as nested tuples; ('and',) always holds.
    effect: the same, of and, forall, when, literals.
  """

  name: str
  parameters: Mapping[str, str]
  precondition: tuple
  effect: tuple


@dataclasses.dataclass(frozen=True)
class Domain:
  """A planning domain.

  Attributes:
    name: its name.
    types: type -> its parent, '' at the top.
    predicates: name -> types of its arguments.
    actions: by name, in their order.
    changing: predicates that occur in an effect.
  """

  name: str
  types: Mapping[str, str]
  predicates: Mapping[str, tuple[str, ...]]
  actions: Mapping[str, Action]
  changing: frozenset[str]

  def is_a(self, kind: str, wanted: str) -> bool:
    """Whether things of type `kind` are of type `wanted`."""
    while kind:
      if kind == wanted:
        return True
      kind = self.types.get(kind, '')
    return False


def typed_variables(flat: tuple[str, ...]) -> list[tuple[str, str]]:
  """The (variable, type) of a quantifier's list such as ?a ?b - object."""
  result: list[tuple[str, str]] = []
  waiting: list[str] = []
  tokens = iter(flat)
  for token in tokens:
    if token == '-':
      kind = next(tokens)
      result += [(name, kind) for name in waiting]
      waiting = []
    else:
      waiting.append(token)
  return result


class Checker:
  """Checks formulas against what a domain declares.

  Args:
    types: type -> parent.
    predicates: name -> types of arguments.
    source: the file's name, for error messages.
  """

  def __init__(self, types, predicates, source: str):
    self._types = types
    self._predicates = predicates
    self._source = source

  def fail(self, line: int, reason: str):
    raise GameError(self._source, line, reason)

  def variables(self, section, where: str, line: int) -> dict[str, str]:
    if not isinstance(section, pddl.Parenthesis):
      self.fail(line, f'{where} needs a list of typed variables')
    names = pddl.typed_names(section, self._source, where, skip=0)
    for name in names:
      if section.count(name) > 1:
        self.fail(section.line, f'{name} is given twice in {where}')
    for name, kind in names.items():
      if not name.startswith('?'):
        self.fail(section.line, f'{name} in {where} must begin with ?')
      if kind not in self._types:
        self.fail(section.line, f'unknown type {kind} in {where}')
    return names

  def atom(self, node, scope: Mapping[str, str]) -> None:
    predicate, *arguments = node
    kinds = self._predicates.get(predicate)
    if kinds is None:
      self.fail(node.line, f'unknown predicate {predicate}')
    if len(arguments) != len(kinds):
      self.fail(
        node.line,
        f'{predicate} takes {len(kinds)} arguments, not {len(arguments)}',
      )
    self.names(node, scope)

  def names(self, node, scope: Mapping[str, str]) -> None:
    for name in node[1:]:
      if isinstance(name, pddl.Parenthesis):
        self.fail(node.line, f'an argument of {node[0]} is a parenthesis')
      if name not in scope:
        self.fail(node.line, f'{name} ({node[0]}) is not declared')

  def operator(self, node) -> str:
    if not isinstance(node, pddl.Parenthesis):
      self.fail(0, f'{node!r} stands where a formula is expected')
    if node and isinstance(node[0], pddl.Parenthesis):
      self.fail(node.line, 'a formula begins with a word')
    return node[0] if node else 'and'

  def parts(self, node, count: int) -> None:
    if len(node) != count + 1:
      self.fail(
        node.line, f'{node[0]} takes {count} parts, not {len(node) - 1}'
      )
    self.inner(node)

  def inner(self, node) -> None:
    for part in node[1:]:
      if not isinstance(part, pddl.Parenthesis):
        self.fail(node.line, f'{part!r} in {node[0]} is no formula')

  def condition(self, node, scope: Mapping[str, str]) -> None:
    """Checks a precondition or a goal."""
    word = self.operator(node)
    if word in _QUANTIFIERS:
      self.parts(node, 2)
      inside = self.variables(node[1], word, node.line)
      self.condition(node[2], {**scope, **inside})
    elif word in ('and', 'or', 'not', 'imply'):
      if word == 'not':
        self.parts(node, 1)
      elif word == 'imply':
        self.parts(node, 2)
      self.inner(node)
      for part in node[1:]:
        self.condition(part, scope)
    elif word == '=':
      if len(node) != 3:
        self.fail(node.line, f'= takes 2 arguments, not {len(node) - 1}')
      self.names(node, scope)
    else:
      self.atom(node, scope)

  def effect(self, node, scope: Mapping[str, str]) -> set[str]:
    """Checks an effect; returns the predicates that it changes."""
    word = self.operator(node)
    if word == 'and':
      self.inner(node)
      return set().union(*(self.effect(part, scope) for part in node[1:]))
    if word == 'forall':
      self.parts(node, 2)
      inside = self.variables(node[1], word, node.line)
      return self.effect(node[2], {**scope, **inside})
    if word == 'when':
      self.parts(node, 2)
      self.condition(node[1], scope)
      return self.effect(node[2], scope)
    if word == 'not':
      self.parts(node, 1)
      node = node[1]
      word = self.operator(node)
    if word in ('and', 'or', 'not', 'imply', '=', 'when', *_QUANTIFIERS):
      self.fail(node.line, f'{word} cannot stand here in an effect')
    self.atom(node, scope)
    return {node[0]}


def parse_domain(text: str, source: str = 'domain') -> Domain:
  """Reads a domain.

  Args:
    text: `(define (domain ...) (:types ...) (:predicates ...) (:action ...))`.
    source: the file's name, for error messages.

  Raises:
    GameError: with the line and what is wrong.
  """
  tree = pddl.parse_text(text, source, 'domain')
  name, types = '', {'object': ''}
  predicates: dict[str, tuple[str, ...]] = {}
  sections = []
  for part in tree[1:]:
    if (
      not isinstance(part, pddl.Parenthesis)
      or not part
      or not isinstance(part[0], str)
    ):
      raise GameError(source, tree.line, f'unexpected {part!r} in the domain')
    if part[0] == 'domain':
      name = str(part[1]) if len(part) > 1 else ''
    elif part[0] == ':types':
      types.update(_types(part, source))
    elif part[0] in (':predicates', ':action'):
      sections.append(part)
    elif part[0] != ':requirements':
      raise GameError(source, part.line, f'unknown section {part[0]}')
  if not name:
    raise GameError(source, tree.line, 'the domain has no name')
  for kind, parent in types.items():
    if parent and parent not in types:
      raise GameError(source, tree.line, f'{kind} is of unknown type {parent}')
    seen = {kind}
    while parent:
      if parent in seen:
        raise GameError(source, tree.line, f'type {kind} is its own ancestor')
      seen.add(parent)
      parent = types[parent]
  checker = Checker(types, predicates, source)
  actions: dict[str, Action] = {}
  changing: set[str] = set()
  for part in sections:
    if part[0] == ':predicates':
      _predicates(part, predicates, checker)
  for part in sections:
    if part[0] == ':action':
      action, changed = _action(part, checker)
      if action.name in actions:
        raise GameError(source, part.line, f'{action.name} is given twice')
      actions[action.name] = action
      changing |= changed
  if not actions:
    raise GameError(source, tree.line, 'the domain has no :action')
  return Domain(name, types, predicates, actions, frozenset(changing))


def _types(section, source: str) -> dict[str, str]:
  """Reads `a b - parent c`; types without a parent stand at the top."""
  result: dict[str, str] = {}
  waiting: list[str] = []
  tokens = iter(section[1:])
  for token in tokens:
    parent = ''
    if token == '-':
      parent = next(tokens, None)
    if not isinstance(token, str) or not isinstance(parent, str):
      raise GameError(source, section.line, ':types must hold names')
    if token == '-':
      result.update(dict.fromkeys(waiting, parent))
      waiting = []
    else:
      waiting.append(token)
  return {**result, **dict.fromkeys(waiting, '')}


def _predicates(section, predicates, checker: Checker) -> None:
  for part in section[1:]:
    if (
      not isinstance(part, pddl.Parenthesis)
      or not part
      or not isinstance(part[0], str)
    ):
      checker.fail(section.line, f'{part!r} is no predicate')
    variables = pddl.Parenthesis(part.line)
    variables.extend(part[1:])
    kinds = checker.variables(variables, part[0], part.line)
    if part[0] in predicates:
      checker.fail(part.line, f'predicate {part[0]} is given twice')
    predicates[part[0]] = tuple(kinds.values())


def _action(section, checker: Checker) -> tuple[Action, set[str]]:
  if len(section) < 2 or not isinstance(section[1], str):
    checker.fail(section.line, 'an action needs a name')
  name = section[1]
  parts: dict[str, pddl.Parenthesis] = {}
  rest = section[2:]
  for key, value in zip(rest[::2], rest[1::2], strict=False):
    if key not in (':parameters', ':precondition', ':effect') or key in parts:
      checker.fail(section.line, f'{key!r} in action {name}')
    if not isinstance(value, pddl.Parenthesis):
      checker.fail(section.line, f'{key} of {name} must be a parenthesis')
    parts[key] = value
  if len(rest) % 2:
    checker.fail(section.line, f'{rest[-1]!r} ends action {name}')
  if ':effect' not in parts:
    checker.fail(section.line, f'action {name} has no :effect')
  nothing = pddl.Parenthesis(section.line)
  parameters = checker.variables(
    parts.get(':parameters', nothing), f'the parameters of {name}', section.line
  )
  precondition = parts.get(':precondition', nothing)
  checker.condition(precondition, parameters)
  changed = checker.effect(parts[':effect'], parameters)
  action = Action(
    name,
    parameters,
    pddl.freeze(precondition) or ('and',),
    pddl.freeze(parts[':effect']) or ('and',),
  )
  return action, changed


@functools.cache
def virtualhome() -> Domain:
  """VirtualHome's domain (33 actions).

  It is `virtualhome.pddl` of the package virtualhome-eval 0.1.1 (Embodied Agent
  Interface; MIT licence, which stands beside it in the file).
  """
  held = json.loads(_VIRTUALHOME.read_text(encoding='utf-8'))
  return parse_domain('\n'.join(held['pddl']), 'virtualhome.pddl')
