"""The household in text: ALFWorld's two wordings, command by command.

'2.1.1' is the wording of the data release that papers use ("put mug 1 in/on
desk 1", "You arrive at loc 24."), '0.4.2' that of the package of that version
("move mug 1 to desk 1", "You arrive at desk 1.", and a help command). What the
engine says was checked, step by step, against transcripts of the real one.
"""

import functools
from collections.abc import Iterable

from jaxcredit.environments import commands, protocol
from jaxcredit.environments.household import games as games_lib
from jaxcredit.environments.household import goal_progress
from jaxcredit.environments.household import world as world_lib

WORDINGS = ('2.1.1', '0.4.2')
ANCHORS = ('observation', 'state')
NOTHING_HAPPENS = 'Nothing happens.'

# ALFWorld's answer ends in a line break; no observation here does.
_HELP = '\n'.join(
  (
    'Available commands:',
    '  look:                             look around your current location',
    '  inventory:                        check your current inventory',
    '  go to (receptacle):               move to a receptacle',
    '  open (receptacle):                open a receptacle',
    '  close (receptacle):               close a receptacle',
    '  take (object) from (receptacle):  take an object from a receptacle',
    '  move (object) to (receptacle):  place an object in or on a receptacle',
    '  examine (something):              examine a receptacle or an object',
    '  use (object):                     use an object',
    '  heat (object) with (receptacle):  heat an object using a receptacle',
    '  clean (object) with (receptacle): clean an object using a receptacle',
    '  cool (object) with (receptacle):  cool an object using a receptacle',
    '  slice (object) with (object):     slice an object using a sharp object',
  )
)


def enumeration(names: Iterable[str]) -> str:
  """'nothing', 'x', 'x, and y' or 'x, y, and z', as the grammar lists."""
  names = list(names)
  if not names:
    return 'nothing'
  if len(names) == 1:
    return names[0]
  return f'{", ".join(names[:-1])}, and {names[-1]}'


class _Tables:
  """A compiled world with what the host's stepping looks up."""

  def __init__(self, world: world_lib.World):
    self.world = world
    count = len(world.receptacle_names)
    self.receptacles_at: list[list[int]] = [[] for _ in world.location_names]
    for r in range(count):
      self.receptacles_at[world.location_of[r]].append(r)
    self.location_of = world.location_of.tolist()
    self.openable = ((world.receptacle_bits & world_lib.OPENABLE) != 0).tolist()
    self.receptacle_bits = world.receptacle_bits.tolist()
    self.object_bits = world.object_bits.tolist()
    self.can_contain = world.can_contain.tolist()
    self.indefinite = [f'a {name}' for name in world.object_names]
    self.receptacle_index = {n: r for r, n in enumerate(world.receptacle_names)}
    self.object_index = {n: o for o, n in enumerate(world.object_names)}
    self.go_commands = [
      tuple(
        sorted(
          f'go to {world.receptacle_names[r]}'
          for r in range(count)
          if self.location_of[r] != l
        )
      )
      for l in range(len(world.location_names))
    ]
    self.contents = [
      [int(o) for o in world.start_inside[:, r].nonzero()[0]]
      for r in range(count)
    ]
    self.at = [
      {int(o) for o in world.start_at[:, l].nonzero()[0]}
      for l in range(len(world.location_names))
    ]
    goal = world.goal
    self.goal_objects = frozenset(goal.objects.nonzero()[0].tolist())
    self.goal_receptacles = tuple(goal.receptacles.nonzero()[0].tolist())
    self.lamp_objects = frozenset(goal.lamp_objects.nonzero()[0].tolist())
    room = enumeration(f'a {name}' for name in world.receptacle_names)
    self.room = (
      'You are in the middle of a room. Looking quickly around you, you '
      f'see {room}.'
    )


@functools.lru_cache(maxsize=512)
def compiled(game: games_lib.Game) -> _Tables:
  """The tables of a game; the latest games stay in memory."""
  return _Tables(world_lib.compile_world(game))


