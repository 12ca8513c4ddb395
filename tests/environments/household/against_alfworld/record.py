"""Plays games in the real ALFWorld and writes down what it says.

This is run by a Python that has ALFWorld and needs nothing of this project:

  python3.11 -m venv alfworld-env
  alfworld-env/bin/pip install alfworld==0.4.2 'textworld[pddl]'
  alfworld-env/bin/python record.py --games=valid_unseen.jsonl.xz \
      --episodes=20 --steps=40 --output=transcripts.jsonl

Each line of the output is one episode: the game, the wording, the answer to
the reset and one entry a step, which holds the command, the observation, the
sorted admissible commands, the reward and whether the goal was reached. Games
can hold a plan to follow (see plans.py). The
2.1.1 wording is had from that release's domain and grammar (--domain and
--grammar); without them those of the package give the 0.4.2 wording.
"""

import argparse
import copy
import functools
import importlib.resources
import json
import lzma
import os
import random
import sys
import tempfile

import commands as commands_lib  # beside this file
import mutations  # beside this file
import textworld
from alfworld.agents.environment import alfred_tw_env
from alfworld.agents.expert import HandCodedTWAgent
from textworld.envs import PddlEnv
from textworld.envs.pddl import logic, textgen
from textworld.logic import Rule

_PLACEHOLDERS = ('UNKNOWN GOAL', '@TASK@')


def remember():
  """Keeps what ALFWorld works out again and again: several times as fast.

  Loading asks for the same translation four times, of which the second kind
  only serves the planner, which is not used. Every step parses the grammar's
  templates and conditions anew, and copies names that never change. What they
  mean is not touched: transcripts with and without this are equal.
  """
  translate = functools.lru_cache(maxsize=4)(logic.fast_downward.pddl2sas)
  logic.fast_downward.pddl2sas = (
    lambda domain, problem, verbose=False, optimize=False: translate(
      domain, problem
    )
  )
  parse = textgen._parse_and_convert
  parsed = {}

  def parse_once(text, *arguments, **options):
    if text not in parsed:
      parsed[text] = parse(text, *arguments, **options)
    return copy.deepcopy(parsed[text])

  textgen._parse_and_convert = parse_once
  textgen.copy_context = lambda context: {
    **context,
    'variables': dict(context['variables']),
    'mapping': dict(context['mapping']),
  }
  Rule.parse_conjunctive_query = functools.lru_cache(maxsize=None)(
    Rule.parse_conjunctive_query
  )


class RealGame:
  """A game in ALFWorld's own engine, with its handcoded expert."""

  def __init__(self, game: dict, domain: str, grammar: str):
    for placeholder in _PLACEHOLDERS:
      grammar = grammar.replace(placeholder, game['task_desc'])
    self._folder = tempfile.TemporaryDirectory()
    self._file = os.path.join(self._folder.name, 'game.tw-pddl')
    with open(self._file, 'w', encoding='utf-8') as file:
      json.dump(
        {
          'pddl_domain': domain,
          'grammar': grammar,
          'pddl_problem': game['problem'],
        },
        file,
      )
    trajectory = os.path.join(self._folder.name, 'traj_data.json')
    with open(trajectory, 'w', encoding='utf-8') as file:
      json.dump(
        {
          'task_type': game['task_type'],
          'pddl_params': game.get('pddl_params'),
        },
        file,
      )
    infos = textworld.EnvInfos(won=True, admissible_commands=True, facts=True)
    self._environment = alfred_tw_env.AlfredDemangler(PddlEnv(infos))
    self._environment.load(self._file)
    self._expert = None

  def names(self) -> tuple[list[str], list[str]]:
    """Names of receptacles and of objects."""
    entities = self._state['_entity_infos'].values()
    return tuple(
      sorted(entity.name for entity in entities if entity.type == kind)
      for kind in ('receptacle', 'object')
    )

  def reset(self) -> dict:
    self._state = self._environment.reset()
    try:
      self._expert = HandCodedTWAgent(max_steps=200)
      self._expert.reset(self._file)
      self._expert.observe(self._state['feedback'])
    except Exception:  # it then plays no part
      self._expert = None
    self._last = 'look'
    return self._answer()

  def step(self, command: str) -> dict:
    self._state, reward, done = self._environment.step(command)
    self._last = command
    return {'a': command, **self._answer(), 'r': reward, 'done': done}

  def expert(self) -> str | None:
    """The command of ALFWorld's handcoded expert, None where it fails."""
    if self._expert is None:
      return None
    try:
      return self._expert.act(self._state, 0, self._state['won'], self._last)
    except Exception:
      self._expert = None
      return None

  def _answer(self) -> dict:
    return {
      'obs': self._state['feedback'],
      'adm': list(self._state['admissible_commands']),
    }


def record(game, wording, domain, grammar, steps, seed, mutate) -> dict:
  """One episode; a function of the arguments."""
  rng = random.Random(f'{game.get("trial")} {wording} {seed}')
  if mutate:
    game = {**game, 'problem': mutations.mutate(game['problem'], rng)}
  real = RealGame(game, domain, grammar)
  answer = real.reset()
  episode = {
    'engine': wording,
    'seed': seed,
    'game': {
      key: game[key] for key in ('trial', 'task_type', 'task_desc', 'problem')
    },
    'obs0': answer['obs'],
    'adm0': answer['adm'],
    'steps': [],
  }
  policy = commands_lib.Policy(rng, *real.names(), game.get('plan', []))
  for _ in range(steps):
    command = policy.choose(answer['adm'], real.expert)
    answer = real.step(command)
    episode['steps'].append(answer)
  return episode


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--games', nargs='+', required=True)
  parser.add_argument('--output', required=True)
  parser.add_argument('--domain', help='PDDL domain; default: the package')
  parser.add_argument('--grammar', help='text grammar; default: the package')
  parser.add_argument('--wording', default='0.4.2')
  parser.add_argument('--episodes', type=int, default=10)
  parser.add_argument('--steps', type=int, default=40)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument(
    '--mutate', action='store_true', help='change each problem a little'
  )
  options = parser.parse_args()
  data = importlib.resources.files('alfworld') / 'data'

  def text(path, name):
    if path is None:
      return (data / name).read_text(encoding='utf-8')
    with open(path, encoding='utf-8') as file:
      return file.read()

  domain = text(options.domain, 'alfred.pddl')
  grammar = text(options.grammar, 'alfred.twl2')
  games = []
  for path in options.games:
    opener = lzma.open if path.endswith('.xz') else open
    with opener(path, 'rt', encoding='utf-8') as file:
      games += [json.loads(line) for line in file if line.strip()]
  random.Random(options.seed).shuffle(games)
  remember()
  with open(options.output, 'w', encoding='utf-8') as file:
    for number in range(options.episodes):
      game = games[number % len(games)]
      try:
        episode = record(
          game,
          options.wording,
          domain,
          grammar,
          options.steps,
          options.seed + number // len(games),
          options.mutate,
        )
      except KeyError as error:
        # ALFWorld cannot load a problem whose goal holds from the start.
        if not options.mutate:
          raise
        print(f'not loaded: {error}', file=sys.stderr)
        continue
      file.write(json.dumps(episode) + '\n')
      file.flush()
      print(f'{number + 1}/{options.episodes}', file=sys.stderr, flush=True)


if __name__ == '__main__':
  main()
