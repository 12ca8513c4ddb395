"""What seeds say together: interquartile means and their uncertainty.

As Agarwal et al. (2021, arXiv 2108.13264) recommend; computed by scipy.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

_CONFIDENCE, _RESAMPLES = 0.95, 2000


def interquartile_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
  """Mean of the middle half over an axis.

  A quarter of the entries, rounded down, is cut off at either end: with fewer
  than four the mean of all.

  Args:
    values: float [..., N, ...].
    axis: of the N entries.
  """
  return stats.trim_mean(values, 0.25, axis=axis)


def bootstrap_interval(
  values: np.ndarray,
  *,
  confidence: float = _CONFIDENCE,
  resamples: int = _RESAMPLES,
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
  values = np.asarray(values)
  if len(values) == 1:
    return values[0], values[0]
  interval = stats.bootstrap(
    (values,),
    interquartile_mean,
    axis=0,
    vectorized=True,
    confidence_level=confidence,
    n_resamples=resamples,
    method='percentile',
    rng=np.random.default_rng(seed),
  ).confidence_interval
  return interval.low, interval.high


def stratified_interval(
  tasks: Sequence[np.ndarray],
  *,
  confidence: float = _CONFIDENCE,
  resamples: int = _RESAMPLES,
  seed: int = 0,
) -> tuple[float, float]:
  """Bootstrap interval of the interquartile mean over all tasks and seeds.

  Args:
    tasks: float [N] each, N > 1 scores of the seeds of a task; seeds are drawn
      with replacement within each task.
    confidence, resamples, seed: as in `bootstrap_interval`.

  Returns:
    low, high.
  """

  def of_all(*drawn, axis):
    return interquartile_mean(np.concatenate(drawn, axis=axis), axis)

  interval = stats.bootstrap(
    tuple(tasks),
    of_all,
    vectorized=True,
    confidence_level=confidence,
    n_resamples=resamples,
    method='percentile',
    rng=np.random.default_rng(seed),
  ).confidence_interval
  return float(interval.low), float(interval.high)
