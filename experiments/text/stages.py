"""Warm start, training and evaluation of a text policy, as resumable stages.

What is trained on is a domain, how credit is given a method: both are values.
"""

import contextlib
import dataclasses
import functools
import pathlib
import shutil

import jax
import numpy as np

from experiments.run import console as console_lib
from experiments.run import interruption, profiling
from experiments.text import build_loop as training_loop
from experiments.text import domain as domain_lib
from experiments.text import method as method_lib
from experiments.text import policy_options, saved_policy
from jaxcredit.distributed import processes
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, sharding
from jaxcredit.networks.tokenizers import pretrained_tokenizer
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.rollouts import formats, shared_collector
from jaxcredit.rollouts import pool as pool_lib
from jaxcredit.training import checkpoints as checkpoints_lib
from jaxcredit.training import critic as critic_lib
from jaxcredit.training import (
  evaluation,
  policy_gradient,
  stage_clock,
  supervised,
)
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import loop as loop_lib
from jaxcredit.training import metrics as metrics_lib
from jaxcredit.training import warm_start as warm_start_lib

# A line piped to a file stays one line.
print_line = functools.partial(console_lib.console.print, soft_wrap=True)

BEFORE_TRAINING = 'before training'
AFTER_WARM_START = 'after the warm start'
AFTER_TRAINING = 'after training'


@dataclasses.dataclass(frozen=True)
class Settings:
  """All that a run is made of, but its domain and method.

  The flags of the scripts have the same names.
  """

  run: pathlib.Path
  seed: int
  text_format: formats.Format
  model: dict[str, int]
  policy: policy_options.PolicyOptions
  pretrained: str | None
  vocabulary: int
  warm_start_steps: int
  warm_start_batch: int
  warm_start_learning_rate: float
  warm_start_observation_weight: float
  start_from: str | None
  iterations: int
  loop: loop_lib.LoopOptions
  loss: policy_gradient.LossOptions
  critic: critic_lib.CriticOptions
  limits: collector_lib.RolloutLimits
  learning_rate: float
  weight_decay: float
  clip_norm: float
  micro_batch_tokens: int
  skip_limit: int
  evaluation_temperature: float
  evaluate_every: int
  checkpoint_every: int
  keep_checkpoints: int
  profile: int
  save_episodes_every: int
  environment_workers: int
  step_time_limit: float
  tensorboard: bool
  overlap: bool
  overlap_correction: str
  importance_cap: float


