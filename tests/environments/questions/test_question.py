"""Whatever a checker does, a score or none comes out, in time."""

import dataclasses
import pickle
import re
import signal
import threading

import pytest

from jaxcredit.environments import questions
from jaxcredit.environments.questions import question as question_lib
from jaxcredit.environments.questions import time_limit
from tests.environments.questions import made_up_checkers


def make(checker=made_up_checkers.contains_yes, **options):
  return questions.Question('Well?', 'yes', checker, **options)


@pytest.fixture(autouse=True)
def no_failures_before():
  questions.failures.clear()


def test_prompt_and_checker_alone():
  question = make()
  assert (question.prompt, question.reference) == ('Well?', 'yes')
  assert question.score(question.reference) == 1
  assert question.score('no') == 0
  assert question.read('no') is None


@pytest.mark.parametrize(
  ('text', 'score', 'told'),
  [('large', 1, 'score 7'), ('negative', 0, 'score -3'), ('true', 1, '')],
)
def test_scores_are_kept_between_0_and_1(
  text, score, told, caplog, monkeypatch
):
  monkeypatch.setattr(question_lib, '_out_of_bounds', set())
  for _ in range(2):
    assert make(made_up_checkers.misbehave).score(text) == score
  assert not questions.failures
  # Once, not with every answer.
  assert caplog.text.count('below 0 count as 0') == bool(told)
  assert told in caplog.text


@pytest.mark.parametrize(
  ('text', 'kind', 'message'),
  [
    ('raise', 'error', r'KeyError: .*\\ud800 inside'),
    ('recurse', 'error', 'RecursionError'),
    ('unknown', 'error', "KeyError: 'unknown'"),
    ('nan', 'error', 'the score is nan'),
    ('infinite', 'error', 'the score is inf'),
    ('nothing', 'error', 'TypeError'),
    ('word', 'error', 'ValueError'),
    ('spin', 'time', 'took longer than 0.2 s'),
    ('swallow', 'time', 'took longer than 0.2 s'),
  ],
)
def test_a_check_that_fails_is_no_score_and_is_counted(
  text, kind, message, caplog
):
  question = make(made_up_checkers.misbehave, time_limit=0.2, name='mine')
  score, reason = question.judge(text)
  assert score is None and re.search(message, reason)
  assert questions.failures == {('function', kind): 1}
  assert caplog.text.count('mine: its checker (function) failed') == 1
  assert re.search(message, caplog.text)


def test_warnings_get_rarer(caplog):
  question = make(made_up_checkers.misbehave)
  for _ in range(9):
    question.score('raise')
  assert questions.failures['function', 'error'] == 9
  assert [r.args[2] for r in caplog.records] == [1, 2, 4, 8]


def test_in_a_thread_time_is_measured_alone():
  question = make(made_up_checkers.misbehave, time_limit=0.2)
  scores = []
  thread = threading.Thread(
    target=lambda: scores.append(question.score('swallow'))
  )
  thread.start()
  thread.join()
  assert scores == [None]
  assert questions.failures == {('function', 'time'): 1}


def test_of_a_long_text_the_end_is_read():
  question = make(max_length=10)
  assert question.score('x' * 1000 + 'yes') == 1
  assert question.score('yes' + 'x' * 8) == 0
  number = make(questions.NumberChecker('7'), max_length=10)
  assert number.read('#### 7' + ' ' * 10) == ''
  # The end of a thought that was cut is no answer.
  assert number.score('<think>' + 'x' * 1000 + ' 7') == 0
  assert number.score('<think>' + 'x' * 1000 + '</think> 7') == 1


def test_what_is_not_text_is_the_callers_mistake():
  with pytest.raises(TypeError, match='an answer is text, not int'):
    make().score(3)
  with pytest.raises(TypeError, match='must be callable'):
    make(checker='yes')
  with pytest.raises(ValueError, match='limits must be positive'):
    make(time_limit=0)
  with pytest.raises(ValueError, match='limits must be positive'):
    make(max_length=0)


def test_questions_travel_between_processes():
  question = make(
    questions.ChoiceChecker('B', ('left', 'right')), choices=('A', 'B')
  )
  assert pickle.loads(pickle.dumps(question)) == question  # noqa: S301
  assert dataclasses.replace(question, time_limit=1.0) != question


def test_a_timer_of_others_goes_on():
  rang = []
  before = signal.signal(signal.SIGALRM, lambda *_: rang.append(True))
  left, interval = signal.setitimer(signal.ITIMER_REAL, 30)
  try:
    with pytest.raises(time_limit.OutOfTime), time_limit.time_limit(0.05):
      signal.pause()
    assert not rang
    remaining, _ = signal.getitimer(signal.ITIMER_REAL)
    assert 0 < remaining < 30
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    with time_limit.time_limit(5):
      pass
    signal.pause()
    assert rang
  finally:
    signal.setitimer(signal.ITIMER_REAL, left, interval)
    signal.signal(signal.SIGALRM, before)


def test_a_limit_is_positive():
  with pytest.raises(ValueError, match='must be positive'):
    with time_limit.time_limit(0):
      pass
