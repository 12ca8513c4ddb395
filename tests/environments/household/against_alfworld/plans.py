"""Writes games with a plan that wins each, for record.py to follow.

  python -m tests.environments.household.against_alfworld.plans \
      --wording=2.1.1 --output=games.jsonl valid_unseen.jsonl.xz
"""

import argparse
import json
from collections.abc import Iterable

from jaxcredit.environments import household
from jaxcredit.environments.household import expert


def write(path, games: Iterable[household.Game], wording: str) -> None:
  """One game a line, with the commands of a plan beside it."""
  environment = household.HouseholdEnvironment(wording=wording)
  with open(path, 'w', encoding='utf-8') as file:
    for game in games:
      environment.reset(game)
      entry = {
        'trial': game.name,
        'task_type': game.task_type,
        'task_desc': game.task_description,
        'problem': game.problem,
        'plan': expert.plan(environment, wording),
      }
      file.write(json.dumps(entry) + '\n')


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('games', nargs='*')
  parser.add_argument('--generated', type=int, default=0)
  parser.add_argument('--wording', default='2.1.1')
  parser.add_argument('--output', required=True)
  options = parser.parse_args()
  games = []
  if options.generated:
    games += household.generate_games(0, options.generated)
  for path in options.games:
    games += household.load_games(path)
  write(options.output, games, options.wording)


if __name__ == '__main__':
  main()
