"""Exp3's weights stay finite, and it plays what it says."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.algorithms.bandits import exp3
from tests.algorithms.bandits import problems


def test_weights_stay_where_float32_is_fine():
  system, actions = problems.paper_problem()
  # So few rounds and so small a bound that each update is a leap.
  config = exp3.configure(system, actions, 4, reward_bound=1e-3)
  state = exp3.init(config)
  for reward in (1.0, 2.0, 1.0):
    state = exp3.update(config, state, jnp.int32(2), jnp.float32(reward))
    assert float(state.log_weights.max()) == 0
    p = np.asarray(exp3.probabilities(config, state))
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-6)


def test_actions_are_drawn_with_their_probabilities():
  system, actions = problems.paper_problem()
  config = exp3.configure(system, actions, 1000)
  weights = jnp.log(jnp.array([1.0, 2, 3, 1, 2, 1]))
  state = exp3.State(
    weights - weights.max(), jnp.int32(0), jnp.zeros(()), jnp.int32(0)
  )
  draws = (np.arange(20_000) + 0.5) / 20_000
  chosen, _ = jax.vmap(lambda draw: exp3.select(config, state, draw))(
    jnp.asarray(draws, jnp.float32)
  )
  shares = np.bincount(np.asarray(chosen), minlength=6) / draws.size
  np.testing.assert_allclose(
    shares, exp3.probabilities(config, state), atol=2e-4
  )
