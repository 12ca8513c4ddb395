"""Flags of the household; see `domain_flags`."""

from absl import flags

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
_WORDING = flags.DEFINE_enum(
  'wording',
  '2.1.1',
  ['2.1.1', '0.4.2'],
  "The game's words: those of the papers (2.1.1) or of the 0.4.2 package.",
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


def options(evaluation_count: int, anchor: str, warm_start_slips: float):
  """Flags as `household_tasks.HouseholdOptions`; imports the extra."""
  from experiments.domains import household as household_tasks

  return household_tasks.HouseholdOptions(
    games=_GAMES.value,
    evaluate_on=_EVALUATE_ON.value,
    generated_games=_GENERATED_GAMES.value or (0 if _GAMES.value else 2000),
    evaluation_count=evaluation_count or (0 if _EVALUATE_ON.value else 120),
    wording=_WORDING.value,
    anchor=anchor,
    warm_start_games=_WARM_START_GAMES.value,
    warm_start_real_games=_WARM_START_REAL_GAMES.value,
    warm_start_slips=warm_start_slips,
  )


def domain(options, max_steps: int, seed: int):
  """The household."""
  from experiments.domains import household as household_tasks

  return household_tasks.HouseholdDomain(options, max_steps, seed)
