"""When DynLin-UCB looks at a reward: tables of the host, in float64.

Epoch m = 1, 2, ... holds one action for 1 + H_m rounds,

  H_m = floor(log m / log(1 / rho)),

and uses the last reward alone. In float32 some H_m come out wrong at exact
powers of 1 / rho; in float64 a few do (m = 1000 for rho = 0.1), which a small
tolerance mends.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.algorithms.internal import arguments

STARTS = ('paper', 'released')


def held_rounds(rho: float, count: int) -> np.ndarray:
  """H_1, ..., H_count: for how long each epoch holds its action.

  Args:
    rho: bound on the spectral radius, in [0, 1).
    count: epochs.

  Returns:
    int64 [count], rounds; all 0 for rho = 0.

  Raises:
    ValueError: rho out of range.

  Example:
    >>> from jaxcredit import bandits
    >>> print(bandits.epochs.held_rounds(0.5, 8))
    [0 1 1 2 2 2 2 3]
  """
  if not 0 <= rho < 1:
    raise ValueError(f'rho must be in [0, 1), not {rho}')
  if rho == 0:
    return np.zeros(count, np.int64)
  ratio = np.log(np.arange(1, count + 1)) / np.log(1 / rho)
  return np.floor(ratio + 1e-9).astype(np.int64)


def lengths(rho: float, horizon: int, start: str = 'paper') -> np.ndarray:
  """Rounds of each epoch that begins within the horizon.

  Args:
    rho: bound on the spectral radius, in [0, 1).
    horizon: rounds in all; it cuts the last epoch.
    start: 'paper', or 'released': there the first epoch has a round more,
      unless rho is 0.

  Returns:
    int64 [M], rounds, which sum to `horizon`.

  Raises:
    ValueError: wrong options.

  Example:
    >>> from jaxcredit import bandits
    >>> print(bandits.epochs.lengths(0.5, 8))
    [1 2 2 3]
  """
  if start not in STARTS:
    raise ValueError(f'start must be one of {STARTS}, not {start!r}')
  result = 1 + held_rounds(rho, horizon)
  if start == 'released' and rho > 0:
    result[0] += 1
  ends = np.cumsum(result)
  result = result[: 1 + np.searchsorted(ends, horizon)]
  result[-1] -= max(ends[len(result) - 1] - horizon, 0)
  return result


def ends(rho: float, horizon: int, start: str = 'paper') -> np.ndarray:
  """Whether each round is the last of a whole epoch.

  Args:
    rho: bound on the spectral radius, in [0, 1).
    horizon: rounds in all.
    start: 'paper' or 'released', as in `lengths`.

  Returns:
    bool [horizon].

  Raises:
    ValueError: wrong options.

  Example:
    >>> from jaxcredit import bandits
    >>> print(bandits.epochs.ends(0.5, 8).astype(int))
    [1 0 1 0 1 0 0 1]
  """
  result = np.zeros(horizon, bool)
  rounds = 1 + held_rounds(rho, horizon)
  if start not in STARTS:
    raise ValueError(f'start must be one of {STARTS}, not {start!r}')
  if start == 'released' and rho > 0:
    rounds[0] += 1
  last = np.cumsum(rounds) - 1
  result[last[last < horizon]] = True
  return result


def batch_ends(size: int, horizon: int) -> np.ndarray:
  """Whether each round is the last of a batch.

  Args:
    size: rounds of a batch.
    horizon: rounds in all.

  Returns:
    bool [horizon].

  Raises:
    ValueError: a batch without a round.

  Example:
    >>> from jaxcredit import bandits
    >>> print(bandits.epochs.batch_ends(2, 5).astype(int))
    [0 1 0 1 0]
  """
  if size < 1:
    raise ValueError(f'a batch must have at least one round, not {size}')
  return np.arange(horizon) % size == size - 1


def end_and_reward(
  table: jax.Array, rounds: jax.Array, reward: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Looks up whether a round ends an epoch, and marks rounds out of range.

  Args:
    table: bool [horizon], of `ends` or `batch_ends`.
    rounds: int32 [], played before.
    reward: float [], of the round.

  Returns:
    Whether an epoch ends with the round, bool [], and the reward, float [].
    For a traced round beyond the horizon these are True and NaN, so that the
    statistics show it.

  Raises:
    ValueError: the round is known and beyond the horizon.

  Example:
    >>> from jaxcredit import bandits
    >>> end, reward = bandits.epochs.end_and_reward(
    ...   jnp.array([True, False]), jnp.array(1), jnp.array(0.5)
    ... )
    >>> print(end, reward)
    False 0.5
  """
  horizon = table.shape[-1]
  played = arguments.known(rounds)
  if played is not None and (played >= horizon).any():
    raise ValueError(
      f'round {int(played.max()) + 1} is beyond the {horizon} rounds that the '
      'configuration was made for: configure it with a longer horizon'
    )
  beyond = rounds >= horizon
  return table[rounds] | beyond, jnp.where(beyond, jnp.nan, reward)
