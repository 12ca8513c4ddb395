"""Return decomposition, against loops and exhaustive enumeration in float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcredit import lare


@pytest.fixture
def float64():
  with jax.enable_x64(True):
    yield


def draw(seed=0, shape=(4, 6)):
  """Step rewards with NaN where masked, returns with NaN for no episode."""
  rng = np.random.default_rng(seed)
  mask = rng.random(shape) < 0.7
  mask[0] = True
  mask[-1] = False
  rewards = np.where(mask, rng.normal(size=shape), np.nan)
  returns = rng.normal(size=shape[:-1]) * 3
  returns[-1] = np.nan
  return rewards, returns, mask


def slow_loss(rewards, returns, mask, form):
  """Episode by episode; those without a step are left out."""
  losses = []
  for predicted, target, taken in zip(rewards, returns, mask, strict=True):
    kept = [r for r, there in zip(predicted, taken, strict=True) if there]
    if kept:
      error = target - sum(kept)
      losses.append((error / len(kept) if form == 'mean' else error) ** 2)
  return sum(losses) / len(losses)


@pytest.mark.parametrize('form', lare.FORMS)
@pytest.mark.parametrize('seed', range(3))
def test_decomposition_against_a_loop(float64, form, seed):
  arrays = draw(seed)
  result = lare.decomposition_loss(*arrays, form=form)
  assert float(result) == pytest.approx(slow_loss(*arrays, form), rel=1e-12)


def test_decomposition_by_hand():
  rewards = np.array([[1.0, 2.0, np.nan], [1.0, 1.0, 1.0]], np.float32)
  mask = ~np.isnan(rewards)
  returns = np.array([5.0, 0.0], np.float32)
  # Errors 2 of two steps, and 3 of three.
  assert lare.decomposition_loss(rewards, returns, mask) == (4 + 9) / 2
  assert lare.decomposition_loss(rewards, returns, mask, form='mean') == 1


def test_forms_differ_by_the_square_of_the_length():
  rewards, returns, _ = np.random.default_rng(0).normal(size=(3, 8))
  total, mean = (
    lare.decomposition_loss(rewards, returns[0], form=form)
    for form in lare.FORMS
  )
  np.testing.assert_allclose(total, mean * 64, rtol=1e-5)


def every_draw(length, k):
  """What K draws of L steps can be, each as likely as any other."""
  if k <= length:
    return list(itertools.combinations(range(length), k))
  return list(itertools.product(range(length), repeat=k))


CASES = [(5, 2), (6, 4), (5, 5), (1, 3), (2, 3), (3, 4), (2, 6)]


@pytest.mark.parametrize(('length', 'k'), CASES)
@pytest.mark.parametrize('form', lare.FORMS)
def test_unbiased_over_every_draw(float64, length, k, form):
  rng = np.random.default_rng(length * 10 + k)
  rewards, target = rng.normal(size=length), rng.normal() * length
  indices = np.array(every_draw(length, k))
  full = slow_loss([rewards], [target], [[True] * length], form)

  def estimate(unbiased):
    return float(
      lare.subsampled_loss(
        rewards[indices],
        np.full(len(indices), target),
        np.full(len(indices), length),
        form=form,
        unbiased=unbiased,
      )
    )

  assert estimate(True) == pytest.approx(full, rel=1e-10)
  # Without the correction, what is too much is the variance of the mean, from
  # all possible draws.
  excess = np.var(rewards[indices].mean(axis=1))
  excess *= length**2 if form == 'sum' else 1
  assert estimate(False) == pytest.approx(full + excess, rel=1e-10)
  if k > length > 1:
    # The released formula adds variance where it should take it off.
    assert 1 - k / length < 0
    assert excess > 1e-3


def test_the_mean_gradient_is_that_of_whole_episodes(float64):
  rng = np.random.default_rng(0)
  rewards, target = rng.normal(size=6), 2.5
  for k in (3, 2):
    indices = np.array(every_draw(6, k))

    def sampled(r, indices=indices):
      return lare.subsampled_loss(
        r[indices],
        jnp.full(len(indices), target),
        jnp.full(len(indices), 6),
        form='mean',
      )

    def whole(r):
      return lare.decomposition_loss(r, target, form='mean')

    np.testing.assert_allclose(
      jax.grad(sampled)(rewards), jax.grad(whole)(rewards), rtol=1e-10
    )


def test_samples_of_different_sizes_share_a_batch(float64):
  rewards, returns, _ = draw(3, (5, 4))
  rewards = np.nan_to_num(rewards)
  count, length = np.array([4, 3, 2, 4, 0]), np.array([9, 3, 5, 2, 0])
  mask = np.arange(4) < count[:, None]
  expected = []
  for r, target, n, l in zip(rewards, returns, count, length, strict=True):
    if n:
      s2 = np.var(r[:n], ddof=1)
      variance = s2 / n if n > l else s2 * (1 - n / l) / n
      expected.append((target / l - r[:n].mean()) ** 2 - variance)
  result = lare.subsampled_loss(
    np.where(mask, rewards, np.nan), returns, length, mask, form='mean'
  )
  assert float(result) == pytest.approx(np.mean(expected), rel=1e-12)


def test_only_the_sum_of_credit_is_known():
  """Any credit with the right sums is perfect; the mean form as well."""
  rng = np.random.default_rng(0)
  returns = rng.normal(size=3).astype(np.float32)
  for seed in range(3):
    credit = np.random.default_rng(seed).normal(size=(3, 5))
    credit += (returns - credit.sum(-1))[:, None] / 5
    for form in lare.FORMS:
      loss = lare.decomposition_loss(
        credit.astype(np.float32), returns, form=form
      )
      assert float(loss) < 1e-12
  # The steps of an episode all get the same push.
  gradient = jax.grad(lare.decomposition_loss)(jnp.asarray(credit), 2 * returns)
  np.testing.assert_allclose(gradient, gradient[:, :1].repeat(5, 1), rtol=1e-5)


def test_temporal_variance(float64):
  rewards, _, mask = draw(5)
  for ddof in (0, 1):
    expected = [
      np.var(r[m]) * m.sum() / max(m.sum() - ddof, 1)
      for r, m in zip(rewards, mask, strict=True)
      if m.any()
    ]
    result = lare.temporal_variance(rewards, mask, ddof=ddof)
    assert float(result) == pytest.approx(np.mean(expected), rel=1e-12)
  assert lare.temporal_variance(np.full((2, 3), 0.7)) < 1e-30


def test_agents_against_a_loop(float64):
  rng = np.random.default_rng(0)
  mask = rng.random((2, 3, 4)) < 0.6
  rewards = np.where(mask, rng.normal(size=mask.shape), np.nan)
  team = np.zeros((2, 4))
  shared = np.zeros((2, 3, 4))
  for b, t in np.ndindex(2, 4):
    kept = [rewards[b, n, t] for n in range(3) if mask[b, n, t]]
    team[b, t] = sum(kept)
    for n in range(3):
      if mask[b, n, t]:
        shared[b, n, t] = sum(kept) / len(kept)
  given_team = lare.team_rewards(rewards, mask)
  given_shared = lare.shared_rewards(rewards, mask)
  np.testing.assert_allclose(given_team, team, atol=1e-12)
  np.testing.assert_allclose(given_shared, shared, atol=1e-12)
  # Sharing changes who gets it, not what the team gets.
  np.testing.assert_allclose(
    lare.team_rewards(given_shared, mask), team, atol=1e-12
  )


def test_the_target_is_the_return_of_the_team():
  # Two agents, two steps; the agents' own returns are 3 and 7.
  rewards = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)
  team = lare.team_rewards(rewards)
  assert lare.decomposition_loss(team, np.array([10.0])) == 0
  assert lare.decomposition_loss(team, np.array([3.0])) == 49


def test_redistributed_rewards_by_hand():
  rewards = np.array([[1.0, 2.0, np.nan], [4.0, 0.0, -1.0]], np.float32)
  mask = ~np.isnan(rewards)
  clean = np.nan_to_num(rewards)

  def call(**options):
    return np.asarray(lare.redistributed_rewards(rewards, mask, **options))

  np.testing.assert_array_equal(call(), clean)
  np.testing.assert_array_equal(
    call(scaling='length'), clean * np.array([[2], [3]])
  )
  np.testing.assert_array_equal(
    call(factor=np.array([2.0, 10.0])), clean * np.array([[2], [10]])
  )
  exact = call(scaling='exact', returns=np.array([5.0, -3.0]))
  np.testing.assert_allclose(exact, [[2, 3, 0], [2, -2, -3]])
  np.testing.assert_array_equal(
    call(scaling='deviation', deviation=2.0, factor=3.0), clean * 1.5
  )
  np.testing.assert_array_equal(
    call(scaling='deviation', deviation=np.array([2.0, 0.0])),
    clean / np.array([[2], [1]]),
  )
  gradient = jax.grad(lambda r: lare.redistributed_rewards(r).sum())(clean)
  assert not np.asarray(gradient).any()


def test_redistributed_rewards_of_agents():
  rng = np.random.default_rng(0)
  rewards = rng.normal(size=(2, 3, 5)).astype(np.float32)
  # The release's particles: 25 steps and N agents multiply every reward.
  np.testing.assert_allclose(
    lare.redistributed_rewards(rewards, scaling='length', agents=True),
    rewards * 15,
    rtol=1e-6,
  )
  mask = rng.random(rewards.shape) < 0.7
  exact = lare.redistributed_rewards(
    rewards,
    mask,
    scaling='exact',
    returns=np.array([5.0, -7.0]),
    agents=True,
  )
  np.testing.assert_allclose(exact.sum((1, 2)), [5, -7], rtol=1e-5)
  moved = np.asarray(exact - rewards)
  for b in range(2):
    np.testing.assert_allclose(
      moved[b][mask[b]], moved[b][mask[b]][0], rtol=1e-4
    )


@given(st.integers(0, 99), st.floats(-50, 50))
def test_exact_rewards_add_up(seed, target):
  rng = np.random.default_rng(seed)
  rewards = rng.normal(size=7).astype(np.float32)
  mask = rng.random(7) < 0.6
  mask[seed % 7] = True
  result = lare.redistributed_rewards(
    rewards, mask, scaling='exact', returns=np.float32(target)
  )
  assert float(result.sum()) == pytest.approx(target, abs=1e-4)
  kept = np.asarray(result)[mask]
  np.testing.assert_allclose(np.diff(kept), np.diff(rewards[mask]), atol=2e-5)


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (lambda: lare.decomposition_loss(np.zeros((2, 3)), np.zeros(3)), r'\(3,\)'),
    (
      lambda: lare.decomposition_loss(np.zeros(3), 0.0, form='both'),
      "'sum', 'mean'",
    ),
    (
      lambda: lare.subsampled_loss(np.zeros((2, 1)), np.zeros(2), np.ones(2)),
      'unbiased=False',
    ),
    (
      lambda: lare.subsampled_loss(np.zeros((2, 3)), np.zeros(2), np.ones(3)),
      'lengths has shape',
    ),
    (lambda: lare.sample_steps(jax.random.key(0), np.ones(3), 0), 'k must'),
    (
      lambda: lare.sample_steps(jax.random.key(0), np.ones((2, 0)), 1),
      'no step',
    ),
    (
      lambda: lare.sample_steps(jax.random.key(0), np.ones(3), 1, short='x'),
      'short',
    ),
    (
      lambda: lare.take_steps(np.zeros((2, 3)), np.zeros((3, 1), int)),
      'indices',
    ),
    (
      lambda: lare.redistributed_rewards(np.zeros(3), scaling='exact'),
      'needs returns',
    ),
    (
      lambda: lare.redistributed_rewards(np.zeros(3), scaling='deviation'),
      'needs deviation',
    ),
    (
      lambda: lare.redistributed_rewards(np.zeros((2, 3)), factor=np.ones(3)),
      'factor must',
    ),
    (lambda: lare.team_rewards(np.zeros(3)), r'\[..., N, S\]'),
  ],
)
def test_what_cannot_be(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_half_precision_is_summed_in_single():
  rewards = jnp.full((1, 4096), 0.1, jnp.bfloat16)
  target = jnp.asarray([rewards.astype(jnp.float32).sum()])
  loss = lare.decomposition_loss(rewards, target)
  assert loss.dtype == jnp.bfloat16
  assert float(loss) < 1e-6


def test_both_losses_have_one_form_unless_told_otherwise():
  """All steps drawn, without a correction: RRD's loss is RD's."""
  rewards, mask = np.array([[1.0, 2, 4]]), np.ones((1, 3), bool)
  whole = lare.decomposition_loss(rewards, [10.0], mask)
  sampled = lare.subsampled_loss(rewards, [10.0], [3], mask, unbiased=False)
  np.testing.assert_allclose(whole, 9.0, rtol=1e-6)
  np.testing.assert_allclose(sampled, whole, rtol=1e-6)
