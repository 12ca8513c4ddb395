"""Experts: a planner that sees the state, and a searcher that does not.

`plan` finds a short sequence of commands from any state. `SearchingExpert` acts
on what the text tells, as a policy must: it looks where a thing is likely to
be, remembers what it has seen, and so gives traces that can be imitated.
"""

import re

import numpy as np

from jaxcredit.environments import protocol
from jaxcredit.environments.household import engine, generator
from jaxcredit.environments.household import games as games_lib
from jaxcredit.environments.household import world as world_lib

_TREATMENTS = (
  (world_lib.CLEAN, 'clean', world_lib.SINK_BASIN),
  (world_lib.HOT, 'heat', world_lib.MICROWAVE),
  (world_lib.COOL, 'cool', world_lib.FRIDGE),
)


class NoPlanError(ValueError):
  """The goal cannot be reached by carrying and treating objects."""


def _put(wording, name, place):
  if wording == '0.4.2':
    return f'move {name} to {place}'
  return f'put {name} in/on {place}'


class _Course:
  """Commands under construction, with what they change."""

  def __init__(self, environment: engine.HouseholdEnvironment, wording: str):
    self.world = environment.world
    self.wording = wording
    self.location = environment.location
    self.holding = environment.holding
    self.opened = list(environment.opened)
    self.contents = [list(objects) for objects in environment.contents]
    self.state = list(environment.object_state)
    self.commands: list[str] = []

  def copy(self) -> '_Course':
    other = object.__new__(_Course)
    other.__dict__.update(self.__dict__)
    for name in ('opened', 'state', 'commands'):
      setattr(other, name, list(getattr(self, name)))
    other.contents = [list(objects) for objects in self.contents]
    return other

  def go(self, r: int) -> None:
    if self.location != self.world.location_of[r]:
      self.location = int(self.world.location_of[r])
      self.commands.append(f'go to {self.world.receptacle_names[r]}')

  def reach_into(self, r: int) -> None:
    self.go(r)
    openable = self.world.receptacle_bits[r] & world_lib.OPENABLE
    if openable and not self.opened[r]:
      self.opened[r] = True
      self.commands.append(f'open {self.world.receptacle_names[r]}')

  def take(self, o: int, r: int) -> None:
    self.reach_into(r)
    self.contents[r].remove(o)
    self.holding = o
    self.commands.append(
      f'take {self.world.object_names[o]} from {self.world.receptacle_names[r]}'
    )

  def put(self, r: int) -> None:
    self.reach_into(r)
    name = self.world.object_names[self.holding]
    self.contents[r].append(self.holding)
    self.holding = -1
    self.commands.append(
      _put(self.wording, name, self.world.receptacle_names[r])
    )

  def drop(self, avoid=frozenset()) -> None:
    """Puts down what is held where it costs least."""
    if self.holding < 0:
      return
    best = None
    for r in self.world.can_contain[:, self.holding].nonzero()[0]:
      if int(r) in avoid:
        continue
      course = self.copy()
      course.put(int(r))
      if best is None or len(course.commands) < len(best.commands):
        best = course
    if best is None:
      raise NoPlanError(
        f'{self.world.object_names[self.holding]} can be put nowhere'
      )
    self.__dict__.update(best.__dict__)

  def fetch(self, o: int) -> None:
    """Holds `o`."""
    if self.holding == o:
      return
    places = [r for r, objects in enumerate(self.contents) if o in objects]
    if not places or not self.world.object_bits[o] & world_lib.PICKUPABLE:
      raise NoPlanError(f'{self.world.object_names[o]} cannot be taken')
    self.drop()
    self.take(o, min(places, key=self._distance))

  def _distance(self, r: int) -> int:
    closed = (
      self.world.receptacle_bits[r] & world_lib.OPENABLE and not self.opened[r]
    )
    return int(self.location != self.world.location_of[r]) + bool(closed)

  def treat(self, wanted: int) -> None:
    """Gives what is held the state bits that it lacks."""
    o = self.holding
    name = self.world.object_names[o]
    missing = wanted & ~self.state[o]
    if missing & (world_lib.SLICED | world_lib.TOGGLED):
      raise NoPlanError('goals with sliced objects are not planned for')
    for bit, verb, kind in _TREATMENTS:
      if missing & bit:
        places = (self.world.receptacle_bits & kind).nonzero()[0].tolist()
        if not places:
          raise NoPlanError(f'there is nothing to {verb} {name} with')
        r = min(places, key=self._distance)
        self.go(r)
        self.state[o] |= bit
        self.commands.append(
          f'{verb} {name} with {self.world.receptacle_names[r]}'
        )


