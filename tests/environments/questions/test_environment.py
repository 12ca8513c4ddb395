"""Questions as an environment: turns, verdicts, late rewards, anchors."""

import functools

import jax
import numpy as np
import pytest

from jaxcredit import gigpo, grpo
from jaxcredit.environments import protocol, questions
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.rollouts import formats
from jaxcredit.rollouts import pool as pool_lib
from tests.environments.questions import made_up_checkers


def sum_of(a, b):
  return questions.Question(
    f'{a}+{b}?', str(a + b), questions.NumberChecker(str(a + b))
  )


def start(question=None, **options):
  environment = questions.QuestionEnvironment(**options)
  assert isinstance(environment, protocol.TextEnvironment)
  first = environment.reset(question or sum_of(2, 3))
  assert first.reward == 0 and not first.terminated and not first.truncated
  return environment, first


def test_single_turn():
  environment, first = start()
  assert first.observation == '2+3?' and first.admissible == ()
  right = environment.step('It is 5.')
  assert right.observation == 'Right.'
  assert right.reward == 1 and right.terminated and not right.truncated
  environment.reset(sum_of(2, 3))
  wrong = environment.step('It is 6.')
  assert wrong.observation == "'6' is wrong."
  assert wrong.reward == 0 and wrong.terminated


def test_several_turns():
  environment, first = start(tries=3)
  steps = [environment.step(text) for text in ('hm', 'so 6', 'so 5', 'so 5')]
  assert [s.observation for s in steps] == [
    'No answer was found in that. You may try 2 more times.',
    "'6' is wrong. You may try 1 more time.",
    'Right.',
    'The question was answered.',
  ]
  assert [s.reward for s in steps] == [0, 0, 1, 0]
  assert [s.terminated for s in steps] == [False, False, True, True]
  assert len({s.anchor for s in [first, *steps[:2]]}) == 3


def test_tries_end():
  environment, _ = start(tries=2)
  assert not environment.step('1').terminated
  last = environment.step('2')
  assert last.terminated and last.reward == 0
  assert last.observation == "'2' is wrong."


def test_a_later_try_is_worth_less_if_so_wished():
  environment, _ = start(tries=3, try_discount=0.5)
  environment.step('1')
  environment.step('2')
  assert environment.step('5').reward == 0.25


@pytest.mark.parametrize(
  ('options', 'text', 'reward', 'observation'),
  [
    ({}, 'half', 0, 'That is wrong.'),
    ({'partial_credit': True}, 'half', 0.5, 'That is wrong.'),
    ({'solved_at': 0.5}, 'half', 0.5, 'Right.'),
    ({}, 'whole', 1, 'Right.'),
  ],
)
def test_scores_between_0_and_1(options, text, reward, observation):
  question = questions.Question('?', 'whole', made_up_checkers.half)
  environment, _ = start(question, **options)
  step = environment.step(text)
  assert (step.reward, step.observation) == (reward, observation)
  assert step.terminated


def test_partial_credit_waits_for_the_last_try():
  question = questions.Question('?', 'whole', made_up_checkers.half)
  environment, _ = start(question, tries=2, partial_credit=True)
  assert environment.step('half').reward == 0
  assert environment.step('half').reward == 0.5


def test_anchors_are_equal_for_equal_wrong_answers():
  def anchor(*texts, question=None):
    environment, step = start(question, tries=4)
    for text in texts:
      step = environment.step(text)
    return step.anchor

  assert anchor('I say 6.') == anchor('6, surely')
  assert anchor('6') != anchor('7') != anchor()
  assert anchor('6', '7') != anchor('7', '6')
  assert anchor('6') != anchor('6', question=sum_of(3, 4))
  assert anchor('\ud800') == anchor('none')


def test_choices_are_the_admissible_actions():
  question = questions.Question(
    'Pick', 'B', questions.ChoiceChecker('B', ('x', 'y')), choices=('B', 'A')
  )
  environment, first = start(question, tries=2)
  assert first.admissible == ('A', 'B')
  assert environment.step('b').terminated


def test_a_verdict_is_short_and_printable():
  question = questions.Question('?', 'x', questions.ExactChecker('x'))
  environment, _ = start(question, tries=9)
  for text in ('y' * 5000, '\ud800\x00\n' * 50, '{' * 99):
    observation = environment.step(text).observation
    assert len(observation) < 400
    assert observation.encode('utf-8') and '\n' not in observation


@pytest.mark.parametrize(
  ('text', 'reason'),
  [
    ('raise', 'KeyError'),
    ('nan', 'the score is nan'),
    ('spin', 'took longer than 0.1 s'),
  ],
)
def test_a_check_that_fails_loses_the_episode_or_is_wrong(text, reason):
  question = questions.Question(
    '?', 'yes', made_up_checkers.misbehave, time_limit=0.1, name='mine'
  )
  environment, _ = start(question)
  with pytest.raises(questions.CheckFailedError, match=f"'mine'.*{reason}"):
    environment.step(text)
  environment, _ = start(question, failed_check='wrong', tries=2)
  step = environment.step(text)
  assert (step.reward, step.terminated) == (0, False)
  assert step.observation == (f'{questions.UNCHECKED} You may try 1 more time.')
  assert environment.step('true').reward == 1


