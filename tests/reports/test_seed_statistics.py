"""Interquartile means and their intervals."""

import numpy as np
import pytest

from jaxcredit.reports import seed_statistics


def test_the_middle_half():
  values = np.array([100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -50.0])
  assert seed_statistics.interquartile_mean(values) == pytest.approx(3.5)
  # A quarter of seven, rounded down, is one.
  assert seed_statistics.interquartile_mean(values[:7]) == pytest.approx(4.0)
  few = np.array([[1.0, 10.0], [2.0, 40.0], [6.0, 70.0]])
  np.testing.assert_allclose(seed_statistics.interquartile_mean(few), [3, 40])


def test_the_interval_against_a_loop():
  values = np.random.default_rng(0).normal(size=(9, 2))
  low, high = seed_statistics.bootstrap_interval(
    values, confidence=0.9, resamples=300, seed=5
  )
  drawn = np.random.default_rng(5).integers(0, 9, (300, 9))
  for column in (0, 1):
    means = []
    for row in drawn:
      chosen = sorted(values[i, column] for i in row)
      means.append(np.mean(chosen[2:7]))
    assert low[column] == pytest.approx(np.quantile(means, 0.05))
    assert high[column] == pytest.approx(np.quantile(means, 0.95))


def test_the_interval_holds_what_it_should():
  generator = np.random.default_rng(1)
  hits = 0
  for _ in range(100):
    runs = generator.normal(size=20)
    low, high = seed_statistics.bootstrap_interval(runs, resamples=300)
    hits += low <= 0 <= high
  assert 82 <= hits <= 100


def test_one_seed_has_no_width():
  low, high = seed_statistics.bootstrap_interval(np.array([[3.0, 4.0]]))
  np.testing.assert_array_equal(low, [3, 4])
  np.testing.assert_array_equal(high, [3, 4])


def test_the_stratified_interval_against_a_loop():
  draw = np.random.default_rng(2)
  tasks = [draw.normal(size=4), draw.normal(3.0, size=6)]
  low, high = seed_statistics.stratified_interval(
    tasks, confidence=0.8, resamples=200, seed=7
  )
  generator = np.random.default_rng(7)
  rows = [generator.integers(0, len(task), (200, len(task))) for task in tasks]
  means = []
  for first, second in zip(*rows, strict=True):
    chosen = sorted([*tasks[0][first], *tasks[1][second]])
    means.append(np.mean(chosen[2:8]))
  assert low == pytest.approx(np.quantile(means, 0.1))
  assert high == pytest.approx(np.quantile(means, 0.9))
  # Seeds are never drawn from another task, which would be wider.
  apart = [np.zeros(4), np.ones(4)]
  assert seed_statistics.stratified_interval(apart) == (0.5, 0.5)
