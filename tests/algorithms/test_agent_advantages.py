"""Advantages of agents: by hand, against loops, and the released trainer's."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import kl_penalty, ppo, spa
from tests.algorithms import step_rows

RELEASED = {'discount': 0.99, 'gae_lambda': 0.95}


def released_rewards(scores, log_probs, reference, mask, coefficient):
  """One row's rewards as the released trainer has them.

  It costs KL at each position, walks back over the runs of the mask, and puts
  on the end of each the score of its step, times the steps that remain.
  """
  rewards = [
    -coefficient * (p - q) for p, q in zip(log_probs, reference, strict=True)
  ]
  step = len(scores)
  for t in reversed(range(len(mask))):
    if mask[t] and (t + 1 == len(mask) or not mask[t + 1]):
      step -= 1
      rewards[t] += scores[step] * (len(scores) - 1 - step)
  return rewards


def released_advantages(rewards, values, mask, discount, gae_lambda):
  """A batch's advantages and returns as TRL 0.10.1 has them.

  Lists of rows. Time runs over all positions; what is masked has neither reward
  nor value, but decays what comes later; mean and unbiased variance are those
  of the mask.
  """
  all_advantages, all_returns = [], []
  for r, v, m in zip(rewards, values, mask, strict=True):
    r = [x * bool(keep) for x, keep in zip(r, m, strict=True)]
    v = [x * bool(keep) for x, keep in zip(v, m, strict=True)]
    advantages, later = [], 0.0
    for t in reversed(range(len(r))):
      after = v[t + 1] if t + 1 < len(r) else 0.0
      later = r[t] + discount * after - v[t] + discount * gae_lambda * later
      advantages.insert(0, later)
    all_advantages.append(advantages)
    all_returns.append([a + x for a, x in zip(advantages, v, strict=True)])
  advantages, mask = np.array(all_advantages), np.array(mask, bool)
  kept = advantages[mask]
  mean = sum(kept) / len(kept)
  variance = sum((x - mean) ** 2 for x in kept) / (len(kept) - 1)
  return (advantages - mean) / np.sqrt(variance + 1e-8), np.array(all_returns)


def released_batch(seed, count=6, length=36):
  """Episodes with an observation of at least one token after each step.

  The rows of every other episode have lost their beginning.
  """
  rng = np.random.default_rng(seed)
  rows, scores = [], []
  for number in range(count):
    steps = int(rng.integers(1, 6))
    tokens = [-1] * int(rng.integers(1, 4))
    for step in range(steps):
      tokens += [step] * int(rng.integers(1, 4))
      tokens += [-1] * int(rng.integers(1, 4))
    if number % 2 and steps > 1:
      tokens = tokens[tokens.index(1) :]
    rows.append(np.array([*tokens, *[-1] * length][:length], np.int32))
    scores.append(rng.normal(size=steps))
  shape = (count, length)
  return np.stack(rows), scores, *(rng.normal(size=shape) for _ in range(3))


@pytest.mark.parametrize('seed', range(3))
def test_the_released_trainer_is_reproduced_by_options(seed):
  step_of_token, scores, log_probs, reference, values = released_batch(seed)
  drawn = step_of_token >= 0
  expected_rewards = [
    released_rewards(*arguments, 0.3)
    for arguments in zip(scores, log_probs, reference, drawn, strict=True)
  ]
  expected, returns = released_advantages(
    expected_rewards, values, drawn, **RELEASED
  )
  padded = np.full((len(scores), 6), np.nan)
  for row, given in zip(padded, scores, strict=True):
    row[: len(given)] = given
  taken = np.isfinite(padded)
  with jax.enable_x64(True):
    placed = spa.place(padded, step_of_token, taken, placement='remaining')
    cost = kl_penalty.rewards(log_probs, reference, drawn, coefficient=0.3)
    given = spa.token_advantages(
      placed + cost, values, drawn, gae_positions='all', **RELEASED
    )
  np.testing.assert_allclose(
    placed + cost, np.where(drawn, expected_rewards, 0), atol=1e-12
  )
  np.testing.assert_allclose(
    given.total, np.where(drawn, expected, 0), atol=1e-9
  )
  np.testing.assert_allclose(
    given.returns, np.where(drawn, returns, 0), atol=1e-12
  )


def test_steps_side_by_side_stay_two():
  # The released trainer takes them for one, and moves what came before.
  step_of_token = np.array([0, -1, 1, 1, 2, -1])
  scores = np.array([1.0, 2.0, 4.0])
  released = released_rewards(
    scores, np.zeros(6), np.zeros(6), step_of_token >= 0, 0.0
  )
  assert released == [2.0, 0, 0, 0, 0, 0]  # that of the second step
  given = spa.place(scores, step_of_token, placement='remaining')
  assert given.tolist() == [2, 0, 0, 2, 0, 0]
  assert spa.place(scores, step_of_token).tolist() == [1, 0, 0, 2, 4, 0]


def test_what_an_observation_lets_through():
  # A reward of 1 on the second token, no values, and k tokens in between.
  for k in (0, 1, 5, 50):
    mask = np.zeros(52, bool)
    mask[[0, k + 1]] = True
    rewards = np.zeros(52, np.float32)
    rewards[k + 1] = 1
    for across, power in (('drawn', 1), ('all', k + 1)):
      given = spa.token_advantages(
        rewards,
        np.zeros(52),
        mask,
        gae_positions=across,
        whiten=False,
        **RELEASED,
      )
      expected = (0.99 * 0.95) ** power
      assert float(given.total[0]) == pytest.approx(expected, rel=1e-5)
      assert not np.asarray(given.total)[~mask].any()
  # 5% after 50 tokens, and 0.2% after 100.
  assert 0.9405**50 == pytest.approx(0.0466, abs=1e-3)
  assert 0.9405**100 == pytest.approx(0.0022, abs=1e-4)


def test_drawn_is_ppo():
  rng = np.random.default_rng(0)
  rewards, values = rng.normal(size=(2, 3, 8))
  mask = rng.random((3, 8)) < 0.6
  options = {'bootstrap': np.array([0.5, 0, 1]), **RELEASED}
  given = spa.token_advantages(rewards, values, mask, **options)
  expected = ppo.advantages(rewards, values, mask, **options)
  jax.tree.map(np.testing.assert_array_equal, given, expected)
  # Where all is drawn there is one way.
  mask[:] = True
  whole = spa.token_advantages(rewards, values, mask, **options)
  other = spa.token_advantages(
    rewards, values, mask, gae_positions='all', **options
  )
  jax.tree.map(np.testing.assert_array_equal, whole, other)


@pytest.mark.parametrize('across', spa.GAE_POSITIONS)
def test_what_the_environment_wrote_has_no_part(across):
  rng = np.random.default_rng(1)
  rewards, values = rng.normal(size=(2, 3, 8))
  mask = rng.random((3, 8)) < 0.6
  clean = spa.token_advantages(rewards, values, mask, gae_positions=across)
  poisoned = spa.token_advantages(
    *(np.where(mask, x, np.nan) for x in (rewards, values)),
    mask,
    gae_positions=across,
  )
  jax.tree.map(np.testing.assert_array_equal, clean, poisoned)
  kept = np.asarray(clean.total)[mask]
  assert kept.mean() == pytest.approx(0, abs=1e-6)
  assert kept.std(ddof=1) == pytest.approx(1, abs=1e-5)


def slow_steps(
  rewards, values, step_of_token, mask, extra, discount, gae_lambda, bootstrap
):
  """One row, step by step from the last."""
  total, returns = np.zeros(len(rewards)), np.zeros(len(rewards))
  later, after = 0.0, bootstrap
  for k in reversed(range(len(rewards))):
    tokens = [t for t in range(len(step_of_token)) if step_of_token[t] == k]
    if not mask[k] or not tokens:
      continue
    value = values[tokens[0]]
    reward = rewards[k] + sum(extra[t] for t in tokens)
    later = reward + discount * (after + gae_lambda * later) - value
    after = value
    total[k], returns[k] = later, later + value
  return total, returns


@pytest.mark.parametrize('seed', range(3))
def test_steps_against_a_loop(seed):
  rewards, step_of_token, mask = step_rows.rows(seed, 8)
  rng = np.random.default_rng(seed)
  values, extra = rng.normal(size=(2, *step_of_token.shape))
  bootstrap = rng.normal(size=8)
  discount, gae_lambda = (0.9, 0.7)
  expected = np.array(
    [
      slow_steps(*arguments[:-1], discount, gae_lambda, arguments[-1])
      for arguments in zip(
        rewards, values, step_of_token, mask, extra, bootstrap, strict=True
      )
    ]
  ).transpose(1, 0, 2)
  with jax.enable_x64(True):
    # Only the values before first tokens are looked at.
    first = spa.first_tokens(step_of_token, step_rows.STEPS)
    call = dict(
      step_rewards=np.where(mask, rewards, np.nan),
      values=np.where(first, values, np.nan),
      step_of_token=step_of_token,
      mask=mask,
      token_rewards=np.where(step_of_token >= 0, extra, np.nan),
      discount=discount,
      gae_lambda=gae_lambda,
      bootstrap=bootstrap,
    )
    raw = spa.step_advantages(**call, whiten=False)
    white = spa.step_advantages(**call)
  np.testing.assert_allclose(raw.total, expected[0], atol=1e-12)
  np.testing.assert_allclose(raw.returns, expected[1], atol=1e-12)
  np.testing.assert_allclose(white.returns, expected[1], atol=1e-12)
  # Each step counts once, however long.
  counts = np.array(
    [[k in row for k in range(5)] for row in step_of_token.tolist()]
  )
  kept = expected[0][mask & counts]
  np.testing.assert_allclose(
    np.asarray(white.total)[mask & counts],
    (kept - kept.mean()) / np.sqrt(kept.var(ddof=1) + 1e-8),
    atol=1e-9,
  )
  assert not np.asarray(white.total)[~(mask & counts)].any()


def test_steps_by_hand():
  # Two steps; the first token's value counts, 9 is nobody's.
  given = spa.step_advantages(
    jnp.array([[1.0, 2.0, 5.0]]),
    jnp.array([[9.0, 0.5, 9.0, 9.0, 0.25, 9.0]]),
    jnp.array([[-1, 0, 0, -1, 1, -1]]),
    discount=0.5,
    gae_lambda=0.5,
    whiten=False,
  )
  # Errors: 2 - 0.25 and 1 + 0.5 * 0.25 - 0.5. The third step has no token.
  np.testing.assert_allclose(given.total, [[0.625 + 0.25 * 1.75, 1.75, 0]])
  np.testing.assert_allclose(given.returns, [[1.5625, 2, 0]])


@hypothesis.given(st.integers(0, 2**32 - 1))
def test_steps_of_one_token_are_tokens(seed):
  rng = np.random.default_rng(seed)
  # Each step has one token, anywhere in its row but in order.
  step_of_token = np.full((3, 9), -1)
  for row in step_of_token:
    row[np.sort(rng.choice(9, 4, replace=False))] = np.arange(4)
  rewards = rng.normal(size=(3, 4)).astype(np.float32)
  values = rng.normal(size=(3, 9)).astype(np.float32)
  drawn = step_of_token >= 0
  steps = spa.step_advantages(rewards, values, step_of_token)
  tokens = spa.token_advantages(
    spa.place(rewards, step_of_token), values, drawn
  )
  for of_steps, of_tokens in zip(
    jax.tree.leaves(steps), jax.tree.leaves(tokens), strict=True
  ):
    np.testing.assert_allclose(
      np.asarray(of_tokens)[drawn].reshape(3, 4), of_steps, atol=1e-5
    )


@hypothesis.given(st.integers(0, 2**32 - 1))
def test_longer_steps_and_observations_change_nothing_of_steps(seed):
  rng = np.random.default_rng(seed)
  rewards = rng.normal(size=(1, 3)).astype(np.float32)
  before = rng.normal(size=3).astype(np.float32)

  def advantages(lengths, gaps):
    tokens = []
    for k in range(3):
      tokens += [-1] * gaps[k] + [k] * lengths[k]
    step_of_token = np.array([[*tokens, *[-1] * 24][:24]])
    values = np.where(
      np.asarray(spa.first_tokens(step_of_token, 3)),
      before[np.maximum(step_of_token, 0)],
      100.0,
    )
    return spa.step_advantages(rewards, values, step_of_token, whiten=False)

  short = advantages([1, 1, 1], [0, 0, 0])
  other = advantages(rng.integers(1, 5, 3), rng.integers(0, 4, 3))
  jax.tree.map(np.testing.assert_array_equal, short, other)


def test_the_value_before_a_step_stays_visible():
  values = jnp.array([[0.0, np.nan, 0.0]])
  step_of_token = jnp.array([[0, 1, 1]])
  given = spa.step_advantages(
    jnp.ones((1, 2)), values, step_of_token, whiten=False
  )
  assert np.isnan(np.asarray(given.total)).all()


@pytest.mark.parametrize(
  ('function', 'change', 'message'),
  [
    (
      'token_advantages',
      {'gae_positions': 'steps'},
      "gae_positions must be one of 'drawn'",
    ),
    ('token_advantages', {'ddof': 2}, 'ddof must be one of 0, 1'),
    ('token_advantages', {'eps': -1.0}, 'eps must be a finite number'),
    ('token_advantages', {'values': np.zeros((2, 5))}, 'values has shape'),
    ('token_advantages', {'rewards': 1.0}, 'rewards must have at least 1 axis'),
    ('token_advantages', {'mask': np.ones(4)}, 'mask has shape'),
    ('token_advantages', {'bootstrap': np.ones(3)}, 'bootstrap must be'),
    ('step_advantages', {'values': np.zeros((2, 3))}, 'values has shape'),
    ('step_advantages', {'step_rewards': 1.0}, 'at least 1 axis'),
    ('step_advantages', {'mask': np.ones((2, 4))}, 'mask has shape'),
    ('step_advantages', {'token_rewards': np.ones((2, 3))}, 'token_rewards'),
    (
      'step_advantages',
      {'step_of_token': np.zeros((3, 4), int)},
      r'but step_rewards has leading axes \(2,\)',
    ),
  ],
)
def test_wrong_arguments(function, change, message):
  arguments = {'values': np.zeros((2, 4))}
  if function == 'token_advantages':
    arguments['rewards'] = np.zeros((2, 4))
  else:
    arguments['step_rewards'] = np.zeros((2, 3))
    arguments['step_of_token'] = np.zeros((2, 4), int)
  with pytest.raises(ValueError, match=message):
    getattr(spa, function)(**{**arguments, **change})


def test_nothing_at_all():
  given = spa.step_advantages(
    jnp.ones((2, 3)), jnp.zeros((2, 0)), jnp.zeros((2, 0), int)
  )
  assert given.total.tolist() == np.zeros((2, 3)).tolist()
  for across in spa.GAE_POSITIONS:
    given = spa.token_advantages(
      jnp.zeros((2, 0)), jnp.zeros((2, 0)), gae_positions=across
    )
    assert given.total.shape == (2, 0)
