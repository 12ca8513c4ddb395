"""A household problem compiled into tables and index arrays.

The domain (receptacles that open, objects that are carried, cleaned, heated,
cooled, sliced and switched) is that of ALFWorld (Shridhar et al. 2021). What
can change is held as relations between indices:

  inside[o, r]   object o is in receptacle r. An object can be in several: the
                 recorded scenes hold pans that are on a burner and on the
                 counter beneath it.
  at[o, l]       object o can be reached from location l (only slicing asks).
  removed[o, r]  o was taken out of r and not put back. ALFWorld's 'look' lists
                 what lies "next to" the agent by this explicit negation.

Names: ALFWorld numbers the objects of a kind from the last identifier in
alphabetical order to the first, and lists things in the order of identifiers.
"""

import collections
import dataclasses

import numpy as np

from jaxcredit.environments.household import games as games_lib
from jaxcredit.environments.household import pddl

# Bits of an object's state.
CLEAN, HOT, COOL, SLICED, TOGGLED = 1, 2, 4, 8, 16
_STATE_BITS = {
  'isclean': CLEAN,
  'ishot': HOT,
  'iscool': COOL,
  'issliced': SLICED,
  'istoggled': TOGGLED,
}
# Bits of what can be done to an object.
PICKUPABLE, CLEANABLE, HEATABLE, COOLABLE, SLICEABLE, TOGGLEABLE, KNIFE = (
  1,
  2,
  4,
  8,
  16,
  32,
  64,
)
_ABILITY_BITS = {
  'pickupable': PICKUPABLE,
  'cleanable': CLEANABLE,
  'heatable': HEATABLE,
  'coolable': COOLABLE,
  'sliceable': SLICEABLE,
  'toggleable': TOGGLEABLE,
}
# Bits of a receptacle.
OPENABLE, SINK_BASIN, SINK, MICROWAVE, FRIDGE = 1, 2, 4, 8, 16
_RECEPTACLE_TYPE_BITS = {
  'sinkbasintype': SINK_BASIN,
  'sinktype': SINK,
  'microwavetype': MICROWAVE,
  'fridgetype': FRIDGE,
}
_KNIVES = ('knifetype', 'butterknifetype')


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


@dataclasses.dataclass(frozen=True)
class World:
  """A compiled game; R receptacles, O objects, L locations.

  Attributes:
    game: the game.
    receptacle_names, object_names, location_names: such as 'desk 1'.
    receptacle_types, object_types: lower case, without the ending 'type'.
    location_of: int [R], location of each receptacle.
    receptacle_bits: int [R], see above.
    object_bits: int [O].
    can_contain: bool [R, O].
    contents_of_object: names of what stands in each object that is itself a
      receptacle, None for an object that is not.
    start_location: where the agent stands.
    start_holding: object held, -1 for none.
    start_opened: bool [R].
    start_inside: bool [O, R].
    start_at: bool [O, L].
    start_state: int [O], bits.
    goal: what wins.
  """

  game: games_lib.Game
  receptacle_names: tuple[str, ...]
  object_names: tuple[str, ...]
  location_names: tuple[str, ...]
  receptacle_types: tuple[str, ...]
  object_types: tuple[str, ...]
  location_of: np.ndarray
  receptacle_bits: np.ndarray
  object_bits: np.ndarray
  can_contain: np.ndarray
  contents_of_object: tuple[tuple[str, ...] | None, ...]
  start_location: int
  start_holding: int
  start_opened: np.ndarray
  start_inside: np.ndarray
  start_at: np.ndarray
  start_state: np.ndarray
  goal: Goal


