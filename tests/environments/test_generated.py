"""Tasks that are made when they are asked for."""

import functools
import pickle
import time

import pytest

from jaxcredit.environments import generated, household, shop


def square(place: int) -> int:
  return place * place


def test_it_is_a_sequence():
  tasks = generated.Tasks(5, square)
  assert list(tasks) == [0, 1, 4, 9, 16] == tasks
  assert (tasks[2], tasks[-1], len(tasks)) == (4, 16, 5)
  assert tasks[1:4] == [1, 4, 9] and tasks[::-2] == [16, 4, 0]
  assert tasks[1:][1:][0] == 4
  assert [7] + tasks == [7, 0, 1, 4, 9, 16] and tasks + [7] == [*tasks, 7]
  assert tasks != [0, 1, 4, 9] and tasks != [0, 1, 4, 9, 17] and tasks != 3
  assert (
    tasks
    == generated.Tasks(5, square)
    == pickle.loads(  # noqa: S301
      pickle.dumps(tasks)
    )
  )
  for place in (5, -6):
    with pytest.raises(IndexError, match='there are 5 tasks'):
      tasks[place]
  with pytest.raises(ValueError, match='count must be positive, not 0'):
    generated.Tasks(0, square)


def test_only_what_is_asked_for_is_made_and_the_latest_are_kept():
  made = []

  def make(place):
    made.append(place)
    return place

  tasks = generated.Tasks(10**10, make, kept=2)
  assert tasks[10**9] == tasks[10**9] == 10**9
  assert made == [10**9]
  for place in (1, 2, 10**9):
    assert tasks[place] == place
  assert made == [10**9, 1, 2, 10**9]


@pytest.mark.parametrize(
  ('parts', 'expected'),
  [
    (('aaa', 'b', 'cc'), 'abcaca'),
    (('', 'ab'), 'ab'),
    ((), ''),
    (('abc',), 'abc'),
    (('ab', 'cd'), 'acbd'),
  ],
)
def test_sequences_in_turn(parts, expected):
  mixed = generated.Mixed(parts)
  assert list(mixed) == list(expected) and len(mixed) == len(expected)
  assert [mixed[i] for i in range(len(mixed))] == list(expected)
  huge = generated.Mixed([generated.Tasks(10**9, square), 'ab'])
  assert len(huge) == 10**9 + 2
  assert [huge[i] for i in range(5)] == [0, 'a', 1, 'b', 4]


@pytest.mark.parametrize(
  'make',
  [
    functools.partial(household.generate_games, 7),
    lambda count: shop.generate_goals(7, count, shop.generated(60)),
  ],
)
def test_so_many_that_all_would_take_days(make):
  start = time.monotonic()
  many = make(10**10)
  assert len(many) == 10**10
  assert many[:3] == make(3)
  assert many[10**10 - 1] != many[0]
  assert time.monotonic() - start < 20
