"""VirtualHome problems, the files that hold them, and their split.

A file has one problem a line as JSON, plain (.jsonl) or packed (.jsonl.xz),
with the texts `task`, `id`, `description` and `problem` (PDDL), and a list
`program` (VirtualHome's script of a person) that may be absent.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterable, Sequence

from jaxcredit.environments.household import game_lines, pddl
from jaxcredit.environments.virtualhome import domain as domain_lib
from jaxcredit.environments.virtualhome import wording

SPLITS = ('train', 'test')
# One of so many contents is a test problem.
_TEST_SHARE = 5


@dataclasses.dataclass(frozen=True)
class Problem:
  """One problem.

  Attributes:
    name: identifies it.
    task: the kind of task, such as 'Watch TV'; many problems share one.
    description: how a person described what to do. It does not determine the
      goal: the sentence of a task adds the goal (`sentence`).
    problem: the planning problem, as PDDL text.
    program: a person's script, as VirtualHome writes it.
    source: where it was read, for error messages.
  """

  name: str
  task: str
  description: str
  problem: str
  program: tuple[str, ...] = ()
  source: str = 'problem'

  def parse(self) -> pddl.Problem:
    """The planning problem, checked against the domain; raises GameError."""
    return parse_problem(self.problem, domain_lib.virtualhome(), self.source)


def parse_problem(
  text: str, domain: domain_lib.Domain, source: str = 'problem'
) -> pddl.Problem:
  """Reads a problem of a domain.

  Facts whose arguments have other types than the predicate declares are let
  through, as VirtualHome's problems hold some; they never matter.

  Raises:
    GameError: with the line and what is wrong.
  """
  problem = pddl.parse_problem(text, source)
  for name, kind in problem.objects.items():
    if kind not in domain.types:
      raise pddl.GameError(source, 0, f'{name} is of unknown type {kind}')
  checker = domain_lib.Checker(domain.types, domain.predicates, source)
  for fact, line in zip(problem.facts, problem.lines, strict=True):
    checker.atom(_lines(fact, line), problem.objects)
  checker.condition(_lines(problem.goal, problem.goal_line), problem.objects)
  return problem


def _lines(node, line: int):
  """Nested tuples as parentheses that know their line."""
  if isinstance(node, str):
    return node
  result = pddl.Parenthesis(line)
  result.extend(_lines(part, line) for part in node)
  return result


def sentence(problem: Problem, form: str = 'goal') -> str:
  """The sentence that states a problem; it determines the goal.

  Args:
    problem: the problem.
    form: 'goal': the task's name and the conditions of the goal in words.
      'description': a person's words in place of the name.
  """
  if form not in FORMS:
    raise ValueError(f'the sentence must be one of {FORMS}, not {form!r}')
  goal = wording.goal_words(pddl.parse_problem(problem.problem).goal)
  words = problem.task if form == 'goal' else problem.description
  return f'{words.strip().rstrip(".")}: {goal}'


FORMS = ('goal', 'description')


def load_problems(path: str | os.PathLike) -> list[Problem]:
  """Reads problems.

  Args:
    path: a .jsonl or .jsonl.xz file, or a folder that holds one such file.

  Returns:
    The problems, in the order of the file. Names that several have get a
    number.

  Raises:
    FileNotFoundError: there is nothing at `path`.
    GameError: a problem is malformed; names the file, the line and the fault.
  """
  path = pathlib.Path(path).expanduser()
  if path.is_dir():
    files = [*path.glob('*.jsonl'), *path.glob('*.jsonl.xz')]
    if len(files) != 1:
      raise FileNotFoundError(
        f'{path} holds {len(files)} files .jsonl or .jsonl.xz: name the one '
        'with the problems'
      )
    path = files[0]
  if not path.exists():
    raise FileNotFoundError(
      f'no problems at {path}: give a .jsonl file or a .jsonl.xz file'
    )
  problems = []
  names: set[str] = set()
  for number, entry in game_lines.read(path, ('task', 'problem')):
    program = entry.get('program', [])
    if not isinstance(program, list) or not all(
      isinstance(line, str) for line in program
    ):
      raise pddl.GameError(
        str(path), number, "'program' must be a list of texts"
      )
    name = base = str(entry.get('id') or f'line {number}')
    while name in names:
      name = f'{base} ({number})'
    names.add(name)
    problems.append(
      Problem(
        name=name,
        task=entry['task'],
        description=str(entry.get('description') or entry['task']),
        problem=entry['problem'],
        program=tuple(program),
        source=f'{path}:{number} ({name}), problem',
      )
    )
  if not problems:
    raise FileNotFoundError(f'{path} holds no problems: it is empty')
  return problems


def save_problems(path: str | os.PathLike, problems: Iterable[Problem]) -> None:
  """Writes problems one a line as JSON, packed where the name ends in .xz."""
  game_lines.write(
    path,
    (
      {
        'task': problem.task,
        'id': problem.name,
        'description': problem.description,
        'program': list(problem.program),
        'problem': problem.problem,
      }
      for problem in problems
    ),
  )


def content(problem: pddl.Problem) -> str:
  """A digest that is equal for problems with equal objects, facts and goals."""
  text = repr(
    (
      sorted(problem.objects.items()),
      sorted(set(problem.facts)),
      pddl.written(problem.goal),
    )
  )
  return hashlib.sha256(text.encode()).hexdigest()


def split_of(problem: pddl.Problem) -> str:
  """'train' or 'test': a function of the content.

  Problems that are equal but for their name, and there are many, are on one
  side; so is a generated problem that equals a recorded one.
  """
  return 'test' if int(content(problem), 16) % _TEST_SHARE == 0 else 'train'


def of_split(problems: Sequence[Problem], split: str) -> list[Problem]:
  """Those problems that belong to a split."""
  if split not in SPLITS:
    raise ValueError(f'split must be one of {SPLITS}, not {split!r}')
  return [p for p in problems if split_of(p.parse()) == split]
