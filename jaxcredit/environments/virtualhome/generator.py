"""Makes new solvable problems from given ones.

A problem keeps its task and its goal; what is drawn anew is how it begins:
which of the other things are there, what is open, switched on and plugged in,
where things that can be grabbed lie, in which room the agent stands, whether it
sits. Several problems can be joined into one that asks for the goals of all,
which takes longer. Each is checked by the expert.
"""

import collections
import functools
from collections.abc import Sequence

import numpy as np

from jaxcredit.environments import generated
from jaxcredit.environments.household import pddl
from jaxcredit.environments.virtualhome import (
  expert,
  problems,
)

# Pairs of states of which a thing has one, and how often it is drawn anew.
_PAIRS = (
  ('open', 'closed', 'can_open', 0.4),
  ('on', 'off', 'has_switch', 0.2),
  ('plugged_in', 'plugged_out', 'has_plug', 0.3),
)
_MOVED = 0.5
_SITS = 0.1
_MOST_ADDED = 3
_TRIES = 1000
# Of these goals two problems that are joined may not both ask: there are two
# hands, and one body.
_BODY = {'holds_rh', 'holds_lh', 'sitting', 'lying', 'ontop', 'next_to'}
# Relations that say where a thing is.
_PLACES = ('obj_inside', 'obj_ontop', 'obj_next_to', 'inside_room')


class _Draft:
  """A problem under construction."""

  def __init__(self, problem: pddl.Problem, rng: np.random.Generator):
    self.objects = dict(problem.objects)
    self.facts = dict.fromkeys(problem.facts)
    self.goal = problem.goal
    self.rng = rng
    self.named = _names(problem.goal) & self.objects.keys()
    (self.character,) = (
      name for name, kind in problem.objects.items() if kind == 'character'
    )

  def having(self, predicate: str) -> list[str]:
    """Things with a property, in alphabetical order."""
    return sorted(f[1] for f in self.facts if f[0] == predicate and len(f) == 2)

  def rooms(self) -> list[str]:
    """What things, or the agent, are said to be in the room of."""
    return sorted(
      {f[2] for f in self.facts if f[0] in ('inside_room', 'inside')}
      & self.objects.keys()
    )

  def drop(self, share: float) -> None:
    """Takes out things that the goal does not name."""
    rooms = set(self.rooms())
    for name in sorted(self.objects.keys() - self.named - rooms):
      if name != self.character and self.rng.random() < share:
        del self.objects[name]
    self.facts = {
      fact: None
      for fact in self.facts
      if all(argument in self.objects for argument in fact[1:])
    }

  def add(self, name: str, properties: Sequence[pddl.Fact]) -> None:
    """Puts in a thing of another problem, and lays it somewhere."""
    self.objects[name] = 'object'
    self.facts.update(dict.fromkeys(properties))
    rooms = self.rooms()
    if rooms:
      room = str(self.rng.choice(rooms))
      self.facts['inside_room', name, room] = None
    if ('grabbable', name) in self.facts:
      self.place(name)

  def join(self, other: pddl.Problem) -> bool:
    """Asks for another problem's goal too; False where they do not fit."""
    predicates = [_names(goal) & _BODY for goal in (self.goal, other.goal)]
    if all(predicates) or not all(
      goal[:1] == ('and',) for goal in (self.goal, other.goal)
    ):
      return False
    new = other.objects.keys() - self.objects.keys()
    self.objects.update(
      (name, kind) for name, kind in other.objects.items() if name in new
    )
    # What is known to both is as it was.
    self.facts.update(
      (fact, None) for fact in other.facts if new.intersection(fact[1:])
    )
    both = dict.fromkeys((*self.goal[1:], *other.goal[1:]))
    self.goal = ('and', *both)
    self.named = _names(self.goal) & self.objects.keys()
    return True

  def place(self, name: str) -> None:
    """Lays a thing into or onto another, or just into its room."""
    for fact in list(self.facts):
      # What lies in or on it stays with it; what it lay in or on does not.
      if fact[0] in _PLACES[:2] and fact[1] == name:
        del self.facts[fact]
      elif fact[0] == 'obj_next_to' and name in fact[1:]:
        del self.facts[fact]
    places = [
      ('obj_inside', place)
      for place in self.having('containers')
      if ('grabbable', place) not in self.facts
    ] + [
      ('obj_ontop', place)
      for place in self.having('surfaces')
      if ('grabbable', place) not in self.facts
    ]
    choice = int(self.rng.integers(len(places) + 1))
    if choice == len(places):
      return
    relation, place = places[choice]
    if place == name:
      return
    self.facts[relation, name, place] = None
    self.facts['obj_next_to', name, place] = None
    self.facts['obj_next_to', place, name] = None

  def redraw(self) -> None:
    """Draws states and places anew."""
    rng = self.rng
    for one, other, ability, share in _PAIRS:
      for name in self.having(ability):
        pair = ((one, name), (other, name))
        present = [fact for fact in pair if fact in self.facts]
        if len(present) == 1 and rng.random() < share:
          del self.facts[present[0]]
          self.facts[pair[int(rng.integers(2))]] = None
    for name in self.having('grabbable'):
      if rng.random() < _MOVED:
        self.place(name)
    stands = [f for f in self.facts if f[:2] == ('inside', self.character)]
    if stands and self.rooms():
      room = str(rng.choice(self.rooms()))
      for fact in stands:
        del self.facts[fact]
      self.facts['inside', self.character, room] = None
    if rng.random() < _SITS and not self.named & {'sitting', 'lying'}:
      self.facts['sitting', self.character] = None


