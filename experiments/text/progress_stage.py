"""SPA's stages between warm start and training: exploration and estimator."""

import dataclasses
import json
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.run import console as console_lib
from experiments.run import folder as run_folder
from experiments.text import build_loop as training_loop
from experiments.text import saved_estimator
from experiments.text import stages as text_training
from jaxcredit.distributed import processes
from jaxcredit.networks import decoder
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.rollouts import stored_rollouts, true_progress
from jaxcredit.training import checkpoints as checkpoints_lib
from jaxcredit.training import metrics as metrics_lib
from jaxcredit.training import progress_estimator, progress_fit, row_scores

# Folder of a run in which its rollouts lie.
ROLLOUTS = 'rollouts'
# Episodes whose progress the report shows.
_SHOWN = 4


@dataclasses.dataclass(frozen=True)
class ProgressOptions:
  """Options of the two stages. Flags have the same names.

  Attributes:
    exploration_tasks: tasks that are played; 0 for all to train on.
    exploration_rollouts: rollouts of each.
    exploration_temperature: of the sampler.
    rollouts_from: another run whose exploration to learn from; None to explore.
    estimator_from: another run whose estimator to take; None to fit one.
    estimator: of its fit; flags have `estimator_` before the names.
  """

  exploration_tasks: int = 0
  exploration_rollouts: int = 10
  exploration_temperature: float = 1.0
  rollouts_from: str | None = None
  estimator_from: str | None = None
  estimator: progress_estimator.EstimatorOptions = (
    progress_estimator.EstimatorOptions()
  )


