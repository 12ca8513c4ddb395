"""Two arms, one choice, and a reward long after it.

The first action of an episode chooses an arm. Each later one, of `length` in
all, changes nothing; after the last, arm k pays 1 with probability p_k, else
0. So all advantages are known in closed form, for any policy:

  A(first, k) = p_k - sum_j pi(j | first) p_j,   and 0 for all later steps
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.environments.tabular import decision_process


def two_armed(
  *, length: int = 8, chances: Sequence[float] = (0.2, 0.8)
) -> decision_process.DecisionProcess:
  """The task; see the module.

  State 0 is the choice, the last is the end, and state 1 + k (length - 1) + i
  is the i-th step after arm k was chosen. Factors: whether the action chooses
  each of the arms.

  Args:
    length: steps of an episode.
    chances: p_0, p_1.

  Raises:
    ValueError: options out of range.
  """
  if length < 1:
    raise ValueError(f'length must be positive, not {length}')
  if len(chances) != 2 or not all(0 <= p <= 1 for p in chances):
    raise ValueError(f'chances must be two probabilities, not {chances}')
  idle = length - 1
  end = 1 + 2 * idle
  successors = np.full((end + 1, 2, 2), end)
  rewards = np.zeros(successors.shape)
  probabilities = np.full(successors.shape, 0.5)
  for arm, chance in enumerate(chances):
    first = 1 + arm * idle
    for i in range(idle - 1):
      successors[first + i] = first + i + 1
    if idle:
      successors[0, arm] = first
    last = (0, arm) if not idle else (first + idle - 1,)
    rewards[last] = (1, 0)
    probabilities[last] = (chance, 1 - chance)
  factors = np.zeros((end + 1, 2, 2))
  factors[0] = np.eye(2)
  states = np.arange(end + 1)
  return decision_process.build(
    successors, rewards, states == end, (states == 0).astype(float), factors,
    length, probabilities=probabilities,
  )  # fmt: skip


def advantages(
  policy: jax.Array, chances: Sequence[float] = (0.2, 0.8)
) -> jax.Array:
  """The true advantages of all steps, in closed form.

  Args:
    policy: float [N, 2], probability of each action in each state.
    chances: p_0, p_1.

  Returns:
    float [N, 2]; they do not depend on the time.
  """
  worth = jnp.asarray(chances, policy.dtype)
  return jnp.zeros_like(policy).at[0].set(worth - policy[0] @ worth)
