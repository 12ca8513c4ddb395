"""Trains a language model with stepwise progress attribution: SPA and others.

  python -m experiments.spa --flagfile=experiments/flagfiles/spa/quick.cfg
  python -m experiments.spa --run=runs/mine --method=ppo --seed=1 ...

Four stages, each of which goes on where it was left when the same command is
given again: a supervised warm start; rollouts of many tasks, which are written
to RUN/rollouts; a progress estimator that learns from them what each step
contributed to the outcome; and PPO with what it says of fresh rollouts, and
with whether the environment could carry the actions out. --method=ppo has the
outcome for its only reward; grpo and gigpo are as in experiments.gigpo; none of
these explores. At the end stand a table, curves, and report.html, which shows
how well the estimator is calibrated.

Exit status: 0 complete, 1 an error, 130 stopped by Ctrl-C, 143 by SIGTERM; the
last two save what is done.
"""

import dataclasses
import pathlib
from typing import Any

from absl import app, flags

from experiments.domains import flags as domain_flags
from experiments.text import critic_flags, progress_flags
from experiments.text import flags as training_flags
from experiments.text import script as training_script

# What --help lists beside the flags of this file.
flags.adopt_module_key_flags(training_flags)
flags.adopt_module_key_flags(domain_flags)
flags.adopt_module_key_flags(progress_flags)
flags.adopt_module_key_flags(critic_flags)

_METHOD = flags.DEFINE_enum(
  'method', 'spa', ['spa', 'ppo', 'grpo', 'gigpo'], 'How credit is assigned.'
)

# Rewards of steps.
_PROGRESS_WEIGHT = flags.DEFINE_float(
  'progress_weight', 1.0, "Of the contributions in SPA's rewards; 0: none."
)
_GROUNDING_WEIGHT = flags.DEFINE_float(
  'grounding_weight',
  0.5,
  "Of actions that the environment could carry out, in SPA's rewards.",
)
_REDISTRIBUTION = flags.DEFINE_enum(
  'redistribution',
  'none',
  ['none', 'shift', 'leave_one_out'],
  'Contributions as they are (paper), shifted so that they sum to the outcome, '
  "or dropped for the outcome less the mean of the group's others (released "
  'code).',
)
_PLACEMENT = flags.DEFINE_enum(
  'placement',
  'unit',
  ['unit', 'remaining'],
  'Weight of a step: 1 (paper), or the steps that remain (released code).',
)

# PPO.
_GAE_POSITIONS = flags.DEFINE_enum(
  'gae_positions',
  'drawn',
  ['drawn', 'all', 'steps'],
  'Advantages over the tokens of actions, over all positions of the row '
  '(released code), or over steps with one value each.',
)
_DISCOUNT = flags.DEFINE_float(
  'discount', 0.99, "Of PPO's returns, for a token or a step.", 0.0, 1.0
)
_GAE_LAMBDA = flags.DEFINE_float(
  'gae_lambda', 0.95, "Of PPO's advantages.", 0.0, 1.0
)
_WHITEN = flags.DEFINE_bool(
  'whiten', True, "Whiten PPO's advantages over the batch."
)
_KL_REWARD = flags.DEFINE_float(
  'kl_reward',
  0.0,
  'What each nat of divergence from the warm start costs its token, for PPO; 0 '
  'for none. --kl_coefficient makes it a part of the loss instead.',
  0.0,
)
_KL_REWARD_TARGET = flags.DEFINE_float(
  'kl_reward_target',
  0.0,
  'Divergence of an episode to which --kl_reward adapts; 0: it stays.',
  0.0,
)
_KL_REWARD_HORIZON = flags.DEFINE_float(
  'kl_reward_horizon', 10_000.0, 'Episodes over which it adapts.', 1.0
)
_KL_REWARD_ESTIMATOR = flags.DEFINE_enum(
  'kl_reward_estimator', 'k1', ['k1', 'k2', 'k3', 'abs'], 'Of this divergence.'
)

# GRPO and GiGPO.
_SCALE = flags.DEFINE_enum(
  'scale',
  'std',
  ['std', 'none'],
  'Divide by the standard deviation or not (GRPO, GiGPO).',
)
_GIGPO_DISCOUNT = flags.DEFINE_float(
  'gigpo_discount', 0.95, "Of GiGPO's step returns.", 0.0, 1.0
)
_STEP_WEIGHT = flags.DEFINE_float('step_weight', 1.0, "Of GiGPO's step part.")


@flags.multi_flags_validator(
  ['kl_reward', 'kl_reward_target'],
  message='--kl_reward_target adapts --kl_reward, which must be above 0',
)
def _adapts_something(values: dict[str, float]) -> bool:
  return bool(values['kl_reward']) or not values['kl_reward_target']


@dataclasses.dataclass(frozen=True)
class Run:
  """All flags, as settings.

  Attributes:
    training: `text_training.Settings`.
    progress: `progress_training.ProgressOptions`.
    credit: `step_credit.StepCreditOptions`, or
      `group_relative_credit.CreditOptions` for grpo and gigpo.
    shown: `group_relative_credit.CreditOptions` of what the report shows.
  """

  training: Any
  progress: Any
  credit: Any
  shown: Any


def read_flags() -> Run:
  """Flags as settings; imports what needs the extras."""
  from experiments.text import group_relative_credit, step_credit

  training = training_flags.settings(critic=critic_flags.options())
  group_relative = _METHOD.value in group_relative_credit.METHODS
  shown = group_relative_credit.CreditOptions(
    method=_METHOD.value if group_relative else 'gigpo',
    discount=_GIGPO_DISCOUNT.value,
    step_weight=_STEP_WEIGHT.value,
    scale=_SCALE.value,
  )
  credit = shown
  if not group_relative:
    credit = step_credit.StepCreditOptions(
      method=_METHOD.value,
      progress_weight=_PROGRESS_WEIGHT.value,
      grounding_weight=_GROUNDING_WEIGHT.value,
      redistribution=_REDISTRIBUTION.value,
      placement=_PLACEMENT.value,
      gae_positions=_GAE_POSITIONS.value,
      discount=_DISCOUNT.value,
      gae_lambda=_GAE_LAMBDA.value,
      whiten=_WHITEN.value,
      kl_reward=_KL_REWARD.value,
      kl_reward_target=_KL_REWARD_TARGET.value,
      kl_reward_horizon=_KL_REWARD_HORIZON.value,
      kl_reward_estimator=_KL_REWARD_ESTIMATOR.value,
      reward_scale=training.loop.reward_scale,
    )
  return Run(training, progress_flags.options(), credit, shown)


def build():
  """Settings, domain and method of the run."""
  from experiments.text import group_relative_method, step_credit

  run = read_flags()
  if run.credit is run.shown:
    method = group_relative_method.GroupRelativeMethod(run.credit)
  else:
    method = step_credit.StepCreditMethod(run.credit, run.shown)
  # The one place that knows what is trained on.
  return run.training, domain_flags.domain(), method


def train(settings, domain, method, stop) -> bool:
  """All stages; returns whether they are complete."""
  from experiments.text import progress_stage as progress_training

  return progress_training.ProgressTraining(
    settings, domain, method, stop, progress_flags.options()
  ).run()


def draw_progress(folder: pathlib.Path) -> None:
  """Draws what the run's estimator says, where there is one."""
  from jaxcredit.reports import progress_curves, run_data

  run = run_data.read(folder)
  if run.estimator:
    progress_curves.save(run)


def main(argv):
  return training_script.main(argv, __name__, build, draw_progress, train)


if __name__ == '__main__':
  app.run(main)
