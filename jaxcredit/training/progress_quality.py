"""How good a progress estimator is: numbers for its report, in numpy.

Predicted outcomes against actual ones (their distance, calibration), and
estimated progress against the true one, where an environment knows it.
"""

from typing import Any

import numpy as np


def within(
  predicted: np.ndarray, outcome: np.ndarray, tolerance: float = 0.1
) -> float:
  """Share of predictions at most `tolerance` off: SPA's released metric.

  Args:
    predicted: float [E].
    outcome: float [E].
    tolerance: allowed distance.

  Returns:
    The share; NaN without episodes.
  """
  if not len(predicted):
    return float('nan')
  # Rounding must not decide about a prediction on the border.
  return float((np.abs(predicted - outcome) <= tolerance + 1e-6).mean())


def calibration(
  predicted: np.ndarray, outcome: np.ndarray, bins: int = 10
) -> list[dict[str, Any]]:
  """Mean outcome of episodes with like predictions.

  Args:
    predicted: float [E].
    outcome: float [E].
    bins: of equal width between 0 and 1; the outer ones take what lies beyond.

  Returns:
    For each bin that holds episodes: `predicted` and `outcome`, their means,
    and `episodes`, their number.
  """
  index = np.floor(np.clip(predicted, 0, 1) * bins).astype(int)
  index = np.minimum(index, bins - 1)
  return [
    {
      'predicted': float(predicted[index == number].mean()),
      'outcome': float(outcome[index == number].mean()),
      'episodes': int((index == number).sum()),
    }
    for number in np.unique(index).tolist()
  ]


def calibration_error(table: list[dict[str, Any]]) -> float:
  """Mean distance of a calibration's bins from the diagonal, by episodes."""
  count = sum(row['episodes'] for row in table)
  if not count:
    return float('nan')
  off = sum(r['episodes'] * abs(r['predicted'] - r['outcome']) for r in table)
  return off / count


def ranks(values: np.ndarray) -> np.ndarray:
  """Ranks from 1; equal values share the mean of theirs.

  Args:
    values: [E], without NaN.

  Returns:
    float64 [E].
  """
  _, inverse, counts = np.unique(
    np.asarray(values), return_inverse=True, return_counts=True
  )
  end = np.cumsum(counts)
  return (end - (counts - 1) / 2)[inverse]


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
  """Spearman's rank correlation; NaN where one of the two does not vary.

  Args:
    a: [E].
    b: [E].
  """
  if len(a) != len(b):
    raise ValueError(f'a and b must be equally long, not {len(a)} and {len(b)}')
  if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
    return float('nan')
  return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def progress_correlation(
  contributions: np.ndarray, progress: np.ndarray, mask: np.ndarray
) -> dict[str, float]:
  """Estimated cumulative progress against the true one, by rank.

  Args:
    contributions: float [E, S].
    progress: float [E, S], true progress after each step; NaN where unknown.
    mask: bool [E, S].

  Returns:
    `rank_correlation` over all steps; `rank_correlation_within`, the mean over
    the episodes in which both vary; NaN where there is none.
  """
  cumulative = np.cumsum(np.where(mask, contributions, 0), axis=-1)
  known = mask & np.isfinite(progress)
  apart = [
    rank_correlation(c[k], p[k])
    for c, p, k in zip(cumulative, progress, known, strict=True)
  ]
  apart = [value for value in apart if np.isfinite(value)]
  return {
    'rank_correlation': rank_correlation(cumulative[known], progress[known]),
    'rank_correlation_within': float(np.mean(apart)) if apart else float('nan'),
  }
