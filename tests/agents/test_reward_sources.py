"""What steps are rewarded with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.agents import reward_decomposition, reward_sources


def steps(seed=0, episodes=3, agents=2, size=4):
  generator = np.random.default_rng(seed)
  lengths = np.array([4, 2, 3])[:episodes]
  mask = np.arange(size) < lengths[:, None, None]
  mask = np.broadcast_to(mask, (episodes, agents, size))
  rewards = np.where(mask, generator.normal(size=mask.shape), 0)
  total = rewards.sum(axis=(1, 2))[:, None, None]
  return reward_sources.Steps(
    features=jnp.asarray(generator.normal(size=(*mask.shape, 3)), jnp.float32),
    rewards=jnp.asarray(rewards, jnp.float32),
    returns=jnp.asarray(np.broadcast_to(total, mask.shape), jnp.float32),
    lengths=jnp.broadcast_to(lengths[:, None, None], mask.shape),
    last=jnp.asarray(np.arange(size) == lengths[:, None, None] - 1)
    & jnp.ones(mask.shape, bool),
    mask=jnp.asarray(mask),
  )


def test_dense_and_episodic_add_up_to_the_return():
  seen = steps()
  team = seen.returns[:, 0, 0]
  dense = reward_sources.Dense().rewards((), seen)
  np.testing.assert_allclose(dense.sum(axis=(1, 2)), team, rtol=1e-5)
  late = reward_sources.Episodic().rewards((), seen)
  np.testing.assert_allclose(late.sum(axis=2), np.stack([team] * 2, 1))
  assert ((late != 0).sum(axis=2) == 1).all()
  assert (late[0, :, 3] == team[0]).all() and (late[1, :, 1] == team[1]).all()


def test_ircr_is_the_share_of_the_return_between_the_bounds():
  seen = steps()
  source = reward_sources.Ircr()
  buffer = reward_decomposition.Episodes(
    seen.features[..., :0], seen.returns[:, 0, 0], seen.mask
  )
  state, _ = source.fit(source.init(jax.random.key(0)), buffer, 3, None)
  share = np.asarray(seen.returns[:, 0, 0]) / [4, 2, 3]
  expected = (share - share.min()) / (share.max() - share.min())
  rewards = np.asarray(source.rewards(state, seen))
  for e, length in enumerate([4, 2, 3]):
    np.testing.assert_allclose(rewards[e, :, :length], expected[e], atol=1e-6)
    assert (rewards[e, :, length:] == 0).all()
  # Without an axis of agents, as from a replay of one agent.
  flat = reward_decomposition.Episodes(
    buffer.features[:, 0], buffer.returns, buffer.mask[:, 0]
  )
  np.testing.assert_allclose(source.fit(state, flat, 3, None)[0], state)


@pytest.fixture(scope='module')
def decoded():
  def make(**options):
    return reward_sources.Decoded(
      lambda o, a, n: n, 3, hidden=8, layers=2, updates=3, batch=4, **options
    )

  return make


def test_decoded_rewards(decoded):
  seen = steps()
  plain = decoded()
  state = plain.init(jax.random.key(0))
  rewards = plain.rewards(state, seen)
  assert (rewards[1, :, 2:] == 0).all() and (rewards[0] != 0).all()
  assert (rewards[:, 0] != rewards[:, 1]).any()
  shared = decoded(share=True).rewards(state, seen)
  np.testing.assert_allclose(shared[:, 0], shared[:, 1])
  np.testing.assert_allclose(shared.sum(axis=1), rewards.sum(axis=1), rtol=1e-4)
  exact = decoded(scaling='exact').rewards(state, seen)
  np.testing.assert_allclose(
    exact.sum(axis=(1, 2)), seen.returns[:, 0, 0], rtol=1e-3
  )
  # Steps that were drawn from a replay get what they get in their episodes.
  some = jax.tree.map(lambda x: x[:, 0, 0], seen)
  np.testing.assert_allclose(
    plain.rewards(state, some), rewards[:, 0, 0], rtol=1e-4
  )
  assert decoded(scaling='length').rewards(state, seen)[0, 0, 0] == (
    pytest.approx(8 * float(rewards[0, 0, 0]), rel=1e-4)
  )


def test_fitting_learns_and_normalises(decoded):
  seen = steps()
  source = decoded(learning_rate=0.03)
  buffer = reward_decomposition.Episodes(
    seen.features, seen.returns[:, 0, 0], seen.mask
  )
  state = source.init(jax.random.key(0))
  state = source.observe(state, seen.features, seen.mask)
  assert float(state.statistics.count) == 18
  fit = jax.jit(source.fit)
  losses = []
  for i in range(60):
    state, metrics = fit(state, buffer, 3, jax.random.key(i))
    losses.append(float(metrics['decoder_loss']))
  assert losses[-1] < 0.5 * losses[0]
  assert int(state.updates) == 180 and float(metrics['decoder_skipped']) == 0
