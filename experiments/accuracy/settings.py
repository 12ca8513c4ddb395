"""Settings in which credit is scored: tasks with their parameters."""

import dataclasses
import functools

from jaxcredit.environments import household, tabular
from jaxcredit.environments.household import enumeration

# Length of an episode where none is given.
LENGTHS = {'two_armed': 8, 'grid': 12, 'key_door': 16, 'household': 14}
# How much the best action is liked: so that some episodes win and some do not.
COMPETENCE = {'two_armed': 1.0, 'grid': 1.0, 'key_door': 1.0, 'household': 2.0}
# Task types whose games have few enough states, one game of each.
_GAMES = (
  'pick_and_place_simple',
  'look_at_obj_in_light',
  'pick_clean_then_place_in_recep',
  'pick_heat_then_place_in_recep',
)
_DISTRACTORS = 8


@dataclasses.dataclass(frozen=True)
class Setting:
  """A task with its parameters.

  Attributes:
    environment: a key of LENGTHS.
    group_size: G.
    length: steps of an episode at most, without the delay.
    delay: steps between what decides an episode and its reward.
    colours: of a light that says nothing, drawn anew each step, but seen: one
      colour leaves all repeated states repeated, more let them look different.
    noise: size of a random reward of each step.
  """

  environment: str
  group_size: int
  length: int
  delay: int
  colours: int
  noise: float


@dataclasses.dataclass(frozen=True)
class Sizes:
  """How much is played.

  Attributes:
    groups: P.
    resamples: R, two at least.
    earlier: earlier episodes of each group, to learn from.
    group_size: G of the largest setting; all are filled up to it.
    steps: S likewise, so that one program serves all settings.
    states, actions, outcomes, factors: of the tables, likewise.
  """

  groups: int
  resamples: int
  earlier: int
  group_size: int
  steps: int
  states: int
  actions: int
  outcomes: int
  factors: int


@dataclasses.dataclass(frozen=True)
class Policy:
  """How the policy is made; see `dynamic_programming.softmax_policy`."""

  competence: float
  roughness: float


@functools.lru_cache(maxsize=8)
def _game(kind: str, seed: int) -> tabular.DecisionProcess:
  return enumeration.enumerate_states(
    household.generate_game(seed, kind), 1, distractors=_DISTRACTORS
  )


def tasks(setting: Setting) -> list[tabular.DecisionProcess]:
  """The D tasks of a setting; groups take them in turn.

  Raises:
    ValueError: parameters out of range.
  """
  length = setting.length
  if setting.environment == 'two_armed':
    found = [tabular.two_armed(length=length)]
  elif setting.environment == 'grid':
    found = [tabular.grid_world(horizon=length)]
  elif setting.environment == 'key_door':
    found = [tabular.key_door(horizon=length)]
  else:
    found = [
      dataclasses.replace(_game(kind, seed), horizon=length)
      for seed, kind in enumerate(_GAMES)
    ]
  return [
    tabular.random_rewards(
      tabular.pay_later(task, setting.delay), setting.noise
    )
    for task in found
  ]


def sizes_of(
  settings: list[Setting], groups: int, resamples: int, earlier: int
) -> Sizes:
  """What all settings fit into."""
  found = [task for setting in settings for task in tasks(setting)]
  return Sizes(
    groups,
    resamples,
    earlier,
    max(setting.group_size for setting in settings),
    max(task.horizon for task in found),
    max(task.states for task in found),
    max(task.action_size for task in found),
    max(task.successors.shape[-1] for task in found),
    max(task.factors.shape[-1] for task in found),
  )
