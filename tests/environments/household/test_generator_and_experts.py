"""Generated games are solvable; experts solve those and the real ones."""

import numpy as np
import pytest

from jaxcredit.environments import household
from jaxcredit.environments.household import expert
from tests.shared_data import shared_data


def real_games():
  folder = shared_data('alfworld_games')
  return [
    game
    for name in ('valid_unseen', 'valid_seen', 'train_sample')
    for game in household.load_games(folder / f'{name}.jsonl.xz')
  ]


def solve(game, wording):
  environment = household.HouseholdEnvironment(wording=wording)
  seen = environment.reset(game)
  assert not environment.goal_holds()
  commands = expert.plan(environment, wording)
  for command in commands:
    assert command in seen.admissible
    assert not seen.terminated
    seen = environment.step(command)
  assert seen.terminated
  assert expert.plan(environment, wording) == []
  return len(commands)


@pytest.mark.parametrize('task_type', household.TASK_TYPES)
def test_generated_games_are_solved(task_type):
  for seed in range(40):
    game = household.generate_game(seed, task_type)
    assert game.task_type == task_type
    assert solve(game, '2.1.1') <= 12


@pytest.mark.parametrize('wording', household.WORDINGS)
def test_real_games_are_solved(wording):
  lengths = [solve(game, wording) for game in real_games()]
  assert len(lengths) == 474
  assert max(lengths) <= 10


def test_plans_from_anywhere():
  rng = np.random.default_rng(0)
  for seed in range(60):
    environment = household.HouseholdEnvironment()
    seen = environment.reset(household.generate_game(seed))
    for _ in range(rng.integers(1, 25)):
      if not seen.terminated:
        seen = environment.step(str(rng.choice(seen.admissible)))
    for command in expert.plan(environment):
      seen = environment.step(command)
    assert environment.goal_holds()


def test_a_seed_is_a_game():
  assert household.generate_game(3) == household.generate_game(3)
  assert household.generate_game(3) != household.generate_game(4)
  kinds = [game.task_type for game in household.generate_games(0, 12)]
  assert kinds == [*household.TASK_TYPES] * 2


def test_task_sentences_are_those_of_real_games():
  for game in household.generate_games(0, 24):
    goal_words = game.task_description.split()
    assert len(goal_words) >= 4


def search(game, wording, seed):
  environment = household.HouseholdEnvironment(wording=wording, max_steps=50)
  guide = expert.SearchingExpert(game, wording, np.random.default_rng(seed))
  seen = environment.reset(game)
  while not seen.terminated and not seen.truncated:
    guide.observe(seen)
    seen = environment.step(guide.act())
  return seen.terminated


@pytest.mark.parametrize('wording', household.WORDINGS)
def test_searching_expert(wording):
  games = real_games() + household.generate_games(0, 120)
  won = [search(game, wording, i) for i, game in enumerate(games)]
  assert np.mean(won) > 0.98


@pytest.mark.parametrize('wording', household.WORDINGS)
def test_slips_are_refused_and_the_expert_goes_on(wording):
  won, slips = 0, set()
  for seed, game in enumerate(household.generate_games(5, 12)):
    environment = household.HouseholdEnvironment(wording=wording, max_steps=60)
    guide = expert.SearchingExpert(game, wording, np.random.default_rng(seed))
    seen = environment.reset(game)
    for number in range(60):
      guide.observe(seen)
      action = guide.act()
      if number % 3 == 2:
        action = guide.slip()
        slips.add(action.split()[0])
        assert action not in seen.admissible
      before = seen
      seen = environment.step(action)
      if number % 3 == 2:
        assert seen.observation == 'Nothing happens.'
        assert seen.admissible == before.admissible
      if seen.terminated:
        won += 1
        break
  assert won >= 11
  assert slips >= {'go', 'open', 'take'}


def test_wrong_arguments():
  with pytest.raises(ValueError, match='task_type must be one of'):
    household.generate_game(0, 'fly')
  with pytest.raises(ValueError, match='count must be positive'):
    household.generate_games(0, 0)