def plan(
  environment: engine.HouseholdEnvironment, wording: str = '2.1.1'
) -> list[str]:
  """A short sequence of commands that wins from the present state.

  Args:
    environment: after `reset`; it is not changed.
    wording: of the environment.

  Returns:
    The commands; empty if the goal holds.

  Raises:
    NoPlanError: the goal cannot be reached.
  """
  if environment.goal_holds():
    return []
  goal = environment.world.goal
  start = _Course(environment, wording)
  options = _look_plans(start) if goal.is_look else _place_plans(start)
  best, reason = None, 'no object of the goal is there'
  for make in options:
    try:
      course = make()
    except NoPlanError as error:
      reason = str(error)
      continue
    if best is None or len(course.commands) < len(best.commands):
      best = course
  if best is None:
    raise NoPlanError(f'{environment.world.game.name}: {reason}')
  return _until_won(environment, best.commands)


def _until_won(environment, commands: list[str]) -> list[str]:
  """Cuts off what is not needed: a thing may lie in two places at once."""
  trial = environment.fork()
  for count, command in enumerate(commands, start=1):
    if trial.step(command).terminated:
      return commands[:count]
  raise NoPlanError(f'{environment.world.game.name}: the plan does not win')


def _look_plans(start: _Course):
  goal = start.world.goal
  lamps = [
    (lamp, r)
    for lamp in goal.lamp_objects.nonzero()[0].tolist()
    for r, objects in enumerate(start.contents)
    if lamp in objects
  ]

  def make(o, lamp, r):
    course = start.copy()
    course.fetch(o)
    course.treat(goal.state)
    course.go(r)
    if not course.state[lamp] & world_lib.TOGGLED:
      course.commands.append(f'use {start.world.object_names[lamp]}')
    return course

  for o in goal.objects.nonzero()[0].tolist():
    for lamp, r in lamps:
      yield lambda o=o, lamp=lamp, r=r: make(o, lamp, r)


def _place_plans(start: _Course):
  world, goal = start.world, start.world.goal
  objects = goal.objects.nonzero()[0].tolist()

  def bring(course, o, r):
    course.fetch(o)
    course.treat(goal.state)
    course.put(r)

  def make(r):
    course = start.copy()
    there = {
      o
      for o in objects
      if o in course.contents[r] and course.state[o] & goal.state == goal.state
    }
    while len(there) < goal.count:
      best = None
      failure = NoPlanError('too few objects of the goal')
      for o in objects:
        if o in there or not world.can_contain[r, o]:
          continue
        attempt = course.copy()
        try:
          bring(attempt, o, r)
        except NoPlanError as error:
          failure = error
          continue
        if best is None or len(attempt.commands) < len(best[1].commands):
          best = (o, attempt)
      if best is None:
        raise failure
      there.add(best[0])
      course = best[1]
    return course

  for r in goal.receptacles.nonzero()[0].tolist():
    yield lambda r=r: make(r)


_SEEN = re.compile(r'\ba ([a-z]+ \d+)')
_VIEW = re.compile(r'(?:On|In) (?:the ([a-z]+ \d+)|it), you see ([^.]*)\.')
_NAMED = re.compile(r'[Tt]he ([a-z]+ \d+) is (open|closed)')


def _kind(name: str) -> str:
  return name.rsplit(' ', 1)[0]


