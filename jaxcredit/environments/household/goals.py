"""Recognises the goals of ALFWorld's six task types."""

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jaxcredit.environments.household import pddl


@dataclasses.dataclass(frozen=True)
class Goal:
  """What wins.

  With `lamp_objects` empty: `count` different objects of `objects`, each with
  all bits of `state`, in one receptacle of `receptacles`. Otherwise: the agent
  holds one of `objects` and stands where one of `lamp_objects`, switched on, is
  in a receptacle.

  Attributes:
    objects: bool [O].
    receptacles: bool [R].
    state: bits that each object must have.
    count: how many objects.
    lamp_objects: bool [O].
  """

  objects: np.ndarray
  receptacles: np.ndarray
  state: int
  count: int
  lamp_objects: np.ndarray

  @property
  def is_look(self) -> bool:
    return bool(self.lamp_objects.any())


# Arguments of the literals that describe where things are.
_ARITIES = {
  'objecttype': 2,
  'receptacletype': 2,
  'inreceptacle': 2,
  'holds': 2,
  'atlocation': 2,
  'receptacleatlocation': 2,
}


def _conjuncts(formula, fail) -> Iterator[tuple]:
  """Flattens nested 'and' and 'exists' into literals."""
  if not isinstance(formula, tuple) or not formula:
    fail(f'{pddl.written(formula)} in the goal')
  if formula[0] == 'and':
    for part in formula[1:]:
      yield from _conjuncts(part, fail)
  elif formula[0] == 'exists' and len(formula) == 3:
    yield from _conjuncts(formula[2], fail)
  else:
    yield formula


class _Literals:
  """What the goal asks of each of its variables."""

  def __init__(self, formula, state_bits, abilities, fail):
    self._fail = fail
    self._state_bits = state_bits
    self.types: dict[str, str] = {}
    self.places: list[tuple[str, str]] = []
    self.held: list[str] = []
    self.different: set[frozenset[str]] = set()
    self.abilities = collections.defaultdict(set)
    self.states = collections.defaultdict(int)
    arities = {
      **_ARITIES,
      **dict.fromkeys(state_bits, 1),
      **dict.fromkeys(abilities, 1),
    }
    for literal in _conjuncts(formula, fail):
      predicate, *arguments = literal
      inner = arguments[0] if arguments else None
      if (
        predicate == 'not' and isinstance(inner, tuple) and inner[:1] == ('=',)
      ):
        self.different.add(frozenset(inner[1:]))
        continue
      if predicate not in arities:
        fail(
          f'goals with {pddl.written(predicate)!r} are not supported: this '
          "engine knows the goals of ALFWorld's six task types"
        )
      if len(arguments) != arities[predicate] or not all(
        isinstance(argument, str) for argument in arguments
      ):
        fail(
          f'{pddl.written(literal)} in the goal: {predicate} takes '
          f'{arities[predicate]} name(s)'
        )
      if predicate in ('objecttype', 'receptacletype'):
        name, kind = arguments
        if self.types.setdefault(name, kind) != kind:
          fail(f'{name} of the goal has two types')
      elif predicate == 'inreceptacle':
        self.places.append(tuple(arguments))
      elif predicate == 'holds':
        self.held.append(arguments[1])
      elif predicate in state_bits:
        self.states[inner] |= state_bits[predicate]
      elif predicate in abilities:
        self.abilities[inner].add(predicate)

  def type_of(self, variable: str) -> str:
    if variable not in self.types:
      self._fail(f'the goal does not say of which type {variable} is')
    return self.types[variable]


def read_goal(
  problem: pddl.Problem,
  object_type: Mapping[str, str],
  receptacle_type: Mapping[str, str],
  *,
  state_bits: Mapping[str, int],
  abilities: Sequence[str],
) -> Goal:
  """Reads a problem's goal.

  Args:
    problem: the problem.
    object_type: type of each object; the arrays follow its sorted keys.
    receptacle_type: the same for receptacles.
    state_bits: bit of each predicate that is an object's state.
    abilities: predicates of what can be done to an object.

  Raises:
    GameError: it is not the goal of one of the six task types.
  """

  def fail(reason: str):
    raise pddl.GameError(problem.source, problem.goal_line, reason)

  literals = _Literals(problem.goal, state_bits, abilities, fail)
  facts = set(problem.facts)
  objects = sorted(object_type)
  receptacles = sorted(receptacle_type)

  def objects_for(variable: str) -> np.ndarray:
    kind = literals.type_of(variable)
    return np.array(
      [
        object_type[o] == kind
        and all((p, o) in facts for p in literals.abilities[variable])
        for o in objects
      ],
      bool,
    )

  nothing = np.zeros(len(objects), bool)
  nowhere = np.zeros(len(receptacles), bool)
  if literals.held:
    return _look_goal(literals, objects_for, nowhere, state_bits, fail)
  places = literals.places
  if not places or len(places) > 2 or len({r for _, r in places}) != 1:
    fail('the goal must put one object, or two in the same place')
  first, receptacle = places[0]
  second = places[-1][0]
  if len(places) == 2:
    if frozenset((first, second)) not in literals.different:
      fail('the two objects of the goal must be different')
    if (
      literals.type_of(first) != literals.type_of(second)
      or literals.states[first] != literals.states[second]
    ):
      fail('the two objects of the goal must be of one type and state')
  kind = literals.type_of(receptacle)
  return Goal(
    objects_for(first) & objects_for(second),
    np.array([receptacle_type[r] == kind for r in receptacles], bool),
    literals.states[first],
    len(places),
    nothing,
  )


def _look_goal(literals, objects_for, nowhere, state_bits, fail) -> Goal:
  """Holding something under a lamp that is on."""
  toggled = state_bits['istoggled']
  lamps = [v for v, state in literals.states.items() if state == toggled]
  if len(literals.held) != 1 or len(lamps) != 1:
    fail('the goal holds an object, but not under one switched-on lamp')
  if [place[0] for place in literals.places] != lamps:
    fail('the goal holds an object, but its lamp is in no receptacle')
  lamp_objects = objects_for(lamps[0])
  if not lamp_objects.any():
    fail(f'no object can be the lamp {literals.types[lamps[0]]} of the goal')
  held = literals.held[0]
  return Goal(
    objects_for(held), nowhere, literals.states[held], 1, lamp_objects
  )
