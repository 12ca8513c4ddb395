"""Games, what an expert shows, and the rows and texts it becomes."""

import numpy as np
import pytest

from experiments import household_tasks
from jaxcredit import types
from jaxcredit.environments import household
from jaxcredit.rollouts import formats

FORMATS = {
  'plain': formats.Plain(),
  'plain, task once': formats.Plain(repeats_task=False),
  'think_action': formats.ThinkAction(history_length=2),
}
OPENING, CLOSING, STOP = 1, 2, 3
ROOM = 10_000


class Characters:
  """Every character a token; prompts stand between two tokens of their own."""

  eos_id = STOP

  def encode(self, text):
    return [ord(c) for c in text]

  def encode_prompt(self, text):
    return [OPENING, *self.encode(text), CLOSING]

  def decode(self, tokens):
    return ''.join(map(chr, tokens))


@pytest.fixture(scope='module')
def traces():
  """Of an expert that slips at every third step or so."""
  games = household.generate_games(household_tasks.DEMONSTRATION_SEED, 6)
  return household_tasks.demonstrations(games, '2.1.1', 40, 0, 0.3)


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


@pytest.mark.parametrize('text_format', FORMATS.values(), ids=FORMATS)
def test_rows_hold_what_the_policy_will_read_and_draw(traces, text_format):
  tokenizer = Characters()
  rows = household_tasks.token_rows(traces, tokenizer, text_format, ROOM)
  texts = set(household_tasks.corpus(traces, text_format))
  learned = sum(not step.slip for _, trace in traces for step in trace)
  assert learned < sum(len(trace) for _, trace in traces)
  by_step = text_format.rebuilds_prompt
  assert len(rows) == (learned if by_step else len(traces))
  segments = iter([s for row in rows for s in cut(row)])
  for game, trace in traces:
    history = []
    for number, step in enumerate(trace):
      prompt = text_format.prompt(
        history,
        step.seen.observation,
        step.seen.admissible,
        game.task_description,
      )
      answer = text_format.answer(step.action)
      # A slip is a part of what follows, but has no row of its own.
      if not (step.slip and by_step):
        opens = by_step or not number
        encode = tokenizer.encode_prompt if opens else tokenizer.encode
        tokens = encode(prompt)
        assert next(segments) == (-1, tokens)
        tokens = [*tokenizer.encode(answer), STOP]
        name = types.NOT_LEARNED if step.slip else number
        assert next(segments) == (name, tokens)
      # The tokenizer is trained on these very texts, and the environment will
      # understand the answer.
      assert {prompt, answer} <= texts
      assert text_format.read(answer, True) == (step.action, True)
      history.append(formats.Exchange(step.seen.observation, step.action))
  assert next(segments, None) is None


def cut(row):
  """A row's runs of tokens of one step, as (step, tokens)."""
  steps = np.array(row.step_of_token)
  assert len(row.tokens) == len(steps) == len(row.log_probs)
  assert set(row.log_probs) == {0.0}
  edges = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(steps)]
  return [
    (int(steps[a]), row.tokens[a:b])
    for a, b in zip(edges, edges[1:], strict=False)
  ]


@pytest.mark.parametrize('text_format', FORMATS.values(), ids=FORMATS)
def test_rows_end_before_they_are_too_long(traces, text_format):
  tokenizer = Characters()
  whole = household_tasks.token_rows(traces, tokenizer, text_format, ROOM)
  lengths = sorted(len(row.tokens) for row in whole)
  limit = lengths[len(lengths) // 2]
  rows = household_tasks.token_rows(traces, tokenizer, text_format, limit)
  assert max(len(row.tokens) for row in rows) <= limit
  if text_format.rebuilds_prompt:
    assert 0 < len(rows) < len(whole)
  else:
    assert len(rows) == len(whole)
    for row, full in zip(rows, whole, strict=True):
      size = len(row.tokens)
      # Whole steps: no answer without its end.
      assert row.tokens[-1] == STOP
      assert row.tokens == full.tokens[:size]
      assert row.step_of_token == full.step_of_token[:size]
  assert household_tasks.token_rows(traces, tokenizer, text_format, 9) == []


@pytest.mark.parametrize('text_format', FORMATS.values(), ids=FORMATS)
def test_the_corpus_knows_failures(text_format):
  # An expert without slips does not fail; what the game says then must not be
  # new words for the policy.
  games = household.generate_games(0, 2)
  traces = household_tasks.demonstrations(games, '2.1.1', 60, 0)
  environment = household.HouseholdEnvironment(wording='2.1.1')
  environment.reset(games[0])
  failed = environment.step('dance').observation
  assert not any(
    failed in step.seen.observation for _, trace in traces for step in trace
  )
  texts = household_tasks.corpus(traces, text_format)
  assert any(failed in text for text in texts)
