"""A VirtualHome-like household: planning problems as a text environment."""

from jaxcredit.environments.protocol import TextStep
from jaxcredit.environments.virtualhome.domain import GameError
from jaxcredit.environments.virtualhome.engine import (
  ANCHORS,
  VirtualHomeEnvironment,
)
from jaxcredit.environments.virtualhome.problems import (
  FORMS,
  SPLITS,
  Problem,
  load_problems,
  of_split,
  save_problems,
  sentence,
)

__all__ = [
  'ANCHORS',
  'FORMS',
  'SPLITS',
  'GameError',
  'Problem',
  'TextStep',
  'VirtualHomeEnvironment',
  'load_problems',
  'of_split',
  'save_problems',
  'sentence',
]