class HouseholdEnvironment:
  """A household in text; see `protocol.TextEnvironment`.

  The reward is 1 in each step after which the goal holds, else 0; reaching it
  terminates. Any text is accepted as an action; what is not an admissible
  command, in whatever letters (`commands`), changes nothing and is answered
  'Nothing happens.'

  Args:
    wording: '2.1.1' or '0.4.2'.
    max_steps: steps after which the episode is truncated; None for no limit.
    anchor: what identifies a state. 'observation': the text last seen, as in
      GiGPO's released code (it does not tell what the agent holds).
      'state': the whole state.
  """

  def __init__(
    self,
    *,
    wording: str = '2.1.1',
    max_steps: int | None = None,
    anchor: str = 'observation',
  ):
    if wording not in WORDINGS:
      raise ValueError(f'wording must be one of {WORDINGS}, not {wording!r}')
    if anchor not in ANCHORS:
      raise ValueError(f'anchor must be one of {ANCHORS}, not {anchor!r}')
    if max_steps is not None and max_steps < 1:
      raise ValueError(f'max_steps must be positive, not {max_steps}')
    self._new_wording = wording == '0.4.2'
    self._max_steps = max_steps
    self._anchor_is_state = anchor == 'state'
    self._tables: _Tables | None = None
    # The 0.4.2 domain washes in basins only.
    self._washes = world_lib.SINK_BASIN | (
      0 if self._new_wording else world_lib.SINK
    )

  # The state: public, as experts and tests read it.
  location: int
  holding: int
  opened: list[bool]
  contents: list[list[int]]
  object_state: list[int]

  @property
  def world(self) -> world_lib.World:
    return self._tables.world

  def reset(self, task: games_lib.Game) -> protocol.TextStep:
    """Starts a game; raises GameError where it is malformed."""
    tables = compiled(task)
    world = tables.world
    self._tables = tables
    self.location = world.start_location
    self.holding = world.start_holding
    self.opened = world.start_opened.tolist()
    self.contents = [list(objects) for objects in tables.contents]
    self.object_state = world.start_state.tolist()
    self._at = [set(objects) for objects in tables.at]
    self._removed: set[tuple[int, int]] = set()
    self._steps = 0
    # The opening looks around without regard to where the agent stands.
    facing = tables.receptacles_at[self.location]
    view = self._facing(facing) if facing else tables.room
    text = (
      f'-= Welcome to TextWorld, ALFRED! =-\n\n{view}\n\n'
      f'Your task is to: {task.task_description}.'
    )
    return self._answer(text, 0.0, False)

  def step(self, action: str) -> protocol.TextStep:
    """Takes a command."""
    if self._tables is None:
      raise RuntimeError('reset the environment before it is stepped')
    command = commands.listed(action.strip(), self._admissible)
    text = NOTHING_HAPPENS if command is None else self._apply(command)
    self._steps += 1
    won = self.goal_holds()
    return self._answer(text, float(won), won, command is not None)

  def _answer(
    self, text: str, reward: float, won: bool, executed: bool | None = None
  ) -> protocol.TextStep:
    self._admissible = self._commands()
    return protocol.TextStep(
      text,
      reward,
      won,
      self._max_steps is not None
      and self._steps >= self._max_steps
      and not won,
      self._admissible,
      self.state_text() if self._anchor_is_state else text,
      executed,
    )

  def fork(self) -> 'HouseholdEnvironment':
    """An independent environment in the same state."""
    other = object.__new__(HouseholdEnvironment)
    other.__dict__.update(self.__dict__)
    other.opened = list(self.opened)
    other.contents = [list(objects) for objects in self.contents]
    other.object_state = list(self.object_state)
    other._at = [set(objects) for objects in self._at]
    other._removed = set(self._removed)
    return other

  def state_text(self) -> str:
    """Text that is equal for equal states, and for no others."""
    return repr(
      (
        self.location,
        self.holding,
        self.opened,
        self.contents,
        self.object_state,
        sorted(self._removed),
        [sorted(objects) for objects in self._at],
      )
    )

  def goal_holds(self) -> bool:
    tables = self._tables
    goal = tables.world.goal
    wanted = goal.state
    state = self.object_state
    if tables.lamp_objects:
      if (
        self.holding not in tables.goal_objects
        or state[self.holding] & wanted != wanted
      ):
        return False
      return any(
        o in tables.lamp_objects and state[o] & world_lib.TOGGLED
        for r in tables.receptacles_at[self.location]
        for o in self.contents[r]
      )
    objects = tables.goal_objects
    for r in tables.goal_receptacles:
      found = 0
      for o in self.contents[r]:
        if o in objects and state[o] & wanted == wanted:
          found += 1
      if found >= goal.count:
        return True
    return False

  def progress(self) -> float:
    """The share of the goal's conditions that hold now.

    A function of the state: 1 where, and only where, the goal holds; see
    `goal_progress`.
    """
    return goal_progress.share(
      self.world, self.location, self.holding, self.contents, self.object_state
    )

  def _reachable(self, r: int) -> bool:
    return self.opened[r] or not self._tables.openable[r]

  def _commands(self) -> tuple[str, ...]:
    """The admissible commands, sorted."""
    tables = self._tables
    world = tables.world
    names = world.object_names
    holding = self.holding
    put = 'move {} to {}' if self._new_wording else 'put {} in/on {}'
    before: list[str] = []  # those that sort before 'go to'
    after: list[str] = ['inventory', 'look']
    if self._new_wording:
      after.append('help')
    for r in tables.receptacles_at[self.location]:
      name = world.receptacle_names[r]
      before.append(f'examine {name}')
      open_now = self.opened[r]
      reachable = True
      if tables.openable[r]:
        if open_now:
          before.append(f'close {name}')
        else:
          after.append(f'open {name}')
          reachable = False
      for o in self.contents[r]:
        bits = tables.object_bits[o]
        if bits & world_lib.TOGGLEABLE:
          after.append(f'use {names[o]}')
        if reachable and holding < 0 and bits & world_lib.PICKUPABLE:
          after.append(f'take {names[o]} from {name}')
      if holding >= 0:
        held = names[holding]
        if reachable and tables.can_contain[r][holding]:
          after.append(put.format(held, name))
        kind = tables.receptacle_bits[r]
        if kind & ~world_lib.OPENABLE:
          bits = tables.object_bits[holding]
          if kind & self._washes and bits & world_lib.CLEANABLE:
            before.append(f'clean {held} with {name}')
          if kind & world_lib.MICROWAVE and bits & world_lib.HEATABLE:
            after.append(f'heat {held} with {name}')
          if kind & world_lib.FRIDGE and bits & world_lib.COOLABLE:
            before.append(f'cool {held} with {name}')
    if holding >= 0:
      before.append(f'examine {names[holding]}')
      if tables.object_bits[holding] & world_lib.KNIFE:
        for o in self._at[self.location]:
          if tables.object_bits[o] & world_lib.SLICEABLE:
            after.append(f'slice {names[o]} with {names[holding]}')
    # An object in two receptacles here is named twice.
    return (
      *sorted(set(before)),
      *tables.go_commands[self.location],
      *sorted(set(after)),
    )

  def _apply(self, command: str) -> str:
    """Does an admissible command; returns what the game says."""
    tables = self._tables
    world = tables.world
    verb, _, rest = command.partition(' ')
    if verb == 'go':
      r = tables.receptacle_index[rest[3:]]
      self.location = tables.location_of[r]
      place = (
        world.receptacle_names[r]
        if self._new_wording
        else world.location_names[self.location]
      )
      return f'You arrive at {place}. {self._inspect(r)}'
    if verb == 'look':
      facing = tables.receptacles_at[self.location]
      if facing:
        return self._facing(facing)
      return (
        'You are in the middle of a room. Looking quickly around you, you '
        'see nothing.'
      )
    if verb == 'inventory':
      if self.holding < 0:
        return 'You are not carrying anything.'
      return f'You are carrying: {tables.indefinite[self.holding]}.'
    if verb == 'help':
      return _HELP
    if verb == 'open':
      r = tables.receptacle_index[rest]
      self.opened[r] = True
      return f'You open the {rest}. {self._inspect(r)}'
    if verb == 'close':
      self.opened[tables.receptacle_index[rest]] = False
      return f'You close the {rest}.'
    if verb == 'examine':
      r = tables.receptacle_index.get(rest)
      if r is not None:
        return self._inspect(r)
      return self._describe(tables.object_index[rest])
    if verb == 'take':
      name, _, place = rest.partition(' from ')
      return self._take(name, place)
    if verb in ('put', 'move'):
      name, _, place = rest.partition(
        ' to ' if self._new_wording else ' in/on '
      )
      return self._put(name, place)
    if verb == 'use':
      o = tables.object_index[rest]
      self.object_state[o] |= world_lib.TOGGLED
      # The grammar asks whether it was ever switched, so never says "off".
      return f'You turn on the {rest}.'
    if verb == 'slice':
      name, _, knife = rest.partition(' with ')
      self.object_state[tables.object_index[name]] |= world_lib.SLICED
      return f'You sliced the {name} with the {knife}.'
    name, _, place = rest.partition(' with ')
    o = tables.object_index[name]
    if verb == 'clean':
      self.object_state[o] |= world_lib.CLEAN
    elif verb == 'heat':
      self.object_state[o] |= world_lib.HOT
      self.object_state[o] &= ~world_lib.COOL
    else:
      self.object_state[o] |= world_lib.COOL
      self.object_state[o] &= ~world_lib.HOT
    return f'You {verb} the {name} using the {place}.'

  def _take(self, name: str, place: str) -> str:
    tables = self._tables
    o, r = tables.object_index[name], tables.receptacle_index[place]
    self.contents[r].remove(o)
    self._removed.add((o, r))
    self._at[self.location].discard(o)
    self.holding = o
    return f'You pick up the {name} from the {place}.'

  def _put(self, name: str, place: str) -> str:
    tables = self._tables
    o, r = tables.object_index[name], tables.receptacle_index[place]
    if o not in self.contents[r]:
      self.contents[r].append(o)
      self.contents[r].sort()
    self._removed.discard((o, r))
    self._at[self.location].add(o)
    self.holding = -1
    if self._new_wording:
      return f'You move the {name} to the {place}.'
    return f'You put the {name} in/on the {place}.'

  def _facing(self, receptacles: list[int]) -> str:
    """Names what the agent faces and what lies beside it."""
    tables = self._tables
    faced = enumeration(tables.world.receptacle_names[r] for r in receptacles)
    beside = (
      [
        tables.indefinite[o]
        for o in sorted(self._at[self.location])
        for r in receptacles
        if (o, r) in self._removed
      ]
      if self._removed
      else []
    )
    return (
      f'You are facing the {faced}. Next to it, you see {enumeration(beside)}.'
    )

  def _inspect(self, r: int) -> str:
    tables = self._tables
    name = tables.world.receptacle_names[r]
    if tables.openable[r] and not self.opened[r]:
      return f'The {name} is closed.'
    seen = enumeration([tables.indefinite[o] for o in self.contents[r]])
    if tables.openable[r]:
      return f'The {name} is open. In it, you see {seen}.'
    return f'On the {name}, you see {seen}.'

  def _describe(self, o: int) -> str:
    world = self._tables.world
    name = world.object_names[o]
    inner = world.contents_of_object[o]
    if inner is not None:
      seen = enumeration(f'a {n}' for n in inner)
      return f'This is a normal {name}. In it, you see {seen}.'
    state = self.object_state[o]
    clean = state & world_lib.CLEAN
    sliced = state & world_lib.SLICED
    # With both, the grammar's first rule is the hot one.
    warmth = (
      'hot'
      if state & world_lib.HOT
      else 'cool'
      if state & world_lib.COOL
      else ''
    )
    if warmth or clean:
      if warmth and clean:
        words = f'{warmth} and clean'
      else:
        words = warmth or 'clean'
      if words == 'cool' and not sliced:
        words = 'cold'
      return f'This is a {words}{" sliced" if sliced else ""} {name}.'
    if self._tables.object_bits[o] & world_lib.TOGGLEABLE and (
      state & world_lib.TOGGLED
    ):
      return f'This {name} is on.'
    if self._tables.object_bits[o] & world_lib.SLICEABLE and sliced:
      return f'This is a sliced {name}.'
    return f"There's nothing special about {name}."
