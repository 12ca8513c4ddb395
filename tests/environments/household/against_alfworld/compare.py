"""Replays transcripts of the real ALFWorld in this project's engine.

  python -m tests.environments.household.against_alfworld.compare \
      transcripts.jsonl [more.jsonl.xz ...]

prints the first difference of each episode, and counts. Transcripts are
written by record.py.
"""

import json
import lzma
import sys
from collections.abc import Iterator

import numpy as np

from jaxcredit.environments import household
from jaxcredit.environments.household import dynamics


def read(path) -> Iterator[dict]:
  """The episodes of a file."""
  opener = lzma.open if str(path).endswith('.xz') else open
  with opener(path, 'rt', encoding='utf-8') as file:
    for line in file:
      yield json.loads(line)


def game_of(episode: dict) -> household.Game:
  game = episode['game']
  return household.Game(
    name=game['trial'],
    task_type=game['task_type'],
    task_description=game['task_desc'],
    problem=game['problem'],
  )


def _difference(ours, theirs: dict) -> str | None:
  admissible = set(ours.admissible)
  for what, mine, real in (
    # Of its answers, ALFWorld's 'help' alone has blank space around it.
    ('observation', ours.observation, theirs['obs'].strip()),
    ('reward', ours.reward, theirs.get('r', 0)),
    ('done', ours.terminated, theirs.get('done', False)),
  ):
    if mine != real:
      return f'{what}: ALFWorld {real!r}, ours {mine!r}'
  if list(ours.admissible) != theirs['adm']:
    missing = sorted(set(theirs['adm']) - admissible)
    extra = sorted(admissible - set(theirs['adm']))
    return f'admissible: ours lacks {missing}, has {extra} too'
  return None


def first_difference(episode: dict) -> str | None:
  """Plays an episode; says where it first differs, None if nowhere."""
  environment = household.HouseholdEnvironment(wording=episode['engine'])
  seen = environment.reset(game_of(episode))
  found = _difference(seen, {'obs': episode['obs0'], 'adm': episode['adm0']})
  if found:
    return f'at the start: {found}'
  for number, step in enumerate(episode['steps'], start=1):
    seen = environment.step(step['a'])
    found = _difference(seen, step)
    if found:
      return f'step {number}, {step["a"][:200]!r}: {found}'
  return None


class Transitions:
  """The compiled transitions, against the same transcripts."""

  def __init__(self):
    import jax

    self._play = jax.jit(
      lambda world, actions: jax.lax.scan(
        lambda state, action: self._step(world, state, action),
        dynamics.reset(world),
        actions,
      )[1]
    )

  def _step(self, world, state, action):
    result = dynamics.step(world, state, action)
    return result.state, (result.reward, result.terminated, result.valid)

  def first_difference(self, episode: dict) -> str | None:
    """As above; rewards, ends, and whether each command was admissible."""
    wording = episode['engine']
    environment = household.HouseholdEnvironment(wording=wording)
    environment.reset(game_of(episode))
    world = environment.world
    steps = episode['steps']
    actions = np.stack(
      [dynamics.encode(world, step['a'], wording) for step in steps]
    )
    rewards, ends, valid = self._play(
      dynamics.world_arrays(world, wording=wording), actions
    )
    allowed = [episode['adm0'], *(step['adm'] for step in steps)]
    for number, step in enumerate(steps):
      command = step['a'].strip()
      found = (float(rewards[number]), bool(ends[number]))
      if found != (step['r'], step['done']):
        return f'step {number + 1}, {command!r}: reward and done {found}'
      if bool(valid[number]) != (command in allowed[number]):
        return f'step {number + 1}, {command!r}: valid {bool(valid[number])}'
    return None


def main(paths: list[str]) -> int:
  transitions = Transitions()
  episodes = steps = refused = won = different = 0
  for path in paths:
    for number, episode in enumerate(read(path), start=1):
      episodes += 1
      steps += len(episode['steps'])
      refused += sum(
        step['obs'] == 'Nothing happens.' for step in episode['steps']
      )
      won += any(step['done'] for step in episode['steps'])
      for name, check in (
        ('text', first_difference),
        ('transitions', transitions.first_difference),
      ):
        found = check(episode)
        if found:
          different += 1
          print(f'{path}:{number} ({episode["engine"]}, {name}): {found}')
  print(
    f'{episodes} episodes, {steps} steps, {refused} of them refused, {won} '
    f'episodes won; {different} differ'
  )
  return int(different > 0)


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
