"""A critic: what it sees, that it learns, and how the loop uses it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import methods, ppo
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, sharding
from jaxcredit.networks.heads import value_head
from jaxcredit.training import batch_rows, packed_rows
from jaxcredit.training import checkpoints as checkpoints_lib
from jaxcredit.training import critic as critic_lib
from jaxcredit.training import loop as loop_lib
from tests.training import test_learner, test_loop

LENGTH = test_learner.LENGTH
CONFIG = config_lib.DecoderConfig(
  vocab_size=test_learner.VOCABULARY,
  width=16,
  layers=2,
  heads=2,
  kv_heads=1,
  head_dim=8,
  hidden=24,
  tie_embeddings=False,
)


def build(seed=0):
  """A critic that says something."""
  params = value_head.init(decoder.init(jax.random.key(seed), CONFIG))
  kernel = jax.random.normal(jax.random.key(seed + 1), (CONFIG.width, 1))
  return {**params, 'scalars': {'kernel': kernel, 'bias': jnp.full(1, 0.3)}}


def test_it_begins_with_the_trunk_and_says_nothing():
  policy = decoder.init(jax.random.key(0), CONFIG)
  params = value_head.init(policy)
  assert params['trunk'].keys() == policy.keys() - {'head'}
  tokens = jnp.arange(6, dtype=jnp.int32)[None]
  assert not np.asarray(value_head.values(params, CONFIG, tokens)).any()


def test_a_value_is_that_of_the_state_before_the_token():
  params = build()
  rng = np.random.default_rng(0)
  tokens = rng.integers(0, CONFIG.vocab_size, (2, 9)).astype(np.int32)
  values = value_head.values(params, CONFIG, tokens)
  hidden = decoder.hidden_states(params['trunk'], CONFIG, tokens)
  expected = (hidden @ params['scalars']['kernel'])[..., 0] + 0.3
  np.testing.assert_allclose(values[:, 1:], expected[:, :-1], atol=1e-5)
  assert not np.asarray(values[:, 0]).any()
  # The token itself and those behind it are not seen.
  other = tokens.copy()
  other[:, 5:] = (other[:, 5:] + 1) % CONFIG.vocab_size
  changed = value_head.values(params, CONFIG, other)
  np.testing.assert_allclose(changed[:, :6], values[:, :6], atol=1e-6)
  assert np.abs(changed[:, 6:] - values[:, 6:]).min() > 1e-4


def test_packed_rows_have_the_values_of_rows():
  params = build()
  rows, _ = test_learner.make_rows(9)
  placed = packed_rows.place(rows.length, LENGTH, 3)
  packed = packed_rows.pack(
    rows, placed, row_length=LENGTH, sequences=3, count=len(placed)
  )
  alone = packed_rows.apply(value_head.values, params, CONFIG, rows)
  together = packed_rows.apply(value_head.values, params, CONFIG, packed)
  for row, chosen in enumerate(placed):
    for slot, index in enumerate(chosen):
      size = rows.length[index]
      np.testing.assert_allclose(
        together[3 * row + slot, :size], alone[index, :size], atol=1e-5
      )


def make_critic(mesh=None, **options):
  return critic_lib.Critic(
    CONFIG,
    critic_lib.CriticOptions(**options),
    micro_batch_tokens=3 * LENGTH,
    lengths=[8, LENGTH],
    mesh=mesh,
  )


def test_values_find_their_rows_again():
  params = build()
  rows, _ = test_learner.make_rows(11)
  rows.trajectory[4] = -1
  given = make_critic().values(params, rows)
  expected = np.asarray(
    packed_rows.apply(value_head.values, params, CONFIG, rows)
  )
  valid = np.arange(LENGTH) < rows.length[:, None]
  valid[4] = False
  np.testing.assert_allclose(given[valid], expected[valid], atol=1e-5)
  assert not given[~valid].any()


@pytest.mark.parametrize(
  'shape', [None, pytest.param((2, 2, 2), marks=pytest.mark.system)]
)
def test_it_learns_what_rows_come_to(shape):
  mesh = None if shape is None else sharding.make_mesh(*shape)
  critic = make_critic(mesh, learning_rate=3e-3, clip=None)
  rows, _ = test_learner.make_rows(8)
  returns = np.where(rows.step_of_token >= 0, rows.trajectory[:, None] % 2, 0)
  returns = returns.astype(np.float32)
  state = critic.init(decoder.init(jax.random.key(0), CONFIG))
  errors = []
  for _ in range(25):
    values = critic.values(state.params, rows)
    state, metrics = critic.update(state, rows, returns, values)
    errors.append(metrics['value_error'])
  drawn = rows.step_of_token >= 0
  assert errors[0] == pytest.approx(float(returns[drawn].mean()), abs=1e-5)
  assert errors[-1] < 0.5 * errors[0]


def test_a_clipped_update_does_not_run_away():
  rows, _ = test_learner.make_rows(8)
  returns = np.where(rows.step_of_token >= 0, 1, 0).astype(np.float32)
  moved = {}
  for clip in (None, 0.05):
    critic = make_critic(learning_rate=1e-2, clip=clip)
    state = critic.init(decoder.init(jax.random.key(0), CONFIG))
    old = critic.values(state.params, rows)
    for _ in range(10):
      state, metrics = critic.update(state, rows, returns, old)
    moved[clip] = np.abs(critic.values(state.params, rows) - old).max()
    assert (metrics['value_clip_share'] > 0) == (clip is not None)
  assert moved[0.05] < 0.5 * moved[None]


def token_credit(batch):
  """PPO's credit of the return at the last token."""
  returns = jnp.asarray(batch.trajectories.rewards).sum(-1).reshape(-1, 1)
  mask = batch.rows.step_of_token >= 0
  last = mask & (jnp.cumsum(mask[:, ::-1], 1)[:, ::-1] == 1)
  values = batch.values
  credit = ppo.advantages(
    jnp.where(last, returns, 0),
    jnp.zeros(mask.shape) if values is None else values,
    mask,
  )
  shape = (*batch.trajectories.mask.shape[:2], -1)
  return methods.Credit(
    credit.total.reshape(shape), returns=credit.returns.reshape(shape)
  )


