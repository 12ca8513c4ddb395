"""A planner for grounded problems.

Best-first search over states with the additive heuristic (Bonet and Geffner,
"Planning as heuristic search", 2001): the sum over the goal's conditions of
what each costs where deletions are ignored. States are ordered by their depth
plus a weight times the heuristic; a greedy search comes first, and where it
fails within its limit, more careful ones. Plans are short, not always shortest.

Only actions that can help the goal are considered: those that make true what
the goal, or an action so found, asks for. Alternatives that hold at the start
are first taken to go on holding (that a thing lies in nothing closed); only
where no plan is found so, they are cared for too.
"""

import heapq
import itertools

from jaxcredit.environments.virtualhome import conditions, grounding

_INFINITY = float('inf')
_LONGEST_DETOUR = 6
# Weight of the heuristic, and states that a search with it may expand.
_SEARCHES = ((1, 100), (3, 300), (10, 1000), (3, 2000))


class NoPlanError(ValueError):
  """The goal cannot be reached, or not within the limit."""


def _literals(condition: conditions.Condition) -> set[tuple[int, bool]]:
  """All (bit, wanted) that a condition mentions."""
  found = set()
  for mask, wanted in ((condition.positive, True), (condition.negative, False)):
    found |= {(bit, wanted) for bit in _bits(mask)}
  return found.union(*(_literals(part) for part in condition.parts))


def _changed(effect: grounding.Effect) -> list[tuple[int, bool]]:
  """The literals that an effect makes true."""
  deleted = _bits(effect.delete & ~effect.add)
  return [(b, True) for b in _bits(effect.add)] + [(b, False) for b in deleted]


def _bits(mask: int) -> list[int]:
  result = []
  while mask:
    low = mask & -mask
    result.append(low.bit_length() - 1)
    mask ^= low
  return result


