"""A key and a door: what earns the reward is done long before it comes.

A square grid with a key in the first corner and a door in the last. Walking
over the key takes it; at the door with the key the episode ends, with reward 1.
Without the key the door is a cell like others. The agent sees where it is and
whether it has the key. After the task of Hung et al. (2019, arXiv 1810.06721),
of which this keeps that the key earns nothing when it is taken.
"""

import numpy as np

from jaxcredit.environments.tabular import decision_process, grid


def key_door(
  *, size: int = 3, horizon: int = 16, slip: float = 0.0
) -> decision_process.DecisionProcess:
  """The task; see the module.

  State h * size^2 + cell, h telling whether the agent has the key; the last
  state is the end. Episodes begin in any cell without the key's. Factors:
  whether the action takes the key, by how much it nears what is to be reached
  next, and 1.

  Args:
    size: cells of a side.
    horizon: steps of an episode at most.
    slip: probability that chance chooses the direction.

  Raises:
    ValueError: options out of range.
  """
  cells = size * size
  key, door, end = 0, cells - 1, 2 * cells
  there = grid.neighbours(size)
  to_key, to_door = (grid.distances(size, c) for c in (key, door))

  without = np.where(there == key, cells + there, there)
  having = np.where(there == door, end, cells + there)
  intended = np.concatenate([without, having, np.full((1, 4), end)])
  successors = grid.directions(intended, slip)
  rewards = (successors == end).astype(float)
  rewards[end] = 0
  nearer = np.concatenate(
    [to_key[:, None] - to_key[there], to_door[:, None] - to_door[there]]
  )
  takes = np.concatenate([there == key, np.zeros_like(there, bool)])
  factors = np.zeros((end + 1, 4, 3))
  factors[:end] = np.stack([takes, nearer, np.ones_like(takes)], -1)
  initial = np.zeros(end + 1)
  initial[1:cells] = 1 / (cells - 1)
  return decision_process.build(
    successors, rewards, np.arange(end + 1) == end, initial, factors, horizon,
    probabilities=np.broadcast_to(
      grid.slipping(slip), successors.shape
    ),
  )  # fmt: skip