class ProgressTraining(text_training.TextTraining):
  """A training that explores and fits an estimator first, where that is needed.

  Args:
    settings: see `text_training.TextTraining`; likewise the next two.
    domain: likewise.
    method: likewise; one with `needs_estimator` and `needs_reference` is given
      what it needs.
    stop: set when the user interrupts.
    options: of the stages.
  """

  def __init__(self, settings, domain, method, stop, options: ProgressOptions):
    super().__init__(settings, domain, method, stop)
    self.options = options
    # What cannot work shows now, and not after the warm start.
    if getattr(method, 'needs_estimator', False):
      if settings.text_format.rebuilds_prompt:
        raise ValueError(
          'the progress estimator needs an episode as one text: take '
          '--format=plain or --format=message'
        )
      if options.estimator_from:
        saved_estimator.find(pathlib.Path(options.estimator_from))
      elif options.rollouts_from:
        self._check_rollouts(pathlib.Path(options.rollouts_from))

  def _prepare(self, params: decoder.Params) -> bool:
    method = self.method
    needs_estimator = getattr(method, 'needs_estimator', False)
    needs_reference = getattr(method, 'needs_reference', False)
    if not needs_estimator and not needs_reference:
      return True
    if self.settings.policy.lora is None:
      # The learner will take the buffers over.
      params = jax.tree.map(jnp.copy, params)
    if needs_reference:
      method.reference = self._reference(params)
    if not needs_estimator:
      return True
    if self.options.estimator_from:
      method.estimate = self._take_estimator()
      return True
    if self.options.rollouts_from:
      self._check_tokens(pathlib.Path(self.options.rollouts_from), 'rollouts')
    elif not self._explore(params):
      return False
    method.estimate = self._fit(params)
    return method.estimate is not None

  def _scoring(self) -> dict[str, Any]:
    settings = self.settings
    return {
      'micro_batch_tokens': settings.micro_batch_tokens,
      'lengths': training_loop.row_lengths(settings.limits.row_tokens),
      'mesh': settings.policy.mesh,
    }

  def _reference(self, params):
    """Rows -> log-probabilities [E, L] under a policy that stays."""
    config, temperature = self.config, self.settings.loop.temperature

    @jax.jit
    def log_probs(params, rows):
      return decoder.log_probs(
        params, config, rows.tokens, rows.length, temperature=temperature
      )[0]

    def reference(rows):
      return row_scores.over_rows(
        lambda part: log_probs(params, part),
        rows,
        rows.tokens.shape[1],
        **self._scoring(),
      )

    return reference

  # Exploration.

  def _explore(self, params) -> bool:
    """Plays what is left of the rollouts; returns whether all are there."""
    settings, options = self.settings, self.options
    tasks = self.domain.train_tasks
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
    folder = self.folder / ROLLOUTS
    done = stored_rollouts.count(folder)
    metrics_lib.drop_from(
      self.folder / metrics_lib.FILE_NAME,
      lambda r: r['stage'] != 'exploration' or r['iteration'] <= done,
    )
    key = jax.random.fold_in(jax.random.key(settings.seed), 6)
    environment = self.domain.environment()()
    with console_lib.bar('exploration', len(order), done * at_once) as advance:
      for number in range(done, len(batches)):
        if self.stop.requested:
          return False
        self._explore_batch(
          params, number, batches[number], key, environment, folder
        )
        advance(len(batches[number]))
    if done < len(batches):
      text_training.print_line(
        f'exploration: {options.exploration_rollouts} rollouts of '
        f'{len(order)} tasks'
      )
    return True

  def _explore_batch(self, params, number, chosen, key, environment, folder):
    """Plays and writes a batch."""
    options = self.options
    start, seen = time.perf_counter(), len(self.pool.failures)
    episodes = self.collector.collect(
      params,
      [self.domain.train_tasks[i] for i in chosen],
      options.exploration_rollouts,
      jax.random.fold_in(key, number),
      temperature=options.exploration_temperature,
    )
    whole = [e for e in episodes if not e.failure]
    self._report_failures(seen, not whole)
    self._writer.write(
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

  @staticmethod
  def _check_rollouts(source: pathlib.Path) -> None:
    run_folder.read_config(source)
    if not stored_rollouts.count(source / ROLLOUTS):
      raise FileNotFoundError(
        f'{source} holds no rollouts: finish the exploration of that run with '
        '--method=spa, or take another'
      )

  def _check_tokens(self, source: pathlib.Path, what: str) -> None:
    """What another run's policy wrote or reads must be tokens of this one."""
    if not saved_estimator.same_tokens(self.folder, source):
      raise ValueError(
        f'the policy of {source} has another tokenizer, so that its {what} '
        f'and this run do not go together: take --start_from={source} as well'
      )

  # The estimator.

  def _make_estimator(self, config, options, base):
    return progress_estimator.ProgressEstimator(
      config,
      options,
      base,
      steps=self.settings.limits.steps,
      skip_limit=self.settings.skip_limit,
      **self._scoring(),
    )

  def _take_estimator(self):
    """The estimator of another run, as rows -> contributions."""
    source = pathlib.Path(self.options.estimator_from)
    saved = saved_estimator.load(source)
    self._check_tokens(saved.folder, 'estimator')
    base = self.settings.policy.place(saved.base)
    estimator = self._make_estimator(saved.config, saved.options, base)
    learned = estimator.learner.place(saved.learned)
    text_training.print_line(f'taking the progress estimator of {saved.folder}')
    path = self.folder / saved_estimator.FILE_NAME
    if not path.exists():
      run_folder.write_text(
        path, (saved.folder / saved_estimator.FILE_NAME).read_text('utf-8')
      )
    return lambda rows: estimator.contributions(learned, rows)

  def _fit(self, params):
    """Fits what is left; rows -> contributions, None if interrupted."""
    settings, options = self.settings, self.options.estimator
    estimator = self._make_estimator(self.config, options, params)
    path = self.folder / saved_estimator.FILE_NAME
    if path.exists():
      learned = estimator.learner.place(
        checkpoints_lib.read_params(
          saved_estimator.checkpoints_of(self.folder),
          text_training.print_line,
        )
      )
      return lambda rows: estimator.contributions(learned, rows)
    rollouts = stored_rollouts.read(
      pathlib.Path(self.options.rollouts_from or self.folder) / ROLLOUTS,
      row_tokens=settings.limits.row_tokens,
      steps=settings.limits.steps,
    )
    with checkpoints_lib.Checkpoints(
      saved_estimator.checkpoints_of(self.folder),
      every=options.evaluate_every,
      report=text_training.print_line,
    ) as checkpoints:
      start = -1 if checkpoints.latest is None else checkpoints.latest
      metrics_lib.drop_from(
        self.folder / metrics_lib.FILE_NAME,
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
          self._writer.write(saved_estimator.STAGE, step, {**metrics, **known})
          text_training.print_line(
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
          should_stop=lambda: self.stop.requested,
        )
    if not progress_fit.finished(state, done, options):
      return None
    learned = state.params
    record = self._describe_fit(estimator, learned, rollouts)
    record.update(steps=done, best_step=int(state.best_step))
    run_folder.write_text(path, json.dumps(record, indent=2) + '\n')
    text_training.print_line(
      f'estimator: held-out loss {record["held_out_loss"]:.4f} after '
      f'{record["best_step"]} of {done} steps'
    )
    return lambda rows: estimator.contributions(learned, rows)

  def _describe_fit(self, estimator, learned, rollouts) -> dict[str, Any]:
    """What the report says of the estimator, as JSON takes it."""
    options = self.options.estimator
    held = progress_fit.split_by_task(
      rollouts.task, options.held_out, self.settings.seed
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
        'episodes': self._shown(said, looked_at),
      }
    )

  def _shown(self, said, rollouts) -> list[dict[str, Any]]:
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
        'task': self.domain.task_sentence(
          self.domain.train_tasks[int(rollouts.task[i])]
        ),
        'success': bool(rollouts.success[i]),
        'outcome': float(rollouts.outcome[i]),
        'contributions': said[i, : steps[i]].tolist(),
        'progress': rollouts.progress[i, : steps[i]].tolist(),
        'actions': rollouts.actions[i],
      }
      for i in chosen[:_SHOWN]
    ]
