"""PPO and SPA, the methods of rewards of steps, against slow references."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.text import episode_records
from jaxcredit import methods
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.training import loop as loop_lib

STEPS, LENGTH = 3, 9
SCALE = 2.0


def make_batch():
  """Two groups of two: episodes of 3, 2, 1 and no steps (the last was lost)."""
  rng = np.random.default_rng(0)
  episodes = []
  for e, (count, won) in enumerate(
    ((3, True), (2, False), (1, True), (2, True))
  ):
    row, steps = episodes_lib.TokenRow(), []
    for n in range(count):
      row.read([1])
      row.sample([2, 3], rng.normal(size=2).tolist(), n)
      reward = float(won and n == count - 1)
      steps.append(
        episodes_lib.Step(
          '', '', '', reward, n != 1, True, 'a', (e + n) % 2 == 0
        )
      )
    episodes.append(
      episodes_lib.Episode(
        'task', e // 2, e % 2, 'first', steps, [row], terminated=won,
        failure='it died' if e == 3 else '',
      )
    )  # fmt: skip
  trajectories = episodes_lib.pack_trajectories(
    episodes, 2, STEPS, invalid_penalty=0.25, reward_scale=SCALE
  )
  return loop_lib.Batch(episodes, trajectories, 4)


BATCH = make_batch()
ROWS = episodes_lib.pack_rows(
  [e.rows[0] for e in BATCH.episodes[:3]] + [episodes_lib.TokenRow()],
  [0, 1, 2, -1],
  LENGTH,
)
CONTRIBUTIONS = np.random.default_rng(1).normal(size=(4, STEPS))
CONTRIBUTIONS = np.where(
  BATCH.trajectories.mask.reshape(4, STEPS), CONTRIBUTIONS, 0
).astype(np.float32)
VALUES = np.random.default_rng(2).normal(size=(4, LENGTH)).astype(np.float32)
REFERENCE = np.where(ROWS.step_of_token >= 0, ROWS.log_probs - 0.3, 0).astype(
  np.float32
)


def make(method='spa', **options):
  """A method and its options, in units of the scaled rewards."""
  found = methods.TABLE[method]
  options = {'whiten': False, 'discount': 0.9, 'gae_lambda': 0.8, **options}
  if method == 'spa':
    options['grounding_weight'] = SCALE * options.get('grounding_weight', 0.5)
  return found, found.options(**options)


def run(trajectories=BATCH.trajectories, rows=ROWS, without=(), **options):
  """Credit by episodes, [E, L], and its metrics."""
  method, options = make(**options)
  given = {
    'values': VALUES,
    'reference_log_probs': REFERENCE,
    'predictions': {'contributions': SCALE * CONTRIBUTIONS.reshape(2, 2, -1)},
  }
  batch = methods.Batch(
    trajectories,
    rows,
    carry=method.first_carry(options),
    **{name: x for name, x in given.items() if name not in without},
  )
  credit = methods.compiled(method, options)(batch)
  return dataclasses.replace(
    credit,
    total=np.asarray(credit.total).reshape(4, -1),
    returns=np.asarray(credit.returns).reshape(4, -1),
  )


def slow(step_rewards, positions, discount=0.9, gae_lambda=0.8):
  """Advantages token by token, from the last to the first."""
  total = np.zeros((4, LENGTH))
  for e in range(4):
    steps = ROWS.step_of_token[e]
    after, advantage = 0.0, 0.0
    for t in reversed(range(LENGTH)):
      drawn = steps[t] >= 0
      if not drawn and positions == 'drawn':
        continue
      last = drawn and not (steps[t + 1 :] == steps[t]).any()
      reward = step_rewards[e, steps[t]] if last else 0.0
      value = VALUES[e, t] if drawn else 0.0
      advantage = (
        reward + discount * after - value + (discount * gae_lambda * advantage)
      )
      after = value
      total[e, t] = advantage if drawn else 0.0
  return total


def rewards_by_hand(progress=1.0, grounding=0.5):
  result = np.zeros((4, STEPS))
  for e, episode in enumerate(BATCH.episodes[:3]):
    for n, step in enumerate(episode.steps):
      result[e, n] = SCALE * (
        progress * CONTRIBUTIONS[e, n] + grounding * step.grounded
      ) - 0.25 * (not step.valid)
  return result


@pytest.mark.parametrize('positions', ['drawn', 'all'])
def test_spa_token_by_token(positions):
  credit = run(gae_positions=positions)
  expected = slow(rewards_by_hand(), positions)
  np.testing.assert_allclose(credit.total, expected, atol=1e-5)
  drawn = ROWS.step_of_token >= 0
  np.testing.assert_allclose(
    credit.returns, np.where(drawn, expected + VALUES, 0), atol=1e-5
  )
  figures = credit.metrics
  mask = BATCH.trajectories.mask.reshape(4, STEPS)
  assert figures['step_reward'] == pytest.approx(rewards_by_hand()[mask].mean())
  predicted = CONTRIBUTIONS.sum(-1)[:3]
  assert figures['predicted_outcome'] == pytest.approx(
    SCALE * predicted.mean(), rel=1e-5
  )
  assert figures['estimator_error'] == pytest.approx(
    SCALE * np.abs(predicted - [1, 0, 1]).mean(), rel=1e-5
  )


@pytest.mark.filterwarnings('error')
def test_lost_episodes_alone_spoil_nothing():
  lost = dataclasses.replace(
    BATCH.trajectories, mask=np.zeros_like(BATCH.trajectories.mask)
  )
  rows = dataclasses.replace(
    ROWS, step_of_token=np.full_like(ROWS.step_of_token, -1)
  )
  given = run(lost, rows)
  assert not given.total.any()
  assert all(np.isfinite(x) for x in given.metrics.values())


def test_steps_have_one_advantage_each():
  credit = run(gae_positions='steps')
  rewards = rewards_by_hand()
  for e, episode in enumerate(BATCH.episodes[:3]):
    after, advantage = 0.0, 0.0
    for n in reversed(range(len(episode.steps))):
      tokens = np.flatnonzero(ROWS.step_of_token[e] == n)
      value = VALUES[e, tokens[0]]
      advantage = rewards[e, n] + 0.9 * after - value + 0.72 * advantage
      after = value
      np.testing.assert_allclose(credit.total[e, tokens], advantage, atol=1e-5)
      np.testing.assert_allclose(
        credit.returns[e, tokens], advantage + value, atol=1e-5
      )
  assert not np.asarray(credit.total)[ROWS.step_of_token < 0].any()


def test_ppo_has_the_rewards_of_the_environment():
  credit = run(method='ppo')
  rewards = np.zeros((4, STEPS))
  for e, episode in enumerate(BATCH.episodes[:3]):
    rewards[e, len(episode.steps) - 1] = SCALE * episode.episode_return
    rewards[e] -= [0.25 * (n == 1 < len(episode.steps)) for n in range(STEPS)]
  np.testing.assert_allclose(credit.total, slow(rewards, 'drawn'), atol=1e-5)
  assert set(credit.metrics) == {'step_reward'}


@pytest.mark.parametrize(
  ('options', 'needed'),
  [
    ({}, True),
    ({'redistribution': 'shift'}, True),
    ({'redistribution': 'leave_one_out'}, False),
    ({'progress_weight': 0.0}, False),
    ({'grounding_weight': 0.0}, True),
    ({'method': 'ppo'}, False),
  ],
)
def test_what_needs_an_estimator_has_it_and_the_rest_does_without(
  options, needed
):
  method, made = make(**options)
  assert ('contributions' in method.needs_with(made)) == needed
  if needed:
    with pytest.raises(
      ValueError, match='contributions of a progress estimator'
    ):
      run(without=('predictions',), **options)
  else:
    run(without=('predictions',), **options)


def test_the_released_credit():
  credit = run(
    redistribution='leave_one_out', placement='remaining', gae_positions='all'
  )
  rewards = np.zeros((4, STEPS))
  outcome = [1.0, 0.0, 1.0]
  # The third episode's only companion was lost.
  relative = [1.0, -1.0, 0.0]
  for e, episode in enumerate(BATCH.episodes[:3]):
    count = len(episode.steps)
    for n, step in enumerate(episode.steps):
      reward = SCALE * (relative[e] + 0.5 * step.grounded)
      rewards[e, n] = (count - 1 - n) * (reward - 0.25 * (not step.valid))
  assert outcome
  np.testing.assert_allclose(credit.total, slow(rewards, 'all'), atol=1e-5)


def test_kl_as_a_reward_adapts():
  plain = run()
  fixed = run(kl_reward=0.5)
  drawn = ROWS.step_of_token >= 0
  # Each token costs 0.5 * 0.3; discounted sums differ by those of the cost.
  cost = np.where(drawn, -0.15, 0)
  only = np.zeros((4, LENGTH))
  for e in range(4):
    later = 0.0
    for t in reversed(np.flatnonzero(drawn[e])):
      later = cost[e, t] + 0.9 * 0.8 * later
      only[e, t] = later
  np.testing.assert_allclose(fixed.total - plain.total, only, atol=1e-5)
  assert float(fixed.carry['kl_reward']) == 0.5
  figures = fixed.metrics
  tokens = drawn.sum()
  assert figures['kl_of_episode'] == pytest.approx(0.3 * tokens / 3, rel=1e-4)
  assert figures['kl_reward'] == 0.5
  for target, factor in ((0.1, 1.2), (100.0, 0.8)):
    moved = run(kl_reward=0.5, kl_reward_target=target, kl_reward_horizon=3.0)
    # Three episodes are the horizon, and the error is clipped to 0.2.
    assert float(moved.carry['kl_reward']) == pytest.approx(0.5 * factor)
    np.testing.assert_array_equal(moved.total, fixed.total)
  assert not plain.carry
  with pytest.raises(ValueError, match='kl_reward must then be above 0|adapts'):
    make(kl_reward_target=1.0)


EFFECTS = {
  'progress_weight': (0.5, {}),
  'grounding_weight': (0.0, {}),
  'redistribution': ('shift', {}),
  'placement': ('remaining', {}),
  'gae_positions': ('all', {}),
  'discount': (0.5, {}),
  'gae_lambda': (0.5, {}),
  'whiten': (True, {}),
  'kl_reward': (0.1, {}),
  'kl_reward_target': (5.0, {'kl_reward': 0.1}),
  'kl_reward_horizon': (10.0, {'kl_reward': 0.1, 'kl_reward_target': 5.0}),
  'kl_reward_estimator': ('k3', {'kl_reward': 0.1}),
}


@pytest.mark.parametrize(
  'name', [f.name for f in dataclasses.fields(methods.TABLE['spa'].options)]
)
def test_every_option_matters(name):
  value, others = EFFECTS[name]

  def described(**options):
    credit = run(**options)
    carried = credit.carry or {'kl_reward': jnp.float32(0)}
    return [np.asarray(credit.total).tolist(), float(carried['kl_reward'])]

  assert described(**others) == described(**others)
  assert described(**others) != described(**{**others, name: value})


@pytest.mark.parametrize(
  'name',
  ['redistribution', 'placement', 'gae_positions', 'kl_reward_estimator'],
)  # fmt: skip
def test_wrong_options(name):
  with pytest.raises(ValueError, match=f"{name} must be one of .*, not 'none_"):
    make(**{name: 'none_such'})


def test_records_show_the_credit_of_steps_and_their_rewards():
  credit = run()
  of_tokens = dataclasses.replace(
    credit, total=credit.total.reshape(2, 2, LENGTH)
  )
  found = episode_records.step_credit(
    of_tokens, ROWS.step_of_token.reshape(2, 2, LENGTH), STEPS
  )
  np.testing.assert_allclose(
    found['reward'].reshape(4, STEPS), rewards_by_hand(), atol=1e-5
  )
  tokens = credit.total[0, ROWS.step_of_token[0] == 1]
  assert len(tokens) == 2
  assert found['total'][0, 0, 1] == pytest.approx(tokens.mean())
  records = episode_records.episode_records(3, BATCH, found, 'spa')
  step = records[0]['steps'][1]
  assert step['credit']['spa']['total'] == pytest.approx(tokens.mean())
  assert step['grounded'] is False
  assert step['penalty'] == 0.25 and step['scaled_reward'] == 0
