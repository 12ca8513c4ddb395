"""TEMPO: hand-computed cases and properties."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import grpo, tempo


def test_by_hand():
  ids = jnp.array([[5, 6, 7], [5, 6, 8], [5, 9, 0], [4, 9, 0]])
  mask = jnp.array([[1, 1, 1], [1, 1, 1], [1, 1, 0], [1, 1, 0]], bool)
  scores = jnp.array([1.0, 0.0, 1.0, 0.0])
  result = tempo.advantages(ids, mask, scores, scale='none')
  half, third = 0.5, 2 / 3
  np.testing.assert_allclose(
    result.values,
    [
      [half, third, half, 1],
      [half, third, half, 0],
      [half, third, 1, 0],
      [half, 0, 0, 0],
    ],
    rtol=1e-6,
  )
  td = np.array(
    [[1 / 6, -1 / 6, half], [1 / 6, -1 / 6, -half], [1 / 6, third / 2, 0]]
  )
  np.testing.assert_allclose(result.td[:3], td.round(7), atol=1e-6)
  np.testing.assert_allclose(result.td[3], [-half, 0, 0])
  assert result.branch.tolist() == [
    [True, True, True],
    [True, True, True],
    [True, True, False],
    [True, False, False],
  ]
  np.testing.assert_allclose(
    result.total[0], np.array([half, half, half]) + td[0], atol=1e-6
  )
  np.testing.assert_allclose(result.total[3], [-1, -half, 0], atol=1e-6)
  # One deviation, that of the rewards, divides both terms: sqrt(1 / 3).
  scaled = tempo.advantages(ids, mask, scores, eps=0.0)
  np.testing.assert_allclose(scaled.td, result.td)
  np.testing.assert_allclose(
    scaled.total, result.total * np.sqrt(3), rtol=1e-5, atol=1e-6
  )


def batch(seed, shape=(3, 5, 12), vocabulary=2):
  """Rows of tokens alone, rewards of which some are equal."""
  rng = np.random.default_rng(seed)
  ids = rng.integers(0, vocabulary, shape)
  length = rng.integers(0, shape[-1] + 1, shape[:-1])
  mask = np.arange(shape[-1]) < length[..., None]
  scores = rng.integers(-2, 3, shape[:-1]).astype(np.float32) / 2
  return ids, mask, scores


def test_the_td_terms_of_a_response_telescope():
  ids, mask, scores = batch(0)
  result = tempo.advantages(ids, mask, scores)
  taken = mask.any(-1)
  leaf = np.take_along_axis(
    np.asarray(result.values), mask.sum(-1)[..., None], axis=-1
  )[..., 0]
  count = np.maximum(taken.sum(-1, keepdims=True), 1)
  mean = np.where(taken, scores, 0).sum(-1, keepdims=True) / count
  np.testing.assert_allclose(
    result.td.sum(-1), np.where(taken, leaf - mean, 0), atol=1e-6
  )
  assert taken.any() and not taken.all()


def test_the_td_terms_at_a_node_add_up_to_zero():
  # All rows have the same length, so that nobody ends on the way.
  ids, _, scores = batch(1, (6, 5, 4))
  result = tempo.advantages(ids, None, scores)
  for p in range(6):
    for t in range(4):
      nodes = {}
      for g in range(5):
        nodes.setdefault(tuple(ids[p, g, :t]), []).append(result.td[p, g, t])
      for terms in nodes.values():
        # Each child counts once for each of its members.
        assert sum(terms) == pytest.approx(0, abs=1e-6)
  assert np.asarray(result.td).any()


def test_first_tokens_that_differ_have_twice_the_credit_of_grpo():
  _, mask, scores = batch(2)
  mask[..., 0] = True
  ids = np.zeros(mask.shape, int)
  ids[..., 0] = np.arange(mask.shape[1])
  result = np.asarray(tempo.advantages(ids, mask, scores).total)
  expected = np.asarray(grpo.advantages(scores))[..., None]
  np.testing.assert_allclose(result[..., :1], 2 * expected, rtol=1e-5)
  rest = np.where(mask, expected, 0)[..., 1:]
  np.testing.assert_allclose(result[..., 1:], rest, rtol=1e-6)


def test_shifted_and_scaled_rewards():
  ids, mask, scores = batch(3)
  plain = tempo.advantages(ids, mask, scores, eps=0.0)
  shifted = tempo.advantages(ids, mask, 3 * scores + 4, eps=0.0)
  np.testing.assert_allclose(shifted.total, plain.total, atol=2e-5)
  np.testing.assert_allclose(shifted.td, 3 * plain.td, atol=2e-5)


def test_renamed_tokens_change_nothing():
  ids, mask, scores = batch(4, vocabulary=3)
  names = np.array([77, -5, 1 << 40])
  plain = tempo.advantages(ids, mask, scores)
  renamed = tempo.advantages(names[ids], mask, scores)
  jax.tree.map(np.testing.assert_array_equal, plain, renamed)


def test_permuted_responses_permute_the_credit():
  ids, mask, scores = batch(5)
  order = np.array([2, 0, 4, 3, 1])
  plain = tempo.advantages(ids, mask, scores)
  permuted = tempo.advantages(ids[:, order], mask[:, order], scores[:, order])
  np.testing.assert_allclose(permuted.total, plain.total[:, order], atol=1e-5)
  np.testing.assert_array_equal(permuted.branch, plain.branch[:, order])


def test_no_td_weight_is_grpo():
  ids, mask, scores = batch(6)
  result = tempo.advantages(ids, mask, scores, td_weight=0.0)
  expected = grpo.advantages(scores, mask.any(-1))[..., None]
  np.testing.assert_array_equal(result.total, np.where(mask, expected, 0))
  half = tempo.advantages(ids, mask, scores, td_weight=0.5)
  whole = tempo.advantages(ids, mask, scores)
  np.testing.assert_allclose(
    2 * half.total, result.total + whole.total, atol=1e-6
  )


def test_rows_of_one_node_have_the_same_value_to_the_bit():
  ids, _, _ = batch(7, (4, 40, 6))
  scores = np.random.default_rng(7).normal(size=(4, 40)).astype(np.float32)
  values = np.asarray(tempo.advantages(ids, None, scores).values)
  for p in range(4):
    for t in range(7):
      nodes = {}
      for g in range(40):
        nodes.setdefault(tuple(ids[p, g, :t]), set()).add(values[p, g, t])
      assert all(len(found) == 1 for found in nodes.values())


@pytest.mark.parametrize('scale', ['std', 'none'])
@pytest.mark.parametrize('reward', [0.7, 0.1, 1.0, 0.0, 1e6, np.float32(9.025)])
def test_equal_rewards_give_exactly_zero(scale, reward):
  # The released code gives up to 0.11 for 7 times 0.7.
  ids, mask, _ = batch(8, (1, 7, 12))
  scores = np.full((1, 7), reward, np.float32)
  result = tempo.advantages(ids, mask, scores, scale=scale)
  assert not np.asarray(result.total).any()
  assert not np.asarray(result.td).any()
  scores[0, 2] = np.nextafter(np.float32(reward), np.float32(1e9))
  if reward:
    result = tempo.advantages(ids, mask, scores, scale=scale)
    assert not np.asarray(result.total).any()


def test_a_response_without_companions():
  ids, mask = np.array([[3, 4, 5]]), np.ones((1, 3), bool)
  result = tempo.advantages(ids, mask, jnp.array([2.0]))
  assert result.total.tolist() == [[0, 0, 0]]
  assert result.values.tolist() == [[2, 2, 2, 2]]


def test_absent_responses_are_left_out():
  ids, mask, scores = batch(9)
  mask[:, 1] = False
  scores[:, 1] = np.nan
  # Not there either: nothing of it is the policy's.
  environment = np.zeros_like(mask)
  environment[:, 1] = True
  result = tempo.advantages(ids, mask, scores, environment=environment)
  without = tempo.advantages(
    *(np.delete(x, 1, axis=1) for x in (ids, mask, scores))
  )
  np.testing.assert_allclose(
    np.delete(np.asarray(result.total), 1, 1), without.total, atol=1e-6
  )
  for part in jax.tree.leaves(result):
    assert not np.asarray(part)[:, 1].any()


@pytest.mark.parametrize('bad', [np.nan, np.inf])
@pytest.mark.parametrize('scale', ['std', 'none'])
def test_a_bad_reward_stays_visible(bad, scale):
  ids, mask, scores = batch(10)
  mask[:, :, 0] = True
  scores[1, 3] = bad
  total = np.asarray(tempo.advantages(ids, mask, scores, scale=scale).total)
  assert not np.isfinite(total[1][mask[1]]).any()
  assert np.isfinite(total[[0, 2]]).all() and np.isfinite(total[~mask]).all()
  alone = tempo.advantages([[1]], None, np.array([bad]), scale=scale)
  assert np.isnan(np.asarray(alone.total)).all()


def test_ended_responses():
  # The second response is the whole of the first, and goes on.
  ids = jnp.array([[1, 0], [1, 2], [3, 0]])
  mask = jnp.array([[1, 0], [1, 1], [1, 0]], bool)
  scores = jnp.array([1.0, 0.0, 0.0])
  leaves = tempo.advantages(ids, mask, scores, scale='none')
  np.testing.assert_allclose(leaves.values[1], [1 / 3, 1 / 2, 0], rtol=1e-6)
  assert leaves.branch[1].tolist() == [True, True]
  stays = tempo.advantages(ids, mask, scores, scale='none', ended='stays')
  np.testing.assert_allclose(stays.values[1], [1 / 3, 1 / 2, 1 / 2], rtol=1e-6)
  assert stays.branch[1].tolist() == [True, False]
  assert stays.td[1, 1] == 0


def test_credit_resumes_after_the_environment():
  # Two responses call a tool, are answered alike, and part after that.
  ids = jnp.array([[1, 8, 8, 2], [1, 8, 8, 3], [4, 9, 9, 2]])
  mask = jnp.array([[1, 0, 0, 1]] * 3, bool)
  scores = jnp.array([1.0, 0.0, 0.0])
  call = functools.partial(
    tempo.advantages, ids, mask, scores, environment=~mask, scale='none'
  )
  result = call()
  np.testing.assert_allclose(result.td[0], [1 / 6, 0, 0, 1 / 2], rtol=1e-6)
  np.testing.assert_allclose(result.total[0], [5 / 6, 0, 0, 7 / 6], rtol=1e-6)
  released = call(after_environment='stop')
  np.testing.assert_allclose(released.td[0], [1 / 6, 0, 0, 0], rtol=1e-6)
  np.testing.assert_allclose(released.total[0], [5 / 6, 0, 0, 2 / 3], rtol=1e-6)
  np.testing.assert_allclose(released.values[0, 1:], [1 / 2] * 4)
  # A mask that holds the environment's tokens, too, says the same.
  both = tempo.advantages(ids, None, scores, environment=~mask, scale='none')
  jax.tree.map(np.testing.assert_array_equal, both, result)


def test_what_the_environment_wrote_is_part_of_the_prefix():
  # The same call, answered differently: nobody's credit, but another node.
  ids = jnp.array([[1, 7, 2], [1, 8, 2]])
  mask = jnp.array([[1, 0, 1]] * 2, bool)
  scores = jnp.array([1.0, 0.0])
  result = tempo.advantages(ids, mask, scores, environment=~mask, scale='none')
  assert not np.asarray(result.td).any() and not result.branch.any()
  np.testing.assert_allclose(result.values[0], [0.5, 0.5, 1, 1])
  # A gap is not looked at: both take the same second step.
  gap = tempo.advantages(ids, mask, scores, scale='none')
  np.testing.assert_allclose(gap.values[0], [0.5, 0.5, 0.5, 0.5])


def test_steps_by_hand():
  # Steps (1 2) and (3), against (1 2) and (4 4); against (1 5) and (3).
  ids = jnp.array([[1, 2, 3, 0], [1, 2, 4, 4], [1, 5, 3, 0]])
  mask = jnp.array([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 0]], bool)
  steps = jnp.array([[0, 0, 1, -1], [0, 0, 1, 1], [0, 0, 1, -1]])
  scores = jnp.array([1.0, 0.0, 0.0])
  result = tempo.advantages(
    ids, mask, scores, step_of_token=steps, scale='none'
  )
  sixth, third, half = 1 / 6, 1 / 3, 1 / 2
  np.testing.assert_allclose(
    result.td,
    [
      [sixth, sixth, half, 0],
      [sixth, sixth, -half, -half],
      [-third, -third, 0, 0],
    ],
    atol=1e-6,
  )
  np.testing.assert_allclose(result.values[1], [third, half, half, 0, 0])
  assert result.branch[2].tolist() == [True, True, False, False]


def test_observations_between_steps():
  # One step, then an observation (-1) that differs, then one step more.
  ids = jnp.array([[1, 7, 2], [1, 8, 2], [1, 7, 3]])
  steps = jnp.array([[0, -1, 1]] * 3)
  scores = jnp.array([1.0, 0.0, 0.0])
  result = tempo.advantages(
    ids, None, scores, step_of_token=steps, scale='none'
  )
  np.testing.assert_allclose(
    result.values[0], [1 / 3, 1 / 3, 1 / 2, 1], rtol=1e-6
  )
  assert result.td.tolist() == [[0, 0, 0.5], [0, 0, 0], [0, 0, -0.5]]
  assert not np.asarray(result.total)[:, 1].any()
  # A step may hold what it was answered: the answer's luck is then its own.
  held = tempo.advantages(
    ids,
    None,
    scores,
    step_of_token=jnp.array([[0, 0, 1]] * 3),
    environment=steps < 0,
    scale='none',
  )
  np.testing.assert_allclose(
    held.td, [[1 / 6, 0, 1 / 2], [-1 / 3, 0, 0], [1 / 6, 0, -1 / 2]], rtol=1e-6
  )


def test_a_step_that_another_continues_is_not_shared():
  ids = jnp.array([[1, 2, 0], [1, 2, 3]])
  mask = jnp.array([[1, 1, 0], [1, 1, 1]], bool)
  scores = jnp.array([1.0, 0.0])
  whole = tempo.advantages(
    ids, mask, scores, step_of_token=jnp.array([[0, 0, -1], [0, 0, 0]])
  )
  assert whole.values[:, 1].tolist() == [1, 0]
  cut = tempo.advantages(
    ids, mask, scores, step_of_token=jnp.array([[0, 0, -1], [0, 0, 1]])
  )
  assert cut.values[:, 1].tolist() == [0.5, 0.5]


def test_fingerprints_of_steps_in_place_of_tokens():
  names = np.random.default_rng(0).integers(0, 1 << 32, (9, 2), np.uint32)
  ids, mask, scores = batch(11, vocabulary=9)
  plain = tempo.advantages(ids, mask, scores)
  named = tempo.advantages(names[ids], mask, scores)
  jax.tree.map(np.testing.assert_array_equal, plain, named)


def test_64_bit_names_are_taken_whole():
  ids = np.array([[1 << 40 | 5, 1], [2 << 40 | 5, 1]])
  result = tempo.advantages(ids, None, np.array([1.0, 0.0]))
  assert result.branch.tolist() == [[True, False], [True, False]]


def test_no_tokens_at_all():
  result = tempo.advantages(
    np.zeros((2, 3, 0), int), None, np.ones((2, 3), np.float32)
  )
  assert result.total.shape == (2, 3, 0)
  assert result.values.tolist() == np.zeros((2, 3, 1)).tolist()


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
def test_half_precision_is_widened_inside(dtype):
  ids, mask, scores = batch(13)
  half = tempo.advantages(ids, mask, jnp.asarray(10 + scores, dtype))
  single = tempo.advantages(ids, mask, 10 + scores)
  assert half.total.dtype == half.values.dtype == dtype
  np.testing.assert_allclose(
    np.asarray(half.total, np.float32), single.total, rtol=1e-2
  )


def test_gradient_of_the_rewards():
  ids, mask, scores = batch(14, (1, 5, 6))
  scores = scores.astype(np.float64) + np.linspace(0, 1, 5)
  weights = np.random.default_rng(14).normal(size=mask.shape)
  with jax.enable_x64(True):

    def objective(scores):
      return (weights * tempo.advantages(ids, mask, scores).total).sum()

    gradient = jax.grad(objective)(scores)
    for g in range(5):
      step = np.zeros((1, 5))
      step[0, g] = 1e-6
      slope = (objective(scores + step) - objective(scores - step)) / 2e-6
      np.testing.assert_allclose(gradient[0, g], slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'tokens': np.zeros((3, 5, 12))}, 'tokens must be integers'),
    ({'tokens': np.zeros((3, 5, 11), int)}, r'mask has shape \(3, 5, 12\)'),
    ({'mask': np.ones((3, 5))}, r'mask has shape \(3, 5\)'),
    ({'returns': np.zeros((3, 4))}, r'tokens have shape \(3, 5, 12\) and ret'),
    ({'returns': np.zeros((3, 5, 12))}, 'they must be'),
    ({'returns': np.float32(1)}, 'returns must have at least 1 axis'),
    ({'environment': np.ones((3, 5))}, r'environment has shape \(3, 5\)'),
    ({'step_of_token': np.ones((3, 5), int)}, r'step_of_token has shape'),
    ({'step_of_token': np.ones((3, 5, 12))}, 'step_of_token must be integers'),
    ({'scale': 'var'}, "scale must be one of 'std', 'none', not 'var'"),
    ({'ended': 'goes'}, "ended must be one of 'leaves', 'stays'"),
    ({'after_environment': 'x'}, 'after_environment must be one of'),
    ({'ddof': 2}, 'ddof must be one of 0, 1'),
    ({'eps': -1.0}, 'eps must be a finite number'),
    ({'td_weight': np.nan}, 'td_weight must be a finite number'),
  ],
)
def test_wrong_arguments(change, message):
  ids, mask, scores = batch(15)
  arguments = {'tokens': ids, 'mask': mask, 'returns': scores, **change}
  with pytest.raises(ValueError, match=message):
    tempo.advantages(**arguments)


def test_words_need_a_mask():
  # [P, G, L] and rewards [P], say: the last axis would be taken for words.
  with pytest.raises(ValueError, match='with a mask'):
    tempo.advantages(np.zeros((3, 5, 12), int), None, np.zeros(3))


def test_the_weight_may_be_traced():
  ids, mask, scores = batch(16)
  traced = jax.jit(
    lambda weight: tempo.advantages(ids, mask, scores, td_weight=weight).total
  )
  np.testing.assert_allclose(
    traced(0.5),
    tempo.advantages(ids, mask, scores, td_weight=0.5).total,
    atol=1e-6,
  )
