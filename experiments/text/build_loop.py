"""Builds the loop of a training from the settings of a run."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.run import console
from experiments.text import policy_options
from experiments.text import settings as settings_lib
from jaxcredit import methods
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import shared_collector
from jaxcredit.training import critic as critic_lib
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import loop as loop_lib
from jaxcredit.training import off_policy, overlapped, policy_gradient


@dataclasses.dataclass(frozen=True)
class TrainingLoop:
  """A loop, and the state it begins with.

  Attributes:
    loop: runs iterations.
    state: before the first of them.
    playing: learned parameters -> those of the policy.
    reference: parameters of the reference policy of the loss; None without.
  """

  loop: loop_lib.Loop | overlapped.Overlapped
  state: Any
  playing: Callable[[Any], decoder.Params]
  reference: decoder.Params | None


def policy_state(state: Any) -> learner_lib.LearnerState:
  """The policy part of the training state."""
  if isinstance(state, overlapped.OverlappedState):
    state = state.training
  return state.policy


def build(
  settings: settings_lib.Settings,
  config: config_lib.DecoderConfig,
  method: methods.Method,
  method_options: Any,
  collector: collector_lib.Collector | shared_collector.SharedCollector,
  tasks: Sequence[Any],
  params: decoder.Params,
  predictions: Mapping[str, loop_lib.Prediction],
) -> TrainingLoop:
  """Composes policy, critic, method and collector.

  Args:
    settings: of the run.
    config: of the policy.
    method: how credit is given.
    method_options: of the method.
    collector: plays the episodes.
    tasks: to train on.
    params: initial parameters; their buffers are taken over.
    predictions: what stages provide for the method.
  """
  unit = 'tokens' if method.unit == 'token' else 'steps'
  learned = policy_options.learned(
    settings.policy,
    params,
    policy_gradient.make_loss(
      config, dataclasses.replace(settings.loss, credit_of=unit)
    ),
    keep_reference=bool(settings.loss.kl_coefficient),
    seed=settings.seed,
  )
  sizes, skip_limit = settings.scoring, settings.learner.skip_limit
  lock = correction = None
  if settings.overlap.overlap:
    lock = overlapped.lock_for(settings.policy.mesh)
    correction = off_policy.Correction(
      config,
      settings.overlap.overlap_correction,
      cap=settings.overlap.importance_cap,
      ratio=settings.loss.ratio,
      temperature=settings.loop.temperature,
      **sizes,
    )
  learner = learner_lib.Learner(
    learned.loss,
    policy_gradient.make_denominator(settings.loss.aggregation),
    learner_lib.make_optimizer(
      learning_rate=settings.learner.learning_rate,
      weight_decay=settings.learner.weight_decay,
      clip_norm=settings.learner.clip_norm,
    ),
    skip_limit=skip_limit,
    device_lock=lock,
    **sizes,
  )
  critic = None
  if 'values' in method.needs_with(method_options):
    critic = critic_lib.Critic(
      config,
      settings.critic,
      skip_limit=skip_limit,
      device_lock=lock,
      **sizes,
    )
  loop = loop_lib.Loop(
    collector,
    learner,
    method,
    method_options,
    tasks,
    settings.loop,
    lengths=settings.lengths,
    needs_all_rows=settings.loss.needs_all_rows,
    policy=learned.policy,
    critic=critic,
    predictions=predictions,
    report=console.print_line,
    correction=correction,
    device_lock=lock,
  )
  # The critic first: the learner takes over the parameters.
  critic_state = critic and critic.init(params)
  state = loop.init(learner.init(learned.params), critic_state)
  if settings.overlap.overlap:
    loop = overlapped.Overlapped(loop, collector, settings.run.iterations, lock)
    state = loop.init(state)
  return TrainingLoop(loop, state, learned.policy, learned.reference)
