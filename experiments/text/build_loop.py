"""The loop of a training, made of a run's settings."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from experiments.text import method as method_lib
from experiments.text import policy_options
from jaxcredit.distributed import processes
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder
from jaxcredit.training import critic as critic_lib
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import loop as loop_lib
from jaxcredit.training import (
  off_policy,
  overlapped,
  policy_gradient,
  shared_credit,
)


@dataclasses.dataclass(frozen=True)
class TrainingLoop:
  """What iterates, and from where.

  Attributes:
    loop: runs iterations.
    state: before the first of them.
    playing: makes the parameters that play of those that are learned.
    reference: parameters of the reference policy; None without one.
  """

  loop: loop_lib.Loop | overlapped.Overlapped
  state: Any
  playing: Callable[[Any], decoder.Params]
  reference: decoder.Params | None


def row_lengths(row_tokens: int) -> list[int]:
  """Lengths that rows are padded to: each compiles the learner once."""
  sizes = [row_tokens]
  while sizes[0] > 192:
    sizes.insert(0, (sizes[0] * 2 + 2) // 3)
  return sizes


def policy_state(state: Any) -> learner_lib.LearnerState:
  """The policy's part of a training's state."""
  if isinstance(state, overlapped.OverlappedState):
    state = state.learned
  return state.policy if isinstance(state, loop_lib.ActorCritic) else state


def build(
  settings,
  config: config_lib.DecoderConfig,
  method: method_lib.Method,
  collector,
  tasks: Sequence[Any],
  params: decoder.Params,
  report: Callable[[str], None],
) -> TrainingLoop:
  """Composes policy, critic, credit and collector.

  Args:
    settings: `text_training.Settings`.
    config: of the policy.
    method: how credit is given.
    collector: plays the episodes.
    tasks: to train on.
    params: to start from; their buffers are taken over.
    report: takes a sentence on credit that is not finite.
  """
  learned = policy_options.learned(
    settings.policy,
    params,
    policy_gradient.make_loss(
      config,
      dataclasses.replace(settings.loss, credit_of=method.credit_of),
    ),
    keep_reference=bool(settings.loss.kl_coefficient),
    seed=settings.seed,
  )
  sizes = {
    'micro_batch_tokens': settings.micro_batch_tokens,
    'lengths': row_lengths(settings.limits.row_tokens),
    'mesh': settings.policy.mesh,
  }
  turns = correction = None
  if settings.overlap:
    turns = overlapped.turns_for(settings.policy.mesh)
    correction = off_policy.Correction(
      config,
      settings.overlap_correction,
      cap=settings.importance_cap,
      ratio=settings.loss.ratio,
      temperature=settings.loop.temperature,
      **sizes,
    )
  learner = learner_lib.Learner(
    learned.loss,
    policy_gradient.make_denominator(settings.loss.aggregation),
    learner_lib.make_optimizer(
      learning_rate=settings.learning_rate,
      weight_decay=settings.weight_decay,
      clip_norm=settings.clip_norm,
    ),
    skip_limit=settings.skip_limit,
    turns=turns,
    **sizes,
  )
  critic = None
  if method.needs_critic:
    critic = critic_lib.Critic(
      config,
      settings.critic,
      skip_limit=settings.skip_limit,
      turns=turns,
      **sizes,
    )
  credit = method.credit
  if credit is not None and processes.count() > 1:
    credit = shared_credit.over_processes(credit)
  loop = loop_lib.Loop(
    collector,
    learner,
    credit,
    tasks,
    settings.loop,
    row_tokens=settings.limits.row_tokens,
    needs_all_rows=settings.loss.needs_all_rows,
    policy=learned.policy,
    token_credit=method.token_credit,
    critic=critic,
    report=report,
    correction=correction,
    turns=turns,
  )
  # The critic first: the learner takes over the parameters.
  critic_state = critic and critic.init(params)
  state = learner.init(learned.params)
  if critic is not None:
    state = loop_lib.ActorCritic(state, critic_state, method.carried)
  if settings.overlap:
    loop = overlapped.Overlapped(loop, collector, settings.iterations, turns)
    state = loop.init(state)
  return TrainingLoop(loop, state, learned.policy, learned.reference)
