"""SPA's stage after the warm start: exploration and progress estimator."""

import dataclasses
import json
import pathlib
import time
from typing import Any

import jax
import numpy as np

from experiments.run import console as console_lib
from experiments.run import folder as run_folder
from experiments.text import saved_estimator
from jaxcredit import options as options_lib
from jaxcredit.distributed import processes
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.rollouts import stored_rollouts, true_progress
from jaxcredit.training import checkpoints as checkpoints_lib
from jaxcredit.training import metrics as metrics_lib
from jaxcredit.training import progress_estimator, progress_fit

# Folder of a run in which its rollouts lie.
ROLLOUTS = 'rollouts'
# Episodes whose progress the report shows.
_SHOWN = 4


@dataclasses.dataclass(frozen=True)
class ProgressOptions:
  """Options of exploration, or runs to reuse it or the estimator from."""

  exploration_tasks: int = options_lib.option(
    0, 'Tasks to explore; 0 explores all training tasks.', 0
  )
  exploration_rollouts: int = options_lib.option(
    10, 'Rollouts of each explored task.', 1
  )
  exploration_temperature: float = options_lib.option(
    1.0, 'Temperature of the sampler in exploration.', 1e-3
  )
  rollouts_from: str | None = options_lib.option(
    None,
    'Another run whose exploration is used instead of a new one.',
  )
  estimator_from: str | None = options_lib.option(
    None,
    'Another run whose progress estimator is used, without exploration and '
    'fit.',
  )

  __post_init__ = options_lib.check


