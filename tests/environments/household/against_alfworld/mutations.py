"""Small changes of a game's start that real rooms could have."""

import random
import re

_NAME = r'[\w-]+'


def _pairs(problem: str, predicate: str) -> list[tuple[str, str]]:
  return re.findall(rf'\({predicate} ({_NAME}) ({_NAME})\)', problem)


def _single(problem: str, predicate: str) -> list[str]:
  return re.findall(rf'\({predicate} ({_NAME})\)', problem.split('(:goal')[0])


def mutate(problem: str, rng: random.Random) -> str:
  """Returns the problem with up to six facts changed, added or removed."""
  for _ in range(rng.randint(1, 6)):
    # Some changes need a few things that can be carried and lie somewhere.
    if len(_pairs(problem, 'inReceptacle')) > 3 and _single(
      problem, 'pickupable'
    ):
      problem = rng.choice(_CHANGES)(problem, rng)
  return problem


def _add(problem: str, *facts: str) -> str:
  return problem.replace('(:init', '(:init\n' + '\n'.join(facts), 1)


def _remove(problem: str, fact: str) -> str:
  head, goal = problem.split('(:goal')
  return head.replace(fact, '') + '(:goal' + goal


def _start_elsewhere(problem, rng):
  """The agent starts before a receptacle."""
  location = rng.choice(_pairs(problem, 'receptacleAtLocation'))[1]
  return re.sub(
    rf'\(atLocation (agent1) {_NAME}\)', rf'(atLocation \1 {location})', problem
  )


def _open(problem, rng):
  closed = _single(problem, 'openable')
  if not closed:
    return problem
  return _add(
    problem,
    *(f'(opened {r})' for r in rng.sample(closed, min(3, len(closed)))),
  )


def _treat(problem, rng):
  """Some things are clean, hot, cold, sliced or switched on already."""
  things = [o for o, _ in _pairs(problem, 'inReceptacle')]
  states = ('isClean', 'isHot', 'isCool', 'isSliced', 'isToggled', 'isOn')
  return _add(
    problem,
    *(f'({rng.choice(states)} {rng.choice(things)})' for _ in range(8)),
  )


def _two_places(problem, rng):
  """Something is in a second receptacle as well, as recorded pans are."""
  things = [o for o, _ in _pairs(problem, 'inReceptacle')]
  place, location = rng.choice(_pairs(problem, 'receptacleAtLocation'))
  thing = rng.choice(things)
  if (thing, place) in _pairs(problem, 'inReceptacle'):
    return problem
  facts = [f'(inReceptacle {thing} {place})']
  if (thing, location) not in _pairs(problem, 'objectAtLocation'):
    facts.append(f'(objectAtLocation {thing} {location})')
  return _add(problem, *facts)


def _same_location(problem, rng):
  """Receptacles move together, so that the agent faces several."""
  places = _pairs(problem, 'receptacleAtLocation')
  location = rng.choice(places)[1]
  for r, old in rng.sample(places, min(3, len(places))):
    problem = problem.replace(
      f'(receptacleAtLocation {r} {old})',
      f'(receptacleAtLocation {r} {location})',
    )
  return problem


def _holding(problem, rng):
  """The agent holds something from the start."""
  if _pairs(problem, 'holds'):
    return problem
  thing, place = rng.choice(_pairs(problem, 'inReceptacle'))
  problem = _remove(problem, f'(inReceptacle {thing} {place})')
  return _add(problem, f'(holds agent1 {thing})', '(holdsAny agent1)')


def _holdable(problem, rng):
  """What is fixed can be taken, and what can be taken is fixed."""
  loose = _single(problem, 'pickupable')
  fixed = [o for o, _ in _pairs(problem, 'inReceptacle') if o not in set(loose)]
  if fixed and rng.random() < 0.5:
    return _add(problem, f'(pickupable {rng.choice(fixed)})')
  return _remove(problem, f'(pickupable {rng.choice(loose)})')


def _able(problem, rng):
  """More can be done to some things."""
  things = [o for o, _ in _pairs(problem, 'inReceptacle')]
  abilities = ('cleanable', 'heatable', 'coolable', 'sliceable', 'toggleable')
  return _add(
    problem,
    *(f'({rng.choice(abilities)} {rng.choice(things)})' for _ in range(6)),
  )


def _other_type(problem, rng):
  """A receptacle, or a thing, becomes of another's type."""
  predicate = rng.choice(('receptacleType', 'objectType'))
  typed = _pairs(problem.split('(:goal')[0], predicate)
  (name, old), (_, new) = rng.choice(typed), rng.choice(typed)
  if predicate == 'receptacleType' and re.search(
    r'SinkType\b.* - rtype', problem
  ):
    new = rng.choice((new, 'SinkType', 'FridgeType', 'MicrowaveType'))
  elif predicate == 'objectType':
    new = rng.choice((new, 'KnifeType'))
  return problem.replace(
    f'({predicate} {name} {old})', f'({predicate} {name} {new})'
  )


def _hold_other_things(problem, rng):
  """A kind of receptacle takes one kind of thing less and one more."""
  pairs = _pairs(problem, 'canContain')
  problem = _remove(problem, '(canContain {} {})'.format(*rng.choice(pairs)))
  return _add(
    problem, f'(canContain {rng.choice(pairs)[0]} {rng.choice(pairs)[1]})'
  )


def _inner(problem, rng):
  """Something lies in a thing that holds things."""
  things = sorted({o for o, _ in _pairs(problem, 'inReceptacle')})
  outer, *inner = rng.sample(things, min(4, len(things)))
  facts = [f'(inReceptacleObject {o} {outer})' for o in inner]
  if outer not in _single(problem, 'isReceptacleObject'):
    facts.append(f'(isReceptacleObject {outer})')
  return _add(problem, *facts)


def _nowhere(problem, rng):
  """An object leaves its receptacle, but can still be reached."""
  thing, place = rng.choice(_pairs(problem, 'inReceptacle'))
  return _remove(problem, f'(inReceptacle {thing} {place})')


_CHANGES = (
  _start_elsewhere,
  _open,
  _treat,
  _two_places,
  _same_location,
  _holding,
  _holdable,
  _able,
  _other_type,
  _hold_other_things,
  _inner,
  _nowhere,
)
