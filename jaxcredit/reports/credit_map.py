"""A map of credit, drawn with matplotlib: a row an episode, a column a step.

Cells are blue where credit is positive and red where it is negative, and hold
words: a state, an action, or a token.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib import axes as axes_lib

# Above this share of the limit the ground is too dark for black letters.
_DARK = 0.6


def draw(
  axis: axes_lib.Axes,
  credit: np.ndarray,
  mask: np.ndarray | None = None,
  *,
  words: Sequence[Sequence[str]] | None = None,
  rows: Sequence[str] = (),
  title: str = '',
  limit: float | None = None,
  fontsize: float = 8,
) -> None:
  """Draws credit into an axis.

  Args:
    axis: to draw into.
    credit: float [N, T].
    mask: bool [N, T], cells that there are; None for all. The others stay
      empty, whatever stands in them.
    words: [N][T] of what stands in the cells; None for none.
    rows: N names, or none.
    title: above the map.
    limit: credit of the darkest cells, positive; None for the largest that
      there is. Maps that are compared need the same one.
    fontsize: of the words.

  Raises:
    ValueError: shapes do not fit, or credit that is not masked is not finite.
  """
  credit = np.asarray(credit, float)
  mask = np.ones(credit.shape, bool) if mask is None else np.asarray(mask, bool)
  if credit.ndim != 2 or mask.shape != credit.shape:
    raise ValueError(
      f'credit has shape {credit.shape} and mask {mask.shape}: both must be '
      '[N, T]'
    )
  if not np.isfinite(credit[mask]).all():
    raise ValueError('credit is not finite everywhere that mask is true')
  if len(rows) not in (0, len(credit)):
    raise ValueError(f'{len(rows)} names are given for {len(credit)} rows')
  if limit is None:
    limit = float(np.abs(credit[mask]).max(initial=0)) or 1.0
  shown = np.where(mask, credit, np.nan)
  axis.imshow(shown, cmap='RdBu', vmin=-limit, vmax=limit, aspect='auto')
  for n, t in np.argwhere(mask) if words is not None else ():
    axis.text(
      t, n, words[n][t], ha='center', va='center', fontsize=fontsize,
      color='white' if abs(credit[n, t]) > _DARK * limit else 'black',
    )  # fmt: skip
  axis.set_title(title, fontsize=fontsize + 1)
  axis.set_yticks(range(len(rows)), rows)
  axis.tick_params(length=0, labelsize=fontsize)
  for spine in axis.spines.values():
    spine.set_visible(False)