class ProgressStage:
  """Explores, and fits an estimator of the contribution of each step.

  Args:
    options: of the stage.
    estimator: of the fit.
  """

  name = 'fit_progress'
  provides = frozenset({'contributions'})

  def __init__(
    self,
    options: ProgressOptions,
    estimator: progress_estimator.EstimatorOptions,
  ):
    self._options = options
    self._estimator_options = estimator

  def check(self, training) -> None:
    del training
    if self._options.estimator_from:
      saved_estimator.find(pathlib.Path(self._options.estimator_from))
    elif self._options.rollouts_from:
      _check_rollouts(pathlib.Path(self._options.rollouts_from))

  def run(self, training, params):
    options = self._options
    if options.estimator_from:
      estimate = self._take_estimator(training)
    else:
      if options.rollouts_from:
        _check_tokens(training, pathlib.Path(options.rollouts_from), 'rollouts')
      elif not self._explore(training, params):
        return None
      estimate = self._fit(training, params)
    if estimate is None:
      return None
    scale = training.settings.loop.reward_scale

    def contributions(rows, trajectories):
      # The estimator learned outcomes in the environment's own units.
      return scale * estimate(rows).reshape(trajectories.mask.shape)

    return {'contributions': contributions}

  def _explore(self, training, params) -> bool:
    """Plays the remaining rollouts; returns whether all are done."""
    settings, options = training.settings, self._options
    tasks = training.domain.train_tasks
    order = np.random.default_rng([settings.seed, 6]).permutation(len(tasks))
    order = order[: options.exploration_tasks or len(tasks)].tolist()
    if len(order) < 2:
      raise ValueError(
        f'{len(order)} task to explore is too few, since some are held out: '
        'give more --exploration_tasks'
      )
    # Episodes of all processes, each of which has a share of the environments.
    episodes = settings.loop.groups * settings.loop.group_size
    at_once = max(episodes // options.exploration_rollouts, 1)
    batches = [order[i : i + at_once] for i in range(0, len(order), at_once)]
    folder = training.folder / ROLLOUTS
    done = stored_rollouts.count(folder)
    metrics_lib.drop_from(
      training.folder / metrics_lib.FILE_NAME,
      lambda r: r['stage'] != 'exploration' or r['iteration'] <= done,
    )
    key = jax.random.fold_in(jax.random.key(settings.seed), 6)
    environment = training.domain.environment()()
    with console_lib.bar('exploration', len(order), done * at_once) as advance:
      for number in range(done, len(batches)):
        if training.stop.requested:
          return False
        self._explore_batch(
          training, params, number, batches[number], key, environment, folder
        )
        advance(len(batches[number]))
    if done < len(batches):
      console_lib.print_line(
        f'exploration: {options.exploration_rollouts} rollouts of '
        f'{len(order)} tasks'
      )
    return True

  def _explore_batch(
    self, training, params, number, chosen, key, environment, folder
  ):
    """Plays and writes a batch."""
    options = self._options
    start, seen = time.perf_counter(), len(training.pool.failures)
    episodes = training.collector.collect(
      params,
      [training.domain.train_tasks[i] for i in chosen],
      options.exploration_rollouts,
      jax.random.fold_in(key, number),
      temperature=options.exploration_temperature,
    )
    whole = [e for e in episodes if not e.failure]
    training.report_failures(seen, not whole)
    training.writer.write(
      'exploration',
      number + 1,
      {
        'success_rate': np.mean([e.success for e in whole]),
        'mean_return': np.mean([e.episode_return for e in whole]),
        'episode_length': np.mean([len(e.steps) for e in whole]),
        'grounding_accuracy': episodes_lib.grounding_accuracy(whole),
        'episodes': len(whole),
        'seconds_total': time.perf_counter() - start,
      },
    )
    # Last: what is written is played, and counted.
    if processes.is_first():
      stored_rollouts.append(
        folder,
        number,
        episodes,
        [task for task in chosen for _ in range(options.exploration_rollouts)],
        [true_progress.replay(environment, e) for e in episodes],
      )
    processes.wait()

  def _make_estimator(self, training, config, options, base):
    return progress_estimator.ProgressEstimator(
      config,
      options,
      base,
      steps=training.settings.limits.steps,
      skip_limit=training.settings.learner.skip_limit,
      **training.settings.scoring,
    )

  def _take_estimator(self, training):
    """The estimator of another run, as rows -> contributions."""
    source = pathlib.Path(self._options.estimator_from)
    saved = saved_estimator.load(source)
    _check_tokens(training, saved.folder, 'estimator')
    base = training.settings.policy.place(saved.base)
    estimator = self._make_estimator(
      training, saved.config, saved.options, base
    )
    learned = estimator.learner.place(saved.learned)
    console_lib.print_line(f'taking the progress estimator of {saved.folder}')
    path = training.folder / saved_estimator.FILE_NAME
    if not path.exists():
      run_folder.write_text(
        path, (saved.folder / saved_estimator.FILE_NAME).read_text('utf-8')
      )
    return lambda rows: estimator.contributions(learned, rows)

  def _fit(self, training, params):
    """Finishes the fit; rows -> contributions, None if interrupted."""
    settings, options = training.settings, self._estimator_options
    estimator = self._make_estimator(training, training.config, options, params)
    path = training.folder / saved_estimator.FILE_NAME
    if path.exists():
      learned = estimator.learner.place(
        checkpoints_lib.read_params(
          saved_estimator.checkpoints_of(training.folder),
          console_lib.print_line,
        )
      )
      return lambda rows: estimator.contributions(learned, rows)
    rollouts = stored_rollouts.read(
      pathlib.Path(self._options.rollouts_from or training.folder) / ROLLOUTS,
      row_tokens=settings.limits.row_tokens,
      steps=settings.limits.steps,
    )
    with checkpoints_lib.Checkpoints(
      saved_estimator.checkpoints_of(training.folder),
      every=options.evaluate_every,
      report=console_lib.print_line,
    ) as checkpoints:
      start = -1 if checkpoints.latest is None else checkpoints.latest
      metrics_lib.drop_from(
        training.folder / metrics_lib.FILE_NAME,
        lambda r: (
          r['stage'] != saved_estimator.STAGE or r['iteration'] <= start
        ),
      )
      with console_lib.bar(
        'estimator', options.steps, max(start, 0)
      ) as advance:

        def on_step(step, metrics, found):
          if step:
            advance(1, f'loss {metrics["regression_loss"]:.4f}')
          if found is None:
            return
          known = {k: v for k, v in found.items() if k != 'calibration'}
          training.writer.write(
            saved_estimator.STAGE, step, {**metrics, **known}
          )
          console_lib.print_line(
            f'estimator {step}/{options.steps}  held-out loss '
            f'{found["held_out_loss"]:.4f}  within 0.1 '
            f'{console_lib.percent(found["within_tolerance"])}'
          )

        state, done = progress_fit.fit(
          estimator,
          rollouts,
          seed=settings.seed,
          checkpoints=checkpoints,
          on_step=on_step,
          should_stop=lambda: training.stop.requested,
        )
    if not progress_fit.finished(state, done, options):
      return None
    learned = state.params
    record = self._describe_fit(training, estimator, learned, rollouts)
    record.update(steps=done, best_step=int(state.best_step))
    run_folder.write_text(path, json.dumps(record, indent=2) + '\n')
    console_lib.print_line(
      f'estimator: held-out loss {record["held_out_loss"]:.4f} after '
      f'{record["best_step"]} of {done} steps'
    )
    return lambda rows: estimator.contributions(learned, rows)

  def _describe_fit(
    self, training, estimator, learned, rollouts
  ) -> dict[str, Any]:
    """The estimator's part of the report, as JSON values."""
    options = self._estimator_options
    held = progress_fit.split_by_task(
      rollouts.task, options.held_out, training.settings.seed
    )
    looked_at = progress_fit.part(rollouts, held)
    said = estimator.contributions(learned, looked_at.rows)
    found = progress_fit.quality(said, looked_at)
    return metrics_lib.finite(
      {
        'rollouts': len(rollouts.task),
        'tasks': len(np.unique(rollouts.task)),
        'held_out_rollouts': int(held.sum()),
        'held_out_tasks': len(np.unique(looked_at.task)),
        'mean_outcome': float(looked_at.outcome.mean()),
        'constant_loss': float(
          np.mean((looked_at.outcome - rollouts.outcome[~held].mean()) ** 2)
        ),
        **found,
        'episodes': self._shown(training, said, looked_at),
      }
    )

  def _shown(self, training, said, rollouts) -> list[dict[str, Any]]:
    """A few episodes of both outcomes: estimated and true progress."""
    # Won and lost by turns, long ones first: there is more to see.
    steps = rollouts.mask.sum(axis=-1)
    by_length = np.argsort(-steps, kind='stable')
    won = [i for i in by_length if rollouts.success[i]]
    lost = [i for i in by_length if not rollouts.success[i]]
    half = _SHOWN // 2
    chosen = (
      won[: max(half, _SHOWN - len(lost))]
      + lost[: max(half, _SHOWN - len(won))]
    )
    return [
      {
        'task': training.domain.task_sentence(
          training.domain.train_tasks[int(rollouts.task[i])]
        ),
        'success': bool(rollouts.success[i]),
        'outcome': float(rollouts.outcome[i]),
        'contributions': said[i, : steps[i]].tolist(),
        'progress': rollouts.progress[i, : steps[i]].tolist(),
        'actions': rollouts.actions[i],
      }
      for i in chosen[:_SHOWN]
    ]


def _check_rollouts(source: pathlib.Path) -> None:
  run_folder.read_config(source)
  if not stored_rollouts.count(source / ROLLOUTS):
    raise FileNotFoundError(
      f'{source} holds no rollouts: finish the exploration of that run with '
      '--method=spa, or take another'
    )


def _check_tokens(training, source: pathlib.Path, what: str) -> None:
  """What another run's policy wrote or reads must be tokens of this one."""
  if not saved_estimator.same_tokens(training.folder, source):
    raise ValueError(
      f'the policy of {source} has another tokenizer, so that its {what} '
      f'and this run do not go together: take --start_from={source} as well'
    )
