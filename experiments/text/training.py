"""Warm start, stages, training and evaluation of a text policy, resumable.

Domain, method and the stages that the method needs are values.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.run import console, interruption
from experiments.text import domain as domain_lib
from experiments.text import evaluations, iterations, warm_start
from experiments.text import settings as settings_lib
from experiments.text import stage as stage_lib
from jaxcredit import methods
from jaxcredit.distributed import processes
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, sharding
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import pool as pool_lib
from jaxcredit.rollouts import shared_collector
from jaxcredit.training import loop as loop_lib
from jaxcredit.training import metrics as metrics_lib


class TextTraining:
  """Runs the parts of a run in order; each resumes where it was stopped.

  Args:
    settings: of the run.
    domain: tasks, environments and demonstrations.
    method: how credit is given.
    method_options: of the method.
    stages: what can be done for a method before the iterations.
    stop: tells when the user interrupts.
    folder: of the run.

  Raises:
    ValueError: the method needs what no stage provides.
  """

  # Runs the iterations; a benchmark looks on.
  iterations = iterations.Iterations

  def __init__(
    self,
    settings: settings_lib.Settings,
    domain: domain_lib.Domain,
    method: methods.Method,
    method_options: Any,
    stages: Sequence[stage_lib.Stage],
    stop: interruption.Interruption,
    folder: pathlib.Path,
  ):
    self.settings = settings
    self.text_format = settings.format.text_format()
    self.domain = domain
    self.method = method
    self.method_options = method_options
    self.stop = stop
    self.folder = folder
    self.evaluations = evaluations.Evaluations(self)
    self.pool: pool_lib.EnvironmentPool
    self.writer: metrics_lib.MetricsWriter
    self.tokenizer: tokenizer_lib.Tokenizer
    self.config: config_lib.DecoderConfig
    self.collector: collector_lib.Collector | shared_collector.SharedCollector
    needs = method.needs_with(method_options)
    self._stages = [s for s in stages if s.provides & needs]
    provided = {'values', 'entropies'}.union(
      *(s.provides for s in self._stages)
    )
    for need in sorted(needs - provided):
      raise ValueError(
        f'--method={method.name} cannot be trained here: '
        f'{methods.NEEDS[need]}, and no stage of this script provides it'
      )
    if method.needs_rows(method_options) and self.text_format.rebuilds_prompt:
      raise ValueError(
        f'--method={method.name} needs an episode as one text: take '
        '--format=plain or --format=message'
      )

  def run(self) -> bool:
    """Runs the remaining parts; returns whether the run is complete."""
    settings = self.settings
    settings.policy.check()
    for stage in self._stages:
      stage.check(self)
    with self.stop.at_once('making tasks'):
      self.domain.load()
    console.print_line(
      f'training on {self.domain.train_from}, evaluating on '
      f'{self.domain.test_from}'
    )
    self.writer = metrics_lib.MetricsWriter(
      self.folder, tensorboard=settings.run.tensorboard
    )
    # Each process has the environments of its share of the groups.
    count = (
      processes.largest_share(settings.loop.groups) * settings.loop.group_size
    )
    with pool_lib.EnvironmentPool(
      self.domain.environment(),
      count,
      workers=min(settings.run.environment_workers, count),
      time_limit=settings.run.step_time_limit,
    ) as self.pool:
      try:
        return self._run()
      except collector_lib.RolloutInterruptedError:
        # What is on the disk is complete up to what was being played, which is
        # a function of the seed and is played again.
        return False
      finally:
        self.writer.close()

  def _run(self) -> bool:
    self.evaluations.forget_unfinished()
    params = warm_start.run(self)
    if params is None:
      return False
    predictions = self._predictions(params)
    if predictions is None:
      return False
    if not self.settings.run.iterations:
      return True
    return self.iterations(self, params, predictions).run()

  def _predictions(
    self, params: decoder.Params
  ) -> Mapping[str, loop_lib.Prediction] | None:
    """Predictions of the stages; None if one was interrupted."""
    if self._stages and self.settings.policy.lora is None:
      # The learner takes the buffers over.
      params = jax.tree.map(jnp.copy, params)
    provided: dict[str, loop_lib.Prediction] = {}
    for stage in self._stages:
      found = stage.run(self, params)
      if found is None:
        return None
      provided |= found
    return provided

  def prepare_policy(
    self,
    tokenizer: tokenizer_lib.Tokenizer,
    config: config_lib.DecoderConfig,
  ) -> None:
    """Sets tokenizer and configuration, and makes the collector."""
    settings = self.settings
    self.tokenizer = tokenizer
    self.text_format = settings.format.text_format(tokenizer)
    # What the policy has beyond the tokenizer is neither sampled nor learned.
    self.config = config.for_tokenizer(tokenizer.vocab_size)
    mesh = settings.policy.mesh
    if processes.count() > 1:
      mesh = sharding.make_local_mesh(mesh)
    self.collector = collector_lib.Collector(
      self.config,
      tokenizer,
      self.text_format,
      self.pool,
      task_sentence=self.domain.task_sentence,
      limits=settings.limits,
      mesh=mesh,
      # Asking is done together, which processes in their own rollouts are not.
      should_stop=lambda: processes.count() == 1 and self.stop.requested,
    )
    if processes.count() > 1:
      self.collector = shared_collector.SharedCollector(self.collector, mesh)

  def report_failures(self, seen: int, all_lost: bool) -> None:
    """Says why episodes were lost since there were `seen` failures.

    Raises:
      ValueError: all were lost.
    """
    failures = self.pool.failures[seen:]
    words = [f.in_words(self.domain.task_sentence) for f in failures[:3]]
    if failures and all_lost:
      raise ValueError(f'all episodes were lost: {words[0]}')
    for reason in words:
      console.print_line(f'  an episode was lost: {reason}')
    if len(failures) > 3:
      console.print_line(f'  and {len(failures) - 3} more')
