"""A small policy plays a small environment: tokens, limits, failures."""

import collections
import dataclasses
import functools
from unittest import mock

import jax
import numpy as np
import pytest

from jaxcredit import gigpo
from jaxcredit.environments import completion
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder
from jaxcredit.networks.sampling import engine as engine_lib
from jaxcredit.networks.sampling import sampler
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.rollouts import formats
from jaxcredit.rollouts import pool as pool_lib
from tests.rollouts import echo_environment

PIECES = (
  '', ' left', ' right', '<think></think>', '<action>left</action>',
  '<action>right</action>', '<action>', ' x',
)  # fmt: skip
CONFIG = config_lib.DecoderConfig(
  vocab_size=len(PIECES), width=16, layers=1, heads=2, kv_heads=1, head_dim=8,
  hidden=24,
)  # fmt: skip
# Any chunk of the text fits one size, so that little has to be compiled.
LIMITS = collector_lib.RolloutLimits(
  steps=8, new_tokens=5, row_tokens=400, chunks=(64,)
)
TASKS = ('room left', 'room right', 'room nothing', 'fragile nothing')


class ToyTokenizer:
  """Few tokens, each a word or a tag, so that luck finds valid answers."""

  eos_id = 0

  def encode_prompt(self, text):
    return self.encode(text)

  def encode(self, text):
    return [1 + ord(character) % (len(PIECES) - 1) for character in text]

  def decode(self, tokens):
    return ''.join(PIECES[t] for t in tokens)


class SilentTokenizer(ToyTokenizer):
  """Whatever the policy draws, it says nothing."""

  def decode(self, tokens):
    return ' '


@functools.cache
def build_params():
  return jax.jit(decoder.init, static_argnums=1)(jax.random.key(0), CONFIG)


def make_pool(count=16):
  return pool_lib.EnvironmentPool(
    echo_environment.EchoEnvironment, count, workers=0
  )


def make_collector(
  pool=None, limits=LIMITS, text_format=None, tokenizer=None, **options
) -> collector_lib.Collector:
  return collector_lib.Collector(
    CONFIG,
    tokenizer or ToyTokenizer(),
    text_format or formats.Plain(),
    pool or make_pool(),
    task_sentence=lambda task: task,
    limits=limits,
    **options,
  )


def collect(tasks=TASKS, group_size=4, seed=0, collector=None, **options):
  collector = collector or make_collector()
  return collector.collect(
    build_params(), tasks, group_size, jax.random.key(seed), **options
  )


@functools.cache
def play():
  """Episodes of all tasks, and batch size and capacity of each turn."""
  shapes = []

  def watch(params, config, cache, *arguments, **options):
    shapes.append((cache.length.shape[0], cache.capacity))
    return decode(params, config, cache, *arguments, **options)

  decode = sampler.decode
  with mock.patch.object(sampler, 'decode', watch):
    return collect(), shapes


def check_same_episodes(some, others):
  for a, b in zip(some, others, strict=True):
    assert (a.task, a.rollout) == (b.task, b.rollout)
    assert [s.action for s in a.steps] == [s.action for s in b.steps]
    assert a.failure == b.failure
    for x, y in zip(a.rows, b.rows, strict=True):
      assert x.tokens == y.tokens
      np.testing.assert_allclose(x.log_probs, y.log_probs, atol=1e-4)


def check_log_probs(episodes, length, temperature=1.0):
  rows = [row for e in episodes for row in e.rows]
  packed = episodes_lib.pack_rows(rows, range(len(rows)), length)
  expected, _ = jax.jit(
    functools.partial(decoder.log_probs, temperature=temperature),
    static_argnums=1,
  )(build_params(), CONFIG, packed.tokens, packed.length)
  drawn = packed.step_of_token >= 0
  assert drawn.sum() > 20
  np.testing.assert_allclose(
    packed.log_probs[drawn], np.asarray(expected)[drawn], atol=1e-4
  )


def test_rows_scored_again_give_the_log_probs_of_the_sampler():
  episodes, _ = play()
  check_log_probs(episodes, LIMITS.row_tokens)
  check_log_probs(collect(temperature=0.5), LIMITS.row_tokens, temperature=0.5)