def test_a_pool_loses_the_episode_of_a_failed_check_alone():
  question = questions.Question('?', 'yes', made_up_checkers.misbehave)
  with pool_lib.EnvironmentPool(
    questions.QuestionEnvironment, 2, workers=0
  ) as pool:
    pool.reset({0: question, 1: question})
    answers = pool.step({0: 'nan', 1: 'true'})
    assert answers[0] is None and answers[1].reward == 1
    (failure,) = pool.failures
    assert 'could not be checked' in failure.reason
    assert 'the score is nan' in failure.reason


def test_wrong_use():
  with pytest.raises(RuntimeError, match='reset'):
    questions.QuestionEnvironment().step('x')
  with pytest.raises(TypeError, match='is a Question, not str'):
    questions.QuestionEnvironment().reset('2+3?')
  for options, message in (
    ({'tries': 0}, 'tries'),
    ({'solved_at': 0.0}, 'solved_at'),
    ({'solved_at': 1.1}, 'solved_at'),
    ({'try_discount': -1.0}, 'try_discount'),
    ({'failed_check': 'zero'}, 'failed_check must be one of'),
  ):
    with pytest.raises(ValueError, match=message):
      questions.QuestionEnvironment(**options)


def test_in_a_pool_with_a_worker():
  factory = functools.partial(questions.QuestionEnvironment, tries=2)
  with pool_lib.EnvironmentPool(factory, 2, workers=1) as pool:
    first = pool.reset({0: sum_of(1, 1), 1: sum_of(2, 2)})
    assert first[1].observation == '2+2?'
    answers = pool.step({0: '2', 1: '\ud800 5'})
    assert answers[0].reward == 1 and answers[0].terminated
    assert answers[1].reward == 0 and not answers[1].terminated
    assert pool.step({1: '4'})[1].reward == 1
    assert not pool.failures


PIECES = ('', ' 4', ' 5', ' no')
CONFIG = config_lib.DecoderConfig(
  vocab_size=len(PIECES), width=16, layers=1, heads=2, kv_heads=1, head_dim=8,
  hidden=24,
)  # fmt: skip


class ToyTokenizer:
  """Few tokens, so that luck finds right answers."""

  eos_id = 0

  def encode_prompt(self, text):
    return self.encode(text)

  def encode(self, text):
    return [1 + ord(c) % (len(PIECES) - 1) for c in text]

  def decode(self, tokens):
    return ''.join(PIECES[t] for t in tokens)


def test_a_policy_plays_and_gets_credit():
  group_size, tries = 8, 3
  pool = pool_lib.EnvironmentPool(
    functools.partial(questions.QuestionEnvironment, tries=tries),
    2 * group_size,
    workers=0,
  )
  collector = collector_lib.Collector(
    CONFIG,
    ToyTokenizer(),
    formats.Plain(repeats_task=False),
    pool,
    task_sentence=lambda question: question.prompt,
    limits=collector_lib.RolloutLimits(
      steps=tries, new_tokens=3, row_tokens=256, chunks=(64,)
    ),
  )
  params = jax.jit(decoder.init, static_argnums=1)(jax.random.key(0), CONFIG)
  tasks = [sum_of(2, 2), sum_of(2, 3)]
  episodes = collector.collect(params, tasks, group_size, jax.random.key(3))
  assert not pool.failures
  assert all(1 <= len(e.steps) <= tries and e.terminated for e in episodes)
  # Won or lost, by the last answer alone.
  for episode in episodes:
    rewards = [step.reward for step in episode.steps]
    assert rewards[:-1] == [0] * (len(rewards) - 1)
    assert rewards[-1] == episode.task.score(episode.steps[-1].action)
    assert episode.success == (rewards[-1] == 1)
  assert {e.success for e in episodes} == {True, False}

  packed = episodes_lib.pack_trajectories(episodes, group_size, tries)
  credit = gigpo.advantages(packed.rewards, packed.mask, packed.anchors)
  scores = packed.rewards.sum(-1)
  np.testing.assert_allclose(
    credit.episode,
    grpo.advantages(scores)[..., None] * packed.mask,
    atol=1e-5,
  )
  # The first steps of a group share an anchor: there, who wins at once, or
  # sooner, is worth more than who never does.
  assert (np.asarray(credit.anchor_group)[:, :, 0] == 0).all()
  first = np.asarray(credit.step)[:, :, 0]
  for group in range(2):
    won = scores[group] > 0
    assert first[group][won].min() > first[group][~won].max()
