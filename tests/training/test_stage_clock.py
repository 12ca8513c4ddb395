"""The seconds of an iteration by stage, which add up to all of them."""

import time

import pytest

from jaxcredit.training import stage_clock


def test_stages_and_the_rest_are_the_whole():
  clock = stage_clock.StageClock('checkpoint', 'evaluation')
  start = time.perf_counter()
  for _ in range(2):
    with clock.measure('checkpoint'):
      time.sleep(0.02)
  time.sleep(0.03)
  seconds = clock.split({'seconds_rollout': 0.01, 'loss': 7.0})
  whole = time.perf_counter() - start
  assert seconds['seconds_checkpoint'] >= 0.04
  assert seconds['seconds_evaluation'] == 0.0
  assert seconds['seconds_rollout'] == 0.01
  assert seconds['seconds_other'] >= 0.019
  assert set(seconds) == {
    f'seconds_{name}'
    for name in ('checkpoint', 'evaluation', 'rollout', 'other', 'total')
  }
  total = seconds.pop('seconds_total')
  assert sum(seconds.values()) == pytest.approx(total)
  assert total == pytest.approx(whole, abs=0.01)


def test_a_split_begins_anew():
  clock = stage_clock.StageClock()
  with clock.measure('credit'):
    time.sleep(0.02)
  clock.split()
  assert clock.measured() == {}
  assert clock.split()['seconds_total'] < 0.02


def test_what_fails_is_measured_too():
  clock = stage_clock.StageClock()
  with pytest.raises(ValueError), clock.measure('update'):
    raise ValueError
  assert 'seconds_update' in clock.measured()


def test_every_stage_of_an_iteration_has_words():
  assert list(stage_clock.STAGES)[-1] == 'other'
  assert all(stage_clock.STAGES.values())
