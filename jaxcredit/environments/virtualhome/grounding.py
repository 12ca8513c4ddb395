"""A domain's actions over the objects of one problem.

Formulas are evaluated over the objects ahead of time. What no action can change
from the start on is a constant and drops out, so that of the thousands of
combinations a few hundred actions are left, each a condition and masks.

Effects follow PDDL: all conditions are read in the state before, and a fact
that an action both deletes and adds holds after it.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from jaxcredit.environments.household import pddl
from jaxcredit.environments.virtualhome import conditions
from jaxcredit.environments.virtualhome import domain as domain_lib

Atom = tuple[str, ...]
Binding = Mapping[str, str]


class Effect(NamedTuple):
  """What changes where a condition holds: masks of facts."""

  condition: conditions.Condition
  add: int
  delete: int


class GroundAction(NamedTuple):
  """An action with its arguments.

  Attributes:
    name: of the action.
    arguments: objects, in the order of its parameters.
    precondition: when it can be done.
    effects: what it does.
  """

  name: str
  arguments: tuple[str, ...]
  precondition: conditions.Condition
  effects: tuple[Effect, ...]

  def apply(self, state: int) -> int:
    """The state after it; it must be applicable."""
    add = delete = 0
    for effect in self.effects:
      if conditions.holds(effect.condition, state):
        add |= effect.add
        delete |= effect.delete
    return (state & ~delete) | add


class Grounding:
  """A problem of a domain, ready to be played.

  Facts whose arguments are not of the types that the predicate declares are
  left out: no action can read them (VirtualHome's problems hold some).

  Attributes:
    domain: the domain.
    problem: the problem.
    atoms: the changing facts; bit i of a state belongs to atoms[i].
    actions: those that can be applicable in some state.
    start: the state at the start.
    goal: what must hold, with the conditions that hold always or never, so
      that `conditions.progress` counts them.
  """

  def __init__(self, domain: domain_lib.Domain, problem: pddl.Problem):
    self.domain = domain
    self.problem = problem
    self._things: dict[str, list[str]] = {}
    self._initial = frozenset(
      fact for fact in problem.facts if self._well_typed(fact)
    )
    # Facts that may become true or false; None: all of changing predicates.
    self._addable: set[Atom] | None = None
    self._deletable: set[Atom] | None = None
    self._ground()
    self._narrow()
    self._ground()
    self.start = 0
    goal = self._compile(problem.goal, {}, True, keep_constants=True)
    self.goal = goal
    for atom, bit in self._bits.items():
      if atom in self._initial:
        self.start |= 1 << bit
    self.atoms = tuple(self._bits)

  def things(self, kind: str) -> list[str]:
    """Objects of a type, sorted."""
    if kind not in self._things:
      self._things[kind] = sorted(
        name
        for name, own in self.problem.objects.items()
        if self.domain.is_a(own, kind)
      )
    return self._things[kind]

  def value(self, atom: Atom, state: int) -> bool:
    """Whether a fact holds in a state."""
    bit = self._bits.get(atom)
    if bit is None:
      return atom in self._initial
    return bool(state >> bit & 1)

  def facts(self, state: int) -> list[Atom]:
    """All facts that hold, in alphabetical order."""
    constant = [atom for atom in self._initial if atom not in self._bits]
    changing = [a for i, a in enumerate(self.atoms) if state >> i & 1]
    return sorted(constant + changing)

  def bindings(self, flat: tuple[str, ...], binding: Binding):
    """The bindings that a quantifier's list of variables ranges over."""
    pairs = domain_lib.typed_variables(flat)
    for values in itertools.product(*(self.things(kind) for _, kind in pairs)):
      yield {
        **binding,
        **{name: v for (name, _), v in zip(pairs, values, strict=True)},
      }

  def _well_typed(self, fact: Atom) -> bool:
    kinds = self.domain.predicates[fact[0]]
    return all(
      self.domain.is_a(self.problem.objects[argument], kind)
      for argument, kind in zip(fact[1:], kinds, strict=True)
    )

  def _fixed(self, atom: Atom) -> bool:
    """Whether no action changes a fact."""
    if atom[0] not in self.domain.changing or not self._well_typed(atom):
      return True
    if self._addable is None:
      return False
    if atom in self._initial:
      return atom not in self._deletable
    return atom not in self._addable

  def _literal(self, atom: Atom, wanted: bool) -> conditions.Condition:
    bit = self._bits.get(atom)
    if bit is None:
      if self._fixed(atom):
        holds = (atom in self._initial) == wanted
        return conditions.ALWAYS if holds else conditions.NEVER
      bit = self._bits[atom] = len(self._bits)
    return conditions.literal(bit, wanted)

  def _compile(
    self, formula, binding: Binding, wanted: bool, keep_constants: bool = False
  ) -> conditions.Condition:
    """A formula, or its negation, as a condition."""
    word = formula[0] if formula else 'and'
    if word == 'not':
      return self._compile(formula[1], binding, not wanted, keep_constants)
    if word == '=':
      left, right = (binding.get(name, name) for name in formula[1:])
      same = (left == right) == wanted
      return conditions.ALWAYS if same else conditions.NEVER
    if word == 'imply':
      parts = [(formula[1], binding, not wanted), (formula[2], binding, wanted)]
      all_of = not wanted
    elif word in ('and', 'or'):
      # A condition that is written twice counts once.
      distinct = dict.fromkeys(formula[1:])
      parts = [(part, binding, wanted) for part in distinct]
      all_of = (word == 'and') == wanted
    elif word in ('exists', 'forall'):
      parts = [
        (formula[2], inner, wanted)
        for inner in self.bindings(formula[1], binding)
      ]
      all_of = (word == 'forall') == wanted
    else:
      atom = (word, *(binding.get(name, name) for name in formula[1:]))
      return self._literal(atom, wanted)
    compiled = (self._compile(*part, keep_constants) for part in parts)
    return conditions.combine(all_of, compiled, keep_constants)

  def _effects(
    self, formula, binding: Binding, when: conditions.Condition
  ) -> Iterator[Effect]:
    word = formula[0] if formula else 'and'
    if when == conditions.NEVER:
      return
    if word == 'and':
      for part in formula[1:]:
        yield from self._effects(part, binding, when)
    elif word == 'forall':
      for inner in self.bindings(formula[1], binding):
        yield from self._effects(formula[2], inner, when)
    elif word == 'when':
      condition = self._compile(formula[1], binding, True)
      both = conditions.combine(True, (when, condition))
      yield from self._effects(formula[2], binding, both)
    else:
      wanted = word != 'not'
      literal = formula if wanted else formula[1]
      atom = (literal[0], *(binding.get(n, n) for n in literal[1:]))
      made = self._literal(atom, True)
      if made not in (conditions.ALWAYS, conditions.NEVER):
        add, delete = (made.positive, 0) if wanted else (0, made.positive)
        yield Effect(when, add, delete)

  def _ground(self) -> None:
    """Makes the actions, and gives bits to the facts they read or change."""
    self._bits: dict[Atom, int] = {}
    actions = []
    for action in self.domain.actions.values():
      choices = (self.things(kind) for kind in action.parameters.values())
      for arguments in itertools.product(*choices):
        binding = dict(zip(action.parameters, arguments, strict=True))
        precondition = self._compile(action.precondition, binding, True)
        if precondition == conditions.NEVER:
          continue
        merged: dict[conditions.Condition, list[int]] = {}
        for when, add, delete in self._effects(
          action.effect, binding, conditions.ALWAYS
        ):
          masks = merged.setdefault(when, [0, 0])
          masks[0] |= add
          masks[1] |= delete
        actions.append(
          GroundAction(
            action.name,
            arguments,
            precondition,
            tuple(Effect(when, *masks) for when, masks in merged.items()),
          )
        )
    self.actions = tuple(actions)

  def _narrow(self) -> None:
    """Notes the facts that some action that is left adds or deletes."""
    add = delete = 0
    for action in self.actions:
      for effect in action.effects:
        add |= effect.add
        delete |= effect.delete
    self._addable = {a for a, bit in self._bits.items() if add >> bit & 1}
    self._deletable = {a for a, bit in self._bits.items() if delete >> bit & 1}
