"""Fits a progress estimator on stored rollouts, as a resumable stage.

Whole tasks are held out, since rollouts of one task are too much alike to tell
whether anything general was learned. The parameters that were best on them are
kept.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.rollouts import stored_rollouts
from jaxcredit.training import checkpoints as checkpoints_lib
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import progress_estimator, progress_quality, supervised


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EstimatorState:
  """What the fit changes.

  Attributes:
    learner: its state.
    params: what was learned when the held-out loss was lowest.
    best_loss: float32 [], that loss.
    best_step: int32 [], steps taken then.
    waited: int32 [], looks at the held-out tasks since then.
  """

  learner: learner_lib.LearnerState
  params: Any
  best_loss: jax.Array
  best_step: jax.Array
  waited: jax.Array


def split_by_task(task: np.ndarray, share: float, seed: int) -> np.ndarray:
  """Chooses the tasks that are held out.

  Args:
    task: int [E], of each episode.
    share: of the tasks, rounded; at least one task, and never all.
    seed: of the choice.

  Returns:
    bool [E], whether the episode is held out.

  Raises:
    ValueError: there are fewer than two tasks.
  """
  tasks = np.unique(task)
  if len(tasks) < 2:
    raise ValueError(
      f'{len(tasks)} task cannot be cut into tasks to learn from and tasks '
      'to hold out: play rollouts of more'
    )
  count = min(max(round(share * len(tasks)), 1), len(tasks) - 1)
  chosen = np.random.default_rng([seed, 5]).permutation(tasks)[:count]
  return np.isin(task, chosen)


def quality(
  contributions: np.ndarray, rollouts: stored_rollouts.Rollouts
) -> dict[str, Any]:
  """How well contributions tell the outcome, and the true progress.

  Args:
    contributions: float [E, S].
    rollouts: of the E episodes.

  Returns:
    held_out_loss, within_tolerance, calibration, calibration_error,
    rank_correlation and rank_correlation_within; see `progress_quality`.
  """
  predicted = contributions.sum(axis=-1)
  table = progress_quality.calibration(predicted, rollouts.outcome)
  return {
    'held_out_loss': float(np.mean((predicted - rollouts.outcome) ** 2)),
    'within_tolerance': progress_quality.within(predicted, rollouts.outcome),
    'calibration': table,
    'calibration_error': progress_quality.calibration_error(table),
    **progress_quality.progress_correlation(
      contributions, rollouts.progress, rollouts.mask
    ),
  }


def finished(state: EstimatorState, steps: int, options) -> bool:
  """Whether a fit is through after so many steps."""
  tired = options.patience and int(state.waited) >= options.patience
  return steps >= options.steps or bool(tired)


def fit(
  estimator: progress_estimator.ProgressEstimator,
  rollouts: stored_rollouts.Rollouts,
  *,
  seed: int,
  checkpoints: checkpoints_lib.Checkpoints | None = None,
  on_step: Callable[[int, dict[str, float], dict[str, Any] | None], None]
  | None = None,
  should_stop: Callable[[], bool] = lambda: False,
) -> tuple[EstimatorState, int]:
  """Fits the estimator, or goes on with it.

  Args:
    estimator: with its options.
    rollouts: to learn from, and to hold out of.
    seed: of the first parameters, the split and the order of data.
    checkpoints: where the fit saves and resumes.
    on_step: called with the steps done, their metrics, and where the held-out
      tasks were looked at (before the first step as well) their `quality`.
    should_stop: asked after each step.

  Returns:
    The state and the number of steps done; see `finished`.

  Raises:
    ValueError: there are too few tasks or episodes.
  """
  options, learner = estimator.options, estimator.learner
  held = split_by_task(rollouts.task, options.held_out, seed)
  kept, looked_at = part(rollouts, ~held), part(rollouts, held)
  if len(kept.task) < options.batch:
    raise ValueError(
      f'{len(kept.task)} rollouts to learn from are fewer than a batch of '
      f'{options.batch}: play more, or take a smaller batch'
    )
  learned = estimator.init(jax.random.fold_in(jax.random.key(seed), 4))
  begun = learner.init(learned)
  state = EstimatorState(
    learner=begun,
    params=jax.tree.map(jnp.copy, begun.params),
    best_loss=jnp.float32(jnp.inf),
    best_step=jnp.int32(0),
    waited=jnp.int32(0),
  )
  done = checkpoints.latest if checkpoints is not None else None
  on_step = on_step or (lambda *unused: None)
  if done is not None:
    state = checkpoints.restore(state)
  else:
    done = 0
    state, found = _look(estimator, state, 0, looked_at)
    on_step(0, {}, found)
  while not finished(state, done, options) and not should_stop():
    batch = supervised.select_batch(kept.rows, seed, done, options.batch)
    new, metrics = learner.update(
      state.learner, batch, rollouts.outcome, reference=estimator.reference
    )
    state = dataclasses.replace(state, learner=new)
    done += 1
    found = None
    if done % options.evaluate_every == 0 or done == options.steps:
      state, found = _look(estimator, state, done, looked_at)
    on_step(done, metrics, found)
    if checkpoints is not None:
      checkpoints.save(done, state)
  if checkpoints is not None:
    checkpoints.save(done, state, force=True)
    checkpoints.wait()
  return state, done


def _look(estimator, state, done, held_out):
  """Looks at the held-out tasks; keeps the parameters if they are better."""
  found = quality(
    estimator.contributions(state.learner.params, held_out.rows), held_out
  )
  if not found['held_out_loss'] < float(state.best_loss):
    return dataclasses.replace(state, waited=state.waited + 1), found
  return (
    dataclasses.replace(
      state,
      params=jax.tree.map(jnp.copy, state.learner.params),
      best_loss=jnp.float32(found['held_out_loss']),
      best_step=jnp.int32(done),
      waited=jnp.int32(0),
    ),
    found,
  )


def part(rollouts, chosen) -> stored_rollouts.Rollouts:
  """Some of the episodes; rows still name them by their first number."""
  index = np.flatnonzero(chosen)
  return dataclasses.replace(
    rollouts,
    rows=jax.tree.map(lambda x: x[index], rollouts.rows),
    actions=[rollouts.actions[i] for i in index],
    **{
      name: getattr(rollouts, name)[index]
      for name in (
        'task', 'outcome', 'success', 'mask', 'grounding', 'progress',
      )
    },
  )  # fmt: skip
