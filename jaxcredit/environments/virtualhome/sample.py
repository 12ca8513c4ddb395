"""A few problems of our own, so that everything works without further data.

They are written for VirtualHome's domain, from nothing: a small household of
things with their properties, and tasks that happen in parts of it. Names of
tasks and classes of things are VirtualHome's.
"""

import functools

from jaxcredit.environments.household import pddl
from jaxcredit.environments.virtualhome import problems

_ROOMS = ('bathroom', 'bedroom', 'dining_room', 'home_office')
# Thing: its properties and states, and where it is.
_THINGS = {
  'television': (
    'has_switch has_plug lookable off plugged_in',
    'inside_room home_office',
  ),
  'remote_control': (
    'grabbable movable has_switch',
    'inside_room home_office; obj_ontop coffee_table',
  ),
  'coffee_table': ('surfaces movable', 'inside_room home_office'),
  'couch': ('sittable lieable surfaces movable', 'inside_room home_office'),
  'computer': (
    'has_switch has_plug lookable off plugged_out',
    'inside_room home_office; obj_ontop desk',
  ),
  'laptop': (
    'grabbable movable has_switch has_plug can_open closed off plugged_in',
    'inside_room home_office; obj_ontop desk',
  ),
  'desk': ('surfaces movable', 'inside_room home_office'),
  'chair': ('sittable grabbable movable surfaces', 'inside_room home_office'),
  'bookshelf': ('surfaces can_open closed containers', 'inside_room bedroom'),
  'novel': (
    'grabbable movable readable can_open cuttable has_paper',
    'inside_room bedroom; obj_inside bookshelf',
  ),
  'phone': ('grabbable movable has_switch', 'inside_room bedroom'),
  'bed': ('lieable sittable surfaces', 'inside_room bedroom'),
  'floor_lamp': ('has_switch movable off plugged_out', 'inside_room bedroom'),
  'cd_player': (
    'grabbable movable has_switch has_plug can_open closed off plugged_in',
    'inside_room bedroom',
  ),
  'freezer': (
    'can_open closed containers has_switch has_plug on plugged_in',
    'inside_room dining_room',
  ),
  'milk': (
    'grabbable movable drinkable pourable cuttable',
    'inside_room dining_room; obj_inside freezer',
  ),
  'food_food': (
    'grabbable movable eatable cuttable',
    'inside_room dining_room',
  ),
  'cupboard': ('can_open closed containers', 'inside_room dining_room'),
  'cup': (
    'grabbable movable recipient pourable',
    'inside_room dining_room; obj_inside cupboard',
  ),
  'plate': (
    'grabbable movable recipient surfaces',
    'inside_room dining_room; obj_inside cupboard',
  ),
  'fork': ('grabbable movable', 'inside_room dining_room; obj_ontop table'),
  'table': ('surfaces movable', 'inside_room dining_room'),
  'dishwasher': (
    'can_open closed containers has_switch has_plug off plugged_in',
    'inside_room dining_room',
  ),
  'coffe_maker': (
    'can_open closed containers has_switch has_plug off plugged_in surfaces '
    'recipient',
    'inside_room dining_room',
  ),
  'ground_coffee': ('grabbable movable pourable', 'inside_room dining_room'),
  'toothbrush': (
    'grabbable movable recipient',
    'inside_room bathroom; obj_ontop sink',
  ),
  'tooth_paste': (
    'grabbable movable pourable cream can_open',
    'inside_room bathroom; obj_ontop sink',
  ),
  'sink': ('containers recipient surfaces', 'inside_room bathroom'),
  'cat': ('grabbable movable', 'inside_room bedroom'),
}
# Task, description, where the agent begins, things that are there, goal.
_TASKS = (
  (
    'Watch TV',
    'I go to the television, turn it on and look at it.',
    'bedroom',
    'television couch',
    '(on television) (facing character television)',
  ),
  (
    'Watch TV',
    'I take the remote, switch the television on, and sit down to watch.',
    'dining_room',
    'television couch coffee_table remote_control',
    '(holds_rh character remote_control) (on television) (sitting character) '
    '(ontop character couch) (facing character television)',
  ),
  (
    'Relax on sofa',
    'I sit down on the couch.',
    'bathroom',
    'couch television',
    '(sitting character) (ontop character couch)',
  ),
  (
    'Relax on sofa',
    'I lie down on the couch and rest.',
    'dining_room',
    'couch coffee_table',
    '(lying character) (ontop character couch)',
  ),
  (
    'Work',
    'I sit at my desk and start the computer.',
    'bedroom',
    'computer desk chair',
    '(on computer) (sitting character) (ontop character chair)',
  ),
  (
    'Work',
    'I open the laptop and turn it on.',
    'dining_room',
    'laptop desk chair',
    '(open laptop) (on laptop)',
  ),
  (
    'Read book',
    'I get a novel off the shelf.',
    'home_office',
    'novel bookshelf bed',
    '(holds_rh character novel)',
  ),
  (
    'Read book',
    'I fetch a novel from the shelf and read it on the couch.',
    'bathroom',
    'novel bookshelf couch',
    '(holds_rh character novel) (sitting character) (ontop character couch)',
  ),
  (
    'Pick up phone',
    'I go and pick up the phone.',
    'home_office',
    'phone bed',
    '(holds_rh character phone)',
  ),
  (
    'Go to sleep',
    'I lie down in bed.',
    'bathroom',
    'bed floor_lamp',
    '(lying character) (ontop character bed)',
  ),
  (
    'Turn on light',
    'I turn the lamp on.',
    'dining_room',
    'floor_lamp bed',
    '(on floor_lamp)',
  ),
  (
    'Listen to music',
    'I close the player and start it.',
    'home_office',
    'cd_player bed',
    '(closed cd_player) (on cd_player) (plugged_in cd_player)',
  ),
  (
    'Drink',
    'I take a cup out of the cupboard.',
    'bedroom',
    'cup cupboard table',
    '(holds_rh character cup)',
  ),
  (
    'Drink',
    'I pour milk into a cup and leave nothing open.',
    'bedroom',
    'cup cupboard milk freezer',
    '(obj_inside milk cup) (closed cupboard) (closed freezer)',
  ),
  (
    'Put groceries in Fridge',
    'I put the food into the freezer and close it.',
    'bathroom',
    'food_food freezer table',
    '(obj_inside food_food freezer) (closed freezer)',
  ),
  (
    'Set up table',
    'I lay a plate and a cup on the table.',
    'bedroom',
    'plate cup cupboard table',
    '(obj_ontop plate table) (obj_ontop cup table)',
  ),
  (
    'Set up table',
    'I lay a plate and a fork on the table and sit down.',
    'home_office',
    'plate fork cupboard table chair',
    '(obj_ontop plate table) (obj_ontop fork table) (sitting character)',
  ),
  (
    'Wash dishes with dishwasher',
    'I put plate and cup into the dishwasher and start it.',
    'home_office',
    'plate cup cupboard dishwasher',
    '(obj_inside plate dishwasher) (obj_inside cup dishwasher) '
    '(closed dishwasher) (on dishwasher)',
  ),
  (
    'Make coffee',
    'I fill the machine with coffee and switch it on.',
    'bedroom',
    'ground_coffee coffe_maker cup cupboard',
    '(obj_ontop ground_coffee coffe_maker) (closed coffe_maker) '
    '(on coffe_maker)',
  ),
  (
    'Brush teeth',
    'I put paste onto my brush.',
    'bedroom',
    'toothbrush tooth_paste sink',
    '(holds_rh character toothbrush) (obj_inside tooth_paste toothbrush)',
  ),
  (
    'Pet cat',
    'I go to the cat and pet it.',
    'dining_room',
    'cat bed',
    '(next_to character cat)',
  ),
)


