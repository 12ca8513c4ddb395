"""Questions with verifiable answers, in one turn or several."""

from jaxcredit.environments.questions import (
  competition_math,
  gsm8k,
  medqa,
  procedural,
  svamp,
)
from jaxcredit.environments.questions.checkers import (
  ChoiceChecker,
  ExactChecker,
  NumberChecker,
)
from jaxcredit.environments.questions.competition_math import FormulaChecker
from jaxcredit.environments.questions.environment import (
  FAILED_CHECK,
  UNCHECKED,
  CheckFailedError,
  QuestionEnvironment,
)
from jaxcredit.environments.questions.procedural import ProceduralChecker
from jaxcredit.environments.questions.question import (
  Checker,
  CheckerUnavailable,
  Question,
  failures,
)
from jaxcredit.environments.questions.records import RecordError

__all__ = [
  'FAILED_CHECK',
  'UNCHECKED',
  'CheckFailedError',
  'Checker',
  'CheckerUnavailable',
  'ChoiceChecker',
  'ExactChecker',
  'FormulaChecker',
  'NumberChecker',
  'ProceduralChecker',
  'Question',
  'QuestionEnvironment',
  'RecordError',
  'competition_math',
  'failures',
  'gsm8k',
  'medqa',
  'procedural',
  'svamp',
]