def test_rows_hold_prompts_and_answers_in_order():
  episodes, _ = play()
  tokenizer = ToyTokenizer()
  for episode in episodes:
    if episode.failure:
      continue
    expected, steps = [], []
    (row,) = episode.rows
    for number, step in enumerate(episode.steps):
      prompt = tokenizer.encode_prompt(f'{step.observation}\n{episode.task}>')
      drawn = [
        t
        for t, s in zip(row.tokens, row.step_of_token, strict=True)
        if s == number
      ]
      assert 1 <= len(drawn) <= LIMITS.new_tokens
      assert tokenizer.eos_id not in drawn[:-1]
      finished = drawn[-1] == tokenizer.eos_id
      assert finished or len(drawn) == LIMITS.new_tokens
      action = formats.Plain().read(
        tokenizer.decode(drawn[: len(drawn) - finished]), finished
      )
      assert (step.action, step.valid) == action
      expected += prompt + drawn
      steps += [-1] * len(prompt) + [number] * len(drawn)
    assert row.tokens == expected
    assert row.step_of_token == steps


def test_steps_record_what_the_environment_said():
  episodes, _ = play()
  for index, episode in enumerate(episodes):
    assert (episode.group, episode.rollout) == divmod(index, 4)
    assert episode.task == TASKS[episode.group]
    assert episode.initial_observation == 'quiet'
    if episode.failure:
      continue
    said = 'quiet'
    for step in episode.steps:
      assert step.observation == step.anchor == said
      said = step.next_observation
      assert said == f'heard {step.action[:20]}'
      assert step.admissible == (step.action in ('left', 'right'))
      assert step.reward == (episode.task.split()[-1] in step.action)
    won = episode.steps[-1].reward > 0
    assert (episode.terminated, episode.success) == (won, won)
    assert episode.truncated == (not won)
    # It left when it was done, and no earlier.
    assert sum(s.reward for s in episode.steps) == won
    assert won or len(episode.steps) == LIMITS.steps
  kinds = {e.task for e in episodes if e.success}
  assert kinds == {'room left', 'room right'}
  assert {s.valid for e in episodes for s in e.steps} == {True, False}


class CandidEnvironment(echo_environment.EchoEnvironment):
  """Says itself what it carried out, and that nothing is ever solved."""

  def step(self, action):
    step = super().step(action)
    return step._replace(executed=len(action) > 4, success=False)


def test_steps_and_episodes_record_what_a_candid_environment_tells():
  pool = pool_lib.EnvironmentPool(CandidEnvironment, 16, workers=0)
  episodes = collect(collector=make_collector(pool))
  steps = [step for episode in episodes for step in episode.steps]
  assert all(step.admissible == (len(step.action) > 4) for step in steps)
  assert {step.admissible for step in steps} == {True, False}
  assert all(step.grounded == step.admissible for step in steps)
  ended = [episode for episode in episodes if episode.terminated]
  assert any(episode.episode_return > 0 for episode in ended)
  assert not any(episode.success for episode in episodes)


def test_the_batch_shrinks_and_the_cache_grows():
  _, shapes = play()
  assert shapes[0] == (16, 200)
  assert shapes[-1] == (8, 400)
  assert len(shapes) == LIMITS.steps


def test_draws_do_not_depend_on_pool_size():
  # One group at a time: other batch sizes, another order of growth.
  few = collect(collector=make_collector(make_pool(4)))
  check_same_episodes(few, play()[0])


def watch_engine(collector, **options):
  """Plays, and returns the episodes and the engine that drew them."""
  engines = []
  engine = engine_lib.Engine

  def make(*arguments, **keywords):
    engines.append(engine(*arguments, **keywords))
    return engines[-1]

  with mock.patch.object(engine_lib, 'Engine', make):
    return collect(collector=collector, **options), engines[0]


def test_episodes_go_through_few_slots():
  # Sixteen episodes of uneven length through three slots: one that ends makes
  # room for the next while the others go on.
  few, engine = watch_engine(make_collector(slots=3))
  check_same_episodes(few, play()[0])
  turns = sum(len(e.steps) for e in few)
  assert turns / 3 <= engine.stats.calls < turns / 3 + 2 * LIMITS.steps
  check_log_probs(few, LIMITS.row_tokens)


