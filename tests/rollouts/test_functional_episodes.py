"""Episodes of functional environments against a plain loop."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.rollouts import functional_episodes
from tests.training import small_tasks


def test_episodes_are_what_a_loop_gives():
  task = small_tasks.Match(horizon=5, fragile=True)

  def act(observation, key):
    action = jax.random.randint(key, (2,), 0, 4)
    return action, action + observation[:, 0]

  played = jax.jit(lambda key: functional_episodes.play(task, act, key, 40))(
    jax.random.key(0)
  )
  assert played.observations.shape == (40, 2, 6, 4)
  assert played.actions.shape == (40, 2, 5)
  ended = 0
  for e in range(40):
    start, _ = jax.random.split(jax.random.key(0))
    state, seen = task.reset(jax.random.split(start, 40)[e])
    alive = True
    for t in range(5):
      assert bool(played.mask[e, t]) == alive
      np.testing.assert_array_equal(played.observations[e, :, t], seen)
      action = played.actions[e, :, t]
      np.testing.assert_array_equal(
        played.log_probs[e, :, t], action + seen[:, 0]
      )
      after = task.step(state, action)
      expected = after.reward if alive else jnp.zeros(2)
      np.testing.assert_array_equal(played.rewards[e, :, t], expected)
      state, seen = after.state, after.observation
      alive = alive and not after.terminated
    np.testing.assert_array_equal(played.observations[e, :, 5], seen)
    assert bool(played.terminated[e]) == (not alive)
    ended += not alive
    if e > 6 and ended:
      break
  assert ended
  np.testing.assert_allclose(
    played.team_return, played.rewards.sum(axis=(1, 2)), rtol=1e-6
  )
