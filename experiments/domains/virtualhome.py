"""VirtualHome problems and expert demonstrations, as a domain to train on.

Test problems are those of the test split, by content (`problems.split_of`):
neither a recorded nor a generated one of them is ever trained on or shown.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from experiments.domains import expert_demonstrations, seeds
from jaxcredit import options as options_lib
from jaxcredit.environments import virtualhome

# Seeds of generated problems. The stages draw different ones.
TRAINING_SEED = seeds.TRAINING
DEMONSTRATION_SEED = seeds.DEMONSTRATION
EVALUATION_SEED = seeds.EVALUATION


@dataclasses.dataclass(frozen=True)
class VirtualHomeOptions:
  """What a run plays."""

  problems: str | None = options_lib.option(
    None,
    'Recorded VirtualHome problems: a folder, .jsonl or .jsonl.xz file. '
    'Without it, a small sample is varied.',
  )
  generated_problems: int = options_lib.option(
    2000,
    'How many problems to train on, varied from the recorded ones; 0: train on '
    'the recorded ones themselves.',
    0,
    1_000_000,
  )
  evaluation_count: int = options_lib.option(
    0,
    'How many problems to evaluate on: recorded ones of the test split where '
    '--problems is given (0: all), else generated ones (0: 120).',
    0,
    1_000_000,
  )
  chores: int = options_lib.option(
    1, 'Problems that each generated one joins; more take longer.', 1, 100
  )
  sentence: str = options_lib.option(
    'goal',
    'The text before the goal: the name of the task, or the '
    'description that a person gave.',
    choices=virtualhome.FORMS,
  )
  anchor: str = options_lib.option(
    'observation',
    'What counts as the same state: the text last seen, or the whole state.',
    choices=('observation', 'state'),
  )
  warm_start_problems: int = options_lib.option(
    600, 'Generated problems that the expert shows.', 1, 1_000_000
  )
  warm_start_slips: float = options_lib.option(
    0.1, "Share of the expert's steps that are refused actions.", 0.0, 0.9
  )

  def __post_init__(self):
    options_lib.check(self)
    if self.problems is None and not self.generated_problems:
      raise ValueError(
        'without recorded problems some must be generated: give '
        '--generated_problems, or --problems'
      )


def demonstrate(
  problem: virtualhome.Problem, max_steps: int, seed: int, slips: float = 0.0
) -> list[expert_demonstrations.Demonstration] | None:
  """Returns an expert's steps, or None if they are more than `max_steps`.

  Args:
    problem: that the expert solves.
    max_steps: after which the expert has failed.
    seed: of its slips.
    slips: share of steps that become slips.
  """
  return expert_demonstrations.demonstrate(
    virtualhome.VirtualHomeEnvironment(max_steps=max_steps),
    problem,
    virtualhome.PlanningExpert(problem, np.random.default_rng(seed)),
    max_steps,
    slips,
    np.random.default_rng([seed, 1]),
  )


class VirtualHomeDomain:
  """VirtualHome; see `domain.Domain`.

  Args:
    options: what is played.
    max_steps: of an episode; problems that the expert needs more for are left
      out.
    seed: of the expert's slips.

  Attributes:
    left_out: after `load`, recorded problem -> why it is not played.
  """

  won = 'problems solved'
  answers = False

  def __init__(self, options: VirtualHomeOptions, max_steps: int, seed: int):
    self._options = options
    self._max_steps = max_steps
    self._seed = seed
    self.demonstration_count = options.warm_start_problems
    self.train_tasks: Sequence[virtualhome.Problem]
    self.test_tasks: Sequence[virtualhome.Problem]
    self.left_out: dict[str, str] = {}
    self._bases: list[virtualhome.Problem]

  def load(self) -> None:
    options = self._options
    if options.problems is None:
      # The sample is small: all of it is varied, on either side of the split.
      self._bases = list(virtualhome.sample_problems())
      count = options.evaluation_count or 120
      self.test_tasks = self._generate(EVALUATION_SEED, count, 'test')
      self.test_from = self._words(count, EVALUATION_SEED)
    else:
      self._load_recorded(options.problems)
    if options.generated_problems:
      self.train_tasks = self._generate(
        TRAINING_SEED, options.generated_problems, 'train'
      )
      self.train_from = self._words(options.generated_problems, TRAINING_SEED)
    else:
      self.train_tasks = self._bases
      self.train_from = f'{len(self._bases)} recorded problems'

  def _load_recorded(self, path: str) -> None:
    solved, self.left_out = virtualhome.solvable(
      virtualhome.load_problems(path)
    )
    short = []
    for problem in solved:
      steps = len(virtualhome.solve(problem))
      if steps <= self._max_steps:
        short.append(problem)
      else:
        self.left_out[problem.name] = f'the expert needs {steps} steps'
    self._bases = virtualhome.of_split(short, 'train')
    tests = virtualhome.of_split(short, 'test')
    if not self._bases or not tests:
      raise ValueError(
        f'{path} holds too little: of its problems {len(short)} are solved '
        f'within {self._max_steps} steps, {len(self._bases)} to train on and '
        f'{len(tests)} to evaluate on; both must be more than none'
      )
    count = self._options.evaluation_count
    self.test_tasks = tests[:count] if count else tests
    self.test_from = f'{len(self.test_tasks)} recorded problems'

  def _generate(self, seed: int, count: int, split: str):
    training = seed == TRAINING_SEED
    flag = 'generated_problems' if training else 'evaluation_count'
    seeds.check_count(count, flag)
    return virtualhome.generate_problems(
      seed,
      count,
      self._bases,
      split=split,
      chores=self._options.chores,
      max_plan=self._max_steps,
    )

  def _words(self, count: int, seed: int) -> str:
    return f'{count} problems generated from {len(self._bases)} (seed {seed})'

  def environment(self) -> functools.partial:
    return functools.partial(
      virtualhome.VirtualHomeEnvironment,
      anchor=self._options.anchor,
      max_steps=self._max_steps,
    )

  def task_sentence(self, task: virtualhome.Problem) -> str:
    return virtualhome.sentence(task, self._options.sentence)

  def task_type(self, task: virtualhome.Problem) -> str:
    # Pairs of tasks are too many for a table; the first is drawn evenly.
    return task.task.partition(' and ')[0]

  def demonstrate(self, on_task) -> expert_demonstrations.ExpertEpisodes:
    options = self._options
    seeds.check_count(options.warm_start_problems, 'warm_start_problems')
    tasks = sorted({base.task for base in self._bases})
    traces = []
    for i in range(options.warm_start_problems):
      problem = virtualhome.generate_problem(
        DEMONSTRATION_SEED + i,
        self._bases,
        task=tasks[i % len(tasks)],
        chores=options.chores,
        max_plan=self._max_steps,
      )
      trace = demonstrate(
        problem, self._max_steps, self._seed + i, options.warm_start_slips
      )
      if trace is not None:
        traces.append((problem, trace))
      on_task()
    return expert_demonstrations.ExpertEpisodes(
      traces,
      options.warm_start_problems,
      sentence=self.task_sentence,
      won=self.won,
      advice='give more --warm_start_problems, or more --max_steps',
      refusals=virtualhome.REFUSALS,
    )
