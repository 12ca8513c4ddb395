"""What seeds say together: interquartile means and their uncertainty.

As Agarwal et al. (2021, arXiv 2108.13264) recommend, and their library rliable
computes them; that brings two packages of statistics for these few lines. With
one task its stratified bootstrap is the plain one.
"""

import numpy as np


def interquartile_mean(values: np.ndarray) -> np.ndarray:
  """Mean of the middle half over axis 0.

  A quarter of the entries, rounded down, is cut off at either end: with fewer
  than four the mean of all.

  Args:
    values: float [N, ...].
  """
  cut = len(values) // 4
  return np.sort(values, axis=0)[cut : len(values) - cut].mean(axis=0)


def bootstrap_interval(
  values: np.ndarray,
  *,
  confidence: float = 0.95,
  resamples: int = 2000,
  seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
  """Percentile bootstrap interval of the interquartile mean over axis 0.

  Args:
    values: float [N, ...]; N seeds are drawn with replacement.
    confidence: of the interval.
    resamples: how often.
    seed: of the draws.

  Returns:
    low, high: float [...]. With one seed both are its values.
  """
  generator = np.random.default_rng(seed)
  count = len(values)
  drawn = generator.integers(0, count, (resamples, count))
  means = interquartile_mean(np.moveaxis(values[drawn], 1, 0))
  tail = (1 - confidence) / 2
  low, high = np.quantile(means, (tail, 1 - tail), axis=0)
  return low, high