@functools.cache
def sample_problems() -> tuple[problems.Problem, ...]:
  """The problems; all are solved by the expert."""
  return tuple(
    problems.Problem(
      name=f'sample_{number}',
      task=task,
      description=description,
      problem=_problem_text(number, start, things.split(), goal),
      source=f'sample_{number}',
    )
    for number, (task, description, start, things, goal) in enumerate(
      _TASKS, start=1
    )
  )


def _problem_text(number: int, start: str, things: list[str], goal: str) -> str:
  """PDDL of a problem with some of the household's things."""
  facts: list[pddl.Fact] = [('inside', 'character', start)]
  rooms = {start}
  for thing in things:
    properties, places = _THINGS[thing]
    facts += [(word, thing) for word in properties.split()]
    for place in places.split('; '):
      relation, where = place.split()
      if relation == 'inside_room':
        rooms.add(where)
      elif where in things:
        facts.append(('obj_next_to', thing, where))
        facts.append(('obj_next_to', where, thing))
      if where in things or where in _ROOMS:
        facts.append((relation, thing, where))
  objects = {'character': 'character'}
  objects.update(dict.fromkeys([*sorted(rooms), *things], 'object'))
  name = f'sample_{number}'
  wanted = pddl.freeze(pddl.parse_text(f'(define {goal})', name, 'goal'))
  return pddl.problem_text(
    name, objects, facts, ('and', *wanted[1:]), domain='virtualhome'
  )