def test_groups_may_be_larger_than_the_pool():
  few = collect(collector=make_collector(make_pool(3)))
  check_same_episodes(few, play()[0])


def test_episodes_whose_answer_is_long_do_not_hold_up_the_others():
  # An answer takes up to three calls; who has answered acts at once.
  steps = []
  pool = make_pool(16)
  step = pool.step

  def watch(actions):
    steps.append(len(actions))
    return step(actions)

  pool.step = watch
  collector = make_collector(pool, decode_steps_per_call=2)
  episodes, engine = watch_engine(collector)
  check_same_episodes(episodes, play()[0])
  assert min(steps) < 8
  longest = max(len(e.steps) for e in episodes)
  assert longest < engine.stats.calls <= 3 * longest


def test_prompts_of_a_group_are_read_once():
  episodes, engine = watch_engine(make_collector())
  rows = [row for e in episodes for row in e.rows]
  prompt = len(ToyTokenizer().encode_prompt('quiet\nroom left>'))
  drawn = sum(s >= 0 for row in rows for s in row.step_of_token)
  assert engine.stats.generated == drawn
  # Every token but the last of a row enters the cache once, apart from the
  # prompts of companions. (Those of other groups begin alike, too.)
  assert engine.stats.prefix_cache_hits >= 12 * (prompt - 1)
  entered = sum(len(row.tokens) - 1 for row in rows)
  assert (
    engine.stats.prefilled == entered - drawn - engine.stats.prefix_cache_hits
  )


class SpellingTokenizer(ToyTokenizer):
  """Knows what tokens add to a text, as bytes."""

  def token_bytes(self):
    return [piece.encode() for piece in PIECES]


@pytest.mark.parametrize('tokenizer', [ToyTokenizer(), SpellingTokenizer()])
def test_stop_strings_end_answers_and_stay_in_them(tokenizer):
  collector = make_collector(tokenizer=tokenizer, strings=('ht x', 'action>l'))
  episodes = collect(collector=collector)
  ended = collections.Counter()
  for episode in episodes:
    if episode.failure:
      continue
    (row,) = episode.rows
    for number, step in enumerate(episode.steps):
      drawn = [
        t
        for t, s in zip(row.tokens, row.step_of_token, strict=True)
        if s == number
      ]
      text = tokenizer.decode(drawn)
      before = tokenizer.decode(drawn[:-1])
      found = [s for s in ('ht x', 'action>l') if s in text]
      assert not any(s in before for s in ('ht x', 'action>l'))
      if found:
        # The token is whole in the row; the action ends with the string.
        assert step.valid
        cut = text[: text.index(found[0]) + len(found[0])]
        assert step.action == completion.said(cut).text.strip()
        ended[found[0], text == cut] += 1
      else:
        assert drawn[-1] == tokenizer.eos_id or len(drawn) == 5
  assert ended['ht x', True] and ended['action>l', False]
  check_log_probs(episodes, LIMITS.row_tokens)


def test_restrictions_reach_the_sampler():
  # One token left is the likeliest one.
  greedy = collect(temperature=0.0)
  for restriction in ({'top_k': 1}, {'top_p': 1e-6}, {'min_p': 1.0}):
    restricted = collect(**restriction)
    for a, b in zip(restricted, greedy, strict=True):
      assert [r.tokens for r in a.rows] == [r.tokens for r in b.rows]
      assert not any(any(r.log_probs) for r in a.rows)


def test_a_policy_that_is_broken_is_an_error():
  params = jax.tree.map(lambda x: x * np.nan, build_params())
  with pytest.raises(ValueError, match=r'not finite.*parameters hold NaN'):
    make_collector().collect(params, TASKS, 4, jax.random.key(0))


def test_draws_do_not_depend_on_companions():
  others = collect(('room right', 'room right', 'room nothing', 'room left'))
  check_same_episodes(others[8:12], play()[0][8:12])
  # The same task in another group draws otherwise.
  assert others[4].rows[0].tokens != others[0].rows[0].tokens


def test_rollouts_of_a_group_and_other_keys_draw_otherwise():
  episodes, _ = play()
  firsts = [e.rows[0].tokens[:40] for e in episodes[8:12]]
  assert firsts[0] != firsts[1]
  again = collect(seed=1)
  assert [e.rows[0].tokens for e in again[8:12]] != [
    e.rows[0].tokens for e in episodes[8:12]
  ]


