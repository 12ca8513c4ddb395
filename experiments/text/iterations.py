"""The iterations of a training, with checkpoints, evaluations and records."""

import contextlib
from collections.abc import Mapping

from experiments.run import console, profiling
from experiments.text import build_loop, evaluations, records
from jaxcredit.networks import decoder
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.training import checkpoints as checkpoints_lib
from jaxcredit.training import loop as loop_lib
from jaxcredit.training import metrics as metrics_lib
from jaxcredit.training import stage_clock


class Iterations:
  """Runs the remaining iterations.

  Args:
    training: `training.TextTraining`, whose run it is.
    params: to start from; their buffers are taken over.
    predictions: what stages provide.
  """

  def __init__(
    self,
    training,
    params: decoder.Params,
    predictions: Mapping[str, loop_lib.Prediction],
  ):
    self._training = training
    self._built = build_loop.build(
      training.settings,
      training.config,
      training.method,
      training.method_options,
      training.collector,
      training.domain.train_tasks,
      params,
      predictions,
    )
    self._records = records.Records(training)
    self._clock = stage_clock.StageClock('checkpoint')

  def run(self) -> bool:
    """Runs the remaining iterations; returns whether all are complete."""
    training, options = self._training, self._training.settings.run
    state = self._built.state
    with checkpoints_lib.Checkpoints(
      training.folder / 'checkpoints' / 'train',
      keep=options.keep_checkpoints,
      every=options.checkpoint_every,
      report=console.print_line,
    ) as checkpoints:
      done = checkpoints.latest or 0
      if done:
        state = checkpoints.restore(state)
        console.print_line(f'resuming after iteration {done}')
      metrics_lib.drop_from(
        training.folder / metrics_lib.FILE_NAME,
        lambda r: r['stage'] != 'train' or r['iteration'] <= done,
      )
      self._records.drop_after(done)
      profile = profiling.Profile(
        training.folder, options.profile, options.iterations - done
      )
      # A rollout or evaluation that is given up changes nothing of the state.
      with (
        contextlib.suppress(collector_lib.RolloutInterruptedError),
        contextlib.closing(profile),
      ):
        while done < options.iterations and not training.stop.requested:
          # At the beginning of the next iteration, so that whoever was stopped
          # between a checkpoint and its evaluation makes up for that.
          if training.evaluations.is_due(done):
            with self._clock.measure('evaluation'):
              self._evaluate(state, f'after {done} iterations', done)
          with profile.iteration(done + 1):
            state = self._iterate(state, done + 1)
            done += 1
            with self._clock.measure('checkpoint'):
              checkpoints.save(done, state)
      checkpoints.save(done, state, force=True)
      checkpoints.wait()
    if done < options.iterations:
      return False
    self._evaluate(state, evaluations.AFTER_TRAINING, done)
    return True

  def _evaluate(self, state, stage: str, iteration: int) -> None:
    policy = self._built.playing(build_loop.policy_state(state).params)
    self._training.evaluations.once(policy, stage, iteration)

  def _iterate(self, state, iteration: int):
    training = self._training
    settings = training.settings
    count = settings.loop.groups * settings.loop.group_size
    seen = len(training.pool.failures)
    with console.bar('episodes', count) as advance:
      state, metrics, batch, credit = self._built.loop.run(
        state, iteration, reference=self._built.reference, on_episode=advance
      )
    training.report_failures(
      seen, metrics['failed_episodes'] == len(batch.episodes)
    )
    # With what followed the record of the iteration before.
    metrics |= self._clock.split(metrics)
    with self._clock.measure('records'):
      self._record(iteration, metrics, batch, credit)
    return state

  def _record(self, iteration: int, metrics, batch, credit) -> None:
    options = self._training.settings.run
    self._training.writer.write('train', iteration, metrics)
    console.print_line(
      console.iteration_line(iteration, options.iterations, metrics)
    )
    if metrics['skipped_updates']:
      console.print_line(
        f'  {metrics["skipped_updates"]} updates skipped so far: their loss '
        'or gradient was not finite'
      )
    if metrics['unchecked_share'] > 0:
      console.print_line(
        f'  {console.percent(metrics["unchecked_share"])} of the answers could '
        'not be checked, and count as wrong (--failed_check)'
      )
    every = options.save_episodes_every
    if every and (iteration % every == 0 or iteration == options.iterations):
      self._records.write(iteration, batch, credit)
