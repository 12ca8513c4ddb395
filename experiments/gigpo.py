"""Trains a language model on the household with group-relative credit.

  python -m experiments.gigpo --flagfile=experiments/flagfiles/gigpo_quick.cfg
  python -m experiments.gigpo --run=runs/mine --method=grpo --seed=1

The same command resumes a run that was stopped. Without --games, games are
generated. At the end stand a table of success by task type, curves, and
report.html, which shows episodes with the credit of each step.
"""

import dataclasses
from typing import Any

from absl import app, flags

from experiments import group_relative_credit, training_flags, training_script

# What --help lists beside the flags of this file.
flags.adopt_module_key_flags(training_flags)

_METHOD = flags.DEFINE_enum(
  'method', 'gigpo', group_relative_credit.METHODS, 'How credit is assigned.'
)

# Games.
_GAMES = flags.DEFINE_string(
  'games',
  None,
  'Real ALFWorld games to train on: a folder, .jsonl or .jsonl.xz file. '
  'Without it, games are generated.',
)
_EVALUATE_ON = flags.DEFINE_string(
  'evaluate_on',
  None,
  'Real games to evaluate on. Without it, games are generated.',
)
_GENERATED_GAMES = flags.DEFINE_integer(
  'generated_games',
  0,
  'How many games to train on: of --games from its beginning, else '
  'generated. 0: all of --games, or 2000 generated.',
  lower_bound=0,
)
_EVALUATION_COUNT = flags.DEFINE_integer(
  'evaluation_count',
  0,
  'How many games to evaluate on. 0: all of --evaluate_on, or 120 generated.',
  lower_bound=0,
)
_WORDING = flags.DEFINE_enum(
  'wording',
  '2.1.1',
  ['2.1.1', '0.4.2'],
  "The game's words: those of the papers (2.1.1) or of the 0.4.2 package.",
)
_ANCHOR = flags.DEFINE_enum(
  'anchor',
  'observation',
  ['observation', 'state'],
  'What counts as the same state: the text last seen (published), or the '
  'whole state.',
)

# Demonstrations.
_WARM_START_GAMES = flags.DEFINE_integer(
  'warm_start_games', 600, 'Games that the expert shows.', 1
)
_WARM_START_REAL_GAMES = flags.DEFINE_bool(
  'warm_start_real_games',
  False,
  'The expert plays games of --games, instead of generated ones.',
)
_WARM_START_SLIPS = flags.DEFINE_float(
  'warm_start_slips',
  0.1,
  "Share of the expert's steps replaced by a command that the game refuses. "
  'These are not imitated; what the expert does next is.',
  0.0,
  0.9,
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
    household: `household_tasks.HouseholdOptions`.
    credit: of the method.
  """

  training: Any
  household: Any
  credit: group_relative_credit.CreditOptions


def read_flags() -> Run:
  """Flags as settings; imports what needs the extras."""
  from experiments import household_tasks

  return Run(
    training_flags.settings(),
    household_tasks.HouseholdOptions(
      games=_GAMES.value,
      evaluate_on=_EVALUATE_ON.value,
      generated_games=_GENERATED_GAMES.value or (0 if _GAMES.value else 2000),
      evaluation_count=(
        _EVALUATION_COUNT.value or (0 if _EVALUATE_ON.value else 120)
      ),
      wording=_WORDING.value,
      anchor=_ANCHOR.value,
      warm_start_games=_WARM_START_GAMES.value,
      warm_start_real_games=_WARM_START_REAL_GAMES.value,
      warm_start_slips=_WARM_START_SLIPS.value,
    ),
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
  from experiments import group_relative_method, household_tasks

  run = read_flags()
  domain = household_tasks.HouseholdDomain(
    run.household, training_flags.max_steps(), training_flags.seed()
  )
  method = group_relative_method.GroupRelativeMethod(run.credit)
  return run.training, domain, method


def main(argv):
  return training_script.main(argv, build)


if __name__ == '__main__':
  app.run(main)
