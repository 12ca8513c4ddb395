"""Times the shop: text steps on the host, and the making of its catalogue.

  python -m experiments.benchmarks.speed.shop_speed [--products=20000]

Pin it to one core to compare with the target of 2,000 steps a second
(taskset -c 0). Times are of the processor, so that other programs on the
machine count less.
"""

import random
import time

from absl import app, flags

from jaxcredit.environments import shop

_PRODUCTS = flags.DEFINE_integer(
  'products', 20_000, 'Size of the catalogue.', 1
)
_EPISODES = flags.DEFINE_integer('episodes', 400, 'Episodes of 15 steps.', 1)


def random_query(goal: shop.Goal, rng: random.Random) -> str:
  """Some words of an instruction, so that few searches are the same."""
  words = goal.instruction.split()
  return ' '.join(rng.sample(words, min(len(words), rng.randint(2, 10))))


def steps_per_second(
  catalogue: shop.Catalogue, goals, wording: str, episodes: int, steps: int
) -> tuple[float, float]:
  """Random admissible play, resets and searches included.

  Args:
    catalogue: with its index made.
    goals: played in turn.
    wording: of the environment.
    episodes: how many.
    steps: of each.

  Returns:
    Steps a second, and the share of them that were searches.
  """
  environment = shop.ShopEnvironment(catalogue=catalogue, wording=wording)
  rng = random.Random(0)
  searches = 0
  start = time.process_time()
  for episode in range(episodes):
    goal = goals[episode % len(goals)]
    answer = environment.reset(goal)
    for _ in range(steps):
      if answer.terminated:
        answer = environment.reset(goal)
      action = rng.choice(answer.admissible)
      if action == shop.QUERY:
        action = f'search[{random_query(goal, rng)}]'
        searches += 1
      answer = environment.step(action)
  count = episodes * steps
  return count / (time.process_time() - start), searches / count


def main(argv):
  del argv
  start = time.process_time()
  catalogue = shop.generated(_PRODUCTS.value)
  made = time.process_time()
  catalogue.search('shirt')
  indexed = time.process_time()
  print(
    f'{len(catalogue):,} products: made in {made - start:.1f} s, indexed in '
    f'{indexed - made:.1f} s'
  )
  start = time.process_time()
  goals = shop.generate_goals(0, 400, catalogue)
  seconds = time.process_time() - start
  print(f'goals: {len(goals) / seconds:,.0f}/s')
  for wording in shop.WORDINGS:
    rate, searches = steps_per_second(
      catalogue, goals, wording, _EPISODES.value, 15
    )
    print(f'{wording}: {rate:,.0f} steps/s, {searches:.0%} of them searches')


if __name__ == '__main__':
  app.run(main)
