"""The tables of epochs, against exact arithmetic."""

import fractions

import numpy as np
import pytest

from jaxcredit.algorithms.bandits import epochs


@pytest.mark.parametrize('inverse', [2, 3, 5, 10, 20])
def test_held_rounds_are_exact_at_powers(inverse):
  held = epochs.held_rounds(1 / inverse, 100_001)
  power, m = 0, 1
  while m * inverse <= 100_001:
    m, power = m * inverse, power + 1
    assert held[m - 1] == power
    assert held[m - 2] == power - 1


def test_held_rounds_by_exact_fractions():
  base = fractions.Fraction(3, 2)  # 1 / rho
  held = epochs.held_rounds(2 / 3, 2000)
  for m in range(1, 2001):
    assert base ** int(held[m - 1]) <= m < base ** (int(held[m - 1]) + 1)


def test_starts():
  # H = 0, 0, 0, 0, 1, 1, ... for rho = 0.2: epochs of 1, 1, 1, 1, 2, 2, ...
  assert np.flatnonzero(epochs.ends(0.2, 10)).tolist() == [0, 1, 2, 3, 5, 7, 9]
  # The script's rounds 1, 2, 3, 4, 6, 8, ..., counted from 0.
  assert np.flatnonzero(epochs.ends(0.2, 10, 'released')).tolist() == [
    1, 2, 3, 4, 6, 8,
  ]  # fmt: skip
  # Without memory the script learns from the first round on.
  assert epochs.ends(0.0, 4, 'released').tolist() == [True] * 4


@pytest.mark.parametrize('start', epochs.STARTS)
@pytest.mark.parametrize('rho', [0.0, 0.2, 2 / 3, 0.95])
@pytest.mark.parametrize('horizon', [1, 2, 3, 10, 997])
def test_lengths_and_ends_are_the_same_table(rho, horizon, start):
  lengths = epochs.lengths(rho, horizon, start)
  assert lengths.sum() == horizon and lengths.min() >= 1
  ends = np.flatnonzero(epochs.ends(rho, horizon, start)) + 1
  np.testing.assert_array_equal(np.cumsum(lengths)[: ends.size], ends)
  assert lengths.size - ends.size in (0, 1)


def test_number_of_epochs_of_the_paper():
  # Counting the unfinished last one.
  for rho, counts in ((0.2, (17_075, 45_647)), (0.6669, (5_221, 13_893))):
    for horizon, count in zip((100_000, 300_000), counts, strict=True):
      assert epochs.lengths(rho, horizon).size == pytest.approx(count, abs=8)


def test_batches_and_errors():
  assert epochs.batch_ends(3, 7).tolist() == [
    False, False, True, False, False, True, False,
  ]  # fmt: skip
  with pytest.raises(ValueError, match='at least one round'):
    epochs.batch_ends(0, 7)
  with pytest.raises(ValueError, match=r'rho must be in \[0, 1\)'):
    epochs.held_rounds(1.0, 7)
  with pytest.raises(ValueError, match="start must be one of .*'late'"):
    epochs.ends(0.5, 7, 'late')
