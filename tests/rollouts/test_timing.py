"""How much of the time the accelerator has nothing to do."""

import pytest

from jaxcredit.rollouts import timing


@pytest.mark.parametrize(
  ('busy', 'expected'),
  [
    ([], 1.0),
    ([(0, 10)], 0.0),
    ([(2, 4)], 0.8),
    # Stretches that overlap or lie within another count once.
    ([(1, 4), (3, 6), (2, 3)], 0.5),
    ([(6, 8), (1, 3)], 0.6),
    # What lies outside does not count.
    ([(-5, 1), (9, 20), (30, 40), (-9, -8)], 0.8),
  ],
)
def test_idle_share_by_hand(busy, expected):
  assert timing.idle_share(busy, 0, 10) == pytest.approx(expected)


def test_no_time_has_no_idle_share():
  assert timing.idle_share([(0, 1)], 5, 5) == 0


def test_work_is_noted_even_where_it_fails():
  record = timing.Timing()
  with record.working():
    pass
  with pytest.raises(RuntimeError), record.working():
    raise RuntimeError
  assert len(record.busy) == 2
  (a, b), (c, d) = record.busy
  assert a <= b <= c <= d