class TextTraining:
  """The stages of a run, in order; each goes on where it was left.

  Args:
    settings: of the run.
    domain: tasks, environments and demonstrations.
    method: how credit is given.
    stop: set when the user interrupts.
  """

  def __init__(
    self,
    settings: Settings,
    domain: domain_lib.Domain,
    method: method_lib.Method,
    stop: interruption.Interruption,
  ):
    self.settings = settings
    self.domain = domain
    self.method = method
    self.stop = stop
    self.folder = settings.run
    self.tokenizer: tokenizer_lib.Tokenizer
    self.config: config_lib.DecoderConfig
    self.collector: collector_lib.Collector | shared_collector.SharedCollector
    self._writer: metrics_lib.MetricsWriter
    self._clock = stage_clock.StageClock()

  def run(self) -> bool:
    """Runs what is left; returns whether the run is complete."""
    settings = self.settings
    settings.policy.check()
    self.domain.load()
    print_line(
      f'training on {self.domain.train_from}, evaluating on '
      f'{self.domain.test_from}'
    )
    self._writer = metrics_lib.MetricsWriter(
      self.folder, tensorboard=settings.tensorboard
    )
    # Each process has the environments of its share of the groups.
    count = (
      processes.largest_share(settings.loop.groups) * settings.loop.group_size
    )
    with pool_lib.EnvironmentPool(
      self.domain.environment(),
      count,
      workers=min(settings.environment_workers, count),
      time_limit=settings.step_time_limit,
    ) as self.pool:
      try:
        self._forget_unfinished_evaluations()
        params = self._warm_start()
        if params is None or not self._prepare(params):
          return False
        return not settings.iterations or self._train(params)
      except collector_lib.RolloutInterruptedError:
        # What stands on the disk is complete up to what was being played,
        # which is a function of the seed and is played again.
        return False
      finally:
        self._writer.close()

  def _prepare(self, params: decoder.Params) -> bool:
    """What a method needs before training; returns whether that is complete.

    Args:
      params: after the warm start. Training takes their buffers over, so that
        whoever needs them later keeps a copy.
    """
    del params
    return True

  # The policy to start from.

  def _prepare_policy(self, tokenizer, config) -> None:
    settings = self.settings
    self.tokenizer = tokenizer
    # What the policy has beyond the tokenizer is neither sampled nor learned.
    self.config = config.for_tokenizer(tokenizer.vocab_size)
    mesh = settings.policy.mesh
    if processes.count() > 1:
      mesh = sharding.make_local_mesh(mesh)
    self.collector = collector_lib.Collector(
      self.config,
      tokenizer,
      settings.text_format,
      self.pool,
      task_sentence=self.domain.task_sentence,
      limits=settings.limits,
      mesh=mesh,
      # Asking is done together, which processes in their own rollouts are not.
      should_stop=lambda: processes.count() == 1 and self.stop.requested,
    )
    if processes.count() > 1:
      self.collector = shared_collector.SharedCollector(self.collector, mesh)

  def _warm_start(self) -> decoder.Params | None:
    """Parameters after imitation; None if it was interrupted."""
    settings = self.settings
    if settings.start_from:
      return self._copy_start(pathlib.Path(settings.start_from))
    params = None
    if settings.pretrained:
      params, config = settings.policy.load(settings.pretrained)
      tokenizer = pretrained_tokenizer.load(settings.pretrained)
      self._prepare_policy(tokenizer, config)
    if settings.warm_start_steps or not settings.pretrained:
      rows = self._demonstrations()
    if params is None:
      params = settings.policy.place(
        decoder.init(
          jax.random.fold_in(jax.random.key(settings.seed), 1), self.config
        )
      )
    print_line(
      f'policy: {decoder.count_parameters(params):,} parameters, '
      f'{self.config.vocab_size} tokens'
    )
    if not settings.warm_start_steps:
      self._evaluate_once(params, BEFORE_TRAINING, 0)
      return params
    learner = learner_lib.Learner(
      supervised.make_loss(
        self.config,
        observation_weight=settings.warm_start_observation_weight,
      ),
      supervised.count_tokens,
      learner_lib.make_optimizer(
        learning_rate=settings.warm_start_learning_rate,
        warmup=min(50, settings.warm_start_steps // 10 + 1),
        decay_steps=settings.warm_start_steps,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
      ),
      micro_batch_tokens=settings.micro_batch_tokens,
      lengths=training_loop.row_lengths(settings.limits.row_tokens),
      skip_limit=settings.skip_limit,
      mesh=settings.policy.mesh,
    )
    with checkpoints_lib.Checkpoints(
      self.folder / 'checkpoints' / 'warm_start',
      every=max(settings.warm_start_steps // 4, 1),
      report=print_line,
    ) as checkpoints:
      start = checkpoints.latest or 0
      metrics_lib.drop_from(
        self.folder / metrics_lib.FILE_NAME,
        lambda r: r['stage'] != 'warm_start' or r['iteration'] <= start,
      )
      with console_lib.bar(
        'warm start', settings.warm_start_steps, start
      ) as advance:

        def on_step(step, metrics):
          advance(1, f'loss {metrics["imitation_loss"]:.3f}')
          if step % 20 == 0 or step == settings.warm_start_steps:
            self._writer.write('warm_start', step, metrics)
          if step % 100 == 0 or step == settings.warm_start_steps:
            print_line(
              f'warm start {step}/{settings.warm_start_steps}  loss '
              f'{metrics["imitation_loss"]:.3f}  likely '
              f'{console_lib.percent(metrics["accuracy"])}'
            )

        state, done = warm_start_lib.run(
          learner.init(params),
          learner,
          rows,
          steps=settings.warm_start_steps,
          batch_size=settings.warm_start_batch,
          seed=settings.seed,
          checkpoints=checkpoints,
          on_step=on_step,
          should_stop=lambda: self.stop.requested,
        )
    if done < settings.warm_start_steps:
      return None
    self._evaluate_once(state.params, AFTER_WARM_START, 0)
    return state.params

  def _demonstrations(self):
    """Demonstrated rows; trains the tokenizer, or reads that of the run."""
    settings = self.settings
    count = self.domain.demonstration_count
    with console_lib.bar('demonstrations', count) as advance:
      shown = self.domain.demonstrate(advance)
    if shown.count < settings.warm_start_batch:
      raise ValueError(
        f'{shown.words}: fewer than --warm_start_batch '
        f'({settings.warm_start_batch}): {shown.advice}'
      )
    path = self.folder / 'tokenizer'
    if settings.pretrained:
      tokenizer = self.tokenizer
    else:
      if processes.is_first() and not (path / 'tokenizer.json').exists():
        tokenizer_lib.train_tokenizer(
          shown.corpus(settings.text_format), settings.vocabulary
        ).save(path)
      processes.wait()
      tokenizer = tokenizer_lib.Tokenizer.load(path)
    if not settings.pretrained:
      self._prepare_policy(
        tokenizer,
        config_lib.DecoderConfig(
          vocab_size=settings.policy.vocabulary(tokenizer.vocab_size),
          **settings.model,
          **settings.policy.computing(False),
        ),
      )
    rows = shown.rows(
      tokenizer, settings.text_format, settings.limits.row_tokens
    )
    if not rows:
      raise ValueError(
        f'no demonstration fits a row of --row_tokens='
        f'{settings.limits.row_tokens} tokens: give more'
      )
    lengths = [len(row.tokens) for row in rows]
    print_line(
      f'{shown.words}; rows of {np.mean(lengths):.0f} tokens on average, '
      f'{max(lengths)} at most'
    )
    return episodes_lib.pack_rows(
      rows, range(len(rows)), settings.limits.row_tokens
    )

  def _copy_start(self, source: pathlib.Path) -> decoder.Params:
    """Takes the warm start of another run, with its evaluation."""
    options = self.settings.policy
    policy = saved_policy.load(source, 'warm_start')
    params = options.place(policy.params)
    self._prepare_policy(policy.tokenizer, options.onto(policy.config))
    path = self.folder / 'tokenizer'
    if (
      processes.is_first()
      and not path.exists()
      and (source / 'tokenizer').exists()
    ):
      shutil.copytree(source / 'tokenizer', path)
    print_line(f'starting from the warm start of {source}')
    same = [
      e
      for e in evaluation.read(source)
      if e['stage'] == AFTER_WARM_START and e['games'] == self.domain.test_from
    ]
    if same and not self._evaluated(0, AFTER_WARM_START):
      entry = same[0]
      evaluation.record(
        self.folder,
        entry.pop('stage'),
        entry.pop('iteration'),
        entry.pop('games'),
        entry,
      )
    self._evaluate_once(params, AFTER_WARM_START, 0)
    return params

  def _report_failures(self, seen: int, all_lost: bool) -> None:
    """Says why episodes were lost since there were `seen` failures.

    Raises:
      ValueError: all were lost.
    """
    failures = self.pool.failures[seen:]
    if failures and all_lost:
      words = failures[0].in_words(self.domain.task_sentence)
      raise ValueError(f'all episodes were lost: {words}')
    for failure in failures[:3]:
      print_line(
        f'  an episode was lost: {failure.in_words(self.domain.task_sentence)}'
      )
    if len(failures) > 3:
      print_line(f'  and {len(failures) - 3} more')

  # Evaluation.

  def _forget_unfinished_evaluations(self) -> None:
    """Metrics of an evaluation that was killed before it was recorded."""
    recorded = {e['iteration'] for e in evaluation.read(self.folder)}
    metrics_lib.drop_from(
      self.folder / metrics_lib.FILE_NAME,
      lambda r: r['stage'] != 'evaluation' or r['iteration'] in recorded,
    )

  def _evaluated(self, iteration: int, *stages: str) -> bool:
    """Whether that was done, in one of these stages or, without, in any."""
    return processes.as_first(
      any(
        e['iteration'] == iteration and e['stage'] in (stages or [e['stage']])
        for e in evaluation.read(self.folder)
      )
    )

  def _evaluation_is_due(self, done: int) -> bool:
    """Whether to evaluate in the midst of training."""
    every = self.settings.evaluate_every
    return bool(done and every and not done % every) and (
      not self._evaluated(done)
    )

  def _evaluate_once(self, params, stage: str, iteration: int) -> None:
    """Plays the evaluation games, unless that was done."""
    settings = self.settings
    if self._evaluated(iteration, stage):
      return
    seen = len(self.pool.failures)
    with console_lib.bar('evaluation', len(self.domain.test_tasks)) as advance:
      summary = evaluation.evaluate(
        self.collector,
        params,
        self.domain.test_tasks,
        self.domain.task_type,
        jax.random.fold_in(jax.random.key(settings.seed), 2),
        temperature=settings.evaluation_temperature,
        on_episode=advance,
      )
    # The next iteration's seconds are its own.
    self.collector.timing = collector_lib.Timing()
    self._report_failures(seen, not summary['mean_length'])
    self._writer.write(
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
    evaluation.record(
      self.folder, stage, iteration, self.domain.test_from, summary
    )
    print_line(
      f'{stage}: {summary["successes"]} of {summary["episodes"]} '
      f'{self.domain.won} '
      f'({console_lib.percent(summary["success_rate"])})'
    )

  # Training.

  def _train(self, params: decoder.Params) -> bool:
    settings = self.settings
    training = training_loop.build(
      settings,
      self.config,
      self.method,
      self.collector,
      self.domain.train_tasks,
      params,
      print_line,
    )
    loop, state = training.loop, training.state
    with checkpoints_lib.Checkpoints(
      self.folder / 'checkpoints' / 'train',
      keep=settings.keep_checkpoints,
      every=settings.checkpoint_every,
      report=print_line,
    ) as checkpoints:
      done = checkpoints.latest or 0
      if done:
        state = checkpoints.restore(state)
        print_line(f'resuming after iteration {done}')
      metrics_lib.drop_from(
        self.folder / metrics_lib.FILE_NAME,
        lambda r: r['stage'] != 'train' or r['iteration'] <= done,
      )
      for name in self.method.record_files:
        metrics_lib.drop_from(
          self.folder / name, lambda r: r['iteration'] <= done
        )
      profile = profiling.Profile(
        self.folder, settings.profile, settings.iterations - done
      )
      self._clock = stage_clock.StageClock('checkpoint')
      # A rollout or evaluation that is given up changes nothing of the state.
      with (
        contextlib.suppress(collector_lib.RolloutInterruptedError),
        contextlib.closing(profile),
      ):
        while done < settings.iterations and not self.stop.requested:
          # At the beginning of the next iteration, so that whoever was stopped
          # between a checkpoint and its evaluation makes up for that.
          if self._evaluation_is_due(done):
            with self._clock.measure('evaluation'):
              self._evaluate_once(
                training.playing(training_loop.policy_state(state).params),
                f'after {done} iterations',
                done,
              )
          with profile.iteration(done + 1):
            state = self._iterate(loop, state, done + 1, training.reference)
            done += 1
            with self._clock.measure('checkpoint'):
              checkpoints.save(done, state)
      checkpoints.save(done, state, force=True)
      checkpoints.wait()
    if done < settings.iterations:
      return False
    self._evaluate_once(
      training.playing(training_loop.policy_state(state).params),
      AFTER_TRAINING,
      done,
    )
    return True

  def _iterate(self, loop, state, iteration: int, reference):
    settings = self.settings
    count = settings.loop.groups * settings.loop.group_size
    seen = len(self.pool.failures)
    with console_lib.bar('episodes', count) as advance:
      state, metrics, batch, _ = loop.run(
        state, iteration, reference=reference, on_episode=advance
      )
    self._report_failures(
      seen, metrics['failed_episodes'] == len(batch.episodes)
    )
    with self._clock.measure('records'):
      metrics.update(self.method.metrics(batch))
    # With what followed the record of the iteration before.
    metrics |= self._clock.split(metrics)
    with self._clock.measure('records'):
      self._record(iteration, metrics, batch)
    return state

  def _record(self, iteration: int, metrics, batch) -> None:
    settings = self.settings
    self._writer.write('train', iteration, metrics)
    print_line(
      console_lib.iteration_line(iteration, settings.iterations, metrics)
    )
    if metrics['skipped_updates']:
      print_line(
        f'  {metrics["skipped_updates"]} updates skipped so far: their loss '
        'or gradient was not finite'
      )
    every = settings.save_episodes_every
    if every and (iteration % every == 0 or iteration == settings.iterations):
      for name, records in self.method.records(
        iteration, batch, self.tokenizer, settings.loop.group_size
      ).items():
        metrics_lib.append_json_lines(self.folder / name, records)
