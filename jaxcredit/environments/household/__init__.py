"""The ALFWorld household as a fast engine of its own."""

from jaxcredit.environments.household.engine import (
  ANCHORS,
  WORDINGS,
  HouseholdEnvironment,
)
from jaxcredit.environments.household.games import (
  TASK_TYPES,
  Game,
  count_by_type,
  load_games,
  save_games,
)
from jaxcredit.environments.household.generator import (
  generate_game,
  generate_games,
)
from jaxcredit.environments.household.pddl import GameError
from jaxcredit.environments.protocol import TextStep

__all__ = [
  'ANCHORS',
  'TASK_TYPES',
  'WORDINGS',
  'Game',
  'GameError',
  'HouseholdEnvironment',
  'TextStep',
  'count_by_type',
  'generate_game',
  'generate_games',
  'load_games',
  'save_games',
]
