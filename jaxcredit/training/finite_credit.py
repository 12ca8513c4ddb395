"""Credit that is not finite, and where it came from."""

from collections.abc import Sequence

import jax
import numpy as np

from jaxcredit.rollouts import episodes as episodes_lib


def where_not_finite(
  credit: jax.Array | np.ndarray,
  episodes: Sequence[episodes_lib.Episode],
  unit: str,
) -> str:
  """Says whose credit is NaN or infinite; '' where it is all finite.

  Args:
    credit: float [E, S] or [E, L], of steps or tokens.
    episodes: E of them.
    unit: name of what a column is.
  """
  bad = np.argwhere(~np.isfinite(np.asarray(credit)))
  if not bad.size:
    return ''
  index, place = bad[0].tolist()
  episode = episodes[index]
  return (
    f'the credit of {len(np.unique(bad[:, 0]))} of {len(episodes)} episodes is '
    f'not finite, first at {unit} {place + 1} of rollout {episode.rollout + 1} '
    f'of task {episode.group + 1}, {str(episode.task)[:120]!r}; updates that '
    'it spoils are skipped'
  )