_ARITIES = {
    'atlocation': 2, 'receptacleatlocation': 2, 'objectatlocation': 2,
    'openable': 1, 'opened': 1, 'inreceptacle': 2, 'isreceptacleobject': 1,
    'inreceptacleobject': 2, 'isreceptacleobjectfull': 1,
    'wasinreceptacle': 2, 'checked': 1, 'examined': 1, 'receptacletype': 2,
    'cancontain': 2, 'objecttype': 2, 'holds': 2, 'holdsany': 1,
    'holdsanyreceptacleobject': 1, 'full': 1, 'isclean': 1, 'cleanable': 1,
    'ishot': 1, 'heatable': 1, 'iscool': 1, 'coolable': 1, 'pickupable': 1,
    'moveable': 1, 'toggleable': 1, 'ison': 1, 'istoggled': 1,
    'sliceable': 1, 'issliced': 1,
}  # fmt: skip


class _Facts:
  """The facts of a problem by predicate, checked against the domain."""

  def __init__(self, problem: pddl.Problem):
    self._problem = problem
    self._by_predicate = collections.defaultdict(list)
    for fact, line in zip(problem.facts, problem.lines, strict=True):
      predicate, *arguments = fact
      if predicate not in _ARITIES:
        raise pddl.GameError(
          problem.source, line, f'unknown predicate {predicate}'
        )
      if len(arguments) != _ARITIES[predicate]:
        raise pddl.GameError(
          problem.source,
          line,
          f'{predicate} takes {_ARITIES[predicate]} arguments, not '
          f'{len(arguments)}',
        )
      self._by_predicate[predicate].append((tuple(arguments), line))

  def __call__(self, predicate: str) -> list[tuple[str, ...]]:
    return [arguments for arguments, _ in self._by_predicate[predicate]]

  def lines(self, predicate: str):
    return self._by_predicate[predicate]

  def mapping(self, predicate: str) -> dict[str, str]:
    """A predicate that must be a function of its first argument."""
    result: dict[str, str] = {}
    for (key, value), line in self._by_predicate[predicate]:
      if result.setdefault(key, value) != value:
        raise pddl.GameError(
          self._problem.source,
          line,
          f'{key} has two values of {predicate}: {result[key]} and {value}',
        )
    return result

  def of_kind(self, kind: str) -> list[str]:
    """The objects of a type that occur in facts, in alphabetical order."""
    found = {
      argument
      for facts in self._by_predicate.values()
      for arguments, _ in facts
      for argument in arguments
      if self._problem.objects[argument] == kind
    }
    return sorted(found)