class TableCritic:
  """Says what it was told last; learns the mean return."""

  def init(self, params):
    return test_loop.table_learner().init(params)

  def values(self, params, rows):
    return np.full(rows.tokens.shape, params['table'][0], np.float32)

  def update(self, state, rows, returns, values, **options):
    self.seen = (returns, values, options['minibatches'])
    mean = returns[np.asarray(rows.step_of_token) >= 0].mean()
    params = {'table': jnp.full_like(state.params['table'], mean)}
    return dataclasses.replace(state, params=params), {'loss': 0.25}


def make_loop(**options):
  needs = frozenset({'values'} if 'critic' in options else ())
  return loop_lib.Loop(
    test_loop.ScriptedCollector(),
    test_loop.table_learner(),
    test_loop.method_of(token_credit, unit='token', needs=needs),
    methods.NoOptions(),
    options.pop('tasks', test_loop.TASKS),
    loop_lib.LoopOptions(groups=3, group_size=4, max_steps=3),
    lengths=[test_loop.ROW_TOKENS],
    **options,
  )


@pytest.fixture
def tokens_learner(monkeypatch):
  """The table's learner, with advantages of tokens."""
  from jaxcredit.training import policy_gradient

  monkeypatch.setattr(
    policy_gradient, 'token_advantages', policy_gradient.of_rows
  )
  test_loop.table_learner.cache_clear()
  yield
  test_loop.table_learner.cache_clear()


def test_policy_and_critic_learn_in_an_iteration(tokens_learner, tmp_path):
  critic = TableCritic()
  loop = make_loop(critic=critic)
  policy = test_loop.init_state().policy
  before = np.asarray(policy.params['table'])
  state = loop.init(policy, critic.init({'table': jnp.ones(8)}))
  state, metrics, batch, credit = loop.run(state, 0)
  returns, values, _ = critic.seen
  assert returns.shape == (12, test_loop.ROW_TOKENS)
  assert credit.total.shape == (3, 4, test_loop.ROW_TOKENS)
  assert set(values.ravel()) == {1.0}
  # Without discount each token's return is the episode's.
  episode = [10 * e.episode_return for e in batch.episodes]
  np.testing.assert_allclose(returns.max(axis=1), episode, atol=1e-5)
  assert metrics['critic_loss'] == 0.25
  assert np.abs(state.policy.params['table'] - before).max() > 1e-3
  assert float(state.critic.params['table'][0]) == pytest.approx(
    np.mean(episode), abs=1e-4
  )
  # Whoever plays the policy needs no critic.
  with checkpoints_lib.Checkpoints(tmp_path / 'train') as checkpoints:
    checkpoints.save(1, state)
  read = checkpoints_lib.read_params(tmp_path / 'train')
  np.testing.assert_array_equal(read['table'], state.policy.params['table'])


def test_lost_episodes_have_no_row(tokens_learner):
  loop = make_loop(tasks=('mixed lost',) * 3)
  state, metrics, _, credit = loop.run(test_loop.init_state(), 0)
  assert metrics['failed_episodes'] == 3
  assert not np.asarray(credit.total)[:, 0].any()
  assert np.isfinite(state.policy.params['table']).all()


def test_an_episode_of_many_rows_is_refused(tokens_learner):
  loop = make_loop()
  batch = loop.collect(test_loop.init_state().policy.params, 0)
  batch.episodes[2].rows *= 2
  with pytest.raises(ValueError, match='has 2 rows: Mine needs a format'):
    batch_rows.one_row_each(batch.episodes, [test_loop.ROW_TOKENS], 'Mine')


def test_values_need_a_critic():
  with pytest.raises(ValueError, match='needs the values of a critic, and no'):
    make_loop(critic=None)
