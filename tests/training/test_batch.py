"""Metrics of a batch that need no run."""

import numpy as np
import pytest

from jaxcredit.environments import questions
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.training import batch as batch_lib


def fail(text):
  if text == 'odd':
    raise KeyError(text)
  return float(text == 'right')


def episode(failed_check, *answers):
  environment = questions.QuestionEnvironment(
    tries=3, failed_check=failed_check
  )
  seen = environment.reset(questions.Question('?', 'right', fail))
  made = episodes_lib.Episode(task=None, group=0, rollout=0)
  for answer in answers:
    before = seen
    try:
      seen = environment.step(answer)
    except questions.CheckFailedError as error:
      made.failure = str(error)
      return made
    made.steps.append(
      episodes_lib.Step(
        before.observation, answer, seen.observation, seen.reward, True, True,
        before.anchor,
      )
    )  # fmt: skip
  return made


def metrics(*episodes):
  return batch_lib.metrics(batch_lib.Batch(list(episodes), None, len(episodes)))


def test_answers_that_could_not_be_checked_are_counted():
  found = metrics(
    episode('wrong', 'odd', 'no', 'odd'), episode('wrong', 'no', 'right')
  )
  assert found['unchecked_share'] == pytest.approx(2 / 5)
  assert found['failed_episodes'] == 0


def test_lost_episodes_have_no_part_in_it():
  found = metrics(episode('lost', 'odd'), episode('lost', 'no', 'right'))
  assert found['unchecked_share'] == 0
  assert found['failed_episodes'] == 1
  assert np.isnan(metrics(episode('lost', 'odd'))['unchecked_share'])