def compile_world(game: games_lib.Game) -> World:
  """Compiles a game; raises GameError where it is malformed."""
  problem = game.parse()
  facts = _Facts(problem)

  def fail(line: int, reason: str):
    raise pddl.GameError(problem.source, line, reason)

  location_of = facts.mapping('receptacleatlocation')
  receptacle_type = facts.mapping('receptacletype')
  object_type = facts.mapping('objecttype')
  receptacles = facts.of_kind('receptacle')
  objects = facts.of_kind('object')
  locations = facts.of_kind('location')
  for r in receptacles:
    if r not in location_of:
      fail(0, f'receptacle {r} is at no location (receptacleAtLocation)')
    if r not in receptacle_type:
      fail(0, f'receptacle {r} has no receptacleType')
  for o in objects:
    if o not in object_type:
      fail(0, f'object {o} has no objectType')
  r_index = {r: i for i, r in enumerate(receptacles)}
  o_index = {o: i for i, o in enumerate(objects)}
  l_index = {l: i for i, l in enumerate(locations)}

  def index_of(table, name: str, line: int, kind: str) -> int:
    if name not in table:
      fail(line, f'{name} is not a {kind}')
    return table[name]

  names = _demangle([*receptacles, *objects, *locations])

  def pairs(predicate, first, first_kind, second, second_kind):
    result = np.zeros((len(first), len(second)), bool)
    for (a, b), line in facts.lines(predicate):
      result[
        index_of(first, a, line, first_kind),
        index_of(second, b, line, second_kind),
      ] = True
    return result

  starts = facts.lines('atlocation')
  if len(starts) != 1:
    fail(0, f'the agent must be at one location, not {len(starts)}')
  (agent, start), line = starts[0]
  if problem.objects[agent] != 'agent':
    fail(line, f'{agent} is not an agent')
  held = facts.lines('holds')
  if len(held) > 1:
    fail(held[1][1], 'the agent holds more than one object')

  receptacle_bits = np.zeros(len(receptacles), np.int32)
  for r, i in r_index.items():
    receptacle_bits[i] |= _RECEPTACLE_TYPE_BITS.get(receptacle_type[r], 0)
  start_opened = np.zeros(len(receptacles), bool)
  for (r,), line in facts.lines('openable'):
    receptacle_bits[index_of(r_index, r, line, 'receptacle')] |= OPENABLE
  for (r,), line in facts.lines('opened'):
    start_opened[index_of(r_index, r, line, 'receptacle')] = True
  object_bits = np.zeros(len(objects), np.int32)
  start_state = np.zeros(len(objects), np.int32)
  for table, array in (
    (_ABILITY_BITS, object_bits),
    (_STATE_BITS, start_state),
  ):
    for predicate, bit in table.items():
      for (o,), line in facts.lines(predicate):
        array[index_of(o_index, o, line, 'object')] |= bit
  for o, i in o_index.items():
    if object_type[o] in _KNIVES:
      object_bits[i] |= KNIFE
  allowed = set(facts('cancontain'))
  inner = collections.defaultdict(list)
  for inner_object, outer in sorted(facts('inreceptacleobject')):
    inner[outer].append(names[inner_object])
  receptacle_objects = {o for (o,) in facts('isreceptacleobject')}
  return World(
    game=game,
    receptacle_names=tuple(names[r] for r in receptacles),
    object_names=tuple(names[o] for o in objects),
    location_names=tuple(names[l] for l in locations),
    receptacle_types=tuple(
      receptacle_type[r].removesuffix('type') for r in receptacles
    ),
    object_types=tuple(object_type[o].removesuffix('type') for o in objects),
    location_of=np.array(
      [l_index[location_of[r]] for r in receptacles], np.int32
    ),
    receptacle_bits=receptacle_bits,
    object_bits=object_bits,
    can_contain=np.array(
      [
        [(receptacle_type[r], object_type[o]) in allowed for o in objects]
        for r in receptacles
      ],
      bool,
    ).reshape(len(receptacles), len(objects)),
    contents_of_object=tuple(
      tuple(inner[o]) if o in receptacle_objects else None for o in objects
    ),
    start_location=l_index[start],
    start_holding=o_index[held[0][0][1]] if held else -1,
    start_opened=start_opened,
    start_inside=pairs(
      'inreceptacle', o_index, 'object', r_index, 'receptacle'
    ),
    start_at=pairs('objectatlocation', o_index, 'object', l_index, 'location'),
    start_state=start_state,
    goal=_read_goal(
      problem, objects, object_type, receptacles, receptacle_type
    ),
  )


def _demangle(identifiers: list[str]) -> dict[str, str]:
  """ALFWorld's names: 'desk_bar_...' -> 'desk 2'.

  The alphabetically first identifier of a kind gets the highest number.
  """
  kinds = {}
  for identifier in identifiers:
    kind, bar, _ = identifier.partition('_bar_')
    if not bar:
      kinds[identifier] = (_unescape(identifier), False)
    else:
      kind = _unescape(kind)
      kinds[identifier] = (
        kind + 'basin' if 'basin' in identifier else kind,
        True,
      )
  counts = collections.Counter(
    kind for kind, numbered in kinds.values() if numbered
  )
  names = {}
  for identifier in sorted(identifiers):
    kind, numbered = kinds[identifier]
    if numbered:
      names[identifier] = f'{kind} {counts[kind]}'
      counts[kind] -= 1
    else:
      names[identifier] = f'{kind} '
  return names


