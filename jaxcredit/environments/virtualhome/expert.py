"""An expert: a planner that sees the state, with slips on request."""

import functools

import numpy as np

from jaxcredit.environments import protocol
from jaxcredit.environments.virtualhome import (
  engine,
  planner,
  problems,
  wording,
)

NoPlanError = planner.NoPlanError
# What a learner gets wrong is mostly of these forms.
_SLIPS = ('grab {}', 'open {}', 'switch on {}', 'sit on {}', 'plug in {}')


@functools.lru_cache(maxsize=65536)
def solve(problem: problems.Problem) -> tuple[str, ...]:
  """Actions that win from the start, as text; few, if not always the fewest.

  Raises:
    NoPlanError: the goal holds at the start, or no plan was found; the message
      says which.
    GameError: the problem is malformed.
  """
  grounding = engine.compiled(problem).grounding
  if not problem.parse().goal[1:]:
    raise NoPlanError(f'{problem.name}: its goal has no conditions')
  try:
    actions = planner.Planner(grounding).plan(grounding.start)
  except NoPlanError as error:
    raise NoPlanError(f'{problem.name}: {error}') from None
  if not actions:
    raise NoPlanError(f'{problem.name}: its goal holds at the start')
  return tuple(
    wording.action_words(action.name, action.arguments[1:])
    for action in actions
  )


def solvable(tasks) -> tuple[list[problems.Problem], dict[str, str]]:
  """Those problems that the expert solves, and why it does not the others.

  Args:
    tasks: the problems.

  Returns:
    The solved ones in their order; name -> reason of the rest.
  """
  solved, reasons = [], {}
  for problem in tasks:
    try:
      solve(problem)
    except NoPlanError as error:
      reasons[problem.name] = str(error).removeprefix(f'{problem.name}: ')
    else:
      solved.append(problem)
  return solved, reasons


class PlanningExpert:
  """Acts by a plan from the start; what it does depends on the problem alone.

  Args:
    problem: the problem.
    rng: draws slips.

  Raises:
    NoPlanError: there is no plan.
  """

  def __init__(self, problem: problems.Problem, rng: np.random.Generator):
    self._plan = solve(problem)
    self._things = sorted(engine.compiled(problem).things)
    self._rng = rng
    self._done = 0
    self._admissible: tuple[str, ...] = ()

  def observe(self, step: protocol.TextStep) -> None:
    """Reads what the environment answered to the last action."""
    self._admissible = step.admissible

  def act(self) -> str:
    """The next action."""
    action = self._plan[self._done]
    self._done += 1
    return action

  def slip(self) -> str:
    """An action such as a learner gets wrong, in place of the expert's.

    It is one of what the plan does later, too early, or has the form of a
    sensible one, and will be refused. Call it after `act`, whose action is then
    not played.
    """
    self._done -= 1
    later = [a for a in self._plan[self._done :] if a not in self._admissible]
    forms = [
      text
      for form in _SLIPS
      for thing in self._things
      if (text := form.format(thing)) not in self._admissible
    ]
    if later and (not forms or self._rng.random() < 0.5):
      return str(self._rng.choice(later))
    return str(self._rng.choice(forms)) if forms else 'grab nothing'
