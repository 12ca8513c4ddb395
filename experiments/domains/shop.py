"""The shop's goals and expert demonstrations, as a domain to train on."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from experiments.domains import expert_demonstrations, seeds
from jaxcredit import options as options_lib
from jaxcredit.environments import shop
from jaxcredit.environments.shop import expert

# Seeds of goals: those of evaluation are never trained on, and are made from
# other products.
TRAINING_SEED = seeds.TRAINING
DEMONSTRATION_SEED = seeds.DEMONSTRATION
EVALUATION_SEED = seeds.EVALUATION
_FLAGS = {
  TRAINING_SEED: 'training_goals',
  DEMONSTRATION_SEED: 'warm_start_goals',
  EVALUATION_SEED: 'evaluation_count',
}


@dataclasses.dataclass(frozen=True)
class ShopOptions:
  """What is sold and asked for. Pages show the whole state."""

  products: int = options_lib.option(
    2000, 'Products that the shop sells.', 1, 1_000_000
  )
  shop_wording: str = options_lib.option(
    'compact',
    "The shop's words: WebShop's simple text, or short ones for small "
    'policies.',
    choices=shop.WORDINGS,
  )
  results_per_page: int = options_lib.option(
    10, 'Products on a page of results.', 1
  )
  shop_reward: str = options_lib.option(
    'score',
    'The share of the wishes that what is bought meets (published), or 1 where '
    'it meets all of them and 0 otherwise.',
    choices=('score', 'success'),
  )
  training_goals: int = options_lib.option(
    2000, 'How many goals to train on.', 1, 1_000_000
  )
  evaluation_count: int = options_lib.option(
    0, 'How many goals to evaluate on; 0 for 120.', 0, 1_000_000
  )
  warm_start_goals: int = options_lib.option(
    600, 'Goals that the expert meets.', 1, 1_000_000
  )
  warm_start_slips: float = options_lib.option(
    0.1, "Share of the expert's steps that are refused actions.", 0.0, 0.9
  )

  __post_init__ = options_lib.check


def demonstrate(
  goal: shop.Goal,
  environment: shop.ShopEnvironment,
  max_steps: int,
  seed: int,
  slips: float = 0.0,
) -> list[expert_demonstrations.Demonstration] | None:
  """Returns an expert's steps, or None if it failed.

  Args:
    goal: to meet.
    environment: to act in.
    max_steps: after which the expert has failed.
    seed: of its slips.
    slips: share of steps that become slips.
  """
  return expert_demonstrations.demonstrate(
    environment,
    goal,
    expert.ShopExpert(environment, goal, np.random.default_rng(seed)),
    max_steps,
    slips,
    np.random.default_rng([seed, 1]),
  )


def demonstrations(
  goals: Sequence[shop.Goal],
  environment: shop.ShopEnvironment,
  max_steps: int,
  seed: int,
  slips: float = 0.0,
  on_goal: Callable[[], None] = lambda: None,
) -> list[tuple[shop.Goal, list[expert_demonstrations.Demonstration]]]:
  """Returns (goal, trace) of each goal that the expert meets in time."""
  traces = []
  for index, goal in enumerate(goals):
    trace = demonstrate(goal, environment, max_steps, seed + index, slips)
    if trace is not None:
      traces.append((goal, trace))
    on_goal()
  return traces


class ShopDomain:
  """The shop; see `domain.Domain`.

  Args:
    options: what is sold and asked for.
    max_steps: of an episode.
    seed: of the expert.
  """

  won = 'goals met'
  answers = False

  def __init__(self, options: ShopOptions, max_steps: int, seed: int):
    self._options = options
    self._max_steps = max_steps
    self._seed = seed
    self.demonstration_count = options.warm_start_goals
    self.train_tasks: Sequence[shop.Goal]
    self.test_tasks: Sequence[shop.Goal]

  def load(self) -> None:
    options = self._options
    self.train_tasks, self.train_from = self._goals(
      TRAINING_SEED, options.training_goals, 'train'
    )
    self.test_tasks, self.test_from = self._goals(
      EVALUATION_SEED, options.evaluation_count or 120, 'test'
    )
    # A search that is not installed shows here, not in every worker.
    shop.generated(options.products).search(self.train_tasks[0].query)

  def _goals(self, seed, count, part) -> tuple[Sequence[shop.Goal], str]:
    """Goals, and in words where they come from."""
    seeds.check_count(count, _FLAGS[seed])
    size = self._options.products
    goals = shop.generate_goals(seed, count, shop.generated(size), part)
    return goals, f'{count} goals in {size} products ({part} part, seed {seed})'

  def environment(self) -> functools.partial:
    options = self._options
    return functools.partial(
      shop.ShopEnvironment,
      products=options.products,
      wording=options.shop_wording,
      results_per_page=options.results_per_page,
      reward=options.shop_reward,
      max_steps=self._max_steps,
    )

  def task_sentence(self, task: shop.Goal) -> str:
    return task.instruction

  def task_type(self, task: shop.Goal) -> str:
    return task.category

  def demonstrate(
    self, on_task: Callable[[], None]
  ) -> expert_demonstrations.ExpertEpisodes:
    options = self._options
    goals, _ = self._goals(
      DEMONSTRATION_SEED, options.warm_start_goals, 'train'
    )
    traces = demonstrations(
      goals,
      self.environment()(),
      self._max_steps,
      self._seed,
      options.warm_start_slips,
      on_goal=on_task,
    )
    return expert_demonstrations.ExpertEpisodes(
      traces,
      len(goals),
      sentence=self.task_sentence,
      won=self.won,
      advice='give more --warm_start_goals, or more --max_steps',
      refusals=(shop.REFUSAL,),
    )
