"""True progress of the household, from the goal as it is written."""

import itertools

import numpy as np
import pytest

from jaxcredit.environments import household, progress
from jaxcredit.environments.household import expert
from jaxcredit.environments.household import world as world_lib

STATES = {
  'isclean': world_lib.CLEAN,
  'ishot': world_lib.HOT,
  'iscool': world_lib.COOL,
}


def by_hand(environment):
  """The best share over all objects and places, by plain loops."""
  world = environment.world
  goal = world.goal
  bits = [bit for bit in STATES.values() if goal.state & bit]
  wanted = np.flatnonzero(goal.objects).tolist()

  def treated(o):
    return [bool(environment.object_state[o] & bit) for bit in bits]

  shares = [0.0]
  if goal.is_look:
    for o, lamp in itertools.product(
      wanted, np.flatnonzero(goal.lamp_objects).tolist()
    ):
      here = any(
        lamp in environment.contents[r]
        for r in range(len(world.receptacle_names))
        if world.location_of[r] == environment.location
      )
      lit = bool(environment.object_state[lamp] & world_lib.TOGGLED)
      shares.append(np.mean([environment.holding == o, *treated(o), lit, here]))
    return max(shares)
  for r in np.flatnonzero(goal.receptacles):
    for some in itertools.combinations(wanted, goal.count):
      facts = []
      for o in some:
        facts += [o in environment.contents[r], *treated(o)]
      shares.append(np.mean(facts))
  return max(shares)


@pytest.mark.parametrize('task_type', household.TASK_TYPES)
def test_against_plain_loops(task_type):
  rng = np.random.default_rng(0)
  seen_shares = set()
  for seed in range(6):
    environment = household.HouseholdEnvironment()
    seen = environment.reset(household.generate_game(seed, task_type))
    for _ in range(15):
      if not seen.terminated:
        seen = environment.step(str(rng.choice(seen.admissible)))
      assert environment.progress() == pytest.approx(by_hand(environment))
    for command in expert.plan(environment):
      assert environment.progress() < 1
      seen_shares.add(round(environment.progress(), 3))
      seen = environment.step(command)
      assert environment.progress() == pytest.approx(by_hand(environment))
    assert environment.progress() == 1 and environment.goal_holds()
  if task_type != 'pick_and_place_simple':
    assert len(seen_shares) > 1


@pytest.mark.parametrize('task_type', household.TASK_TYPES)
def test_in_any_state(task_type):
  rng = np.random.default_rng(1)
  shares = set()
  for seed in range(10):
    environment = household.HouseholdEnvironment()
    environment.reset(household.generate_game(seed, task_type))
    goal = environment.world.goal
    places = np.flatnonzero(goal.receptacles)
    for _ in range(10):
      environment.object_state = [
        int(rng.integers(32)) for _ in environment.object_state
      ]
      for o in np.flatnonzero(goal.objects).tolist():
        for contents in environment.contents:
          contents[:] = [other for other in contents if other != o]
        if len(places) and rng.random() < 0.7:
          environment.contents[rng.choice(places)].append(o)
      share = environment.progress()
      assert share == pytest.approx(by_hand(environment))
      assert (share == 1) == environment.goal_holds()
      shares.add(share)
  assert len(shares) > 1


def test_of_an_episode():
  game = household.generate_game(2, 'pick_heat_then_place_in_recep')
  environment = household.HouseholdEnvironment()
  environment.reset(game)
  commands = ['dance', *expert.plan(environment)]
  shares = [share for _, share in progress.replay(environment, game, commands)]
  assert len(shares) == len(commands) + 1
  assert shares[0] == shares[1] == 0 and shares[-1] == 1
  heated = [c.startswith('heat') for c in commands].index(True)
  assert shares[heated] == 0 and shares[heated + 1] == 0.5
