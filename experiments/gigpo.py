"""Trains a language model on text environments with group-relative credit.

  python -m experiments.gigpo --flagfile=experiments/flagfiles/gigpo/quick.cfg
  python -m experiments.gigpo --run=runs/mine --method=grpo --seed=1

The same command resumes a run that was stopped. --domain chooses the household
of ALFWorld, that of VirtualHome or a shop; tasks are generated where no file of
them is given. At the end stand a table of success by task type, curves, and
report.html, which shows episodes with the credit of each step.

Exit status: 0 complete, 1 an error, 130 stopped by Ctrl-C, 143 by SIGTERM; the
last two save what is done.
"""

import dataclasses
from typing import Any

from absl import app, flags

from experiments.domains import flags as domain_flags
from experiments.text import flags as training_flags
from experiments.text import group_relative_credit
from experiments.text import script as training_script

# What --help lists beside the flags of this file.
flags.adopt_module_key_flags(training_flags)
flags.adopt_module_key_flags(domain_flags)

_METHOD = flags.DEFINE_enum(
  'method', 'gigpo', group_relative_credit.METHODS, 'How credit is assigned.'
)

# Credit.
_DISCOUNT = flags.DEFINE_float('discount', 0.95, 'Of step returns.', 0.0, 1.0)
_STEP_WEIGHT = flags.DEFINE_float('step_weight', 1.0, "Of GiGPO's step part.")
_EPISODE_WEIGHT = flags.DEFINE_float(
  'episode_weight', 1.0, "Of GiGPO's episode part."
)
_SCALE = flags.DEFINE_enum(
  'scale', 'std', ['std', 'none'], 'Divide by the standard deviation or not.'
)
_EPISODE_STATISTICS = flags.DEFINE_enum(
  'episode_statistics',
  'trajectories',
  ['trajectories', 'steps'],
  'Mean and deviation of the episode part over trajectories (paper) or all '
  'steps (released code).',
)


@dataclasses.dataclass(frozen=True)
class Run:
  """All flags, as settings.

  Attributes:
    training: `text_training.Settings`.
    domain: options of the domain, such as `household_tasks.HouseholdOptions`.
    credit: of the method.
  """

  training: Any
  domain: Any
  credit: group_relative_credit.CreditOptions


def read_flags() -> Run:
  """Flags as settings; imports what needs the extras."""
  return Run(
    training_flags.settings(),
    domain_flags.options(),
    group_relative_credit.CreditOptions(
      method=_METHOD.value,
      discount=_DISCOUNT.value,
      step_weight=_STEP_WEIGHT.value,
      episode_weight=_EPISODE_WEIGHT.value,
      scale=_SCALE.value,
      episode_statistics=_EPISODE_STATISTICS.value,
    ),
  )


def build():
  """Settings, domain and method of the run."""
  from experiments.text import group_relative_method

  run = read_flags()
  domain = domain_flags.domain()
  method = group_relative_method.GroupRelativeMethod(run.credit)
  return run.training, domain, method


def main(argv):
  return training_script.main(argv, __name__, build)


if __name__ == '__main__':
  app.run(main)
