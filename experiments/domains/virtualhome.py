"""VirtualHome problems and expert demonstrations, as a domain to train on.

Test problems are those of the test split, by content (`problems.split_of`):
neither a recorded nor a generated one of them is ever trained on or shown.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from experiments.domains import expert_demonstrations, seeds
from jaxcredit.environments import virtualhome

# Seeds of generated problems. The stages draw different ones.
TRAINING_SEED = seeds.TRAINING
DEMONSTRATION_SEED = seeds.DEMONSTRATION
EVALUATION_SEED = seeds.EVALUATION


@dataclasses.dataclass(frozen=True)
class VirtualHomeOptions:
  """What a run plays. Flags have the same names.

  Attributes:
    problems: file or folder of recorded problems; None: the sample of the
      package.
    generated_problems: how many to train on, varied from those of the training
      split; 0: train on the recorded ones themselves.
    evaluation_count: how many to evaluate on: recorded ones of the test split
      where `problems` is given (0: all), else generated ones.
    chores: how many problems each generated one joins; more take longer.
    sentence: what states a task, see `virtualhome.sentence`.
    anchor: what counts as the same state.
    warm_start_problems: generated problems that the expert shows.
    warm_start_slips: share of the expert's steps that are slips.
  """

  problems: str | None
  generated_problems: int
  evaluation_count: int
  chores: int
  sentence: str
  anchor: str
  warm_start_problems: int
  warm_start_slips: float

  def __post_init__(self):
    if self.problems is None and not self.generated_problems:
      raise ValueError(
        'without recorded problems some must be generated: give '
        '--generated_problems, or --problems'
      )
    if self.problems is None and not self.evaluation_count:
      raise ValueError(
        'without recorded problems some must be generated to evaluate on: give '
        '--evaluation_count, or --problems'
      )
    if self.sentence not in virtualhome.FORMS:
      raise ValueError(
        f'sentence must be one of {virtualhome.FORMS}, not {self.sentence!r}'
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
      self.test_tasks = self._generate(
        EVALUATION_SEED, options.evaluation_count, 'test'
      )
      self.test_from = self._words(options.evaluation_count, EVALUATION_SEED)
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
