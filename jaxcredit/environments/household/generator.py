"""Makes new solvable household games from a seed.

Rooms are furnished after counts of ALFWorld's training scenes (scenes.json;
facts of the json_2.1.1 release, MIT licence, counted by
experiments/tools/count_household_scenes.py): how many receptacles of a kind a
room has, which objects, and where they lie. A game is written as a planning
problem of the same form as the real ones, so that ALFWorld's own engine plays
it too.
"""

import collections
import functools
import json
import pathlib

import numpy as np

from jaxcredit.environments import generated
from jaxcredit.environments.household import games as games_lib
from jaxcredit.environments.household import pddl

SCENES = pathlib.Path(__file__).with_name('scenes.json')
ABILITIES = (
  'pickupable',
  'cleanable',
  'heatable',
  'coolable',
  'sliceable',
  'toggleable',
)

_NEEDS = {
  'pick_clean_then_place_in_recep': ('cleanable', 'isclean', 'sinkbasin'),
  'pick_heat_then_place_in_recep': ('heatable', 'ishot', 'microwave'),
  'pick_cool_then_place_in_recep': ('coolable', 'iscool', 'fridge'),
}
# The sentences of the real games.
_SENTENCES = {
  'pick_and_place_simple': ('put a {o} in {r}', 'put some {o} on {r}'),
  'look_at_obj_in_light': (
    'examine the {o} with the {r}',
    'look at {o} under the {r}',
  ),
  'pick_clean_then_place_in_recep': (
    'clean some {o} and put it in {r}',
    'put a clean {o} in {r}',
  ),
  'pick_heat_then_place_in_recep': (
    'heat some {o} and put it in {r}',
    'put a hot {o} in {r}',
  ),
  'pick_cool_then_place_in_recep': (
    'cool some {o} and put it in {r}',
    'put a cool {o} in {r}',
  ),
  'pick_two_obj_and_place': (
    'put two {o} in {r}',
    'find two {o} and put them in {r}',
  ),
}
_LAMPS = ('desklamp', 'floorlamp')


@functools.cache
def _scenes() -> dict:
  return json.loads(SCENES.read_text(encoding='utf-8'))


class _Room:
  """Furniture and objects under construction."""

  def __init__(self, kind: str, rng: np.random.Generator):
    self.rng = rng
    self.table = _scenes()['rooms'][kind]
    self.receptacles: list[str] = []  # kind of each
    for name, histogram in self.table['receptacles'].items():
      self.receptacles += [name] * self._draw(histogram)
    self.objects: list[str] = []  # kind of each
    self.places: list[int] = []  # receptacle of each, -1 for none
    for name, histogram in self.table['objects'].items():
      for _ in range(self._draw(histogram)):
        self.add(name)

  def _draw(self, histogram: dict[str, int]) -> int:
    weights = np.array(list(histogram.values()), float)
    return int(
      self.rng.choice(list(map(int, histogram)), p=weights / weights.sum())
    )

  def homes(self, name: str, avoid: str = '') -> tuple[list[int], np.ndarray]:
    """Receptacles where a kind of object may lie, and how likely."""
    weights = self.table['places'].get(name, {})
    count = collections.Counter(self.receptacles)
    homes = [
      r
      for r, kind in enumerate(self.receptacles)
      if weights.get(kind, 0) and kind != avoid
    ]
    p = np.array(
      [weights[self.receptacles[r]] / count[self.receptacles[r]] for r in homes]
    )
    return homes, p / p.sum() if homes else p

  def add(self, name: str, avoid: str = '') -> bool:
    """Lays one more object somewhere; False if there is no place for it."""
    homes, p = self.homes(name, avoid)
    place = int(self.rng.choice(homes, p=p)) if homes else -1
    if place < 0 and avoid:
      return False
    self.objects.append(name)
    self.places.append(place)
    return True

  def clear(self, name: str, receptacle_kind: str) -> None:
    """Moves objects of a kind out of receptacles of a kind."""
    for i, kind in enumerate(self.objects):
      if (
        kind == name
        and self.places[i] >= 0
        and (self.receptacles[self.places[i]] == receptacle_kind)
      ):
        homes, p = self.homes(name, receptacle_kind)
        self.places[i] = int(self.rng.choice(homes, p=p)) if homes else -1

  def count(self, name: str) -> int:
    """Objects of a kind that lie in some receptacle."""
    return sum(
      kind == name and place >= 0
      for kind, place in zip(self.objects, self.places, strict=True)
    )


