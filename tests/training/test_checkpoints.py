"""Checkpoints: the newest stay, and hold what was saved."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip('orbax.checkpoint', reason='an extra')
from jaxcredit.training import checkpoints as checkpoints_lib
from jaxcredit.training import learner as learner_lib


def make_state(value=0.0):
  optimizer = learner_lib.make_optimizer(learning_rate=0.1, warmup=2)
  params = {'table': jnp.full((3, 2), value), 'layers': [jnp.arange(4) + value]}
  return learner_lib.init_state(params, optimizer)


def check_equal(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  jax.tree.map(np.testing.assert_array_equal, a, b)
  assert [x.dtype for x in jax.tree.leaves(a)] == [
    x.dtype for x in jax.tree.leaves(b)
  ]


@pytest.mark.system
def test_the_whole_state_comes_back_in_a_new_process(tmp_path):
  state = make_state(1.5)
  state = learner_lib.LearnerState(
    params=state.params,
    optimizer=jax.tree.map(lambda x: x + 1, state.optimizer),
    updates=jnp.int32(5),
    skipped=jnp.int32(2),
    skipped_in_a_row=jnp.int32(1),
  )
  with checkpoints_lib.Checkpoints(tmp_path / 'a' / 'b') as checkpoints:
    assert checkpoints.latest is None
    checkpoints.save(3, state)
  with checkpoints_lib.Checkpoints(tmp_path / 'a' / 'b') as checkpoints:
    assert checkpoints.latest == 3
    check_equal(checkpoints.restore(make_state()), state)


def test_the_newest_are_kept(tmp_path):
  with checkpoints_lib.Checkpoints(tmp_path, keep=2) as checkpoints:
    for i in range(1, 5):
      checkpoints.save(i, make_state(float(i)))
    checkpoints.wait()
    assert checkpoints.latest == 4
    for i in (3, 4):
      restored = checkpoints.restore(make_state(), i)
      check_equal(restored, make_state(float(i)))
    check_equal(checkpoints.restore(make_state()), make_state(4.0))
    with pytest.raises(FileNotFoundError, match='no checkpoint of iteration 2'):
      checkpoints.restore(make_state(), 2)
  kept = sorted(p.name for p in tmp_path.iterdir() if p.name.isdigit())
  assert kept == ['3', '4']


def test_only_iterations_that_are_due_are_saved_unless_forced(tmp_path):
  with checkpoints_lib.Checkpoints(tmp_path, keep=9, every=3) as checkpoints:
    for i in range(3, 8):
      checkpoints.save(i, make_state(float(i)))
    checkpoints.save(8, make_state(8.0), force=True)
    # Again, as a stage does that ends on an iteration that was due.
    checkpoints.save(8, make_state(9.0), force=True)
    checkpoints.wait()
    check_equal(checkpoints.restore(make_state()), make_state(8.0))
  kept = sorted(p.name for p in tmp_path.iterdir() if p.name.isdigit())
  assert kept == ['3', '6', '8']


def test_a_missing_checkpoint_is_reported(tmp_path):
  with checkpoints_lib.Checkpoints(tmp_path) as checkpoints:
    with pytest.raises(FileNotFoundError, match='holds no checkpoint$'):
      checkpoints.restore(make_state())
    with pytest.raises(FileNotFoundError, match='no checkpoint of iteration 7'):
      checkpoints.restore(make_state(), 7)


def test_a_state_may_be_donated_while_it_is_saved(tmp_path):
  # Large enough that it is not written before the buffers change hands.
  state = {'params': jnp.arange(2_000_000, dtype=jnp.float32)}
  # Not read from the state: a view keeps a buffer from being donated.
  expected = {'params': np.arange(2_000_000, dtype=np.float32)}
  spoil = jax.jit(
    functools.partial(jax.tree.map, lambda x: x * 0 - 1), donate_argnums=0
  )
  # It overwrites the buffers indeed, where nobody holds on to them.
  other = {'params': jnp.ones(2_000_000)}
  spoil(other)
  assert other['params'].is_deleted()
  with checkpoints_lib.Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(1, state)
    spoilt = spoil(state)
    for _ in range(3):
      spoilt = spoil(spoilt)
    checkpoints.wait()
    check_equal(checkpoints.restore(spoilt), expected)


@pytest.mark.parametrize('wrong', [{'keep': 0}, {'every': 0}, {'keep': -1}])
def test_wrong_arguments(tmp_path, wrong):
  with pytest.raises(ValueError, match='keep and every must be positive'):
    checkpoints_lib.Checkpoints(tmp_path, **wrong)
