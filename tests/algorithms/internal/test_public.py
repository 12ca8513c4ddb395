"""What stands in front of public functions."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import gigpo, grpo, losses, returns, running_statistics, tempo
from jaxcredit.algorithms.internal import arguments, integer_words


def test_signature_and_help_are_the_functions_own():
  names = list(inspect.signature(gigpo.advantages).parameters)
  assert names[:4] == ['rewards', 'mask', 'anchors', 'discount']
  assert 'Compiled once' in inspect.getdoc(tempo.advantages)
  assert tempo.advantages.__name__ == 'advantages'


def test_arrays_may_be_keywords():
  by_name = gigpo.advantages(
    anchors=[[1, 2], [1, 3]], mask=None, rewards=[[0, 1], [0, 0]]
  )
  in_order = gigpo.advantages(
    jnp.array([[0.0, 1], [0, 0]]), None, jnp.array([[1, 2], [1, 3]])
  )
  jax.tree.map(np.testing.assert_array_equal, by_name, in_order)


def test_lists_of_traced_numbers():
  given = jax.jit(lambda x: grpo.advantages([x, 0.0, 2 * x]))(1.0)
  np.testing.assert_allclose(given, grpo.advantages([1.0, 0, 2]))


def test_integers_that_jax_would_cut():
  scores = np.array([2**40, 0, 2**40, 0])
  np.testing.assert_allclose(
    grpo.advantages(scores), grpo.advantages([1.0, 0, 1, 0]), rtol=1e-5
  )
  anchors = np.array([[2**40, 0, 2**40 + 2**20]])
  np.testing.assert_array_equal(gigpo.anchor_groups(anchors), [[0, 1, 2]])
  np.testing.assert_array_equal(
    gigpo.anchor_groups(anchors.tolist()), [[0, 1, 2]]
  )


def test_options_may_be_numpys_and_jaxs():
  expected = grpo.advantages([1.0, 0, 0], eps=0.5, ddof=0)
  for eps, ddof in (
    (np.float32(0.5), np.int64(0)),
    (jnp.array(0.5), np.array(0)),
  ):
    np.testing.assert_array_equal(
      grpo.advantages([1.0, 0, 0], eps=eps, ddof=ddof), expected
    )
  with pytest.raises(ValueError, match='eps must be one value'):
    grpo.advantages([1.0, 0, 0], eps=np.zeros(2))
  with pytest.raises(ValueError, match='scale must be one value, not'):
    grpo.advantages([1.0, 0, 0], scale=['std'])
  with pytest.raises(ValueError, match='eps must be a finite number from 0 on'):
    grpo.advantages([1.0, 0, 0], eps=np.nan)


def test_a_traced_discount_passes():
  given = jax.vmap(
    lambda discount: returns.discounted_returns([0.0, 1], discount=discount)
  )(jnp.array([0.5, 2.0]))
  np.testing.assert_allclose(given[:, 0], [0.5, 2.0])


def test_a_traced_mask_with_nan_counts_nothing():
  mask = jnp.array([1.0, np.nan, 1])
  given = jax.jit(losses.aggregate)(jnp.array([1.0, 5, 3]), mask)
  assert given == 2


def test_integers_are_no_reason_for_zeros():
  values = np.array([[1, 2], [3, 2]])
  for given in (values, values.astype(np.uint8), values.tolist()):
    state = running_statistics.update(running_statistics.init((2,)), given)
    np.testing.assert_allclose(state.mean, [2, 2])
    normal = running_statistics.apply(state, given)
    np.testing.assert_allclose(normal, [[-1, 0], [1, 0]], atol=1e-4)
  with pytest.raises(ValueError, match='dtype must be floating, not uint8'):
    running_statistics.init((2,), np.uint8)


def test_counts_in_half_precision_do_not_end():
  state = running_statistics.init((), jnp.bfloat16)
  for _ in range(3):
    state = running_statistics.update(state, jnp.ones(200, jnp.bfloat16))
  assert state.count == 600


def test_squares_that_overflow_are_seen():
  state = running_statistics.update(
    running_statistics.init(()), np.array([1e38, -1e38], np.float32)
  )
  assert not np.isfinite(running_statistics.apply(state, [1.0])).any()


@pytest.mark.parametrize(
  ('value', 'message'),
  [
    ('1', 'text'),
    ([None], 'object values'),
    ([[1], [1, 2]], 'different lengths'),
    (np.array(['2020-01-01'], 'datetime64[D]'), 'datetime64'),
    ({'a': 1}, 'object values'),
    ([jnp.ones(2), 'a'], 'different things'),
  ],
)
def test_what_are_no_numbers(value, message):
  with pytest.raises(ValueError, match=f'x must be an array.*{message}'):
    arguments.numbers('x', value)


def test_names_keep_their_bits():
  names = np.array([[1 << 40, 1], [-1, 1 << 32]])
  words = integer_words.split('x', integer_words.whole('x', names), (2, 2))
  assert words.shape == (2, 2, 2)
  whole = np.asarray(words[..., 0]) + (
    np.asarray(words[..., 1], np.int64) << 32
  )
  np.testing.assert_array_equal(whole.astype(np.int64), names)