class Planner:
  """Plans for one problem, from any state.

  Args:
    problem: grounded.
    searches: (weight of the heuristic, states that may be expanded) of each
      search that is tried in turn.
    careful: whether alternatives that hold at the start are cared for.
  """

  def __init__(
    self,
    problem: grounding.Grounding,
    searches=_SEARCHES,
    careful: bool = False,
  ):
    self._problem = problem
    self._careful = careful
    self._goal = problem.goal
    self._facts = len(problem.atoms)
    self._searches = searches
    self._wanted = _literals(self._goal)
    self.actions = self._relevant(problem)
    self._mask = self._telling()
    # What an action does that helps, under each of its conditions: the costs
    # that it reads and those that it may lower.
    self._operators = []
    for action in self.actions:
      for effect in action.effects:
        gains = [
          self._index(literal)
          for literal in _changed(effect)
          if literal in self._wanted
        ]
        if gains:
          both = (action.precondition, effect.condition)
          condition = conditions.combine(True, both)
          self._operators.append((self._costs(condition), gains))
    self._goal_costs = self._costs(self._goal)

  def _index(self, literal: tuple[int, bool]) -> int:
    """The place of a literal in the heuristic's table of costs."""
    bit, wanted = literal
    return bit if wanted else bit + self._facts

  def _costs(self, condition: conditions.Condition):
    """A condition over the table of costs."""
    places = [
      *_bits(condition.positive),
      *(bit + self._facts for bit in _bits(condition.negative)),
    ]
    parts = [self._costs(part) for part in condition.parts]
    return condition.all_of, places, parts

  def _relevant(self, problem) -> list[grounding.GroundAction]:
    """Actions that can help, in the order of the grounding."""
    makers: dict[tuple[int, bool], list] = {}
    for number, action in enumerate(problem.actions):
      for effect in action.effects:
        entry = (number, action.precondition, effect.condition)
        for literal in _changed(effect):
          makers.setdefault(literal, []).append(entry)
    waiting = sorted(self._wanted)
    chosen: set[int] = set()
    while waiting:
      entries = makers.get(waiting.pop(), ())
      # What is next to a thing comes with walking there; what comes by the way
      # helps only where nothing brings it for certain.
      certain = [e for e in entries if e[2] == conditions.ALWAYS]
      for number, *needed in certain or entries:
        chosen.add(number)
        for literal in set().union(*map(self._needs, needed)) - self._wanted:
          self._wanted.add(literal)
          waiting.append(literal)
    return [problem.actions[number] for number in sorted(chosen)]

  def _needs(self, condition: conditions.Condition) -> set[tuple[int, bool]]:
    """The literals of a condition that have to be cared for."""
    if self._careful:
      return _literals(condition)
    if not condition.all_of and conditions.holds(
      condition, self._problem.start
    ):
      return set()
    own = _literals(condition._replace(parts=()))
    return own.union(*map(self._needs, condition.parts))

  def _telling(self) -> int:
    """The facts that decide what the actions do to the wanted ones."""
    mask = 0
    read = self._wanted.union(
      *(_literals(action.precondition) for action in self.actions)
    )
    for bit, _ in read:
      mask |= 1 << bit
    while True:
      wider = mask
      for action in self.actions:
        for effect in action.effects:
          if (effect.add | effect.delete) & wider:
            for bit, _ in _literals(effect.condition):
              wider |= 1 << bit
      if wider == mask:
        return mask
      mask = wider

  def distance(self, state: int) -> float:
    """The heuristic: 0 where the goal holds, infinite where it never will."""
    table = [0.0 if state >> i & 1 else _INFINITY for i in range(self._facts)]
    table += [0.0 if cost else _INFINITY for cost in table]

    def cost(condition) -> float:
      all_of, places, parts = condition
      if all_of:
        total = 0.0
        for place in places:
          total += table[place]
        for part in parts:
          total += cost(part)
        return total
      least = min([table[place] for place in places], default=_INFINITY)
      return min([least, *map(cost, parts)])

    changed = True
    while changed:
      changed = False
      for condition, gains in self._operators:
        needed = cost(condition) + 1
        for place in gains:
          if needed < table[place]:
            table[place] = needed
            changed = True
    return cost(self._goal_costs)

  def plan(self, state: int) -> list[grounding.GroundAction]:
    """A short sequence of actions after which the goal holds.

    Args:
      state: the state from which on.

    Returns:
      The actions; empty if the goal holds.

    Raises:
      NoPlanError: there is none, or none was found within the limits.
    """
    if not self._careful:
      try:
        return self._plan(state)
      except NoPlanError:
        return Planner(self._problem, self._searches, careful=True).plan(state)
    return self._plan(state)

  def _plan(self, state: int) -> list[grounding.GroundAction]:
    if self.distance(state) == _INFINITY:
      raise NoPlanError('no actions reach all conditions of the goal')
    for weight, limit in self._searches:
      plan = self._search(state, weight, limit)
      if plan is not None:
        return self._shortened(state, plan)
    expanded = sum(limit for _, limit in self._searches)
    raise NoPlanError(f'no plan among {expanded} expanded states')

  def _reaches(self, state: int, plan) -> bool:
    """Whether a plan can be carried out and ends where the goal holds."""
    for action in plan:
      if not conditions.holds(action.precondition, state):
        return False
      state = action.apply(state)
    return conditions.holds(self._goal, state)

  def _shortened(self, state: int, plan: list) -> list:
    """A plan without detours: runs of actions that it can do without."""
    for size in range(1, _LONGEST_DETOUR + 1):
      start = 0
      while start + size <= len(plan):
        without = plan[:start] + plan[start + size :]
        if self._reaches(state, without):
          plan = without
        else:
          start += 1
    return plan

  def _search(self, state: int, weight: float, limit: int):
    """A plan; None where the limit is reached first."""
    order = itertools.count()
    queue = [(0.0, next(order), 0, state)]
    # States that differ in other facts than these are one.
    came: dict[int, tuple | None] = {state & self._mask: None}
    costs = {state & self._mask: 0}
    while queue:
      _, _, steps, here = heapq.heappop(queue)
      if steps > costs[here & self._mask]:
        continue
      if conditions.holds(self._goal, here):
        return _way(came, here & self._mask)
      if limit == 0:
        return None
      limit -= 1
      for action in self.actions:
        if not conditions.holds(action.precondition, here):
          continue
        after = action.apply(here)
        key = after & self._mask
        if steps + 1 >= costs.get(key, _INFINITY):
          continue
        ahead = self.distance(after)
        if ahead == _INFINITY:
          continue
        costs[key] = steps + 1
        came[key] = (here & self._mask, action)
        rank = steps + 1 + weight * ahead
        heapq.heappush(queue, (rank, next(order), steps + 1, after))
    raise NoPlanError('no sequence of actions reaches the goal')


def _way(came, state: int) -> list[grounding.GroundAction]:
  actions = []
  while came[state] is not None:
    state, action = came[state]
    actions.append(action)
  return actions[::-1]