def generate_game(seed: int, task_type: str | None = None) -> games_lib.Game:
  """Makes a game.

  Args:
    seed: the game is a function of it (and of `task_type`).
    task_type: one of games.TASK_TYPES; None draws one.

  Returns:
    A solvable game whose goal does not hold at the start.

  Raises:
    ValueError: unknown task type.
  """
  if task_type is not None and task_type not in games_lib.TASK_TYPES:
    raise ValueError(
      f'task_type must be one of {games_lib.TASK_TYPES}, not {task_type!r}'
    )
  rng = np.random.default_rng(seed)
  kind = task_type or str(rng.choice(games_lib.TASK_TYPES))
  while True:
    game = _attempt(kind, seed, rng)
    if game is not None:
      return game


def generate_games(seed: int, count: int) -> generated.Tasks[games_lib.Game]:
  """`count` games, the task types in turn; seeds seed, seed + 1, ...

  Each is made when it is asked for.
  """
  return generated.Tasks(count, functools.partial(_game_at, seed))


def _game_at(seed: int, place: int) -> games_lib.Game:
  kinds = games_lib.TASK_TYPES
  return generate_game(seed + place, kinds[place % len(kinds)])


def _attempt(task_type, seed, rng) -> games_lib.Game | None:
  """One try; None where the room drawn does not allow the task."""
  scenes = _scenes()
  if task_type in _NEEDS and _NEEDS[task_type][2] != 'sinkbasin':
    rooms = ['kitchen']
  elif task_type in _NEEDS:
    rooms = ['kitchen', 'bathroom']
  elif task_type == 'look_at_obj_in_light':
    rooms = ['bedroom', 'living room']
  else:
    rooms = list(scenes['rooms'])
  room = _Room(str(rng.choice(rooms)), rng)
  able = scenes['abilities']
  ability, state, appliance = _NEEDS.get(task_type, ('', '', ''))
  if appliance and appliance not in room.receptacles:
    return None
  kinds = [
    o
    for o in room.table['places']
    if 'pickupable' in able.get(o, ()) and (not ability or ability in able[o])
  ]
  if not kinds:
    return None
  wanted = str(rng.choice(kinds))
  if task_type == 'look_at_obj_in_light':
    target = str(rng.choice(_LAMPS))
    if not room.table['places'].get(target):
      return None
    if not room.count(target) and not (
      room.homes(target)[0] and room.add(target)
    ):
      return None
  else:
    targets = sorted(
      {
        r
        for r in room.receptacles
        if wanted in scenes['can_contain'].get(r, ()) and r != appliance
      }
    )
    if not targets:
      return None
    target = str(rng.choice(targets))
    room.clear(wanted, target)
  avoid = '' if task_type == 'look_at_obj_in_light' else target
  needed = 2 if task_type == 'pick_two_obj_and_place' else 1
  while room.count(wanted) < needed:
    if not room.homes(wanted, avoid)[0] or not room.add(wanted, avoid):
      return None
  sentence = str(rng.choice(_SENTENCES[task_type]))
  objects, facts = _facts(room)
  name = f'generated-{task_type}-{seed}'
  return games_lib.Game(
    name=name,
    task_type=task_type,
    task_description=sentence.format(o=wanted, r=target),
    problem=pddl.problem_text(
      name, objects, facts, _goal(task_type, wanted, target, ability, state)
    ),
    split='generated',
    source=name,
  )


