"""The household's state transitions as a pure function of arrays.

`step(world, state, action)` has static shapes and no branches: it compiles
under jit and batches under vmap, over states and over worlds alike. Relations
between objects and places are bit sets, 32 to a word, so that a step touches
about a kilobyte. What the text engine does and what this does is the same; the
tests play both side by side.

  world = dynamics.world_arrays(compile_world(game))
  state = dynamics.reset(world)
  result = dynamics.step(world, state, dynamics.encode(w, 'open drawer 1'))
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.environments.household import engine
from jaxcredit.environments.household import world as world_lib

# Verbs, the first entry of an action (verb, object, receptacle).
WAIT, GO, OPEN, CLOSE, TAKE, PUT, USE, CLEAN, HEAT, COOL = range(10)
SLICE, EXAMINE, INVALID = range(10, 13)
_TREAT = {'clean': CLEAN, 'heat': HEAT, 'cool': COOL}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WorldArrays:
  """What does not change; O objects, R receptacles, L locations, padded.

  Bit sets over receptacles have V = ceil(R / 32) words, over locations
  W = ceil(L / 32).

  Attributes:
    location_of: int32 [R], -1 for padding.
    receptacle_bits: int32 [R], see `world`.
    object_bits: int32 [O].
    can_contain: uint32 [O, V].
    receptacles_at: uint32 [L, V].
    goal_objects, goal_lamps: bool [O].
    goal_receptacles: uint32 [V].
    goal_state, goal_count: int32 [].
    washes: int32 [], bits of receptacles that clean (the wordings differ).
    start: the state after a reset.
  """

  location_of: jax.Array
  receptacle_bits: jax.Array
  object_bits: jax.Array
  can_contain: jax.Array
  receptacles_at: jax.Array
  goal_objects: jax.Array
  goal_lamps: jax.Array
  goal_receptacles: jax.Array
  goal_state: jax.Array
  goal_count: jax.Array
  washes: jax.Array
  start: 'State'


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """What changes.

  Attributes:
    location: int32 [].
    holding: int32 [], -1 for nothing.
    opened: uint32 [V].
    inside: uint32 [O, V], receptacles that hold each object.
    at: uint32 [O, W], locations that each object can be reached from.
    object_state: int32 [O], bits, see `world`.
  """

  location: jax.Array
  holding: jax.Array
  opened: jax.Array
  inside: jax.Array
  at: jax.Array
  object_state: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Transition:
  """What a step gives.

  Attributes:
    state: the state after it.
    reward: float32 [], 1 if the goal holds now.
    terminated: bool [], the same as a flag.
    valid: bool [], whether the action was admissible.
  """

  state: State
  reward: jax.Array
  terminated: jax.Array
  valid: jax.Array


def _bits(matrix: np.ndarray, words: int) -> np.ndarray:
  """bool [..., N] -> uint32 [..., words]."""
  padding = words * 32 - matrix.shape[-1]
  matrix = np.pad(matrix, [(0, 0)] * (matrix.ndim - 1) + [(0, padding)])
  matrix = matrix.reshape(*matrix.shape[:-1], words, 32)
  weights = np.left_shift(np.uint32(1), np.arange(32, dtype=np.uint32))
  return (matrix * weights).sum(axis=-1).astype(np.uint32)


def _pad(array: np.ndarray, size: int, value=0) -> np.ndarray:
  return np.pad(
    array,
    [(0, size - array.shape[0])] + [(0, 0)] * (array.ndim - 1),
    constant_values=value,
  )


def world_arrays(
  world: world_lib.World,
  *,
  wording: str = '2.1.1',
  objects: int = 72,
  receptacles: int = 64,
  locations: int = 64,
) -> WorldArrays:
  """A compiled world as arrays of fixed sizes.

  Args:
    world: the world.
    wording: decides what washes; see `engine`.
    objects, receptacles, locations: O, R and L; worlds padded to the same
      sizes can be stacked. The defaults hold all of ALFWorld's.

  Raises:
    ValueError: the world does not fit.
  """
  o, r, l = (
    len(world.object_names),
    len(world.receptacle_names),
    len(world.location_names),
  )
  if o > objects or r > receptacles or l > locations:
    raise ValueError(
      f'{world.game.name} has {o} objects, {r} receptacles and {l} locations, '
      f'more than {objects}, {receptacles} and {locations}'
    )
  if wording not in engine.WORDINGS:
    raise ValueError(
      f'wording must be one of {engine.WORDINGS}, not {wording!r}'
    )
  words, location_words = -(-receptacles // 32), -(-locations // 32)
  there = world.location_of[None] == np.arange(l)[:, None]
  goal = world.goal
  arrays = WorldArrays(
    location_of=_pad(world.location_of.astype(np.int32), receptacles, -1),
    receptacle_bits=_pad(world.receptacle_bits, receptacles),
    object_bits=_pad(world.object_bits, objects),
    can_contain=_pad(_bits(world.can_contain.T, words), objects),
    receptacles_at=_pad(_bits(there, words), locations),
    goal_objects=_pad(goal.objects, objects),
    goal_lamps=_pad(goal.lamp_objects, objects),
    goal_receptacles=_bits(goal.receptacles, words),
    goal_state=np.int32(goal.state),
    goal_count=np.int32(goal.count),
    washes=np.int32(
      world_lib.SINK_BASIN | (world_lib.SINK if wording == '2.1.1' else 0)
    ),
    start=State(
      location=np.int32(world.start_location),
      holding=np.int32(world.start_holding),
      opened=_bits(world.start_opened, words),
      inside=_pad(_bits(world.start_inside, words), objects),
      at=_pad(_bits(world.start_at, location_words), objects),
      object_state=_pad(world.start_state, objects),
    ),
  )
  return jax.tree.map(jnp.asarray, arrays)


def stack(worlds: Sequence[WorldArrays]) -> WorldArrays:
  """Worlds of equal sizes with a leading axis, for vmap."""
  return jax.tree.map(lambda *x: jnp.stack(x), *worlds)


def reset(world: WorldArrays) -> State:
  """The state at the start of an episode."""
  return world.start


def encode(
  world: world_lib.World, command: str, wording: str = '2.1.1'
) -> np.ndarray:
  """A command as an action.

  Args:
    world: the world that the command is given in.
    command: its text.
    wording: of the text.

  Returns:
    int32 [3]: verb, object, receptacle (0 where there is none; -1 for EXAMINE,
    which has one or the other). What is no command becomes the verb INVALID.
  """
  tables = engine.compiled(world.game)
  objects, receptacles = tables.object_index, tables.receptacle_index
  verb, _, rest = command.strip().partition(' ')

  def action(kind, o=0, r=0):
    if o is None or r is None:
      return np.array([INVALID, 0, 0], np.int32)
    return np.array([kind, o, r], np.int32)

  if not rest:
    known = ('look', 'inventory') + (('help',) if wording == '0.4.2' else ())
    return action(WAIT if verb in known else INVALID)
  if verb == 'go':
    to, _, place = rest.partition(' ')
    return action(GO, r=receptacles.get(place) if to == 'to' else None)
  if verb in ('open', 'close'):
    kind = OPEN if verb == 'open' else CLOSE
    return action(kind, r=receptacles.get(rest))
  if verb == 'use':
    return action(USE, o=objects.get(rest))
  if verb == 'take':
    name, _, place = rest.partition(' from ')
    return action(TAKE, objects.get(name), receptacles.get(place))
  if verb == ('move' if wording == '0.4.2' else 'put'):
    name, _, place = rest.partition(' to ' if verb == 'move' else ' in/on ')
    return action(PUT, objects.get(name), receptacles.get(place))
  if verb in _TREAT:
    name, _, place = rest.partition(' with ')
    return action(_TREAT[verb], objects.get(name), receptacles.get(place))
  if verb == 'slice':
    name, _, knife = rest.partition(' with ')
    return action(SLICE, objects.get(name), objects.get(knife))
  if verb == 'examine' and (rest in receptacles or rest in objects):
    return action(EXAMINE, objects.get(rest, -1), receptacles.get(rest, -1))
  return action(INVALID)


def _one_bit(index, words):
  """uint32 [words] with the bit of `index` set."""
  word = jnp.arange(words) == index // 32
  bit = jnp.uint32(1) << (index % 32).astype(jnp.uint32)
  return jnp.where(word, bit, jnp.uint32(0))


def _twice(rows: jax.Array) -> jax.Array:
  """Bits that are set in two rows at least: uint32 [O, V] -> [V]."""

  def merge(left, right):
    once_l, twice_l = left
    once_r, twice_r = right
    return once_l | once_r, twice_l | twice_r | (once_l & once_r)

  zero = jnp.uint32(0)
  _, twice = jax.lax.reduce(
    (rows, jnp.zeros_like(rows)), (zero, zero), merge, (0,)
  )
  return twice


def goal_holds(world: WorldArrays, state: State) -> jax.Array:
  """bool []: whether the goal holds."""
  fit = world.goal_objects & (
    state.object_state & world.goal_state == world.goal_state
  )
  placed = jnp.where(
    fit[:, None], state.inside & world.goal_receptacles, jnp.uint32(0)
  )
  one = (placed != 0).any()
  two = (_twice(placed) != 0).any()
  here = world.receptacles_at[state.location]
  lit = world.goal_lamps & (state.object_state & world_lib.TOGGLED != 0)
  under_lamp = (lit & ((state.inside & here) != 0).any(axis=-1)).any()
  held = jnp.arange(fit.shape[0]) == state.holding
  look = under_lamp & (fit & held).any()
  place = jnp.where(world.goal_count > 1, two, one)
  return jnp.where(world.goal_lamps.any(), look, place)


def step(world: WorldArrays, state: State, action: jax.Array) -> Transition:
  """One step.

  Args:
    world: from `world_arrays`.
    state: the state before it.
    action: int32 [3], verb, object and receptacle (for SLICE, the knife). An
      action that is not admissible changes nothing.

  Returns:
    A Transition.
  """
  verb, o, r = action[0], action[1], action[2]
  words, location_words = state.opened.shape[0], state.at.shape[1]
  bit_r = _one_bit(r, words)
  bit_l = _one_bit(state.location, location_words)
  is_o = jnp.arange(state.object_state.shape[0]) == o
  r_bits, o_bits = world.receptacle_bits[r], world.object_bits[o]
  openable = (r_bits & world_lib.OPENABLE) != 0
  is_open = (state.opened & bit_r).any()
  place = world.location_of[r]
  here = place == state.location
  reachable = here & (is_open | ~openable)
  held = state.holding == o
  row = state.inside[o]
  in_r = (row & bit_r).any()
  local = world.receptacles_at[state.location]

  def has(bits, kind):
    return (bits & kind) != 0

  def treats(kind, ability):
    return held & here & has(r_bits, kind) & has(o_bits, ability)

  allowed = jnp.stack(
    [
      jnp.array(True),  # WAIT
      (place >= 0) & ~here,  # GO
      here & openable & ~is_open,  # OPEN
      here & openable & is_open,  # CLOSE
      reachable
      & in_r
      & (state.holding < 0)
      & has(o_bits, world_lib.PICKUPABLE),  # TAKE
      held & reachable & (world.can_contain[o] & bit_r).any(),  # PUT
      has(o_bits, world_lib.TOGGLEABLE) & ((row & local) != 0).any(),  # USE
      treats(world.washes, world_lib.CLEANABLE),
      treats(world_lib.MICROWAVE, world_lib.HEATABLE),
      treats(world_lib.FRIDGE, world_lib.COOLABLE),
      (state.holding == r)
      & has(world.object_bits[r], world_lib.KNIFE)
      & has(o_bits, world_lib.SLICEABLE)
      & (state.at[o] & bit_l).any(),  # SLICE
      ((r >= 0) & here) | ((o >= 0) & held),  # EXAMINE
      jnp.array(False),  # INVALID
    ]
  )
  valid = allowed[verb]

  def does(kind):
    return valid & (verb == kind)

  def bits_where(condition, bits):
    return jnp.where(condition, bits, jnp.uint32(0))

  put, take = does(PUT), does(TAKE)
  mine = is_o[:, None]
  object_state = state.object_state
  for kind, set_bits, clear_bits in (
    (USE, world_lib.TOGGLED, 0),
    (CLEAN, world_lib.CLEAN, 0),
    (HEAT, world_lib.HOT, world_lib.COOL),
    (COOL, world_lib.COOL, world_lib.HOT),
    (SLICE, world_lib.SLICED, 0),
  ):
    object_state = jnp.where(
      is_o & does(kind), (object_state & ~clear_bits) | set_bits, object_state
    )
  after = State(
    location=jnp.where(does(GO), place, state.location),
    holding=jnp.where(take, o, jnp.where(put, -1, state.holding)),
    opened=(state.opened | bits_where(does(OPEN), bit_r))
    & ~bits_where(does(CLOSE), bit_r),
    inside=(state.inside | bits_where(mine & put, bit_r[None]))
    & ~bits_where(mine & take, bit_r[None]),
    at=(state.at | bits_where(mine & put, bit_l[None]))
    & ~bits_where(mine & take, bit_l[None]),
    object_state=object_state,
  )
  won = goal_holds(world, after)
  return Transition(after, won.astype(jnp.float32), won, valid)