class SearchingExpert:
  """Acts on observations alone.

  Args:
    game: the game; only the kinds of things in its goal are read, which the
      task sentence also tells.
    wording: of the environment.
    rng: breaks ties and varies the order of search.
  """

  def __init__(
    self,
    game: games_lib.Game,
    wording: str,
    rng: np.random.Generator,
  ):
    world = engine.compiled(game).world
    goal = world.goal
    self._wording = wording
    self._rng = rng
    self._wanted = world.object_types[int(goal.objects.argmax())]
    self._lamp = (
      world.object_types[int(goal.lamp_objects.argmax())]
      if goal.is_look
      else ''
    )
    self._target_kind = (
      ''
      if goal.is_look
      else world.receptacle_types[int(goal.receptacles.argmax())]
    )
    self._treatment = next(
      (
        (verb, place)
        for (bit, verb, _), place in zip(
          _TREATMENTS, ('sinkbasin', 'microwave', 'fridge'), strict=True
        )
        if goal.state & bit
      ),
      None,
    )
    self._count = goal.count
    self._receptacles: list[str] = []
    self._seen: dict[str, list[str]] = {}
    self._here = ''
    self._holding = ''
    self._treated = False
    self._target = ''
    self._placed: set[str] = set()
    self._order: dict[str, float] = {}
    self._last = ''

  def observe(self, step: protocol.TextStep) -> None:
    """Reads what the environment answered to the last action."""
    self._admissible = step.admissible
    text = step.observation
    if not self._receptacles:
      self._receptacles = [
        command.removeprefix('go to ')
        for command in step.admissible
        if command.startswith('go to ')
      ]
      self._rank()
    verb, _, rest = self._last.partition(' ')
    if text == engine.NOTHING_HAPPENS:
      return
    if verb == 'go':
      self._here = rest.removeprefix('to ')
    elif verb == 'take':
      name, _, place = rest.partition(' from ')
      self._holding, self._treated = name, False
      if name in self._seen.get(place, ()):
        self._seen[place].remove(name)
    elif verb in ('put', 'move'):
      self._placed.add(self._holding)
      self._seen.setdefault(self._target, []).append(self._holding)
      self._holding = ''
    elif verb in ('clean', 'heat', 'cool'):
      self._treated = True
    view = _VIEW.search(text)
    if view and self._here and verb in ('go', 'open'):
      self._seen[self._here] = _SEEN.findall(view.group(2))

  def _rank(self) -> None:
    """Likely places first, by the counts of training scenes, with noise."""
    weights: dict[str, float] = {}
    for room in generator._scenes()['rooms'].values():
      for kind, count in room['places'].get(self._wanted, {}).items():
        weights[kind] = weights.get(kind, 0) + count
    total = sum(weights.values()) or 1
    copies = {
      r: sum(_kind(other) == _kind(r) for other in self._receptacles)
      for r in self._receptacles
    }
    for r in self._receptacles:
      share = weights.get(_kind(r), 0) / total / copies[r]
      self._order[r] = np.log(share + 1e-3) + 0.3 * self._rng.gumbel()

  def _closed_here(self) -> str:
    opening = f'open {self._here}'
    return opening if opening in self._admissible else ''

  def _go(self, place: str) -> str:
    """Goes to a place, or opens it where the agent is there."""
    if self._here != place:
      command = f'go to {place}'
      if command in self._admissible:
        return command
      # Another receptacle at the same spot: the agent faces both.
      self._here = place
    return self._closed_here()

  def act(self) -> str:
    """The next command."""
    self._last = self._choose()
    return self._last

  def slip(self) -> str:
    """A command such as a learner gets wrong, in place of the expert's.

    It has the form of a sensible one, but the game will refuse it: the agent
    is there already, the thing lies elsewhere or the number is wrong. Call it
    after `act`, whose command is then not played.
    """
    here = self._here or self._receptacles[0]
    kinds = sorted({_kind(r) for r in self._receptacles})
    number = int(self._rng.integers(1, 4))
    if self._holding:
      thing = _put(self._wording, f'{self._wanted} {number}', here)
    else:
      thing = f'take {self._wanted} {number} from {here}'
    candidates = [
      thing,
      f'go to {here}',
      f'open {here}',
      f'go to {self._rng.choice(kinds)} {int(self._rng.integers(1, 9))}',
    ]
    refused = [c for c in candidates if c not in self._admissible]
    if refused:
      self._last = str(self._rng.choice(refused))
    else:
      self._last = f'open {self._rng.choice(kinds)} 99'
    return self._last

  def _choose(self) -> str:
    if self._holding:
      return self._bring()
    # The target must hold all: one that already holds some is best.
    if self._target_kind and not self._target:
      for place, names in self._seen.items():
        if _kind(place) == self._target_kind and self._treatment is None:
          there = [n for n in names if _kind(n) == self._wanted]
          if there:
            self._target = place
            self._placed.update(there)
    found = [
      (place, name)
      for place, names in self._seen.items()
      for name in names
      if _kind(name) == self._wanted and name not in self._placed
    ]
    found.sort(key=lambda item: item[0] != self._here)
    for place, name in found:
      move = self._go(place)
      if move:
        return move
      take = f'take {name} from {place}'
      if take in self._admissible:
        return take
      self._seen[place].remove(name)
    return self._search() or 'look'

  def _search(self) -> str:
    unseen = [r for r in self._receptacles if r not in self._seen]
    if self._here in unseen and self._closed_here():
      return self._closed_here()
    for place in sorted(unseen, key=self._order.get, reverse=True):
      move = self._go(place)
      if move:
        return move
      self._seen[place] = []
    return ''

  def _bring(self) -> str:
    if self._lamp:
      for place, names in self._seen.items():
        for name in names:
          if _kind(name) == self._lamp:
            return self._go(place) or f'use {name}'
      return self._search() or 'look'
    if self._treatment and not self._treated:
      verb, kind = self._treatment
      places = [r for r in self._receptacles if _kind(r) == kind]
      command = f'{verb} {self._holding} with '
      for place in places:
        if command + place in self._admissible:
          return command + place
      for place in places:
        if f'go to {place}' in self._admissible:
          return f'go to {place}'
      return 'look'
    if not self._target:
      targets = [r for r in self._receptacles if _kind(r) == self._target_kind]
      # One that is known open, or here, saves steps.
      targets.sort(key=lambda r: (r != self._here, r not in self._seen))
      self._target = targets[0]
    move = self._go(self._target)
    return move or _put(self._wording, self._holding, self._target)
