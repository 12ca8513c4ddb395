"""Every command of the game, on a small kitchen written by hand."""

import dataclasses

import pytest

from jaxcredit.environments import household, protocol
from jaxcredit.environments.household import engine

KITCHEN = """
(define (problem kitchen)
(:domain alfred)
(:objects
  agent1 - agent
  l0 l1 l2 l3 l4 - location
  Counter_bar_1 Fridge_bar_1 Microwave_bar_1 Sink_bar_1_bar_SinkBasin
  Shelf_bar_1 Shelf_bar_2 - receptacle
  Apple_bar_1 Apple_bar_2 Knife_bar_1 Plate_bar_1 Lamp_bar_1 - object
  CounterTopType FridgeType MicrowaveType SinkBasinType ShelfType - rtype
  AppleType KnifeType PlateType DeskLampType - otype
)
(:init
  (atLocation agent1 l0)
  (receptacleType Counter_bar_1 CounterTopType)
  (receptacleAtLocation Counter_bar_1 l1)
  (receptacleType Fridge_bar_1 FridgeType)
  (receptacleAtLocation Fridge_bar_1 l2) (openable Fridge_bar_1)
  (receptacleType Microwave_bar_1 MicrowaveType)
  (receptacleAtLocation Microwave_bar_1 l3) (openable Microwave_bar_1)
  (receptacleType Sink_bar_1_bar_SinkBasin SinkBasinType)
  (receptacleAtLocation Sink_bar_1_bar_SinkBasin l3)
  (receptacleType Shelf_bar_1 ShelfType) (receptacleAtLocation Shelf_bar_1 l4)
  (receptacleType Shelf_bar_2 ShelfType) (receptacleAtLocation Shelf_bar_2 l4)
  (objectType Apple_bar_1 AppleType) (objectType Apple_bar_2 AppleType)
  (objectType Knife_bar_1 KnifeType) (objectType Plate_bar_1 PlateType)
  (objectType Lamp_bar_1 DeskLampType) (toggleable Lamp_bar_1)
  (inReceptacle Lamp_bar_1 Shelf_bar_1) (objectAtLocation Lamp_bar_1 l4)
  (inReceptacle Apple_bar_1 Counter_bar_1) (objectAtLocation Apple_bar_1 l1)
  (inReceptacle Apple_bar_2 Fridge_bar_1) (objectAtLocation Apple_bar_2 l2)
  (inReceptacle Knife_bar_1 Counter_bar_1) (objectAtLocation Knife_bar_1 l1)
  (inReceptacle Plate_bar_1 Counter_bar_1) (objectAtLocation Plate_bar_1 l1)
  (isReceptacleObject Plate_bar_1)
  (inReceptacleObject Apple_bar_1 Plate_bar_1)
  (pickupable Apple_bar_1) (pickupable Apple_bar_2) (pickupable Knife_bar_1)
  (pickupable Plate_bar_1)
  (cleanable Apple_bar_1) (heatable Apple_bar_1) (coolable Apple_bar_1)
  (sliceable Apple_bar_1)
  (cleanable Apple_bar_2) (heatable Apple_bar_2) (coolable Apple_bar_2)
  (canContain CounterTopType AppleType) (canContain CounterTopType KnifeType)
  (canContain FridgeType AppleType) (canContain ShelfType AppleType)
)
(:goal (and (exists (?r - receptacle) (exists (?o - object)
  (and (coolable ?o) (objectType ?o AppleType) (receptacleType ?r ShelfType)
       (isCool ?o) (inReceptacle ?o ?r))))))
)
"""


def game():
  return household.Game(
    name='kitchen',
    task_type='pick_cool_then_place_in_recep',
    task_description='cool some apple and put it in shelf',
    problem=KITCHEN,
  )


def play(*commands, wording='2.1.1', **options):
  environment = household.HouseholdEnvironment(wording=wording, **options)
  seen = environment.reset(game())
  for command in commands:
    seen = environment.step(command)
  return seen


