"""Evaluations of a run: each is played once, and recorded at its end."""

import jax

from experiments.run import console
from jaxcredit.distributed import processes
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.training import evaluation
from jaxcredit.training import metrics as metrics_lib

BEFORE_TRAINING = 'before training'
AFTER_WARM_START = 'after the warm start'
AFTER_TRAINING = 'after training'


class Evaluations:
  """The evaluations of a run.

  Args:
    training: `training.TextTraining`, whose run it is.
  """

  def __init__(self, training):
    self._training = training
    self._folder = training.folder

  def forget_unfinished(self) -> None:
    """Drops metrics of an evaluation that was killed before it was recorded."""
    recorded = {e['iteration'] for e in evaluation.read(self._folder)}
    metrics_lib.drop_from(
      self._folder / metrics_lib.FILE_NAME,
      lambda r: r['stage'] != 'evaluation' or r['iteration'] in recorded,
    )

  def done(self, iteration: int, *stages: str) -> bool:
    """Whether an evaluation was recorded, in one of these stages or in any."""
    return processes.as_first(
      any(
        e['iteration'] == iteration and e['stage'] in (stages or [e['stage']])
        for e in evaluation.read(self._folder)
      )
    )

  def is_due(self, done: int) -> bool:
    """Whether to evaluate during training."""
    every = self._training.settings.run.evaluate_every
    return bool(done and every and not done % every) and not self.done(done)

  def take_over(self, source) -> None:
    """Records the evaluation of another run's warm start as this run's."""
    domain = self._training.domain
    same = [
      e
      for e in evaluation.read(source)
      if e['stage'] == AFTER_WARM_START and e['games'] == domain.test_from
    ]
    if same and not self.done(0, AFTER_WARM_START):
      entry = same[0]
      evaluation.record(
        self._folder,
        entry.pop('stage'),
        entry.pop('iteration'),
        entry.pop('games'),
        entry,
      )

  def once(self, params, stage: str, iteration: int) -> None:
    """Plays the evaluation tasks, unless they were played before."""
    training = self._training
    domain, settings = training.domain, training.settings
    if self.done(iteration, stage):
      return
    seen = len(training.pool.failures)
    with console.bar('evaluation', len(domain.test_tasks)) as advance:
      summary = evaluation.evaluate(
        training.collector,
        params,
        domain.test_tasks,
        domain.task_type,
        jax.random.fold_in(jax.random.key(settings.seed), 2),
        temperature=settings.evaluation_temperature,
        on_episode=advance,
      )
    # The next iteration's seconds are its own.
    training.collector.timing = collector_lib.Timing()
    training.report_failures(seen, not summary['mean_length'])
    training.writer.write(
      'evaluation',
      iteration,
      {
        'success_rate': summary['success_rate'],
        'episode_length': summary['mean_length'],
        'mean_reward': summary['mean_reward'],
        'grounding_accuracy': summary['grounding_accuracy'],
        'success_by_task_type': {
          kind: part['success_rate']
          for kind, part in summary['by_task_type'].items()
        },
      },
    )
    # Last: what is recorded here is not played again.
    evaluation.record(self._folder, stage, iteration, domain.test_from, summary)
    console.print_line(
      f'{stage}: {summary["successes"]} of {summary["episodes"]} '
      f'{domain.won} ({console.percent(summary["success_rate"])})'
    )
