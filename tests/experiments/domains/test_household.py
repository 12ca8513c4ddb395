"""Games, and what an expert shows of them."""

import numpy as np
import pytest

from experiments.domains import household as household_tasks
from jaxcredit.environments import household


@pytest.fixture(scope='module')
def games_file(tmp_path_factory):
  path = tmp_path_factory.mktemp('games') / 'mine.jsonl'
  household.save_games(path, household.generate_games(0, 4))
  return path


def test_games_of_a_file(games_file):
  everything = household.load_games(games_file)
  games, source = household_tasks.load_or_generate(str(games_file), 0, 7)
  assert games == everything and len(games) == 4
  assert source == '4 games of mine.jsonl'
  games, source = household_tasks.load_or_generate(str(games_file), 3, 7)
  assert games == everything[:3]
  assert source == '3 games of mine.jsonl'
  # There are no more; the words say how many there are.
  games, source = household_tasks.load_or_generate(str(games_file), 9, 7)
  assert (games, source) == (everything, '4 games of mine.jsonl')


def test_games_that_are_generated():
  games, source = household_tasks.load_or_generate(None, 3, 7)
  assert games == household.generate_games(7, 3)
  assert source == '3 generated games (seed 7)'
  again, _ = household_tasks.load_or_generate(None, 3, 7)
  assert again == games


def test_games_of_the_stages_are_different():
  seeds = (
    household_tasks.TRAINING_SEED,
    household_tasks.DEMONSTRATION_SEED,
    household_tasks.EVALUATION_SEED,
  )
  # Games have seeds one after the other: room for a million each.
  assert household.generate_games(5, 2)[1] == household.generate_game(
    6, household.TASK_TYPES[1]
  )
  assert all(b - a >= 1_000_000 for a, b in zip(seeds, seeds[1:], strict=False))
  stages = [household.generate_games(seed, 12) for seed in seeds]
  assert len({game.problem for games in stages for game in games}) == 36
  assert len({game.name for games in stages for game in games}) == 36


@pytest.mark.parametrize('wording', household.WORDINGS)
def test_a_demonstration_wins(wording):
  for seed in range(6):
    game = household.generate_game(seed, household.TASK_TYPES[seed])
    trace = household_tasks.demonstrate(game, wording, 50, seed)
    assert trace is not None
    environment = household.HouseholdEnvironment(wording=wording, max_steps=50)
    seen = environment.reset(game)
    for step in trace:
      assert step.seen == seen and not step.slip
      assert step.action in seen.admissible
      assert not seen.terminated
      seen = environment.step(step.action)
    assert seen.terminated and seen.reward > 0


def test_a_demonstration_depends_on_its_seed_alone():
  game = household.generate_game(0)

  def actions(seed):
    trace = household_tasks.demonstrate(game, '2.1.1', 50, seed)
    return [step.action for step in trace]

  assert actions(1) == actions(1)
  assert len({tuple(actions(seed)) for seed in range(8)}) > 1


def test_an_expert_slips_as_often_as_asked():
  games = household.generate_games(0, 12)
  for share in (0.0, 0.3):
    played = household_tasks.demonstrations(games, '2.1.1', 60, 0, share)
    steps = [step for _, trace in played for step in trace]
    slips = [step.slip for step in steps]
    assert abs(np.mean(slips) - share) < (0.1 if share else 1e-9)
    for step in steps:
      assert (step.action in step.seen.admissible) == (not step.slip)
  # A slip is answered before the expert goes on.
  assert {
    after.seen.observation
    for _, trace in played
    for before, after in zip(trace, trace[1:], strict=False)
    if before.slip
  } == {'Nothing happens.'}


def test_games_that_the_expert_does_not_win_in_time_are_left_out():
  games = household.generate_games(0, 12)
  told = []
  short = household_tasks.demonstrations(
    games, '2.1.1', 8, 0, on_game=lambda: told.append(1)
  )
  assert len(told) == 12
  assert 0 < len(short) < 12
  kept = [game for game, _ in short]
  assert kept == [game for game in games if game in kept]
  for index, game in enumerate(games):
    trace = household_tasks.demonstrate(game, '2.1.1', 8, index)
    assert (trace is None) == (game not in kept)
  assert max(len(trace) for _, trace in short) <= 8


def test_counts_that_are_left_open(games_file, monkeypatch):
  """All of a file, or as many generated ones as is usual."""
  asked = []

  def generate(seed, count):
    asked.append((seed, count))
    return household.load_games(games_file)

  monkeypatch.setattr(household, 'generate_games', generate)

  def load(**options):
    asked.clear()
    domain = household_tasks.HouseholdDomain(
      household_tasks.HouseholdOptions(**options), 9, 0
    )
    domain.load()
    return domain

  load()
  assert asked == [
    (household_tasks.TRAINING_SEED, 2000),
    (household_tasks.EVALUATION_SEED, 120),
  ]
  load(generated_games=5, evaluation_count=6)
  assert [count for _, count in asked] == [5, 6]
  path = str(games_file)
  domain = load(games=path, evaluate_on=path)
  assert not asked
  assert len(domain.train_tasks) == len(domain.test_tasks) == 4
  domain = load(games=path, evaluate_on=path, generated_games=3,
                evaluation_count=2)  # fmt: skip
  assert (len(domain.train_tasks), len(domain.test_tasks)) == (3, 2)
  # The expert cannot show more games of the file than there are.
  domain = load(games=path, evaluate_on=path, warm_start_real_games=True)
  assert domain.demonstration_count == 4
