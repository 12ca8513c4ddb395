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
from jaxcredit.environments.household import goals, pddl

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
  goal: goals.Goal


_ANY = '*'
_AGENT, _LOCATION, _RECEPTACLE, _OBJECT, _RTYPE, _OTYPE = (
  'agent',
  'location',
  'receptacle',
  'object',
  'rtype',
  'otype',
)
# The types of the arguments of each predicate of the domain.
_ARGUMENTS = {
  'atlocation': (_AGENT, _LOCATION),
  'receptacleatlocation': (_RECEPTACLE, _LOCATION),
  'objectatlocation': (_OBJECT, _LOCATION),
  'inreceptacle': (_OBJECT, _RECEPTACLE),
  'inreceptacleobject': (_OBJECT, _OBJECT),
  'wasinreceptacle': (_OBJECT, _RECEPTACLE),
  'receptacletype': (_RECEPTACLE, _RTYPE),
  'objecttype': (_OBJECT, _OTYPE),
  'cancontain': (_RTYPE, _OTYPE),
  'holds': (_AGENT, _OBJECT),
  'holdsany': (_AGENT,),
  'holdsanyreceptacleobject': (_AGENT,),
  'checked': (_ANY,),
  'examined': (_ANY,),
  **dict.fromkeys(('openable', 'opened', 'full'), (_RECEPTACLE,)),
  **dict.fromkeys(
    ('isreceptacleobject', 'isreceptacleobjectfull', 'moveable', 'ison'),
    (_OBJECT,),
  ),
  **dict.fromkeys((*_STATE_BITS, *_ABILITY_BITS), (_OBJECT,)),
}


class _Facts:
  """The facts of a problem by predicate, checked against the domain."""

  def __init__(self, problem: pddl.Problem):
    self._problem = problem
    self._by_predicate = collections.defaultdict(list)
    for fact, line in zip(problem.facts, problem.lines, strict=True):
      predicate, *arguments = fact
      if predicate not in _ARGUMENTS:
        raise pddl.GameError(
          problem.source, line, f'unknown predicate {predicate}'
        )
      kinds = _ARGUMENTS[predicate]
      if len(arguments) != len(kinds):
        raise pddl.GameError(
          problem.source,
          line,
          f'{predicate} takes {len(kinds)} arguments, not {len(arguments)}',
        )
      for argument, kind in zip(arguments, kinds, strict=True):
        if kind not in (_ANY, problem.objects[argument]):
          raise pddl.GameError(
            problem.source,
            line,
            f'{argument} is not {"an" if kind[0] in "ao" else "a"} {kind} '
            f'({predicate})',
          )
      self._by_predicate[predicate].append((tuple(arguments), line))

  def __call__(self, predicate: str) -> list[tuple[str, ...]]:
    return [arguments for arguments, _ in self._by_predicate[predicate]]

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

  names = _demangle([*receptacles, *objects, *locations])

  def pairs(predicate, first, second):
    result = np.zeros((len(first), len(second)), bool)
    for a, b in facts(predicate):
      result[first[a], second[b]] = True
    return result

  starts = set(facts('atlocation'))
  if len(starts) != 1:
    fail(0, f'the agent must be at one location, not {len(starts)}')
  ((agent, start),) = starts
  held = facts.mapping('holds')
  if set(held) - {agent}:
    fail(0, f'{min(held)} holds something, but the agent is {agent}')

  receptacle_bits = np.zeros(len(receptacles), np.int32)
  for r, i in r_index.items():
    receptacle_bits[i] |= _RECEPTACLE_TYPE_BITS.get(receptacle_type[r], 0)
  start_opened = np.zeros(len(receptacles), bool)
  for (r,) in facts('openable'):
    receptacle_bits[r_index[r]] |= OPENABLE
  for (r,) in facts('opened'):
    start_opened[r_index[r]] = True
  object_bits = np.zeros(len(objects), np.int32)
  start_state = np.zeros(len(objects), np.int32)
  for table, array in (
    (_ABILITY_BITS, object_bits),
    (_STATE_BITS, start_state),
  ):
    for predicate, bit in table.items():
      for (o,) in facts(predicate):
        array[o_index[o]] |= bit
  for o, i in o_index.items():
    if object_type[o] in _KNIVES:
      object_bits[i] |= KNIFE
  allowed = set(facts('cancontain'))
  inner = collections.defaultdict(list)
  for inner_object, outer in sorted(set(facts('inreceptacleobject'))):
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
    start_holding=o_index[held[agent]] if held else -1,
    start_opened=start_opened,
    start_inside=pairs('inreceptacle', o_index, r_index),
    start_at=pairs('objectatlocation', o_index, l_index),
    start_state=start_state,
    goal=goals.read_goal(
      problem,
      object_type,
      receptacle_type,
      state_bits=_STATE_BITS,
      abilities=tuple(_ABILITY_BITS),
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