def test_opening():
  seen = play()
  assert seen.observation == (
    '-= Welcome to TextWorld, ALFRED! =-\n\nYou are in the middle of a room. '
    'Looking quickly around you, you see a counter 1, a fridge 1, a microwave '
    '1, a shelf 2, a shelf 1, and a sinkbasin 1.\n\nYour task is to: cool some '
    'apple and put it in shelf.'
  )
  assert seen.admissible == (
    'go to counter 1', 'go to fridge 1', 'go to microwave 1', 'go to shelf 1',
    'go to shelf 2', 'go to sinkbasin 1', 'inventory', 'look',
  )  # fmt: skip
  assert (seen.reward, seen.terminated, seen.truncated) == (0, False, False)


def test_looking_around():
  assert play('look').observation == (
    'You are in the middle of a room. Looking quickly around you, you see '
    'nothing.'
  )
  assert play('go to shelf 1', 'look').observation == (
    'You are facing the shelf 2, and shelf 1. Next to it, you see nothing.'
  )


def test_wordings_differ():
  commands = ['go to counter 1', 'take apple 2 from counter 1']
  old = play(*commands)
  assert 'put apple 2 in/on counter 1' in old.admissible
  assert 'help' not in old.admissible
  assert play('help').observation == 'Nothing happens.'
  new = play(*commands, wording='0.4.2')
  assert 'move apple 2 to counter 1' in new.admissible
  assert play('help', wording='0.4.2').observation.startswith(
    'Available commands:\n  look:'
  )
  assert play('go to counter 1').observation.startswith('You arrive at l1 . ')
  assert play('go to counter 1', wording='0.4.2').observation.startswith(
    'You arrive at counter 1. '
  )
  put = play(*commands, 'put apple 2 in/on counter 1')
  assert put.observation == 'You put the apple 2 in/on the counter 1.'
  put = play(*commands, 'move apple 2 to counter 1', wording='0.4.2')
  assert put.observation == 'You move the apple 2 to the counter 1.'


def test_open_close_take():
  seen = play('go to fridge 1')
  assert seen.observation == 'You arrive at l2 . The fridge 1 is closed.'
  assert 'open fridge 1' in seen.admissible
  assert 'take apple 1 from fridge 1' not in seen.admissible
  seen = play('go to fridge 1', 'open fridge 1')
  assert seen.observation == (
    'You open the fridge 1. The fridge 1 is open. In it, you see a apple 1.'
  )
  seen = play('go to fridge 1', 'open fridge 1', 'close fridge 1')
  assert seen.observation == 'You close the fridge 1.'
  seen = play('go to fridge 1', 'open fridge 1', 'take apple 1 from fridge 1')
  assert seen.observation == 'You pick up the apple 1 from the fridge 1.'


APPLE = ('go to counter 1', 'take apple 2 from counter 1')


@pytest.mark.parametrize(
  ('commands', 'expected'),
  [
    ((), "There's nothing special about apple 2."),
    (('heat apple 2 with microwave 1',), 'This is a hot apple 2.'),
    (('clean apple 2 with sinkbasin 1',), 'This is a clean apple 2.'),
    (
      ('heat apple 2 with microwave 1', 'clean apple 2 with sinkbasin 1'),
      'This is a hot and clean apple 2.',
    ),
  ],
)
def test_examining_what_is_held(commands, expected):
  seen = play(*APPLE, 'go to microwave 1', *commands, 'examine apple 2')
  assert seen.observation == expected


def test_cooling_undoes_heating():
  seen = play(
    *APPLE,
    'go to microwave 1',
    'heat apple 2 with microwave 1',
    'go to fridge 1',
    'cool apple 2 with fridge 1',
    'examine apple 2',
  )
  assert seen.observation == 'This is a cold apple 2.'


def test_treatments_say_what_was_used():
  seen = play(*APPLE, 'go to sinkbasin 1', 'clean apple 2 with sinkbasin 1')
  assert seen.observation == 'You clean the apple 2 using the sinkbasin 1.'


def test_slicing():
  commands = ('go to counter 1', 'take knife 1 from counter 1')
  assert 'slice apple 2 with knife 1' in play(*commands).admissible
  seen = play(*commands, 'slice apple 2 with knife 1')
  assert seen.observation == 'You sliced the apple 2 with the knife 1.'
  seen = play(
    *commands,
    'slice apple 2 with knife 1',
    'put knife 1 in/on counter 1',
    'take apple 2 from counter 1',
    'examine apple 2',
  )
  assert seen.observation == 'This is a sliced apple 2.'


