"""Household games, expert demonstrations and the tokenizer they train."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from jaxcredit.environments import household
from jaxcredit.environments.household import engine, expert
from jaxcredit.networks import tokenizer as tokenizer_lib
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.rollouts import formats
from jaxcredit.rollouts import turns as turns_lib

# Seeds of generated games: those of evaluation are never trained on.
TRAINING_SEED = 1_000_000
DEMONSTRATION_SEED = 2_000_000
EVALUATION_SEED = 3_000_000


def load_or_generate(
  path: str | None, count: int, seed: int
) -> tuple[list[household.Game], str]:
  """Returns games and, in words, where they come from.

  Args:
    path: folder or file of real games; None generates.
    count: number of games; 0 takes all of a file.
    seed: of the generator.
  """
  if path:
    games = household.load_games(pathlib.Path(path))
    if count:
      games = games[:count]
    return games, f'{len(games)} games of {pathlib.Path(path).name}'
  games = household.generate_games(seed, count)
  return games, f'{count} generated games (seed {seed})'


@dataclasses.dataclass(frozen=True)
class Demonstration:
  """A step of the expert.

  Attributes:
    seen: what it saw.
    action: what was done.
    slip: whether this is a slip, which is answered but not imitated.
  """

  seen: household.TextStep
  action: str
  slip: bool = False


def demonstrate(
  game: household.Game,
  wording: str,
  max_steps: int,
  seed: int,
  slips: float = 0.0,
) -> list[Demonstration] | None:
  """Returns an expert's steps, or None if it failed.

  An expert does nothing that fails, so its imitator does not know how to go on
  once something did. Slips put in by chance show it (noise injection: Laskey
  et al., "DART", CoRL 2017).

  Args:
    game: to play.
    wording: of the game.
    max_steps: after which the expert has failed.
    seed: of the expert's order of search and of its slips.
    slips: share of steps that become slips.
  """
  environment = household.HouseholdEnvironment(
    wording=wording, max_steps=max_steps
  )
  guide = expert.SearchingExpert(game, wording, np.random.default_rng(seed))
  # Its own stream: the expert's order of search does not depend on slips.
  chance = np.random.default_rng([seed, 1])
  seen = environment.reset(game)
  trace = []
  for _ in range(max_steps):
    guide.observe(seen)
    action = guide.act()
    slip = chance.random() < slips
    if slip:
      action = guide.slip()
    trace.append(Demonstration(seen, action, slip))
    seen = environment.step(action)
    if seen.terminated:
      return trace
  return None


def corpus(traces, text_format: formats.Format) -> list[str]:
  """Texts for the tokenizer: all that a policy reads or writes."""
  texts = []
  for game, trace in traces:
    history: list[formats.Exchange] = []
    for step in trace:
      seen = step.seen
      texts.append(
        text_format.prompt(
          history, seen.observation, seen.admissible, game.task_description
        )
      )
      texts.append(text_format.answer(step.action))
      history.append(formats.Exchange(seen.observation, step.action))
  # Experts that do not slip do not fail; policies will.
  texts += [
    text_format.prompt((), engine.NOTHING_HAPPENS, (), game.task_description)
    for game, _ in traces
  ]
  return texts


def token_rows(
  traces,
  tokenizer: tokenizer_lib.Tokenizer,
  text_format: formats.Format,
  row_tokens: int,
) -> list[episodes_lib.TokenRow]:
  """Turns traces into rows of the form that the policy will sample."""
  rows = []
  for game, trace in traces:
    row = episodes_lib.TokenRow()
    turns = turns_lib.begin(tokenizer)
    history: list[formats.Exchange] = []
    for number, step in enumerate(trace):
      seen, action = step.seen, step.action
      if text_format.rebuilds_prompt:
        row = episodes_lib.TokenRow()
        turns = turns_lib.begin(tokenizer)
      prompt = turns.read(
        text_format.prompt(
          history, seen.observation, seen.admissible, game.task_description
        )
      )
      answer = [
        *tokenizer.encode(text_format.answer(action)),
        tokenizer.eos_id,
      ]
      if len(row.tokens) + len(prompt) + len(answer) > row_tokens:
        break
      turns.draw(answer)
      row.read(prompt)
      if step.slip:
        row.skip(answer)
      else:
        row.draw(answer, [0.0] * len(answer), number)
      history.append(formats.Exchange(seen.observation, action))
      if text_format.rebuilds_prompt and not step.slip:
        rows.append(row)
    if not text_format.rebuilds_prompt and row.tokens:
      rows.append(row)
  return rows


def demonstrations(
  games: Sequence[household.Game],
  wording: str,
  max_steps: int,
  seed: int,
  slips: float = 0.0,
  on_game=lambda: None,
):
  """Returns (game, trace) of each game that the expert wins in time."""
  traces = []
  for index, game in enumerate(games):
    trace = demonstrate(game, wording, max_steps, seed + index, slips)
    if trace is not None:
      traces.append((game, trace))
    on_game()
  return traces