def _unescape(text: str) -> str:
  for word, sign in (
    ('_minus_', '-'),
    ('_plus_', '+'),
    ('_dot_', '.'),
    ('_comma_', ','),
  ):
    text = text.replace(word, sign)
  return text


def _conjuncts(node, problem, depth=0):
  """Flattens nested 'and' and 'exists' into literals."""
  if depth > 50:
    raise pddl.GameError(
      problem.source, problem.goal_line, 'the goal is nested too deeply'
    )
  if not isinstance(node, tuple) or not node:
    raise pddl.GameError(
      problem.source, problem.goal_line, f'{node!r} in the goal'
    )
  if node[0] == 'and':
    for child in node[1:]:
      yield from _conjuncts(child, problem, depth + 1)
  elif node[0] == 'exists' and len(node) == 3:
    yield from _conjuncts(node[2], problem, depth + 1)
  else:
    yield node


def _read_goal(problem, objects, object_type, receptacles, receptacle_type):
  """Recognises the goals of the six task types."""

  def fail(reason):
    raise pddl.GameError(problem.source, problem.goal_line, reason)

  literals = list(_conjuncts(problem.goal, problem))
  by_variable = collections.defaultdict(set)
  types: dict[str, str] = {}
  places = []
  held = []
  different = set()
  known = {
    'objecttype',
    'receptacletype',
    'inreceptacle',
    'holds',
    'atlocation',
    'receptacleatlocation',
    *_STATE_BITS,
    *_ABILITY_BITS,
  }
  for literal in literals:
    if literal[0] == 'not' and len(literal) == 2 and literal[1][:1] == ('=',):
      different.add(frozenset(literal[1][1:]))
      continue
    if literal[0] not in known:
      fail(
        f'goals with {literal[0]!r} are not supported: this engine knows '
        "the goals of ALFWorld's six task types"
      )
    if literal[0] in ('objecttype', 'receptacletype'):
      types[literal[1]] = literal[2]
    elif literal[0] == 'inreceptacle':
      places.append(literal[1:])
    elif literal[0] == 'holds':
      held.append(literal[2])
    elif len(literal) == 2:
      by_variable[literal[1]].add(literal[0])

  def objects_for(variable):
    required = by_variable[variable] & set(_ABILITY_BITS)
    able = {
      o
      for o in objects
      if all((predicate, o) in fact_set for predicate in required)
    }
    return np.array(
      [o in able and object_type[o] == types.get(variable) for o in objects],
      bool,
    )

  fact_set = set(problem.facts)

  def state_for(variable):
    bits = 0
    for predicate in by_variable[variable] & set(_STATE_BITS):
      bits |= _STATE_BITS[predicate]
    return bits

  none = np.zeros(len(objects), bool)
  if held:
    lamps = [o for o in by_variable if state_for(o) == TOGGLED]
    if len(held) != 1 or len(lamps) != 1:
      fail('the goal holds an object, but not under one switched-on lamp')
    lamp_objects = objects_for(lamps[0])
    if not lamp_objects.any():
      fail(f'no object can be the lamp {types.get(lamps[0])} of the goal')
    return Goal(
      objects_for(held[0]),
      np.zeros(len(receptacles), bool),
      state_for(held[0]),
      1,
      lamp_objects,
    )
  if not places or len(places) > 2 or len({r for _, r in places}) != 1:
    fail('the goal must put one object, or two in the same place')
  first = places[0][0]
  if len(places) == 2:
    second = places[1][0]
    if frozenset((first, second)) not in different:
      fail('the two objects of the goal must be different')
    if (types.get(first), state_for(first)) != (
      types.get(second),
      state_for(second),
    ):
      fail('the two objects of the goal must be of one type')
  receptacle = places[0][1]
  return Goal(
    objects_for(first),
    np.array(
      [receptacle_type[r] == types.get(receptacle) for r in receptacles],
      bool,
    ),
    state_for(first),
    len(places),
    none,
  )
