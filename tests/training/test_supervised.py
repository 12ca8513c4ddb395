"""The imitation loss, its data order, and the warm start as a stage."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit import types
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import supervised, warm_start
from tests.training import test_learner

bigram = test_learner.bigram
bigram_params = test_learner.bigram_params


def evaluate(rows, weight=1.0, params=None, **options):
  loss = supervised.make_loss(None, **options)
  params = bigram_params() if params is None else params
  value, metrics = loss(params, None, rows, None, weight)
  return float(value), {k: float(v) for k, v in metrics.items()}


def test_the_loss_by_hand(bigram):
  rows, _ = test_learner.make_rows()
  log_probs, _ = test_learner.bigram_log_probs(
    bigram_params(), None, rows.tokens, rows.length
  )
  log_probs = np.asarray(log_probs)
  drawn = rows.step_of_token >= 0
  read = ~drawn & (np.arange(test_learner.LENGTH) < rows.length[:, None])
  imitation = -log_probs[drawn].sum() / drawn.sum()
  value, metrics = evaluate(rows)
  assert value == pytest.approx(imitation, rel=1e-5)
  assert metrics['imitation_loss'] == pytest.approx(imitation, rel=1e-5)
  assert metrics['accuracy'] == pytest.approx(
    (log_probs[drawn] > np.log(0.5)).mean()
  )
  value, again = evaluate(rows, observation_weight=0.3)
  assert value == pytest.approx(
    imitation - 0.3 * log_probs[read].sum() / drawn.sum(), rel=1e-5
  )
  # What is read has no part in the figures of the imitation.
  assert again == metrics
  assert supervised.count_tokens(rows) == drawn.sum()


def test_slips_are_taught_neither_as_actions_nor_as_observations(bigram):
  rows, _ = test_learner.make_rows()
  log_probs, _ = test_learner.bigram_log_probs(
    bigram_params(), None, rows.tokens, rows.length
  )
  log_probs = np.asarray(log_probs)
  read = (rows.step_of_token == -1) & (
    np.arange(test_learner.LENGTH) < rows.length[:, None]
  )
  rows.step_of_token[rows.step_of_token == 0] = types.NOT_LEARNED
  drawn = rows.step_of_token >= 0
  value, _ = evaluate(rows, observation_weight=0.3)
  assert value == pytest.approx(
    -(log_probs[drawn].sum() + 0.3 * log_probs[read].sum()) / drawn.sum(),
    rel=1e-5,
  )
  assert supervised.count_tokens(rows) == drawn.sum() > 0


def test_accuracy_counts_tokens_that_are_likely(bigram):
  rows, _ = test_learner.make_rows(2)
  # One token follows any other for sure.
  sure = {'table': jnp.zeros((12, 12)).at[:, 3].set(50.0)}
  rows.tokens[rows.step_of_token == 0] = 3
  rows.tokens[rows.step_of_token > 0] = 4
  share = (rows.step_of_token == 0).sum() / (rows.step_of_token >= 0).sum()
  _, metrics = evaluate(rows, params=sure)
  assert metrics['accuracy'] == pytest.approx(share)
  assert 0 < share < 1


def test_a_weight_scales_loss_and_metrics(bigram):
  rows, _ = test_learner.make_rows()
  value, metrics = evaluate(rows, observation_weight=0.3)
  part, parts = evaluate(rows, 0.25, observation_weight=0.3)
  assert part == pytest.approx(0.25 * value)
  assert parts == pytest.approx({k: 0.25 * v for k, v in metrics.items()})


def make_learner(micro_batch_tokens=64, **options):
  return learner_lib.Learner(
    supervised.make_loss(None, **options),
    supervised.count_tokens,
    learner_lib.make_optimizer(learning_rate=0.05, warmup=2, decay_steps=20),
    micro_batch_tokens=micro_batch_tokens,
    lengths=[test_learner.LENGTH],
  )


def test_micro_batches_add_up_to_the_whole_batch(bigram):
  rows, _ = test_learner.make_rows()
  whole, figures = test_learner.update(
    make_learner(7 * 16, observation_weight=0.3), bigram_params(), rows, None
  )
  cut, again = test_learner.update(
    make_learner(2 * 16, observation_weight=0.3), bigram_params(), rows, None
  )
  test_learner.check_close(cut.params, whole.params)
  for name in ('loss', 'accuracy', 'imitation_loss'):
    assert again[name] == pytest.approx(figures[name], rel=1e-5)


def test_an_epoch_shows_each_row_at_most_once():
  batches = supervised.batches_of_epoch(70, 0, 0, 4)
  assert batches.shape == (17, 4)
  assert len(set(batches.ravel().tolist())) == 68


def test_a_batch_stands_for_the_whole():
  # Lengths differ within a batch as much as they do over all.
  lengths = np.sort(np.random.default_rng(0).integers(1, 100, 800))
  batches = supervised.batches_of_epoch(len(lengths), 0, 0, 8)
  within = lengths[batches].var(axis=1, ddof=1).mean()
  assert abs(within / lengths.var(ddof=1) - 1) < 0.1


def test_the_order_is_a_function_of_seed_and_epoch():
  first = supervised.batches_of_epoch(70, 0, 0, 4)
  np.testing.assert_array_equal(first, supervised.batches_of_epoch(70, 0, 0, 4))
  for seed, epoch in ((0, 1), (1, 0)):
    other = supervised.batches_of_epoch(70, seed, epoch, 4)
    assert (first != other).any()


def numbered_rows(count):
  """Rows whose trajectory is their number."""
  rows, _ = test_learner.make_rows(count)
  return rows


def test_steps_go_through_the_batches_of_each_epoch():
  rows = numbered_rows(11)
  for epoch in range(2):
    batches = supervised.batches_of_epoch(11, 5, epoch, 3)
    for position in range(3):
      chosen = supervised.select_batch(rows, 5, 3 * epoch + position, 3)
      np.testing.assert_array_equal(chosen.trajectory, batches[position])
      np.testing.assert_array_equal(
        chosen.tokens, rows.tokens[batches[position]]
      )


@pytest.mark.parametrize('batch_size', [0, 12])
def test_a_batch_must_fit_the_data(batch_size):
  with pytest.raises(ValueError, match=f'{batch_size} rows .* from 11'):
    supervised.select_batch(numbered_rows(11), 0, 0, batch_size)


@functools.cache
def stage_learner():
  return make_learner()


def run_stage(steps, checkpoints=None, seed=3, **options):
  learner = stage_learner()
  return warm_start.run(
    learner.init(bigram_params()),
    learner,
    numbered_rows(11),
    steps=steps,
    batch_size=3,
    seed=seed,
    checkpoints=checkpoints,
    **options,
  )


def test_the_warm_start_learns(bigram):
  seen = []
  state, done = run_stage(
    12, on_step=lambda step, metrics: seen.append((step, metrics))
  )
  assert done == 12 == int(state.updates)
  assert [step for step, _ in seen] == list(range(1, 13))
  for _, metrics in seen:
    assert np.isfinite(metrics['loss'])
    assert metrics['seconds_total'] > 0
  before, _ = evaluate(numbered_rows(11))
  after, _ = evaluate(numbered_rows(11), params=state.params)
  assert after < before - 0.1


def test_each_step_takes_the_next_batch(bigram):
  rows = numbered_rows(11)
  expected = stage_learner().init(bigram_params())
  for step in range(5):
    batch = supervised.select_batch(rows, 3, step, 3)
    expected, _ = stage_learner().update(expected, batch)
  test_learner.check_equal(run_stage(5)[0], expected)


def test_the_data_order_depends_on_the_seed(bigram):
  first, _ = run_stage(4)
  other, _ = run_stage(4, seed=4)
  assert (first.params['table'] != other.params['table']).any()


def test_no_steps_change_nothing(bigram):
  state, done = run_stage(0)
  assert done == 0
  test_learner.check_equal(state, stage_learner().init(bigram_params()))


@pytest.mark.parametrize('every', [1, 4])
def test_an_interrupted_warm_start_equals_an_uninterrupted_one(
  bigram, tmp_path, every
):
  pytest.importorskip('orbax.checkpoint', reason='an extra')
  from jaxcredit.training import checkpoints as checkpoints_lib

  expected, _ = run_stage(9)
  steps = []

  def on_step(step, metrics):
    steps.append(step)

  # Stopped in the midst of the second epoch, and again in the third.
  for stop in (5, 7):
    with checkpoints_lib.Checkpoints(tmp_path, every=every) as checkpoints:
      state, done = run_stage(
        9,
        checkpoints,
        on_step=on_step,
        should_stop=lambda stop=stop: steps[-1:] == [stop],
      )
      assert done == stop
      assert checkpoints.latest == stop
  with checkpoints_lib.Checkpoints(tmp_path, every=every) as checkpoints:
    state, done = run_stage(9, checkpoints, on_step=on_step)
  assert done == 9
  # No step was taken twice.
  assert steps == list(range(1, 10))
  test_learner.check_equal(state, expected)
  # A stage that is done is not run again.
  with checkpoints_lib.Checkpoints(tmp_path, every=every) as checkpoints:
    again, done = run_stage(9, checkpoints, on_step=on_step)
  assert (done, len(steps)) == (9, 9)
  test_learner.check_equal(again, expected)


def test_a_crash_loses_no_more_than_the_steps_since_the_last_checkpoint(
  bigram, tmp_path
):
  pytest.importorskip('orbax.checkpoint', reason='an extra')
  from jaxcredit.training import checkpoints as checkpoints_lib

  class PowerCut(Exception):
    pass

  steps = []

  def on_step(step, metrics):
    steps.append(step)
    if steps == [1, 2, 3, 4, 5]:
      raise PowerCut

  with (
    checkpoints_lib.Checkpoints(tmp_path, every=2) as checkpoints,
    pytest.raises(PowerCut),
  ):
    run_stage(7, checkpoints, on_step=on_step)
  with checkpoints_lib.Checkpoints(tmp_path, every=2) as checkpoints:
    state, _ = run_stage(7, checkpoints, on_step=on_step)
  assert steps == [1, 2, 3, 4, 5, 5, 6, 7]
  test_learner.check_equal(state, run_stage(7)[0])


def test_rows_without_an_expert_change_nothing(bigram):
  rows = numbered_rows(4)
  rows.step_of_token[:] = -1
  learner = stage_learner()
  state, _ = learner.update(learner.init(bigram_params()), rows)
  test_learner.check_equal(state, learner.init(bigram_params()))
