"""Draws docs/credit.svg: credit of the README's four rollouts.

python docs/draw_credit.py [file.svg]
"""

import pathlib
import sys

import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib import pyplot

from jaxcredit import gigpo

STATES = {7: 'door', 8: 'hall', 9: 'kitchen'}


def credits() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
  """Anchors [4, 3], mask [4, 3], and the credit [4, 3] of each method."""
  rewards = jnp.array([[0.0, 0, 10], [0, 10, 0], [0, 0, 0], [0, 0, 0]])
  mask = jnp.array([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 1, 1]], bool)
  anchors = jnp.array([[7, 8, 9], [7, 9, 0], [7, 8, 8], [7, 8, 9]])
  credit = gigpo.advantages(rewards, mask, anchors)
  parts = {
    'GRPO: the rollout against the others': credit.episode,
    'GiGPO: and the step against others from its state': credit.total,
  }
  arrays = {title: np.asarray(part) for title, part in parts.items()}
  return np.asarray(anchors), np.asarray(mask), arrays


def draw(path: pathlib.Path) -> None:
  # Without these, every run would write another file.
  matplotlib.rcParams.update({'svg.hashsalt': 'credit', 'font.size': 9})
  anchors, mask, arrays = credits()
  limit = max(np.abs(array).max() for array in arrays.values())
  figure, axes = pyplot.subplots(1, 2, figsize=(8, 2.4), sharey=True)
  for axis, (title, array) in zip(axes, arrays.items(), strict=True):
    shown = np.where(mask, array, np.nan)
    axis.imshow(shown, cmap='RdBu', vmin=-limit, vmax=limit, aspect='auto')
    for (i, t), value in np.ndenumerate(array):
      if mask[i, t]:
        text = f'{STATES[int(anchors[i, t])]}\n{value:+.2f}'
        colour = 'white' if abs(value) > 0.6 * limit else 'black'
        axis.text(t, i, text, ha='center', va='center', color=colour)
    axis.set_title(title, fontsize=9)
    axis.set_xticks(range(3), ['step 1', 'step 2', 'step 3'])
    axis.set_yticks(range(4), ['won', 'won', 'lost', 'lost'])
    axis.tick_params(length=0)
    for spine in axis.spines.values():
      spine.set_visible(False)
  figure.tight_layout()
  figure.savefig(path, metadata={'Date': None})
  pyplot.close(figure)


if __name__ == '__main__':
  folder = pathlib.Path(__file__).resolve().parent
  draw(pathlib.Path(sys.argv[1]) if sys.argv[1:] else folder / 'credit.svg')
