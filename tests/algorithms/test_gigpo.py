"""GiGPO: hand-computed cases, properties, and the slow reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.benchmarks.references import (
  plain_python_credit as slow_reference,
)
from jaxcredit import gigpo, grpo

G, S = 4, 5

steps = st.tuples(
  st.sampled_from([0.0, 0.0, 1.0, -0.5]),  # reward
  st.integers(0, 3),  # anchor
  st.sampled_from([0.0, 0.0, 0.1]),  # penalty
)
groups = st.lists(st.lists(steps, max_size=S), min_size=1, max_size=G)


def pack(group, dtype=np.float32):
  """Rollouts of (reward, anchor, penalty) as arrays [G, S]."""
  rewards = np.full((G, S), np.nan, dtype)
  penalties = np.full((G, S), np.nan, dtype)
  anchors = np.full((G, S), 99, np.uint32)
  mask = np.zeros((G, S), bool)
  for g, rollout in enumerate(group):
    for s, (reward, anchor, penalty) in enumerate(rollout):
      rewards[g, s], anchors[g, s], penalties[g, s] = reward, anchor, penalty
      mask[g, s] = True
  return rewards, mask, anchors, penalties


def test_by_hand():
  # Two rollouts of two steps; the first state is shared, the second not.
  rewards = jnp.array([[0.0, 1.0], [0.0, 0.0]])
  anchors = jnp.array([[7, 8], [7, 9]])
  result = gigpo.advantages(rewards, None, anchors, discount=0.5, scale='none')
  np.testing.assert_array_equal(result.anchor_group, [[0, 1], [0, 3]])
  # Returns 1 and 0: episode part +-0.5. Step returns of the shared state 0.5
  # and 0: step part +-0.25.
  np.testing.assert_allclose(result.episode, [[0.5, 0.5], [-0.5, -0.5]])
  np.testing.assert_allclose(result.step, [[0.25, 0], [-0.25, 0]])
  np.testing.assert_allclose(result.total, [[0.75, 0.5], [-0.75, -0.5]])


def test_std_by_hand():
  rewards = jnp.array([[0.0, 1.0], [0.0, 0.0]])
  anchors = jnp.array([[7, 8], [7, 9]])
  result = gigpo.advantages(rewards, None, anchors, eps=0.0)
  # Two members: (difference / 2) / (difference / sqrt(2)).
  root = np.sqrt(0.5)
  np.testing.assert_allclose(
    result.total, [[2 * root, root], [-2 * root, -root]], rtol=1e-6
  )


def test_statistics_over_steps_weigh_long_rollouts():
  # The measured case of the released code: 4 successes of 10 steps with
  # reward 10, 4 failures of 50 steps.
  rewards = np.zeros((8, 50), np.float32)
  rewards[:4, 9] = 10
  mask = np.arange(50) < np.array([10] * 4 + [50] * 4)[:, None]
  anchors = np.arange(400).reshape(8, 50)

  def episode(**options):
    parts = gigpo.advantages(rewards, mask, anchors, **options).episode
    return float(parts[0, 0]), float(parts[7, 0])

  released = {'episode_statistics': 'steps'}
  assert episode(scale='none', **released) == pytest.approx(
    (8.333, -1.667), abs=1e-3
  )
  assert episode(scale='none') == pytest.approx((5, -5))
  assert episode(**released) == pytest.approx((2.23, -0.45), abs=5e-3)
  assert episode() == pytest.approx((0.935, -0.935), abs=1e-3)


@pytest.mark.parametrize('scale', grpo.SCALES)
@pytest.mark.parametrize('statistics', gigpo.EPISODE_STATISTICS)
@given(group=groups, discount=st.sampled_from([1.0, 0.95, 0.5, 0.0]))
def test_slow_reference(scale, statistics, group, discount):
  rewards, mask, anchors, penalties = pack(group)
  result = gigpo.advantages(
    rewards,
    mask,
    anchors,
    penalties=penalties,
    discount=discount,
    step_weight=0.7,
    episode_weight=1.3,
    scale=scale,
    episode_statistics=statistics,
  )
  expected = slow_reference.gigpo(
    group,
    discount=discount,
    step_weight=0.7,
    episode_weight=1.3,
    scale=scale,
    episode_statistics=statistics,
  )
  for g, rollout in enumerate(expected):
    for s, (total, episode, step) in enumerate(rollout):
      np.testing.assert_allclose(result.episode[g, s], episode, atol=1e-4)
      np.testing.assert_allclose(result.step[g, s], step, atol=1e-4)
      np.testing.assert_allclose(result.total[g, s], total, atol=2e-4)
  assert not np.asarray(result.total)[~mask].any()


@given(groups)
def test_anchor_groups_slow_reference(group):
  _, mask, anchors, _ = pack(group)
  result = np.asarray(gigpo.anchor_groups(anchors, mask))
  first = {}
  for g in range(G):
    for s in range(S):
      if not mask[g, s]:
        assert result[g, s] == -1
      else:
        name = first.setdefault(anchors[g, s], g * S + s)
        assert result[g, s] == name


def test_many_states_and_collisions():
  rng = np.random.default_rng(0)
  for states in (1, 3, 50, 400, 100_000):
    anchors = rng.integers(0, states, (3, 8, 50)).astype(np.int64)
    # Spread over 64 bits, with many equal words in either half.
    anchors = (anchors % 20) << 40 | anchors
    result = np.asarray(gigpo.anchor_groups(anchors))
    for p in range(3):
      flat = anchors[p].reshape(-1)
      _, index, inverse = np.unique(
        flat, return_index=True, return_inverse=True
      )
      np.testing.assert_array_equal(result[p].reshape(-1), index[inverse])


def test_host_integers_keep_all_64_bits():
  # With 64-bit types off, JAX would cut these to the same 32 bits.
  anchors = np.array([[1 << 40 | 5, 2 << 40 | 5, 1 << 40 | 5]])
  assert gigpo.anchor_groups(anchors).tolist() == [[0, 1, 0]]
  assert gigpo.anchor_groups(anchors.astype(np.uint64)).tolist() == [[0, 1, 0]]
  with jax.enable_x64(True):
    on_device = jnp.asarray(anchors)
    assert on_device.dtype == jnp.int64
    assert gigpo.anchor_groups(on_device).tolist() == [[0, 1, 0]]
    inside = jax.jit(gigpo.anchor_groups)(on_device)
    assert inside.tolist() == [[0, 1, 0]]


def test_negative_anchors():
  anchors = np.array([[-1, 5, -1]])
  assert gigpo.anchor_groups(anchors).tolist() == [[0, 1, 0]]
  narrow = anchors.astype(np.int32)
  assert gigpo.anchor_groups(narrow).tolist() == [[0, 1, 0]]


def batch(seed, shape=(3, G, S), states=4):
  rng = np.random.default_rng(seed)
  rewards = rng.integers(-2, 3, shape).astype(np.float32) / 2
  length = rng.integers(0, S + 1, shape[:-1])
  mask = np.arange(S) < length[..., None]
  return rewards, mask, rng.integers(0, states, shape)


def test_relabelled_anchors_change_nothing():
  rewards, mask, anchors = batch(0)
  names = np.random.default_rng(1).permutation(1000)[:4] - 500
  plain = gigpo.advantages(rewards, mask, anchors)
  renamed = gigpo.advantages(rewards, mask, names[anchors])
  jax.tree.map(np.testing.assert_array_equal, plain, renamed)


def test_permuted_rollouts_permute_the_credit():
  rewards, mask, anchors = batch(2)
  order = np.array([2, 0, 3, 1])
  plain = gigpo.advantages(rewards, mask, anchors)
  permuted = gigpo.advantages(
    rewards[:, order], mask[:, order], anchors[:, order]
  )
  np.testing.assert_allclose(permuted.total, plain.total[:, order], atol=1e-5)


@pytest.mark.parametrize('scale', grpo.SCALES)
def test_no_step_weight_is_grpo(scale):
  rewards, mask, anchors = batch(3)
  result = gigpo.advantages(
    rewards, mask, anchors, step_weight=0.0, scale=scale
  )
  scores = np.where(mask, rewards, 0).sum(-1)
  expected = grpo.advantages(scores, mask.any(-1), scale=scale)
  np.testing.assert_allclose(
    result.total, np.where(mask, expected[..., None], 0), atol=1e-6
  )


def test_no_repeated_state_is_grpo():
  rewards, mask, _ = batch(4)
  anchors = np.arange(mask.size).reshape(mask.shape)
  result = gigpo.advantages(rewards, mask, anchors)
  assert not np.asarray(result.step).any()
  np.testing.assert_array_equal(result.total, result.episode)


def test_equal_rollouts_give_exactly_zero():
  for length in range(1, S + 1):
    rewards = np.zeros((G, S), np.float32)
    rewards[:, length - 1] = 10.0
    mask = np.broadcast_to(np.arange(S) < length, (G, S))
    anchors = np.broadcast_to(np.arange(S), (G, S))
    for statistics in gigpo.EPISODE_STATISTICS:
      result = gigpo.advantages(
        rewards, mask, anchors, episode_statistics=statistics
      )
      assert not np.asarray(result.total).any()


def test_one_state_throughout():
  rewards, mask, _ = batch(5)
  result = gigpo.advantages(rewards, mask, np.zeros(mask.shape, int))
  names = np.asarray(result.anchor_group)
  for p in range(3):
    assert len(set(names[p][mask[p]])) <= 1


def test_words_are_compared_together():
  anchors = np.array([[[1, 2], [1, 3], [4, 2], [1, 2]]], np.uint32)
  mask = np.ones((1, 4), bool)
  assert gigpo.anchor_groups(anchors, mask).tolist() == [[0, 1, 2, 0]]


def test_lone_rollout():
  rewards, anchors = jnp.array([[0.0, 3.0]]), jnp.array([[1, 2]])
  assert not np.asarray(gigpo.advantages(rewards, None, anchors).total).any()
  released = gigpo.advantages(rewards, None, anchors, singleton='score')
  np.testing.assert_allclose(released.episode, [[3.0, 3.0]])


def test_empty_rollouts_take_no_part():
  rewards, mask, anchors = batch(6, (1, G, S))
  mask[0, 2] = False
  without = gigpo.advantages(
    np.delete(rewards, 2, 1), np.delete(mask, 2, 1), np.delete(anchors, 2, 1)
  )
  with_it = gigpo.advantages(rewards, mask, anchors)
  np.testing.assert_allclose(
    np.delete(np.asarray(with_it.total), 2, 1), without.total, atol=1e-6
  )


def test_no_steps_at_all():
  empty = np.zeros((2, G, 0), np.float32)
  result = gigpo.advantages(empty, None, empty.astype(int))
  assert result.total.shape == (2, G, 0)


def test_penalties_stay_with_their_step():
  rewards, mask, anchors = batch(7)
  penalties = np.zeros(mask.shape, np.float32)
  penalties[0, 0, 0] = 0.5
  mask[0, 0, 0] = True
  anchors = np.arange(mask.size).reshape(mask.shape)
  plain = gigpo.advantages(rewards, mask, anchors, scale='none')
  charged = gigpo.advantages(
    rewards, mask, anchors, scale='none', penalties=penalties
  )
  difference = np.array(charged.total - plain.total)
  np.testing.assert_allclose(difference[0, 0, 0], -0.5, atol=1e-6)
  difference[0, 0, 0] = 0
  assert not difference.any()


def test_penalties_where_all_returns_are_equal():
  rewards = jnp.zeros((2, 2))
  penalties = jnp.array([[0.5, 0.0], [0.0, 0.0]])
  anchors = np.arange(4).reshape(2, 2)
  plain = gigpo.advantages(
    rewards, None, anchors, penalties=penalties, scale='none'
  )
  assert plain.episode.tolist() == [[-0.5, 0], [0, 0]]
  scaled = gigpo.advantages(rewards, None, anchors, penalties=penalties)
  assert not np.asarray(scaled.episode).any()


def test_a_bad_reward_stays_visible_in_a_group_of_one():
  result = gigpo.advantages(jnp.array([[np.nan]]), None, np.array([[1]]))
  assert np.isnan(np.asarray(result.total)).all()


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'anchors': np.zeros((3, G, S), np.float32)}, 'anchors must be integers'),
    ({'anchors': np.zeros((3, G), int)}, r'anchors must have shape'),
    ({'anchors': np.zeros((3, G, S + 1), int)}, r'anchors must have shape'),
    ({'mask': np.ones((3, G))}, r'mask has shape \(3, 4\)'),
    ({'penalties': np.ones((3, G))}, r'penalties has shape \(3, 4\)'),
    ({'discount': 1.5}, 'discount must be a finite number between 0 and 1'),
    ({'step_weight': np.nan}, 'step_weight must be a finite number'),
    ({'episode_statistics': 'rows'}, "not 'rows'"),
    ({'rewards': np.zeros(3)}, 'rewards must have at least 2 axes'),
  ],
)
def test_wrong_arguments(change, message):
  rewards, mask, anchors = batch(8)
  arguments = {'rewards': rewards, 'mask': mask, 'anchors': anchors, **change}
  with pytest.raises(ValueError, match=message):
    gigpo.advantages(**arguments)


def test_weights_may_be_traced():
  rewards, mask, anchors = batch(9)

  @jax.jit
  def total(weight, discount):
    return gigpo.advantages(
      rewards, mask, anchors, step_weight=weight, discount=discount
    ).total

  np.testing.assert_allclose(
    total(0.5, 0.9),
    gigpo.advantages(
      rewards, mask, anchors, step_weight=0.5, discount=0.9
    ).total,
    atol=1e-6,
  )
