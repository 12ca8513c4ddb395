"""A random player that mixes good commands with nearly good ones."""

import random
import re

_VERBS = (
  'look', 'inventory', 'help', 'go to', 'go', 'open', 'close', 'take', 'put',
  'move', 'use', 'heat', 'cool', 'clean', 'slice', 'examine', 'toggle', 'drop',
)  # fmt: skip
_BARE = (
  '', ' ', '\t', '\n', 'look', 'inventory', 'help', 'go to', 'take', 'put',
  'examine', 'open', 'use', 'heat', 'LOOK', 'Inventory', 'look around', 'wait',
  'nothing happens', 'n', 'yes', 'quit', 'restart', 'undo', '?', '0', 'None',
  'look.', 'inventory ', ' help', 'go to ', 'take  from ', 'put  in/on ',
  'move  to ', '[]', '{r.name}', '#look.feedback#', '{o} from {r}',
  'look; inventory', 'look\nlook', 'look\x00', '\x1b[A', 'ｌｏｏｋ', 'schau',
  'взять яблоко', '看', '👀', 'look\u200b', '\u00a0look\u2003', 'e\u0301',
  '\ud800', 'a' * 10_000, 'look ' * 3_000,
)  # fmt: skip
_TEMPLATES = (
  'go to {r}', 'open {r}', 'close {r}', 'examine {r}', 'examine {o}', 'use {o}',
  'use {r}', 'open {o}', 'close {o}', 'take {o}', 'take {o} from {r}',
  'take {r} from {r2}', 'take {o} from {o2}', 'put {o} in/on {r}',
  'put {o} in {r}', 'put {o} on {r}', 'put {o} into {o2}', 'move {o} to {r}',
  'move {o} to {o2}', 'put {o}', 'move {o}', 'heat {o} with {r}',
  'cool {o} with {r}', 'clean {o} with {r}', 'heat {o} with {o2}', 'heat {o}',
  'cool {o}', 'clean {o}', 'slice {o} with {o2}', 'slice {o} with {r}',
  'slice {o}', 'go {r}', 'goto {r}', 'go to {o}', 'walk to {r}', 'look {r}',
  'look at {o}', 'inventory {o}', 'help {o}', 'look in {r}', 'pick up {o}',
  'toggle {o}', 'turn on {o}', 'take {o} from {r} please', '{o}', '{r}',
)  # fmt: skip

# What changes things, and what tells of the change, is preferred.
_LIKING = {
  'go': 0.15, 'take': 2.0, 'put': 1.5, 'move': 1.5, 'open': 2.0, 'close': 0.4,
  'heat': 4.0, 'cool': 4.0, 'clean': 4.0, 'slice': 6.0, 'use': 3.0, 'look': 2.0,
  'inventory': 0.3, 'help': 0.2, 'examine': 0.7,
}  # fmt: skip


class Policy:
  """Chooses commands.

  Args:
    rng: all chance is drawn from it.
    receptacles: their names.
    objects: their names.
    plan: commands that win, if any are known.
  """

  def __init__(
    self,
    rng: random.Random,
    receptacles: list[str],
    objects: list[str],
    plan: list[str],
  ):
    self._rng = rng
    self._receptacles = receptacles
    self._objects = objects
    self._seen: list[str] = ['look']
    # Half of the episodes follow the plan, making harmless mistakes, and play
    # on after it; the others mostly play, ask ALFWorld's expert, or err.
    self._plan = list(plan) if rng.random() < 0.5 else []
    self._weights = rng.choice(
      ((4, 1, 1), (2, 1, 2), (1, 4, 1), (1, 6, 0), (6, 0, 1), (1, 0, 3))
    )

  def choose(self, admissible: list[str], expert) -> str:
    """The next command; `expert()` gives the expert's, or None."""
    if self._plan:
      command = self.mistake(admissible)
      if self._rng.random() < 0.6 or command.strip() in admissible:
        command = self._plan.pop(0)
      return command
    # The expert follows what happens: it is asked at each step.
    advice = expert()
    kind = self._rng.choices(('play', 'expert', 'mistake'), self._weights)[0]
    if kind == 'expert' and advice is not None:
      command = advice
    elif kind == 'mistake':
      command = self.mistake(admissible)
    else:
      command = self._play(admissible)
    if len(command) < 200:
      self._seen.append(command)
    return command

  def _play(self, admissible: list[str]) -> str:
    """An admissible command; what changes things is preferred."""
    weights = []
    for command in admissible:
      verb, _, thing = command.partition(' ')
      weight = _LIKING.get(verb, 1.0)
      if verb == 'examine' and thing in self._objects:
        weight = 3.0
      weights.append(weight)
    return self._rng.choices(admissible, weights)[0]

  def mistake(self, admissible: list[str]) -> str:
    """A command that is mostly not admissible, but nearly."""
    rng = self._rng
    kind = rng.randrange(10)
    command = rng.choice(admissible)
    if kind == 0:
      return rng.choice(_BARE)
    if kind in (1, 2):
      return rng.choice(_TEMPLATES).format(
        r=rng.choice(self._receptacles),
        r2=rng.choice(self._receptacles),
        o=rng.choice(self._objects),
        o2=rng.choice(self._objects),
      )
    if kind == 3:  # Done before: the same place, an open door, taken things.
      return rng.choice(self._seen)
    if kind == 4:  # The last number, or the first, is another.
      numbers = list(re.finditer(r'\d+', command))
      if numbers:
        number = rng.choice(numbers)
        wrong = rng.choice(
          (0, 1, 2, 3, 99, -1, '01', '1.0', '', 'one', '١', '²')
        )
        command = f'{command[: number.start()]}{wrong}{command[number.end() :]}'
      return command
    if kind == 5:
      return self._spell(command)
    if kind == 6:  # Another verb.
      verb = command.split()[0]
      return rng.choice(_VERBS) + command[len(verb) :]
    if kind == 7:  # The words of the other version, or near to them.
      for old, new in ((' in/on ', ' to '), ('put ', 'move ')):
        if old in command:
          command = command.replace(old, new)
        elif new in command and command.startswith('move'):
          command = command.replace(new, old)
      return command
    if kind == 8:  # Another thing or place.
      names = self._receptacles + self._objects
      for name in rng.sample(names, len(names)):
        if name in command:
          others = (
            self._receptacles if name in self._receptacles else self._objects
          )
          return command.replace(name, rng.choice(others))
      return command
    return self._cut(command)

  def _spell(self, command: str) -> str:
    """The same words with other marks around them.

    Not in other letters, or with other spaces in between: the package refuses
    those, and ours takes them for the command (`environments.commands`).
    """
    rng = self._rng
    return rng.choice(
      (
        f'  {command}', f'{command}  ', f'\t{command}\n', f'\r\n{command}\r\n',
        f'\ufeff{command}', f'{command}\u200b', command.replace(' ', '_'),
        command.replace(' ', ''), f'{command}.',
        f'"{command}"', f'> {command}', f'Action: {command}',
        f'{command} {command}', f'{command}, {command}',
        f'{command}\n{command}',
        f'the {command}', command.replace(' to ', ' to the '),
        command.replace('a', 'а'),
        command + ' ' + 'x' * rng.choice((1, 100, 5_000)),
      )
    )  # fmt: skip

  def _cut(self, command: str) -> str:
    """A piece of a command."""
    rng = self._rng
    words = command.split()
    if rng.random() < 0.5:
      del words[rng.randrange(len(words))]
      return ' '.join(words)
    if rng.random() < 0.5:
      rng.shuffle(words)
      return ' '.join(words)
    return command[: rng.randrange(len(command) + 1)]