def test_temperature_zero_takes_no_chances():
  greedy = collect(temperature=0.0)
  check_same_episodes(greedy, collect(temperature=0.0, seed=1))
  for start in (0, 4, 8):
    first, *rest = greedy[start : start + 4]
    for episode in rest:
      assert episode.rows[0].tokens == first.rows[0].tokens
  assert greedy[8].rows[0].tokens != play()[0][8].rows[0].tokens


def test_a_rollout_is_given_up_between_two_answers_and_can_be_played_again():
  asked = []

  def should_stop():
    asked.append(None)
    return len(asked) == 5

  collector = make_collector(make_pool(), should_stop=should_stop)
  ended = []
  with pytest.raises(collector_lib.RolloutInterruptedError):
    collect(collector=collector, on_episode=ended.append)
  # Long before all had ended, and nobody asks further.
  assert len(asked) == 5
  assert sum(ended) < len(TASKS) * 4
  check_same_episodes(collect(collector=collector), play()[0])


def test_a_failing_environment_costs_its_own_episode():
  episodes, _ = play()
  for episode in episodes:
    assert bool(episode.failure) == (episode.task == 'fragile nothing')
  lost = episodes[12]
  assert 'the room fell in' in lost.failure
  assert not lost.terminated and not lost.truncated and not lost.success
  # What it did until then is on record.
  assert len(lost.steps) == 1


def test_a_task_that_cannot_be_reset_costs_its_own_episodes():
  episodes = collect(('room left', 'broken', 'room nothing', 'broken'))
  assert [bool(e.failure) for e in episodes] == (
    [False] * 4 + [True] * 4 + [False] * 4 + [True] * 4
  )
  assert not episodes[4].steps and not episodes[4].rows
  check_same_episodes(episodes[:4], play()[0][:4])
  check_same_episodes(episodes[8:12], play()[0][8:12])


def test_nothing_but_broken_tasks():
  episodes = collect(('broken',) * 4)
  assert len(episodes) == 16
  assert all(e.failure for e in episodes)


def test_the_environment_can_truncate():
  episodes = collect(('closing nothing',) * 4)
  assert {len(e.steps) for e in episodes} == {2}
  assert all(e.truncated and not e.terminated for e in episodes)


class RelapsingPool(pool_lib.EnvironmentPool):
  """Reports environments that fail while they are played again."""

  relapses: tuple[int, ...] = ()

  def step(self, actions):
    answers = super().step(actions)
    self.failures.extend(
      pool_lib.Failure(i, 'while it was played again') for i in self.relapses
    )
    return answers


def test_an_environment_that_fails_after_it_answered_ends_once():
  pool = RelapsingPool(echo_environment.EchoEnvironment, 16, workers=0)
  pool.relapses = (1,)
  ended = []
  limits = collector_lib.RolloutLimits(
    steps=1, new_tokens=5, row_tokens=200, chunks=(64,)
  )
  episodes = collect(
    collector=make_collector(pool, limits), on_episode=ended.append
  )
  assert [bool(e.failure) for e in episodes] == [i == 1 for i in range(16)]
  assert 'played again' in episodes[1].failure
  assert sum(ended) == 16


def test_failures_of_environments_without_an_episode_cost_nothing():
  # A smaller batch leaves environments idle that held episodes before.
  pool = RelapsingPool(echo_environment.EchoEnvironment, 24, workers=0)
  pool.relapses = (16, 23)
  episodes = collect(collector=make_collector(pool))
  check_same_episodes(episodes, play()[0])


def test_a_row_that_is_full_truncates_the_episode():
  limits = collector_lib.RolloutLimits(
    steps=8, new_tokens=5, row_tokens=200, chunks=(64,)
  )
  episodes = collect(collector=make_collector(limits=limits))
  # Up to there it is the same episode.
  for short, long in zip(episodes, play()[0], strict=True):
    if short.failure:
      continue
    have = len(short.rows[0].tokens)
    assert have <= 200
    assert short.rows[0].tokens == long.rows[0].tokens[:have]
    if len(short.steps) < len(long.steps):
      assert short.truncated and not short.terminated
      following = f'{short.steps[-1].next_observation}\n{short.task}>'
      assert have + len(following) + limits.new_tokens > 200
  assert sum(len(e.steps) for e in episodes) < sum(
    len(e.steps) for e in play()[0]
  )


