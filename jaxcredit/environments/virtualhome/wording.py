"""VirtualHome in words: actions, facts, goals.

Actions are named with the verbs of VirtualHome's scripts. Objects are written
with spaces; where a class has several instances their names end in a number.
"""

from collections.abc import Iterable, Mapping, Sequence

# The arguments are those behind the character.
ACTIONS = {
  'walk_towards': 'walk to {}',
  'walk_into': 'walk into {}',
  'find': 'find {}',
  'sit': 'sit on {}',
  'standup': 'stand up',
  'grab': 'grab {}',
  'open': 'open {}',
  'close': 'close {}',
  'put_on': 'put {} on {}',
  'put_on_character': 'put on {}',
  'put_inside': 'put {} in {}',
  'switch_on': 'switch on {}',
  'switch_off': 'switch off {}',
  'drink': 'drink {}',
  'turn_to': 'turn to {}',
  'look_at': 'look at {}',
  'wipe': 'wipe {} with {}',
  'drop': 'drop {} in {}',
  'read': 'read {}',
  'touch': 'touch {}',
  'lie': 'lie on {}',
  'pour': 'pour {} into {}',
  'type': 'type on {}',
  'watch': 'watch {}',
  'move': 'move {}',
  'wash': 'wash {}',
  'squeeze': 'squeeze {}',
  'plug_in': 'plug in {}',
  'plug_out': 'plug out {}',
  'cut': 'cut {}',
  'eat': 'eat {}',
  'sleep': 'sleep on {}',
  'wake_up': 'wake up on {}',
}
# What is said where a fact holds, and where it does not.
FACTS = {
  'closed': ('{0} is closed', '{0} is not closed'),
  'open': ('{0} is open', '{0} is not open'),
  'on': ('{0} is on', '{0} is not on'),
  'off': ('{0} is off', '{0} is not off'),
  'plugged_in': ('{0} is plugged in', '{0} is not plugged in'),
  'plugged_out': ('{0} is plugged out', '{0} is not plugged out'),
  'sitting': ('you sit', 'you do not sit'),
  'lying': ('you lie', 'you do not lie'),
  'clean': ('{0} is clean', '{0} is not clean'),
  'dirty': ('{0} is dirty', '{0} is not dirty'),
  'obj_ontop': ('{0} is on {1}', '{0} is not on {1}'),
  'ontop': ('you are on {1}', 'you are not on {1}'),
  'on_char': ('you wear {0}', 'you do not wear {0}'),
  'inside_room': ('{0} is in room {1}', '{0} is not in room {1}'),
  'obj_inside': ('{0} is in {1}', '{0} is not in {1}'),
  'inside': ('you are in {1}', 'you are not in {1}'),
  'obj_next_to': ('{0} is next to {1}', '{0} is not next to {1}'),
  'next_to': ('you are next to {1}', 'you are not next to {1}'),
  'between': ('{0} is between {1} and {2}', '{0} is not between {1} and {2}'),
  'facing': ('you face {1}', 'you do not face {1}'),
  'holds_rh': (
    '{1} is in your right hand',
    '{1} is not in your right hand',
  ),
  'holds_lh': ('{1} is in your left hand', '{1} is not in your left hand'),
  'grabbable': ('{0} can be grabbed', '{0} cannot be grabbed'),
  'cuttable': ('{0} can be cut', '{0} cannot be cut'),
  'can_open': ('{0} can be opened', '{0} cannot be opened'),
  'readable': ('{0} can be read', '{0} cannot be read'),
  'movable': ('{0} can be moved', '{0} cannot be moved'),
  'pourable': ('{0} can be poured', '{0} cannot be poured'),
  'has_switch': ('{0} has a switch', '{0} has no switch'),
  'lookable': ('{0} can be looked at', '{0} cannot be looked at'),
  'has_plug': ('{0} has a plug', '{0} has no plug'),
  'drinkable': ('{0} can be drunk', '{0} cannot be drunk'),
  'recipient': ('{0} holds liquids', '{0} does not hold liquids'),
  'sittable': ('{0} can be sat on', '{0} cannot be sat on'),
  'lieable': ('{0} can be lain on', '{0} cannot be lain on'),
  'clothes': ('{0} is clothing', '{0} is not clothing'),
  'eatable': ('{0} can be eaten', '{0} cannot be eaten'),
}
# Words for the states of a thing, as they stand in brackets behind its name.
STATES = {
  'open': 'open',
  'closed': 'closed',
  'on': 'on',
  'off': 'off',
  'plugged_in': 'plugged in',
  'plugged_out': 'plugged out',
  'dirty': 'dirty',
}
PLACES = {'obj_inside': 'in {}', 'obj_ontop': 'on {}'}


def named(name: str) -> str:
  """An object's name in words."""
  return name.replace('_', ' ')


def listed(names: Iterable[str]) -> str:
  """'nothing', or the names with commas between them."""
  return ', '.join(names) or 'nothing'


def action_words(name: str, arguments: Sequence[str]) -> str:
  """An action as text; `arguments` without the character."""
  names = [named(argument) for argument in arguments]
  form = ACTIONS.get(name)
  if form is None or form.count('{}') != len(names):
    return ' '.join((named(name), *names))
  return form.format(*names)


def fact_words(
  atom: Sequence[str],
  holds: bool = True,
  binding: Mapping[str, str] | None = None,
) -> str:
  """A fact, or that it does not hold, as part of a sentence."""
  binding = binding or {}
  names = [named(binding.get(name, name)) for name in atom[1:]]
  if atom[0] not in FACTS:
    text = f'{named(atom[0])}({", ".join(names)})'
    return text if holds else f'not {text}'
  return FACTS[atom[0]][0 if holds else 1].format(*names)


def goal_words(goal) -> str:
  """A goal in words; equal words are equal goals."""
  word = goal[0] if goal else 'and'
  if word == 'and':
    parts = dict.fromkeys(goal_words(part) for part in goal[1:])
    return ', '.join(parts) or 'nothing'
  if word == 'or':
    return ' or '.join(f'({goal_words(part)})' for part in goal[1:])
  if word == 'not' and goal[1][0] in FACTS:
    return fact_words(goal[1], False)
  if word == 'not':
    return f'not ({goal_words(goal[1])})'
  if word == 'imply':
    return f'(if {goal_words(goal[1])} then {goal_words(goal[2])})'
  if word == '=':
    return f'{named(goal[1])} is {named(goal[2])}'
  if word in ('exists', 'forall'):
    quantity = 'some' if word == 'exists' else 'each'
    return f'for {quantity} {" ".join(goal[1])} ({goal_words(goal[2])})'
  return fact_words(goal)
