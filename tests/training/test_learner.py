"""The learner: the cut into micro-batches does not show, nor does a NaN."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcredit import types
from jaxcredit.algorithms import losses
from jaxcredit.networks import decoder
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import policy_gradient
from tests.networks import tiny_decoder

VOCABULARY = 12
LENGTH = 16


def make_rows(count=7, seed=0):
  """Ragged rows of steps that read two tokens and draw up to three."""
  rng = np.random.default_rng(seed)
  length = rng.integers(3, LENGTH + 1, count).astype(np.int32)
  length[0], length[1] = LENGTH, 3
  columns = np.arange(LENGTH)
  valid = columns < length[:, None]
  step = np.where(columns % 5 >= 2, columns // 5, -1)
  step = np.where(valid, step, -1).astype(np.int32)
  tokens = rng.integers(0, VOCABULARY, (count, LENGTH)).astype(np.int32)
  log_probs = -2.5 + 0.3 * rng.normal(size=tokens.shape)
  rows = types.Rows(
    tokens=np.where(valid, tokens, 0),
    step_of_token=step,
    trajectory=np.arange(count, dtype=np.int32),
    length=length,
    log_probs=np.where(step >= 0, log_probs, 0).astype(np.float32),
  )
  advantages = rng.normal(size=(count, 4)).astype(np.float32)
  return rows, advantages


def bigram_log_probs(
  params, config, tokens, length, *, temperature=1.0, support=None
):
  """As `decoder.log_probs`, of a policy that sees one token back."""
  del config
  scores = jax.nn.log_softmax(params['table'][tokens[:, :-1]] / temperature)
  chosen = jnp.take_along_axis(scores, tokens[:, 1:, None], axis=-1)[..., 0]
  entropy = -jnp.sum(jnp.exp(scores) * scores, axis=-1)
  valid = jnp.arange(1, tokens.shape[1]) < length[:, None]

  def pad(x):
    return jnp.pad(jnp.where(valid, x, 0), ((0, 0), (1, 0)))

  return pad(chosen), pad(entropy)


@pytest.fixture
def bigram(monkeypatch):
  """A policy that compiles in no time, in place of the decoder."""
  monkeypatch.setattr(decoder, 'log_probs', bigram_log_probs)


def bigram_params(seed=0):
  table = jax.random.normal(jax.random.key(seed), (VOCABULARY, VOCABULARY))
  return {'table': table}


def make_learner(
  config=None,
  micro_batch_tokens=64,
  lengths=(8, LENGTH),
  optimizer=None,
  **options,
):
  options = policy_gradient.LossOptions(**options)
  return learner_lib.Learner(
    policy_gradient.make_loss(config, options),
    policy_gradient.make_denominator(options.aggregation),
    optimizer or optax.sgd(1.0),
    micro_batch_tokens=micro_batch_tokens,
    lengths=lengths,
  )


def update(learner, params, rows, advantages, **options):
  state = learner.init(jax.tree.map(jnp.copy, params))
  return learner.update(state, rows, advantages, **options)


def check_close(a, b, atol=1e-5):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=atol), a, b)


def check_equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize('aggregation', losses.AGGREGATIONS)
def test_micro_batches_add_up_to_the_whole_batch(aggregation, bigram):
  rows, advantages = make_rows()
  params, reference = bigram_params(), bigram_params(1)
  options = {
    'aggregation': aggregation,
    'normaliser': 4.0,
    'kl_coefficient': 0.3,
    'entropy_coefficient': 0.2,
  }
  learner = make_learner(
    micro_batch_tokens=7 * LENGTH, lengths=[LENGTH], **options
  )
  whole, figures = update(
    learner, params, rows, advantages, reference=reference
  )
  # The loss as a whole, without any learner.
  loss, _ = policy_gradient.make_loss(
    None, policy_gradient.LossOptions(**options)
  )(params, reference, rows, advantages, 1.0)
  assert figures['loss'] == pytest.approx(float(loss), abs=1e-5)
  assert abs(figures['loss']) > 1e-3
  learner = make_learner(micro_batch_tokens=40, **options)
  cut, again = update(learner, params, rows, advantages, reference=reference)
  for name in figures.keys() - {'padding_share'}:
    assert again[name] == pytest.approx(figures[name], abs=1e-5), name
  check_close(cut.params, whole.params)
  assert np.abs(whole.params['table'] - params['table']).max() > 1e-3


def test_micro_batches_of_a_decoder_add_up_to_the_whole_batch():
  config, params = tiny_decoder.build(vocab_size=VOCABULARY, layers=1)
  rows, advantages = make_rows(4)
  whole, figures = update(
    make_learner(config, 4 * LENGTH, [LENGTH]), params, rows, advantages
  )
  cut, again = update(
    make_learner(config, 2 * LENGTH, [LENGTH]), params, rows, advantages
  )
  assert again['loss'] == pytest.approx(figures['loss'], abs=1e-5)
  check_close(cut.params, whole.params)
  assert figures['gradient_norm'] > 1e-2


def test_mini_batches_are_steps_of_their_own(bigram):
  rows, advantages = make_rows()
  learner = make_learner()
  order = np.array([3, 0, 6, 5, 1, 2, 4])
  state, figures = update(
    learner, bigram_params(), rows, advantages, minibatches=3, order=order
  )
  expected = learner.init(bigram_params())
  parts = []
  for chosen in ([3, 0, 6], [5, 1], [2, 4]):
    part = jax.tree.map(lambda x, c=chosen: x[c], rows)
    expected, part_figures = learner.update(expected, part, advantages)
    parts.append(part_figures)
  check_equal(state, expected)
  assert int(state.updates) == 3
  for name in ('loss', 'gradient_norm', 'entropy'):
    assert figures[name] == pytest.approx(np.mean([p[name] for p in parts]))


def test_more_mini_batches_than_rows(bigram):
  rows, advantages = make_rows(2)
  state, figures = update(
    make_learner(), bigram_params(), rows, advantages, minibatches=5
  )
  assert int(state.updates) == 2
  assert np.isfinite(figures['loss'])


def test_rows_that_are_not_needed_give_the_same_update(bigram):
  rows, advantages = make_rows()
  advantages[[1, 4, 5]] = 0
  needed = advantages.any(axis=1)
  learner = make_learner()
  every, figures = update(learner, bigram_params(), rows, advantages)
  few, fewer_figures = update(
    learner, bigram_params(), rows, advantages, needed=needed
  )
  check_close(few.params, every.params, 1e-6)
  for name in ('loss', 'gradient_norm'):
    assert fewer_figures[name] == pytest.approx(figures[name], rel=1e-4)
  # They are left out indeed: what they hold has no influence.
  advantages[[1, 4, 5]] = np.nan
  again, _ = update(learner, bigram_params(), rows, advantages, needed=needed)
  check_equal(again.params, few.params)
  # Their entropy does not count, nor does it dilute the mean.
  part = jax.tree.map(lambda x: x[needed], rows)
  _, entropy = update(learner, bigram_params(), part, advantages)
  assert fewer_figures['entropy'] == pytest.approx(entropy['entropy'], rel=1e-4)


def test_nothing_needed_changes_nothing(bigram):
  rows, advantages = make_rows()
  learner = make_learner()
  state, figures = update(
    learner, bigram_params(), rows, advantages, needed=np.zeros(7, bool)
  )
  check_equal(state, learner.init(bigram_params()))
  assert figures == {'skipped_updates': 0}


def test_rows_that_fill_the_batch_are_ignored(bigram):
  rows, advantages = make_rows()
  rows.trajectory[[2, 5]] = -1
  learner = make_learner()
  kept = [0, 1, 3, 4, 6]
  part = jax.tree.map(lambda x: x[kept], rows)
  for order in (None, np.arange(7)):
    state, figures = update(
      learner, bigram_params(), rows, advantages, order=order
    )
    expected, expected_figures = update(
      learner, bigram_params(), part, advantages
    )
    check_equal(state, expected)
    assert figures == expected_figures


def test_empty_batches_change_nothing(bigram):
  rows, advantages = make_rows()
  learner = make_learner()
  none = jax.tree.map(lambda x: x[:0], rows)
  rows.trajectory[:] = -1
  undrawn, _ = make_rows()
  undrawn.step_of_token[:] = -1
  for empty in (none, rows, undrawn):
    state, figures = update(learner, bigram_params(), empty, advantages)
    check_equal(state, learner.init(bigram_params()))
    assert figures == {'skipped_updates': 0}


def test_a_row_that_is_too_long_is_an_error(bigram):
  rows, advantages = make_rows()
  with pytest.raises(ValueError, match='a row of 16 tokens does not fit.* 8'):
    update(make_learner(lengths=[8]), bigram_params(), rows, advantages)


def test_micro_batches_have_few_shapes():
  rows, _ = make_rows(40)
  rows.trajectory[3] = -1
  shapes, seen = set(), []
  for micro in learner_lib.cut_micro_batches(rows, 32, [LENGTH, 8]):
    shapes.add(micro.tokens.shape)
    used = micro.trajectory >= 0
    seen += micro.trajectory[used].tolist()
    assert (micro.length <= micro.tokens.shape[1]).all()
    # What fills a micro-batch carries no loss.
    assert not (micro.step_of_token[~used] >= 0).any()
    for row in np.flatnonzero(used):
      index, size = micro.trajectory[row], micro.length[row]
      assert size == rows.length[index]
      for name in ('tokens', 'step_of_token', 'log_probs'):
        np.testing.assert_array_equal(
          getattr(micro, name)[row, :size], getattr(rows, name)[index, :size]
        )
  assert shapes == {(2, LENGTH), (4, 8)}
  assert sorted(seen) == [i for i in range(40) if i != 3]


@functools.cache
def guarded_learner():
  """Its loss and the slope of that are given with the rows."""

  def loss(params, reference, rows, extra, weight):
    del reference, rows
    rise = jnp.sum(params['x']) - jax.lax.stop_gradient(jnp.sum(params['x']))
    return weight * (extra['loss'] + extra['slope'] * rise), {}

  return learner_lib.Learner(
    loss,
    lambda rows: float((np.asarray(rows.step_of_token) >= 0).sum()),
    learner_lib.make_optimizer(
      learning_rate=0.1, warmup=5, decay_steps=20, weight_decay=0.1
    ),
    micro_batch_tokens=7 * LENGTH,
    lengths=[LENGTH],
  )


def guarded_update(state, loss, slope):
  extra = {'loss': np.float32(loss), 'slope': np.float32(slope)}
  return guarded_learner().update(state, make_rows()[0], extra)


@pytest.mark.parametrize(
  ('loss', 'slope'),
  # The last is finite, each gradient as well, but not their norm.
  [(np.nan, 1.0), (np.inf, 1.0), (0.0, np.nan), (0.5, 3e38)],
)
def test_a_non_finite_update_changes_nothing(loss, slope):
  state = guarded_learner().init({'x': jnp.ones(3)})
  for _ in range(2):
    state, _ = guarded_update(state, 0.5, 1.0)
  params, optimizer = jax.tree.map(np.array, (state.params, state.optimizer))
  state, figures = guarded_update(state, loss, slope)
  check_equal(state.params, params)
  check_equal(state.optimizer, optimizer)
  assert int(state.updates) == 2
  assert int(state.skipped) == figures['skipped_updates'] == 1
  assert not np.isfinite(figures['loss']) or not np.isfinite(
    figures['gradient_norm']
  )
  # Training goes on as if it had not been.
  state, _ = guarded_update(state, 0.5, 1.0)
  undisturbed = guarded_learner().init({'x': jnp.ones(3)})
  for _ in range(3):
    undisturbed, _ = guarded_update(undisturbed, 0.5, 1.0)
  check_equal(state.params, undisturbed.params)
  check_equal(state.optimizer, undisturbed.optimizer)


def test_skips_in_a_row_end_the_training_with_advice():
  state = guarded_learner().init({'x': jnp.ones(3)})
  for _ in range(2):
    state, _ = guarded_update(state, np.nan, 1.0)
  with pytest.raises(
    learner_lib.NonFiniteError, match='3 updates in a row'
  ) as error:
    guarded_update(state, np.nan, 1.0)
  assert 'lower the learning rate' in str(error.value)
  assert '(nan)' in str(error.value)


def test_a_good_update_resets_the_row_of_skips():
  state = guarded_learner().init({'x': jnp.ones(3)})
  for number in range(1, 4):
    for _ in range(2):
      state, _ = guarded_update(state, np.nan, 1.0)
    assert int(state.skipped_in_a_row) == 2
    state, figures = guarded_update(state, 0.5, 1.0)
    assert int(state.skipped_in_a_row) == 0
    assert figures['skipped_updates'] == 2 * number
    assert int(state.updates) == number


def test_skip_limit(bigram):
  rows, advantages = make_rows()
  learner = learner_lib.Learner(
    policy_gradient.make_loss(None, policy_gradient.LossOptions()),
    policy_gradient.make_denominator('token-mean'),
    optax.sgd(1.0),
    micro_batch_tokens=64,
    lengths=[LENGTH],
    skip_limit=1,
  )
  with pytest.raises(learner_lib.NonFiniteError, match='1 updates in a row'):
    update(learner, bigram_params(), rows, advantages * np.nan)


def test_wrong_arguments(bigram):
  for wrong in ({'micro_batch_tokens': 0}, {'skip_limit': 0}):
    with pytest.raises(ValueError, match='must be positive'):
      learner_lib.Learner(
        None,
        None,
        optax.sgd(1.0),
        **{'micro_batch_tokens': 1, 'lengths': [1], **wrong},
      )
  rows, advantages = make_rows()
  with pytest.raises(ValueError, match='minibatches must be positive, not 0'):
    update(make_learner(), bigram_params(), rows, advantages, minibatches=0)


def optimizer_updates(count, gradient=1.0, param=0.0, **options):
  """Changes of a parameter under gradients that are all the same.

  Adam divides such a gradient by its own size, so that a change is the
  learning rate.
  """
  optimizer = learner_lib.make_optimizer(**options)
  params = {'x': jnp.array([param])}
  gradients = {'x': jnp.array([gradient])}

  def step(state, _):
    changes, state = optimizer.update(gradients, state, params)
    return state, -changes['x'][0]

  _, changes = jax.lax.scan(step, optimizer.init(params), length=count)
  return np.asarray(changes)


def test_a_constant_rate():
  np.testing.assert_allclose(
    optimizer_updates(4, learning_rate=0.5), 0.5, rtol=1e-4
  )


def test_warm_up_is_linear_and_ends_at_the_peak():
  np.testing.assert_allclose(
    optimizer_updates(6, learning_rate=0.8, warmup=4),
    [0, 0.2, 0.4, 0.6, 0.8, 0.8],
    rtol=1e-4,
  )


def test_cosine_decay_ends_at_a_tenth_of_the_peak():
  rates = optimizer_updates(14, learning_rate=1.0, decay_steps=10)
  expected = 0.1 + 0.9 * (1 + np.cos(np.pi * np.arange(11) / 10)) / 2
  np.testing.assert_allclose(rates[:11], expected, rtol=1e-4)
  np.testing.assert_allclose(rates[11:], 0.1, rtol=1e-4)


def test_warm_up_before_the_decay_is_part_of_its_steps():
  rates = optimizer_updates(12, learning_rate=1.0, warmup=2, decay_steps=10)
  np.testing.assert_allclose(rates[:3], [0, 0.5, 1], atol=1e-4)
  assert (np.diff(rates[2:11]) < 0).all()
  np.testing.assert_allclose(rates[10:], 0.1, rtol=1e-4)


def test_a_warm_up_longer_than_the_decay_is_no_error():
  rates = optimizer_updates(6, learning_rate=1.0, warmup=4, decay_steps=2)
  np.testing.assert_allclose(rates[:5], [0, 0.25, 0.5, 0.75, 1], atol=1e-4)


def test_weight_decay_is_decoupled():
  (change,) = optimizer_updates(
    1, gradient=0.0, param=2.0, learning_rate=0.5, weight_decay=0.1
  )
  assert change == pytest.approx(0.5 * 0.1 * 2.0)
  (change,) = optimizer_updates(1, 0.0, 2.0, learning_rate=0.5)
  assert change == 0


def test_gradients_are_clipped_by_their_global_norm():
  # Of the size of Adam's epsilon, so that the size of the gradient shows.
  (change,) = optimizer_updates(1, 5.0, learning_rate=1.0, clip_norm=1e-8)
  assert change == pytest.approx(0.5, rel=1e-3)
  (change,) = optimizer_updates(1, 5.0, learning_rate=1.0)
  assert change == pytest.approx(1.0, rel=1e-3)


def test_b2_is_the_decay_of_the_second_moment():
  for b2 in (0.999, 0.5):
    optimizer = learner_lib.make_optimizer(learning_rate=1.0, b2=b2)
    params = {'x': jnp.zeros(1)}
    state = optimizer.init(params)
    for gradient in (1.0, 0.0):
      changes, state = optimizer.update(
        {'x': jnp.array([gradient])}, state, params
      )
    first = 0.1 * 0.9 / (1 - 0.9**2)
    second = (1 - b2) * b2 / (1 - b2**2)
    assert float(changes['x'][0]) == pytest.approx(
      -first / second**0.5, rel=1e-4
    )
