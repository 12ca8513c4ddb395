"""A VirtualHome-like household: planning problems as a text environment."""

from jaxcredit.environments.protocol import TextStep
from jaxcredit.environments.virtualhome.domain import GameError
from jaxcredit.environments.virtualhome.engine import (
  ANCHORS,
  REFUSALS,
  VirtualHomeEnvironment,
)
from jaxcredit.environments.virtualhome.expert import (
  NoPlanError,
  PlanningExpert,
  solvable,
  solve,
)
from jaxcredit.environments.virtualhome.generator import (
  generate_problem,
  generate_problems,
)
from jaxcredit.environments.virtualhome.problems import (
  FORMS,
  SPLITS,
  Problem,
  load_problems,
  of_split,
  save_problems,
  sentence,
  split_of,
)
from jaxcredit.environments.virtualhome.sample import sample_problems

__all__ = [
  'ANCHORS',
  'FORMS',
  'REFUSALS',
  'SPLITS',
  'GameError',
  'NoPlanError',
  'PlanningExpert',
  'Problem',
  'TextStep',
  'VirtualHomeEnvironment',
  'generate_problem',
  'generate_problems',
  'load_problems',
  'of_split',
  'sample_problems',
  'save_problems',
  'sentence',
  'solvable',
  'solve',
  'split_of',
]
