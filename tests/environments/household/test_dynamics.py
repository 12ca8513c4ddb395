"""The compiled transitions against the text engine, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.environments import household
from jaxcredit.environments.household import dynamics
from jaxcredit.environments.household import world as world_lib
from tests.environments.household.test_engine import game as kitchen
from tests.environments.household.test_engine import sliceable_knife
from tests.shared_data import shared_data

STEP = jax.jit(dynamics.step)


def some_games():
  folder = shared_data('alfworld_games')
  real = household.load_games(folder / 'valid_unseen.jsonl.xz')[::9]
  return real + household.generate_games(0, 12) + [kitchen()]


def same(environment, state):
  """Compares a device state with the text engine's."""
  world = environment.world
  assert int(state.location) == environment.location
  assert int(state.holding) == environment.holding
  opened = np.asarray(
    dynamics._bits(np.array(environment.opened), state.opened.shape[0])
  )
  np.testing.assert_array_equal(state.opened, opened)
  inside = np.zeros(
    (len(world.object_names), len(world.receptacle_names)), bool
  )
  for r, objects in enumerate(environment.contents):
    inside[objects, r] = True
  np.testing.assert_array_equal(
    state.inside[: len(inside)],
    dynamics._bits(inside, state.inside.shape[1]),
  )
  np.testing.assert_array_equal(
    state.object_state[: len(inside)], environment.object_state
  )


@pytest.mark.parametrize('wording', household.WORDINGS)
def test_random_play(wording):
  rng = np.random.default_rng(0)
  for game in some_games():
    environment = household.HouseholdEnvironment(wording=wording)
    seen = environment.reset(game)
    arrays = dynamics.world_arrays(environment.world, wording=wording)
    state = dynamics.reset(arrays)
    same(environment, state)
    previous = seen.admissible
    for _ in range(60):
      # Now and then a command of an earlier state, valid or not by now.
      pool = seen.admissible if rng.random() < 0.8 else previous
      weights = np.array([0.2 if c.startswith('go') else 1.0 for c in pool])
      command = str(rng.choice(pool, p=weights / weights.sum()))
      expected = command in seen.admissible
      previous, seen = seen.admissible, environment.step(command)
      action = dynamics.encode(environment.world, command, wording)
      result = STEP(arrays, state, action)
      assert bool(result.valid) == expected, command
      assert float(result.reward) == seen.reward
      assert bool(result.terminated) == seen.terminated
      state = result.state
      same(environment, state)


def test_a_knife_can_slice_itself():
  world = world_lib.compile_world(sliceable_knife())
  arrays = dynamics.world_arrays(world)
  state = dynamics.reset(arrays)
  for command in ('go to counter 1', 'slice knife 1 with knife 1'):
    result = STEP(arrays, state, dynamics.encode(world, command))
    assert result.valid
    state = result.state
  knife = world.object_names.index('knife 1')
  assert state.object_state[knife] == world_lib.SLICED


def test_worlds_batch():
  worlds = [
    dynamics.world_arrays(world_lib.compile_world(game))
    for game in household.generate_games(0, 6)
  ]
  stacked = dynamics.stack(worlds)
  rng = np.random.default_rng(0)
  actions = np.stack(
    [
      rng.integers(0, dynamics.INVALID + 1, (40, 6)),
      rng.integers(0, 72, (40, 6)),
      rng.integers(0, 64, (40, 6)),
    ],
    axis=-1,
  ).astype(np.int32)

  def body(state, action):
    result = jax.vmap(dynamics.step)(stacked, state, action)
    return result.state, result.valid

  last, valid = jax.jit(lambda a: jax.lax.scan(body, stacked.start, a))(actions)
  for i, world in enumerate(worlds):
    state = world.start
    for t in range(40):
      result = STEP(world, state, actions[t, i])
      state = result.state
      assert bool(result.valid) == bool(valid[t, i])
    jax.tree.map(
      np.testing.assert_array_equal,
      jax.tree.map(lambda x, i=i: x[i], last),
      state,
    )


def test_unknown_commands():
  world = world_lib.compile_world(kitchen())
  arrays = dynamics.world_arrays(world)
  for command in (
    '',
    'fly',
    'go to moon 1',
    'take x from y',
    'put a',
    'examine unicorn 1',
    'examine',
  ):
    action = dynamics.encode(world, command)
    assert action[0] == dynamics.INVALID
    result = STEP(arrays, arrays.start, jnp.asarray(action))
    assert not result.valid
    jax.tree.map(np.testing.assert_array_equal, result.state, arrays.start)


def test_too_small_sizes():
  world = world_lib.compile_world(kitchen())
  with pytest.raises(ValueError, match='has 5 objects, 6 receptacles and 5'):
    dynamics.world_arrays(world, objects=4)
  with pytest.raises(ValueError, match='wording must be one of'):
    dynamics.world_arrays(world, wording='x')
