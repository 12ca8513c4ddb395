"""A household game as a decision process: all states that some commands reach.

The commands are those of a plan that wins and some others that are admissible
on the way: places to look, things to open or to take in vain. Every state that
they reach is visited once with the engine itself, so that what is true of the
table is true of the game under a policy that uses no other command.
"""

import collections

import numpy as np

from jaxcredit.environments.household import engine, expert
from jaxcredit.environments.household import games as games_lib
from jaxcredit.environments.tabular import decision_process

# Commands that only answer. One of them is always admissible.
_WAIT = 'look'
_IDLE = ('look', 'inventory', 'help', 'examine')


def commands(
  game: games_lib.Game, distractors: int, seed: int
) -> tuple[str, ...]:
  """What the process has as actions.

  Args:
    game: the game.
    distractors: commands that the plan does not need.
    seed: of their choice.

  Returns:
    The plan's commands in its order, the distractors, and 'look'.

  Raises:
    NoPlanError: the goal cannot be reached.
  """
  environment = engine.HouseholdEnvironment()
  step = environment.reset(game)
  plan = expert.plan(environment)
  others = set()
  for command in plan:
    others |= {c for c in step.admissible if c.partition(' ')[0] not in _IDLE}
    step = environment.step(command)
  rest = sorted(others - set(plan))
  rng = np.random.default_rng(seed)
  chosen = rng.permutation(len(rest))[:distractors]
  return (*dict.fromkeys(plan), *(rest[i] for i in sorted(chosen)), _WAIT)


def enumerate_states(
  game: games_lib.Game,
  horizon: int,
  *,
  distractors: int = 5,
  seed: int = 0,
  limit: int = 5000,
) -> decision_process.DecisionProcess:
  """The game as a process.

  A state is the household's with the text that was last read; states that were
  answered with the same text look alike (the anchor of GiGPO's released code).
  Factors: by how much the action changes the share of the goal's conditions
  that hold, and 1.

  Args:
    game: the game.
    horizon: steps of an episode at most.
    distractors: see `commands`.
    seed: see `commands`.
    limit: states at most.

  Raises:
    NoPlanError: the goal cannot be reached.
    ValueError: more states than `limit`, or a game that is won from the start.
  """
  actions = commands(game, distractors, seed)
  first = engine.HouseholdEnvironment()
  step = first.reset(game)
  if first.goal_holds():
    raise ValueError(f'{game.name} is won before anything is done')

  def name(environment, answer):
    return environment.state_text(), answer.anchor

  numbers = {name(first, step): 0}
  texts = {step.anchor: 0}
  waiting = collections.deque([(first, step)])
  rows, observed, ended, progress = [], [], [], []
  while waiting:
    environment, answer = waiting.popleft()
    own = numbers[name(environment, answer)]
    observed.append(texts.setdefault(answer.anchor, len(texts)))
    ended.append(answer.terminated)
    progress.append(environment.progress())
    row = [-1] * len(actions)
    for a, command in enumerate(actions):
      if answer.terminated or command not in answer.admissible:
        continue
      after = environment.fork()
      said = after.step(command)
      key = name(after, said)
      if key not in numbers:
        if len(numbers) == limit:
          raise ValueError(
            f'{game.name}: {len(actions)} commands reach more than {limit} '
            'states; take fewer distractors'
          )
        numbers[key] = len(numbers)
        waiting.append((after, said))
      row[a] = numbers[key]
    assert own == len(rows)
    rows.append(row)

  successors, ended = np.array(rows), np.array(ended)
  admissible = successors >= 0
  successors = np.where(admissible, successors, np.arange(len(rows))[:, None])
  wins = admissible & ended[successors]
  share = np.array(progress)
  factors = np.stack([share[successors] - share[:, None], admissible], axis=-1)
  return decision_process.build(
    successors[..., None], wins[..., None].astype(float), ended,
    (np.arange(len(rows)) == 0).astype(float), factors, horizon,
    admissible=admissible, observed=np.array(observed),
  )  # fmt: skip
