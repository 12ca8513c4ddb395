"""A grid: the goal is in the last corner, and reaching it ends the episode.

States are the cells of a square, row by row. Actions: left, right, up, down; a
wall is not passed. With probability `slip` the direction is any of the four.
"""

import numpy as np

from jaxcredit.environments.tabular import decision_process

# Changes of row and column.
MOVES = ((0, -1), (0, 1), (-1, 0), (1, 0))


def neighbours(size: int) -> np.ndarray:
  """int [size * size, 4], the cell that each action leads to.

  Raises:
    ValueError: a grid without a way.
  """
  if size < 2:
    raise ValueError(f'size must be at least 2, not {size}')
  row, column = np.divmod(np.arange(size * size), size)
  return np.stack(
    [
      np.clip(row + down, 0, size - 1) * size
      + np.clip(column + right, 0, size - 1)
      for down, right in MOVES
    ],
    axis=1,
  )


def distances(size: int, target: int) -> np.ndarray:
  """int [size * size], steps from each cell to one of them."""
  row, column = np.divmod(np.arange(size * size), size)
  return abs(row - target // size) + abs(column - target % size)


def slipping(slip: float) -> np.ndarray:
  """float [4, B], probability of each direction for each action.

  B is 1 without slips (the direction is the action), else 4.

  Raises:
    ValueError: no probability.
  """
  if not 0 <= slip <= 1:
    raise ValueError(f'slip must be a probability, not {slip}')
  if not slip:
    return np.ones((4, 1))
  return (1 - slip) * np.eye(4) + slip / 4


def directions(cells: np.ndarray, slip: float) -> np.ndarray:
  """int [N, 4, B], outcomes of actions from `neighbours` [N, 4]."""
  if not slip:
    return cells[..., None]
  return np.broadcast_to(cells[:, None, :], (len(cells), 4, 4)).copy()


def grid_world(
  *, size: int = 4, horizon: int = 12, slip: float = 0.0
) -> decision_process.DecisionProcess:
  """The task; see the module.

  Episodes begin in any cell but the goal. The reward is 1 where the goal is
  reached within the horizon. Factors: by how much the action brings the goal
  nearer, and 1.

  Args:
    size: cells of a side.
    horizon: steps of an episode at most.
    slip: probability that chance chooses the direction.

  Raises:
    ValueError: options out of range.
  """
  cells = size * size
  goal = cells - 1
  there = neighbours(size)
  successors = directions(there, slip)
  rewards = (successors == goal).astype(float)
  ended = np.arange(cells) == goal
  successors[goal], rewards[goal] = goal, 0
  away = distances(size, goal)
  factors = np.stack(
    [away[:, None] - away[there], np.ones_like(there)], axis=-1
  )
  chances = np.broadcast_to(slipping(slip), successors.shape)
  return decision_process.build(
    successors, rewards, ended, ~ended / (cells - 1), factors, horizon,
    probabilities=chances,
  )  # fmt: skip
