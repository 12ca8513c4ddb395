"""The supervised warm start as a resumable stage."""

import time
from collections.abc import Callable
from typing import Any

import jax

from jaxcredit import types
from jaxcredit.training import checkpoints as checkpoints_lib
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import supervised


def run(
  state: learner_lib.LearnerState,
  learner: learner_lib.Learner,
  rows: types.Rows,
  *,
  steps: int,
  batch_size: int,
  seed: int,
  checkpoints: checkpoints_lib.Checkpoints | None = None,
  on_step: Callable[[int, dict[str, Any]], None] | None = None,
  should_stop: Callable[[], bool] = lambda: False,
) -> tuple[learner_lib.LearnerState, int]:
  """Imitates the rows for `steps` optimizer steps, or what is left of them.

  Args:
    state: of the learner; where a checkpoint is newer, that is taken.
    learner: with the imitation loss.
    rows: expert rows [N, L], numpy.
    steps: optimizer steps in all.
    batch_size: rows a step.
    seed: of the data order.
    checkpoints: where the stage saves and resumes.
    on_step: called with the number of steps done and their metrics.
    should_stop: asked after each step; the stage can be resumed.

  Returns:
    The state and the number of steps done.
  """
  done = 0
  if checkpoints is not None and checkpoints.latest is not None:
    done = checkpoints.latest
    state = checkpoints.restore(state)
  while done < steps and not should_stop():
    start = time.perf_counter()
    batch = supervised.select_batch(rows, seed, done, batch_size)
    state, metrics = learner.update(state, batch)
    jax.block_until_ready(state.params)
    done += 1
    if checkpoints is not None:
      checkpoints.save(done, state)
    if on_step is not None:
      on_step(done, {**metrics, 'seconds_total': time.perf_counter() - start})
  if checkpoints is not None:
    checkpoints.save(done, state, force=True)
    checkpoints.wait()
  return state, done