def _facts(room: _Room):
  """Objects and facts of a furnished room."""
  scenes = _scenes()
  rng = room.rng
  objects = {'agent1': 'agent'}
  facts: list[tuple[str, ...]] = []

  def identifiers(kinds, suffixes=()):
    # A random tag, so that alphabetical order (which numbers things) is not
    # the order in which they were placed.
    tags = rng.permutation(1000)[: len(kinds)]
    result = []
    for kind, tag in zip(kinds, tags, strict=True):
      base = kind.removesuffix('basin')
      end = f'_bar_{kind}' if base != kind else ''
      result.append(f'{base}_bar_{tag:03d}{end}')
    return result

  receptacles = identifiers(room.receptacles)
  things = identifiers(room.objects)
  places = [f'loc_bar_{i:02d}' for i in rng.permutation(len(receptacles) + 1)]
  for name, kind in zip(receptacles, room.receptacles, strict=True):
    objects[name] = 'receptacle'
    objects[f'{kind}type'] = 'rtype'
  for name, kind in zip(things, room.objects, strict=True):
    objects[name] = 'object'
    objects[f'{kind}type'] = 'otype'
  for place in places:
    objects[place] = 'location'
  for r, allowed in scenes['can_contain'].items():
    for o in allowed:
      if f'{r}type' in objects and f'{o}type' in objects:
        facts.append(('cancontain', f'{r}type', f'{o}type'))
  facts.append(('atlocation', 'agent1', places[-1]))
  for i, (name, kind) in enumerate(
    zip(receptacles, room.receptacles, strict=True)
  ):
    facts.append(('receptacletype', name, f'{kind}type'))
    facts.append(('receptacleatlocation', name, places[i]))
    if kind in scenes['openable']:
      facts.append(('openable', name))
  for name, kind, place in zip(things, room.objects, room.places, strict=True):
    facts.append(('objecttype', name, f'{kind}type'))
    facts += [(ability, name) for ability in scenes['abilities'].get(kind, ())]
    if kind in scenes['receptacle_objects']:
      facts.append(('isreceptacleobject', name))
    if place >= 0:
      facts.append(('inreceptacle', name, receptacles[place]))
      facts.append(('objectatlocation', name, places[place]))
  return objects, facts


def _goal(task_type, wanted, target, ability, state) -> tuple:
  otype, rtype = f'{wanted}type', f'{target}type'
  if task_type == 'look_at_obj_in_light':
    return (
      'and',
      (
        'exists',
        (
          '?ot',
          '-',
          'object',
          '?r',
          '-',
          'receptacle',
          '?a',
          '-',
          'agent',
          '?l',
          '-',
          'location',
        ),
        (
          'and',
          ('objecttype', '?ot', rtype),
          ('toggleable', '?ot'),
          ('istoggled', '?ot'),
          ('receptacleatlocation', '?r', '?l'),
          ('atlocation', '?a', '?l'),
          ('inreceptacle', '?ot', '?r'),
        ),
      ),
      (
        'exists',
        ('?o', '-', 'object', '?a', '-', 'agent'),
        ('and', ('objecttype', '?o', otype), ('holds', '?a', '?o')),
      ),
    )

  def lies(variable):
    return (
      ('objecttype', variable, otype),
      ('receptacletype', '?r', rtype),
      ('inreceptacle', variable, '?r'),
    )

  if task_type == 'pick_two_obj_and_place':
    inner = (
      'exists',
      ('?o2', '-', 'object'),
      ('and', ('not', ('=', '?o1', '?o2')), *lies('?o2')),
    )
    body = (
      'exists',
      ('?o1', '-', 'object'),
      ('and', *lies('?o1'), inner),
    )
  else:
    extra = ((ability, '?o'), (state, '?o')) if ability else ()
    body = ('exists', ('?o', '-', 'object'), ('and', *extra, *lies('?o')))
  return ('and', ('exists', ('?r', '-', 'receptacle'), body))
