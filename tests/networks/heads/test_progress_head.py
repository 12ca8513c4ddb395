"""The head on each step's end: what it sees, in rows and in packed rows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import types
from jaxcredit.algorithms import step_tokens
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, heads, sharding
from jaxcredit.networks.heads import progress_head
from jaxcredit.training import packed_rows
from tests.networks import tiny_decoder

STEPS = 4
CONFIG = config_lib.DecoderConfig(**tiny_decoder.SIZES, tie_embeddings=False)


def build(head='mlp', seed=0):
  """An estimator that says something."""
  policy = decoder.init(jax.random.key(seed), CONFIG)
  made = progress_head.init_head(
    jax.random.key(seed + 1), CONFIG, head=head, hidden=10
  )
  keys = iter(jax.random.split(jax.random.key(seed + 2), 8))
  made = jax.tree.map(lambda x: jax.random.normal(next(keys), x.shape), made)
  return {'trunk': progress_head.trunk_of(policy, made), 'progress': made}


def say(params, rows):
  given = packed_rows.apply(
    progress_head.contributions, params, CONFIG, rows, steps=STEPS
  )
  return given, packed_rows.step_ends(rows, STEPS) >= 0


def make_rows():
  """Three rows; the second has no step of number 1, the third none at all."""
  steps = np.array(
    [
      [-1, 0, 0, -1, 1, 1, -1, 2, 2, 3, 3, -1],
      [-1, -1, 0, 0, -1, 2, 2, -1, -1, -1, -1, -1],
      [-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1],
    ],
    np.int32,
  )
  length = np.array([11, 7, 3], np.int32)
  tokens = np.random.default_rng(0).integers(0, 12, steps.shape)
  tokens = np.where(np.arange(12) < length[:, None], tokens, 0)
  return types.Rows(
    tokens=tokens.astype(np.int32),
    step_of_token=steps,
    trajectory=np.arange(3, dtype=np.int32),
    length=length,
    log_probs=np.zeros(steps.shape, np.float32),
  )


# Where steps end, read off the rows above.
ENDS = ((0, 0, 2), (0, 1, 5), (0, 2, 8), (0, 3, 10), (1, 0, 3), (1, 2, 6))


@functools.cache
def hidden_at_ends():
  """States of sequences that are cut off behind a step, one at a time."""
  trunk, rows = decoder.init(jax.random.key(0), CONFIG), make_rows()
  read = jax.jit(lambda tokens: decoder.hidden_states(trunk, CONFIG, tokens))
  states = []
  for row, _, end in ENDS:
    # What stands behind is not seen: another token in its place.
    tokens = rows.tokens[row : row + 1].copy()
    tokens[:, end + 1 :] = 7
    states.append(np.asarray(read(tokens)[0, end], np.float64))
  return states


def reference(params):
  """One step at a time, in float64."""
  head = {k: jax.tree.map(np.asarray, v) for k, v in params['progress'].items()}
  result = np.zeros((3, STEPS), np.float64)
  for (row, step, _), x in zip(ENDS, hidden_at_ends(), strict=True):
    if 'logits' in head:
      x = x @ np.asarray(params['trunk']['head']['kernel'], np.float64)
    if 'hidden' in head:
      x = x @ head['hidden']['kernel'] + head['hidden']['bias']
      x = 0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))
    (last,) = (head[n] for n in ('out', 'linear', 'logits') if n in head)
    result[row, step] = x @ last['kernel'] + last['bias']
  return result


@pytest.mark.parametrize('head', progress_head.HEADS)
def test_a_step_is_read_from_its_last_token(head):
  params, rows = build(head), make_rows()
  given, mask = say(params, rows)
  expected = reference(params)
  np.testing.assert_allclose(given, expected, atol=1e-4)
  assert given.dtype == jnp.float32
  assert sorted(zip(*np.nonzero(mask), strict=True)) == [
    (row, step) for row, step, _ in ENDS
  ]
  assert np.abs(expected[mask]).min() > 1e-3


def test_packed_rows_say_the_same():
  params, rows = build(), make_rows()
  alone, mask = say(params, rows)
  placed = [[1, 0], [2]]
  packed = packed_rows.pack(rows, placed, row_length=20, sequences=2, count=3)
  together, there = say(params, packed)
  assert together.shape == (6, STEPS)
  for row, chosen in enumerate(placed):
    for slot, index in enumerate(chosen):
      np.testing.assert_allclose(
        together[2 * row + slot], alone[index], atol=1e-5
      )
      np.testing.assert_array_equal(there[2 * row + slot], mask[index])
  assert not np.asarray(there)[3:].any()


def test_a_mesh_says_the_same():
  params, rows = build('logits'), make_rows()
  rows = jax.tree.map(lambda x: np.concatenate([x, x[:1]]), rows)
  alone, _ = say(params, rows)
  mesh = sharding.make_mesh(2, 2, 2)
  with sharding.on(mesh):
    placed = sharding.place(params, mesh, heads.RULES)
    apart, _ = jax.jit(say)(placed, rows)
  np.testing.assert_allclose(apart, alone, atol=1e-5)
  # Each head has its rules.
  for head in progress_head.HEADS:
    sharding.shardings(build(head), mesh, heads.RULES)


def test_it_begins_with_nothing_to_say():
  rows = make_rows()
  policy = decoder.init(jax.random.key(0), CONFIG)
  for head in progress_head.HEADS:
    made = progress_head.init_head(jax.random.key(1), CONFIG, head=head)
    params = {'trunk': progress_head.trunk_of(policy, made), 'progress': made}
    given, _ = say(params, rows)
    assert not np.asarray(given).any()
    assert ('head' in params['trunk']) == (head == 'logits')
  kernel = progress_head.init_head(jax.random.key(1), CONFIG)['hidden']
  assert kernel['kernel'].shape == (CONFIG.width, CONFIG.width)


def test_its_head_works_for_each_step_and_not_for_each_token():
  params, rows = build(), make_rows()
  positions = step_tokens.last_positions(rows.step_of_token, 2)
  text = str(
    jax.make_jaxpr(
      lambda p: progress_head.contributions(p, CONFIG, rows.tokens, positions)
    )(params)
  )
  # Units of the MLP are met at [N, S], never at [N, L].
  assert 'f32[3,2,10]' in text
  assert 'f32[3,12,10]' not in text


def test_what_does_not_fit():
  with pytest.raises(ValueError, match='head must be one of mlp, linear'):
    progress_head.init_head(jax.random.key(0), CONFIG, head='tree')
  with pytest.raises(ValueError, match='hidden must be positive, not 0'):
    progress_head.init_head(jax.random.key(0), CONFIG, hidden=0)
  rows = make_rows()
  with pytest.raises(ValueError, match=r'positions \[N, S\], not \(3, 12\)'):
    progress_head.contributions(
      build(), CONFIG, rows.tokens, np.zeros((2, 4), np.int32)
    )
