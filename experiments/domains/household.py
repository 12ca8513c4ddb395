"""Household games and expert demonstrations, as a domain to train on."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import numpy as np

from experiments.domains import expert_demonstrations, seeds
from jaxcredit import options as options_lib
from jaxcredit.environments import household
from jaxcredit.environments.household import engine, expert

# Seeds of generated games: those of evaluation are never trained on.
TRAINING_SEED = seeds.TRAINING
DEMONSTRATION_SEED = seeds.DEMONSTRATION
EVALUATION_SEED = seeds.EVALUATION


def load_or_generate(
  path: str | None, count: int, seed: int
) -> tuple[Sequence[household.Game], str]:
  """Returns games and, in words, where they come from.

  Args:
    path: folder or file of real games; None generates.
    count: number of games; 0 takes all of a file.
    seed: of the generator.
  """
  if path:
    games = household.load_games(pathlib.Path(path).expanduser())
    if count:
      games = games[:count]
    return games, f'{len(games)} games of {pathlib.Path(path).name}'
  flag = 'generated_games' if seed == TRAINING_SEED else 'evaluation_count'
  seeds.check_count(count, flag)
  games = household.generate_games(seed, count)
  return games, f'{count} generated games (seed {seed})'


def demonstrate(
  game: household.Game,
  wording: str,
  max_steps: int,
  seed: int,
  slips: float = 0.0,
) -> list[expert_demonstrations.Demonstration] | None:
  """Returns an expert's steps, or None if it failed.

  Args:
    game: to play.
    wording: of the game.
    max_steps: after which the expert has failed.
    seed: of the expert's order of search and of its slips.
    slips: share of steps that become slips.
  """
  return expert_demonstrations.demonstrate(
    household.HouseholdEnvironment(wording=wording, max_steps=max_steps),
    game,
    expert.SearchingExpert(game, wording, np.random.default_rng(seed)),
    max_steps,
    slips,
    # Its own stream: the expert's order of search does not depend on slips.
    np.random.default_rng([seed, 1]),
  )


def demonstrations(
  games: Sequence[household.Game],
  wording: str,
  max_steps: int,
  seed: int,
  slips: float = 0.0,
  on_game=lambda: None,
):
  """Returns (game, trace) of each game that the expert wins in time."""
  traces = []
  for index, game in enumerate(games):
    trace = demonstrate(game, wording, max_steps, seed + index, slips)
    if trace is not None:
      traces.append((game, trace))
    on_game()
  return traces


@dataclasses.dataclass(frozen=True)
class HouseholdOptions:
  """What a run plays."""

  games: str | None = options_lib.option(
    None,
    'Real ALFWorld games to train on: a folder, .jsonl or .jsonl.xz file. '
    'Without it, games are generated.',
  )
  evaluate_on: str | None = options_lib.option(
    None, 'File of the tasks to evaluate on. Without it, they are generated.'
  )
  generated_games: int = options_lib.option(
    0,
    'How many games to train on: of --games from its beginning, else '
    'generated. 0: all of --games, or 2000 generated.',
    0,
    1_000_000,
  )
  evaluation_count: int = options_lib.option(
    0,
    'How many tasks to evaluate on. 0: all of a file; else 120 generated tasks '
    'or 200 questions.',
    0,
    1_000_000,
  )
  wording: str = options_lib.option(
    '2.1.1',
    "The game's words: those of the papers (2.1.1) or of the 0.4.2 package.",
    choices=('2.1.1', '0.4.2'),
  )
  anchor: str = options_lib.option(
    'observation',
    'What counts as the same state: the text last seen (published), or the '
    'whole state.',
    choices=('observation', 'state'),
  )
  warm_start_games: int = options_lib.option(
    600, 'Games that the expert shows.', 1, 1_000_000
  )
  warm_start_real_games: bool = options_lib.option(
    False, 'The expert plays games of --games, instead of generated ones.'
  )
  warm_start_slips: float = options_lib.option(
    0.1,
    "Share of the expert's steps replaced by an action that is refused. These "
    'are not imitated; what the expert does next is.',
    0.0,
    0.9,
  )

  __post_init__ = options_lib.check


class HouseholdDomain:
  """The household; see `domain.Domain`.

  Args:
    options: what is played.
    max_steps: of an episode.
    seed: of the expert.
  """

  won = 'games won'
  answers = False

  def __init__(self, options: HouseholdOptions, max_steps: int, seed: int):
    self._options = options
    self._max_steps = max_steps
    self._seed = seed
    self.demonstration_count = options.warm_start_games
    self.train_tasks: Sequence[household.Game]
    self.test_tasks: Sequence[household.Game]

  def load(self) -> None:
    options = self._options
    self.train_tasks, self.train_from = load_or_generate(
      options.games,
      options.generated_games or (0 if options.games else 2000),
      TRAINING_SEED,
    )
    self.test_tasks, self.test_from = load_or_generate(
      options.evaluate_on,
      options.evaluation_count or (0 if options.evaluate_on else 120),
      EVALUATION_SEED,
    )
    # A file of another kind shows here, not after an hour of warm start.
    self.train_tasks[0].parse()
    self.test_tasks[0].parse()
    if options.warm_start_real_games:
      self.demonstration_count = min(
        options.warm_start_games, len(self.train_tasks)
      )

  def environment(self) -> functools.partial:
    return functools.partial(
      household.HouseholdEnvironment,
      wording=self._options.wording,
      anchor=self._options.anchor,
      max_steps=self._max_steps,
    )

  def task_sentence(self, task: household.Game) -> str:
    return task.task_description

  def task_type(self, task: household.Game) -> str:
    return task.task_type

  def demonstrate(self, on_task) -> expert_demonstrations.ExpertEpisodes:
    options = self._options
    if options.warm_start_real_games:
      games = self.train_tasks[: options.warm_start_games]
    else:
      seeds.check_count(options.warm_start_games, 'warm_start_games')
      games = household.generate_games(
        DEMONSTRATION_SEED, options.warm_start_games
      )
    traces = demonstrations(
      games,
      options.wording,
      self._max_steps,
      self._seed,
      options.warm_start_slips,
      on_game=on_task,
    )
    return expert_demonstrations.ExpertEpisodes(
      traces,
      len(games),
      sentence=self.task_sentence,
      won=self.won,
      advice='give more --warm_start_games, or more --max_steps',
      refusals=(engine.NOTHING_HAPPENS,),
    )
