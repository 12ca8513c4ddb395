"""The rows and texts that an expert's episodes become."""

import numpy as np
import pytest

from experiments.domains import expert_demonstrations
from experiments.domains import household as household_tasks
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

  eos_id = turn_end_id = STOP

  def encode(self, text):
    return [ord(c) for c in text]

  def encode_prompt(self, text):
    return [OPENING, *self.encode(text), CLOSING]

  def decode(self, tokens):
    return ''.join(map(chr, tokens))


def stated(traces):
  return [(game.task_description, trace) for game, trace in traces]


@pytest.fixture(scope='module')
def traces():
  """Of an expert that slips at every third step or so."""
  games = household.generate_games(household_tasks.DEMONSTRATION_SEED, 6)
  return stated(household_tasks.demonstrations(games, '2.1.1', 40, 0, 0.3))


@pytest.mark.parametrize('text_format', FORMATS.values(), ids=FORMATS)
def test_rows_hold_what_the_policy_will_read_and_draw(traces, text_format):
  tokenizer = Characters()
  rows = expert_demonstrations.token_rows(traces, tokenizer, text_format, ROOM)
  texts = set(expert_demonstrations.corpus(traces, text_format))
  learned = sum(not step.slip for _, trace in traces for step in trace)
  assert learned < sum(len(trace) for _, trace in traces)
  by_step = text_format.rebuilds_prompt
  assert len(rows) == (learned if by_step else len(traces))
  segments = iter([s for row in rows for s in cut(row)])
  for task, trace in traces:
    history = []
    for number, step in enumerate(trace):
      prompt = text_format.prompt(
        history,
        step.seen.observation,
        step.seen.admissible,
        task,
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
  whole = expert_demonstrations.token_rows(traces, tokenizer, text_format, ROOM)
  lengths = sorted(len(row.tokens) for row in whole)
  limit = lengths[len(lengths) // 2]
  rows = expert_demonstrations.token_rows(traces, tokenizer, text_format, limit)
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
  assert (
    expert_demonstrations.token_rows(traces, tokenizer, text_format, 9) == []
  )


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
  shown = expert_demonstrations.ExpertEpisodes(
    traces,
    3,
    sentence=lambda game: game.task_description,
    won='games won',
    advice='give more games',
    refusals=('Nothing happens.',),
  )
  texts = shown.corpus(text_format)
  assert any(failed in text for text in texts)
  tokenizer = Characters()
  assert [row.tokens for row in shown.rows(tokenizer, text_format, ROOM)] == [
    row.tokens
    for row in expert_demonstrations.token_rows(
      stated(traces), tokenizer, text_format, ROOM
    )
  ]
  assert shown.count == 2
  assert shown.words.startswith('expert: 2 of 3 games won, ')
