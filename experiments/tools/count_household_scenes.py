"""Counts what ALFWorld's scenes hold, for the generator of new games.

  python -m experiments.tools.count_household_scenes --games=train.jsonl.xz

writes jaxcredit/environments/household/scenes.json. Only training games should
be counted, so that generated games know nothing of the evaluation splits.
"""

import collections
import json
import pathlib

from absl import app, flags

from jaxcredit.environments import household
from jaxcredit.environments.household import generator
from jaxcredit.environments.household import world as world_lib

_GAMES = flags.DEFINE_string(
  'games', None, 'Real games to count (.jsonl or .jsonl.xz).', required=True
)
_OUTPUT = flags.DEFINE_string(
  'output', str(generator.SCENES), 'The file to write.'
)


def room_of(world: world_lib.World) -> str:
  """The kind of room, by what only that kind has."""
  kinds = set(world.receptacle_types)
  if 'microwave' in kinds or 'fridge' in kinds:
    return 'kitchen'
  if 'toilet' in kinds or 'bathtubbasin' in kinds:
    return 'bathroom'
  if 'bed' in kinds:
    return 'bedroom'
  return 'living room'


def count(games) -> dict:
  """Returns the counts; see `generator` for their form."""
  can_contain = collections.defaultdict(set)
  abilities = collections.defaultdict(set)
  openable = set()
  receptacle_objects = set()
  rooms = {}
  seen_scenes = set()
  for game in games:
    problem = game.parse()
    facts = collections.defaultdict(list)
    for predicate, *rest in problem.facts:
      facts[predicate].append(rest)
    kind = {o: t.removesuffix('type') for o, t in facts['objecttype']}
    place = {r: t.removesuffix('type') for r, t in facts['receptacletype']}
    for r, o in facts['cancontain']:
      can_contain[r.removesuffix('type')].add(o.removesuffix('type'))
    for ability in generator.ABILITIES:
      for (o,) in facts[ability]:
        abilities[kind[o]].add(ability)
    openable |= {place[r] for (r,) in facts['openable']}
    receptacle_objects |= {kind[o] for (o,) in facts['isreceptacleobject']}
    scene = tuple(sorted(place))
    world = world_lib.compile_world(game)
    room = rooms.setdefault(
      room_of(world),
      {
        'receptacles': collections.defaultdict(list),
        'objects': collections.defaultdict(list),
        'places': collections.defaultdict(collections.Counter),
      },
    )
    if scene not in seen_scenes:
      seen_scenes.add(scene)
      counts = collections.Counter(place.values())
      room['receptacles']['_scenes'].append(1)
      for r, n in counts.items():
        room['receptacles'][r].append(n)
    room['objects']['_games'].append(1)
    for o, n in collections.Counter(kind.values()).items():
      room['objects'][o].append(n)
    for o, r in facts['inreceptacle']:
      room['places'][kind[o]][place[r]] += 1

  def histogram(numbers):
    total = len(numbers.pop(next(iter(numbers))))
    table = {}
    for name in sorted(numbers):
      counted = collections.Counter(numbers[name])
      counted[0] = total - len(numbers[name])
      table[name] = {str(n): counted[n] for n in sorted(counted) if counted[n]}
    return table

  return {
    'can_contain': {r: sorted(can_contain[r]) for r in sorted(can_contain)},
    'abilities': {o: sorted(abilities[o]) for o in sorted(abilities)},
    'openable': sorted(openable),
    'receptacle_objects': sorted(receptacle_objects),
    'rooms': {
      name: {
        'receptacles': histogram(room['receptacles']),
        'objects': histogram(room['objects']),
        'places': {
          o: dict(sorted(room['places'][o].items()))
          for o in sorted(room['places'])
        },
      }
      for name, room in sorted(rooms.items())
    },
  }


def main(argv):
  del argv
  games = household.load_games(_GAMES.value)
  text = json.dumps(count(games), indent=1)
  pathlib.Path(_OUTPUT.value).write_text(text + '\n', encoding='utf-8')
  print(f'{len(games)} games counted in {_OUTPUT.value}')


if __name__ == '__main__':
  app.run(main)
