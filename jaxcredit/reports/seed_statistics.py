"""What seeds say together: interquartile means and their uncertainty.

As Agarwal et al. (2021, arXiv 2108.13264) recommend, and their library rliable
computes them; that brings two packages of statistics for these few lines.
"""

from collections.abc import Sequence

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


def stratified_interval(
  tasks: Sequence[np.ndarray],
  *,
  confidence: float = 0.95,
  resamples: int = 2000,
  seed: int = 0,
) -> tuple[float, float]:
  """Bootstrap interval of the interquartile mean over all tasks and seeds.

  Args:
    tasks: float [N] each, scores of the seeds of a task; seeds are drawn with
      replacement within each task.
    confidence, resamples, seed: as in `bootstrap_interval`.

  Returns:
    low, high.
  """
  generator = np.random.default_rng(seed)
  drawn = [
    scores[generator.integers(0, len(scores), (resamples, len(scores)))]
    for scores in tasks
  ]
  means = interquartile_mean(np.concatenate(drawn, axis=1).T)
  tail = (1 - confidence) / 2
  low, high = np.quantile(means, (tail, 1 - tail))
  return float(low), float(high)