def sliceable_knife():
  """The kitchen where such a knife is held from the start."""
  problem = KITCHEN.replace(
    '(inReceptacle Knife_bar_1 Counter_bar_1)',
    '(holds agent1 Knife_bar_1) (holdsAny agent1) (sliceable Knife_bar_1)',
  )
  return dataclasses.replace(game(), problem=problem)


def test_a_knife_can_slice_itself():
  """ALFWorld asks for a sliceable thing at the place, not for another one."""
  environment = household.HouseholdEnvironment()
  environment.reset(sliceable_knife())
  seen = environment.step('go to counter 1')
  assert 'slice knife 1 with knife 1' in seen.admissible
  seen = environment.step('slice knife 1 with knife 1')
  assert seen.observation == 'You sliced the knife 1 with the knife 1.'


def test_using_a_lamp():
  seen = play('go to shelf 1')
  assert 'use lamp 1' in seen.admissible
  assert play('go to shelf 1', 'use lamp 1').observation == (
    'You turn on the lamp 1.'
  )


def test_receptacle_objects():
  seen = play(
    'go to counter 1', 'take plate 1 from counter 1', 'examine plate 1'
  )
  assert seen.observation == (
    'This is a normal plate 1. In it, you see a apple 2.'
  )


def test_inventory():
  assert play('inventory').observation == 'You are not carrying anything.'
  assert play(*APPLE, 'inventory').observation == (
    'You are carrying: a apple 2.'
  )


@pytest.mark.parametrize(
  'command',
  [
    '', 'dance', 'go to', 'go to moon 1', 'open counter 1', 'examine apple 1',
    'take apple 2 from fridge 1', 'put apple 2 in/on shelf 1', '\x00',
    'look around',
  ],
)  # fmt: skip
def test_wrong_commands_change_nothing(command):
  environment = household.HouseholdEnvironment()
  before = environment.reset(game())
  state = environment.state_text()
  seen = environment.step(command)
  assert seen.observation == engine.NOTHING_HAPPENS
  assert environment.state_text() == state
  assert seen.admissible == before.admissible


def test_surrounding_space_is_ignored():
  assert play('  look\n').observation.startswith('You are in the middle')


def test_winning():
  seen = play(
    *APPLE,
    'go to fridge 1',
    'cool apple 2 with fridge 1',
    'go to shelf 2',
    'put apple 2 in/on shelf 2',
  )
  assert (seen.reward, seen.terminated) == (1, True)


def test_truncation():
  assert not play('look', max_steps=2).truncated
  assert play('look', 'look', max_steps=2).truncated


def test_anchors():
  first = play(*APPLE, 'look', anchor='observation')
  again = play(
    *APPLE, 'put apple 2 in/on counter 1', 'look', anchor='observation'
  )
  assert first.anchor == again.anchor == first.observation
  first = play(*APPLE, 'look', anchor='state')
  again = play(*APPLE, 'put apple 2 in/on counter 1', 'look', anchor='state')
  assert first.anchor != again.anchor
  assert play('look', anchor='state').anchor == play(anchor='state').anchor


def test_it_follows_the_protocol():
  assert isinstance(household.HouseholdEnvironment(), protocol.TextEnvironment)
  with pytest.raises(RuntimeError, match='reset the environment'):
    household.HouseholdEnvironment().step('look')
  for options in (
    {'wording': '3.0'}, {'anchor': 'none'}, {'max_steps': 0},
  ):  # fmt: skip
    with pytest.raises(ValueError, match='must be'):
      household.HouseholdEnvironment(**options)


def test_forks_are_independent():
  environment = household.HouseholdEnvironment()
  environment.reset(game())
  environment.step('go to counter 1')
  state = environment.state_text()
  fork = environment.fork()
  assert fork.state_text() == state
  fork.step('take apple 2 from counter 1')
  fork.step('put apple 2 in/on counter 1')
  fork.step('go to fridge 1')
  fork.step('open fridge 1')
  assert environment.state_text() == state


@pytest.mark.parametrize('command', ['GO TO COUNTER 1', 'go  to counter 1'])
def test_a_command_in_other_letters_is_the_command(command):
  """A policy's tokenizer or format may write it so."""
  given, listed = (household.HouseholdEnvironment() for _ in range(2))
  given.reset(game())
  listed.reset(game())
  assert given.step(command) == listed.step('go to counter 1')