def test_a_first_prompt_that_does_not_fit_is_an_error_with_advice():
  limits = collector_lib.RolloutLimits(steps=1, new_tokens=5, row_tokens=20)
  with pytest.raises(ValueError, match='raise the row length') as error:
    collect(collector=make_collector(limits=limits))
  assert "'room left' has 16 tokens" in str(error.value)


@functools.cache
def play_think_action():
  limits = collector_lib.RolloutLimits(
    steps=4, new_tokens=5, row_tokens=512, chunks=(512,)
  )
  collector = make_collector(
    make_pool(4), limits, formats.ThinkAction(history_length=1)
  )
  return collect(('room nothing',), collector=collector)


def test_think_action_rows_scored_again_give_the_same_log_probs():
  check_log_probs(play_think_action(), 512)


def test_think_action_has_a_row_for_each_step():
  tokenizer = ToyTokenizer()
  text_format = formats.ThinkAction(history_length=1)
  for episode in play_think_action():
    assert len(episode.rows) == len(episode.steps) == 4
    history = []
    for number, (step, row) in enumerate(
      zip(episode.steps, episode.rows, strict=True)
    ):
      prompt = tokenizer.encode_prompt(
        text_format.prompt(
          history, step.observation, ('left', 'right'), 'room nothing'
        )
      )
      drawn = row.tokens[len(prompt) :]
      assert row.tokens == prompt + drawn
      assert row.step_of_token == [-1] * len(prompt) + [number] * len(drawn)
      history.append(formats.Exchange(step.observation, step.action))


def test_a_policy_that_is_never_valid_plays_to_the_limit():
  episodes = collect(
    ('room left', 'room right', 'room left', 'room nothing'),
    collector=make_collector(tokenizer=SilentTokenizer()),
  )
  assert {len(e.steps) for e in episodes} == {LIMITS.steps}
  assert all(e.truncated and not e.failure for e in episodes)
  assert not any(s.valid for e in episodes for s in e.steps)
  packed = episodes_lib.pack_trajectories(
    episodes, 4, LIMITS.steps, invalid_penalty=0.1
  )
  np.testing.assert_allclose(packed.penalties, 0.1)
  credit = gigpo.advantages(
    packed.rewards, packed.mask, packed.anchors, penalties=packed.penalties
  )
  assert np.isfinite(np.asarray(credit.total)).all()


def test_every_episode_is_announced_once():
  ended = []
  # Two batches of a group each; one task fails at once, one at its second step.
  collect(
    ('fragile nothing', 'broken'),
    collector=make_collector(make_pool(4)),
    on_episode=ended.append,
  )
  assert ended == [1] * 8


def test_time_is_accounted_for():
  collector = make_collector()
  collect(collector=collector)
  assert collector.timing.policy > 0
  assert collector.timing.environment > 0


def test_no_tasks_give_no_episodes():
  assert collect(()) == []


def test_mean_length():
  assert collector_lib.mean_length([]) == 0
  episodes, _ = play()
  assert collector_lib.mean_length([episodes[8], episodes[12]]) == 4.5


def test_a_group_must_have_members():
  with pytest.raises(ValueError, match='group_size must be positive, not 0'):
    collect(group_size=0)


def test_slots_must_be_positive():
  with pytest.raises(ValueError, match='slots must be positive, not 0'):
    make_collector(slots=0)


@pytest.mark.parametrize('field', ['steps', 'new_tokens', 'row_tokens'])
def test_limits_must_be_positive(field):
  with pytest.raises(ValueError, match='limits must be positive'):
    collector_lib.RolloutLimits(**{field: 0})


def test_rows_beyond_the_models_positions():
  config = dataclasses.replace(CONFIG, max_positions=399)
  with pytest.raises(ValueError, match='a row of 400 tokens .* 399 positions'):
    collector_lib.Collector(
      config,
      ToyTokenizer(),
      formats.Plain(),
      make_pool(1),
      task_sentence=str,
      limits=LIMITS,
    )
