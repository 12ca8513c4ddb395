"""K numbers a token: what they see, in rows, in packed rows and on a mesh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import types
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, heads, sharding
from jaxcredit.networks.heads import scalar_head, value_head
from jaxcredit.training import packed_rows
from tests.networks import tiny_decoder

CONFIG = config_lib.DecoderConfig(**tiny_decoder.SIZES, tie_embeddings=False)
READ = (scalar_head.before_tokens, scalar_head.after_tokens)


def build(outputs=2):
  """A head that says something."""
  policy = decoder.init(jax.random.key(0), CONFIG)
  params = scalar_head.init(policy, outputs)
  kernel = jax.random.normal(jax.random.key(1), (CONFIG.width, outputs))
  bias = jnp.arange(1.0, outputs + 1)
  return {**params, 'scalars': {'kernel': kernel, 'bias': bias}}


def make_rows():
  length = np.array([9, 5, 7, 1], np.int32)
  there = np.arange(9) < length[:, None]
  tokens = np.random.default_rng(0).integers(0, CONFIG.vocab_size, there.shape)
  return types.Rows(
    tokens=np.where(there, tokens, 0).astype(np.int32),
    step_of_token=np.where(there, 0, -1).astype(np.int32),
    trajectory=np.arange(4, dtype=np.int32),
    length=length,
    log_probs=np.zeros(there.shape, np.float32),
  )


def test_it_begins_with_the_trunk_and_says_nothing():
  policy = decoder.init(jax.random.key(0), CONFIG)
  params = scalar_head.init(policy, 3)
  assert params['trunk'].keys() == policy.keys() - {'head'}
  for read in READ:
    said = read(params, CONFIG, make_rows().tokens)
    assert said.shape == (4, 9, 3) and not np.asarray(said).any()
  with pytest.raises(ValueError, match='outputs must be positive, not 0'):
    scalar_head.init(policy, 0)


def test_states_are_read_before_and_actions_after_their_tokens():
  params, tokens = build(), make_rows().tokens
  before, after = (read(params, CONFIG, tokens) for read in READ)
  hidden = decoder.hidden_states(params['trunk'], CONFIG, tokens)
  for k in range(2):
    expected = hidden @ params['scalars']['kernel'][:, k] + k + 1
    np.testing.assert_allclose(after[..., k], expected, atol=1e-5)
  np.testing.assert_array_equal(before[:, 1:], after[:, :-1])
  assert not np.asarray(before[:, 0]).any()
  # A token changes what is said after it, and not what is said before it.
  other = tokens.copy()
  other[0, 5] = (other[0, 5] + 1) % CONFIG.vocab_size
  changed, seen = (read(params, CONFIG, other) for read in READ)
  np.testing.assert_allclose(changed[0, :6], before[0, :6], atol=1e-6)
  assert np.abs(seen[0, 5] - after[0, 5]).min() > 1e-4


def test_a_critic_has_one_output():
  params, rows = build(1), make_rows()
  values = value_head.values(params, CONFIG, rows.tokens)
  said = scalar_head.before_tokens(params, CONFIG, rows.tokens)
  np.testing.assert_array_equal(values, said[..., 0])
  made = value_head.init(decoder.init(jax.random.key(0), CONFIG))
  assert made['scalars']['kernel'].shape == (CONFIG.width, 1)


@pytest.mark.parametrize('read', READ, ids=['before', 'after'])
def test_packed_rows_say_the_same(read):
  params, rows = build(), make_rows()
  placed = [[0, 1], [2, 3]]
  packed = packed_rows.pack(rows, placed, row_length=14, sequences=2, count=3)
  alone = packed_rows.apply(read, params, CONFIG, rows)
  together = packed_rows.apply(read, params, CONFIG, packed)
  assert together.shape == (6, 14, 2)
  for row, chosen in enumerate(placed):
    for slot, index in enumerate(chosen):
      size = rows.length[index]
      np.testing.assert_allclose(
        together[2 * row + slot, :size], alone[index, :size], atol=1e-5
      )
      # Nothing of a neighbour in the same row.
      assert not np.asarray(together[2 * row + slot, size:]).any()
  assert not np.asarray(together[4:]).any()


def test_a_mesh_says_the_same():
  params, rows = build(), make_rows()
  mesh = sharding.make_mesh(2, 2, 2)

  def say(params, rows):
    return packed_rows.apply(scalar_head.before_tokens, params, CONFIG, rows)

  with sharding.on(mesh):
    placed = sharding.place(params, mesh, heads.RULES)
    apart = jax.jit(say)(placed, rows)
  np.testing.assert_allclose(apart, say(params, rows), atol=1e-5)
