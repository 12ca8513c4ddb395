"""Times the household: text steps on the host, transitions under jit.

  python -m experiments.benchmarks.speed.household_speed [--games=FILE]

Pin it to one core to compare with the targets (taskset -c 0).
"""

import random
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from jaxcredit.environments import household
from jaxcredit.environments.household import dynamics
from jaxcredit.environments.household import world as world_lib

_GAMES = flags.DEFINE_string('games', None, 'Real games; else generated ones.')
_EPISODES = flags.DEFINE_integer(
  'episodes', 400, 'Text episodes of 50 steps.', 1
)
_BATCH = flags.DEFINE_integer('batch', 512, 'States that step side by side.', 1)
_STEPS = flags.DEFINE_integer('steps', 200, 'Transitions of each state.', 1)


def text_steps_per_second(games, wording: str, episodes: int) -> float:
  """Random admissible play, resets included."""
  environment = household.HouseholdEnvironment(wording=wording)
  for game in games:
    environment.reset(game)  # compiles it
  rng = random.Random(0)
  start = time.perf_counter()
  steps = 0
  for episode in range(episodes):
    answer = environment.reset(games[episode % len(games)])
    for _ in range(50):
      answer = environment.step(rng.choice(answer.admissible))
      steps += 1
  return steps / (time.perf_counter() - start)


def transitions_per_second(games, batch: int, steps: int) -> float:
  """Random actions, admissible or not, in one compiled scan."""
  worlds = [
    dynamics.world_arrays(world_lib.compile_world(game)) for game in games
  ]
  world = dynamics.stack([worlds[i % len(worlds)] for i in range(batch)])
  key = jax.random.key(0)
  shape = (steps, batch)
  kinds, objects, places = jax.random.split(key, 3)
  actions = jnp.stack(
    [
      jax.random.randint(kinds, shape, 0, dynamics.INVALID),
      jax.random.randint(objects, shape, 0, 40),
      jax.random.randint(places, shape, 0, 20),
    ],
    axis=-1,
  )

  @jax.jit
  def play(world, actions):
    def body(state, action):
      result = jax.vmap(dynamics.step)(world, state, action)
      return result.state, (result.reward, result.valid)

    return jax.lax.scan(body, dynamics.reset(world), actions)

  jax.block_until_ready(play(world, actions))
  best = np.inf
  for _ in range(5):
    start = time.perf_counter()
    jax.block_until_ready(play(world, actions))
    best = min(best, time.perf_counter() - start)
  return batch * steps / best


def main(argv):
  del argv
  if _GAMES.value:
    games = household.load_games(_GAMES.value)[:100]
  else:
    games = household.generate_games(0, 100)
  for wording in household.WORDINGS:
    rate = text_steps_per_second(games, wording, _EPISODES.value)
    print(f'text {wording}: {rate:,.0f} steps/s')
  rate = transitions_per_second(games, _BATCH.value, _STEPS.value)
  print(f'transitions under jit, batch {_BATCH.value}: {rate:,.0f}/s')


if __name__ == '__main__':
  app.run(main)