def _names(formula) -> set[str]:
  """All words of a formula."""
  if isinstance(formula, str):
    return {formula}
  return set().union(*map(_names, formula)) if formula else set()


@functools.lru_cache(maxsize=8)
def _catalogue(
  bases: tuple[problems.Problem, ...],
) -> dict[str, tuple[pddl.Fact, ...]]:
  """Things of all the problems, with the facts about each alone."""
  properties = collections.defaultdict(dict)
  for base in bases:
    parsed = base.parse()
    for fact in parsed.facts:
      if len(fact) == 2 and parsed.objects[fact[1]] == 'object':
        properties[fact[1]].setdefault(base.name, []).append(fact)
  # Those of the first problem that has it: states of two might disagree.
  return {
    name: tuple(sorted(next(iter(found.values()))))
    for name, found in sorted(properties.items())
  }


def generate_problem(
  seed: int,
  bases: Sequence[problems.Problem],
  *,
  split: str = 'train',
  task: str | None = None,
  chores: int = 1,
  max_plan: int = 30,
) -> problems.Problem:
  """Makes a problem.

  Args:
    seed: the problem is a function of it and of the other arguments.
    bases: problems that the expert solves; one of them is varied.
    split: 'train' or 'test', to which its content must belong (see
      `problems.split_of`): what was generated for one never equals what was
      generated, or recorded, for the other.
    task: the task's name; None draws one. With several chores it is the first.
    chores: how many problems are joined.
    max_plan: steps that the expert may need at most.

  Returns:
    A problem that the expert solves and whose goal does not hold at the start.

  Raises:
    ValueError: no bases, or an unknown task or split.
  """
  if not bases:
    raise ValueError('problems to vary are needed, but there are none')
  if split not in problems.SPLITS:
    raise ValueError(f'split must be one of {problems.SPLITS}, not {split!r}')
  tasks = sorted({base.task for base in bases})
  if task is not None and task not in tasks:
    raise ValueError(f'task must be one of {tasks}, not {task!r}')
  if chores < 1:
    raise ValueError(f'chores must be positive, not {chores}')
  bases = tuple(bases)
  rng = np.random.default_rng(seed)
  kind = task or str(rng.choice(tasks))
  choices = [base for base in bases if base.task == kind]
  for _ in range(_TRIES):
    parts = [choices[int(rng.integers(len(choices)))]]
    for _ in range(chores - 1):
      parts.append(bases[int(rng.integers(len(bases)))])
    made = _attempt(seed, parts, bases, split, max_plan, rng)
    if made is not None:
      return made
  raise ValueError(
    f'none of {_TRIES} variations of {kind!r} (seed {seed}) belongs to the '
    f'{split} split and is solved within {max_plan} steps'
  )


def generate_problems(
  seed: int,
  count: int,
  bases: Sequence[problems.Problem],
  *,
  split: str = 'train',
  chores: int = 1,
  max_plan: int = 30,
) -> generated.Tasks[problems.Problem]:
  """`count` problems, the tasks in turn; seeds seed, seed + 1, ...

  Each is made when it is asked for; the first at once, which shows what is
  wrong with the arguments.
  """
  make = functools.partial(
    _problem_at,
    seed=seed,
    bases=tuple(bases),
    tasks=tuple(sorted({base.task for base in bases})),
    options={'split': split, 'chores': chores, 'max_plan': max_plan},
  )
  made = generated.Tasks(count, make)
  made[0]
  return made


def _problem_at(place: int, seed, bases, tasks, options) -> problems.Problem:
  task = tasks[place % len(tasks)] if tasks else None
  return generate_problem(seed + place, bases, task=task, **options)


def _attempt(seed, parts, bases, split, max_plan, rng):
  """One try; None where it is not what is wanted."""
  draft = _Draft(parts[0].parse(), rng)
  if not all(draft.join(other.parse()) for other in parts[1:]):
    return None
  draft.drop(float(rng.choice([0.0, 0.3, 0.6, 0.9])))
  catalogue = _catalogue(bases)
  for name in rng.permutation(sorted(catalogue))[
    : int(rng.integers(_MOST_ADDED + 1))
  ]:
    if str(name) not in draft.objects:
      draft.add(str(name), catalogue[str(name)])
  draft.redraw()
  tasks = ' and '.join(dict.fromkeys(part.task for part in parts))
  name = f'generated-{tasks.lower().replace(" ", "_")}-{seed}'
  made = problems.Problem(
    name=name,
    task=tasks,
    description=' '.join(dict.fromkeys(part.description for part in parts)),
    problem=pddl.problem_text(
      name,
      draft.objects,
      list(draft.facts),
      draft.goal,
      domain='virtualhome',
    ),
    source=name,
  )
  if problems.split_of(made.parse()) != split:
    return None
  try:
    plan = expert.solve(made)
  except expert.NoPlanError:
    return None
  return made if len(plan) <= max_plan else None
