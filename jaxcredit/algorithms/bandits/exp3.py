"""Exp3 (Auer et al. 2002) and its batch form Exp3-k, as in the paper.

  p_k = (1 - gamma) exp(eta G_k) / sum_j exp(eta G_j) + gamma / K
  G_a += r / p_a,    r = (y + 2 xi) / (4 xi),    eta = gamma / K
  gamma = min(1, sqrt(K log K / ((e - 1) (2 / 3) T / k)))

Exp3-k holds an action for k rounds and learns from the mean (or sum) of its
rewards; k = ceil(log M / log(1 / rho)), with M the number of DynLin-UCB's
epochs. k = 1 is Exp3.

The released script draws actions in rounds 0, k, 2k, ... but learns in rounds
1, k + 1, 2k + 1, ..., so that k - 2 of the k rewards that it credits to an
action, and divides by k, were earned by the one before: credit='released'.
The default, 'aligned', credits a batch to its own action when it ends.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.bandits import (
  action_sets,
  confidence,
  epochs,
  linear_system,
  play,
)
from jaxcredit.algorithms.bandits import bounds as bounds_lib
from jaxcredit.algorithms.internal import arguments

CREDITS = ('aligned', 'released')
BATCH_REWARDS = ('mean', 'sum')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
  """Settings; made by `configure`.

  Attributes:
    actions: K actions.
    mixing: float [], gamma.
    step: float [], eta.
    reward_bound: float [], xi.
    batch: int32 [], k.
    credit: 'aligned' or 'released'.
    batch_reward: 'mean' or 'sum'.
  """

  actions: action_sets.FiniteActions
  mixing: jax.Array
  step: jax.Array
  reward_bound: jax.Array
  batch: jax.Array
  credit: str = dataclasses.field(metadata={'static': True})
  batch_reward: str = dataclasses.field(metadata={'static': True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """What the agent remembers.

  Attributes:
    log_weights: float [K], eta G less its maximum.
    action: int32 [], held.
    earned: float [], rewards since the last update.
    rounds: int32 [], played so far.
  """

  log_weights: jax.Array
  action: jax.Array
  earned: jax.Array
  rounds: jax.Array


def batch_size(rho: float, horizon: int) -> int:
  """k of Exp3-k: ceil(log M / log(1 / rho)), at least 1.

  Args:
    rho: bound on the spectral radius, in [0, 1).
    horizon: T, rounds.

  Returns:
    Rounds of a batch, an int of the host.

  Example:
    >>> from jaxcredit import bandits
    >>> bandits.exp3.batch_size(0.5, 100)
    5
  """
  if rho == 0:
    return 1
  count = int(epochs.lengths(rho, horizon).size)
  return max(1, math.ceil(math.log(count) / math.log(1 / rho) - 1e-9))


def configure(
  system: linear_system.LinearSystem,
  actions: action_sets.FiniteActions,
  horizon: int,
  *,
  bounds: bounds_lib.Bounds | None = None,
  batch: int = 1,
  credit: str = 'aligned',
  batch_reward: str = 'mean',
  reward_bound: float | None = None,
) -> Config:
  """Settings for runs of `horizon` rounds.

  Args:
    system: from which the bounds are taken where none are given, and whose
      dtype the settings get.
    actions: a finite set.
    horizon: T, rounds.
    bounds: what the agent is told; None for the tightest. They give xi.
    batch: k; see `batch_size`.
    credit: 'aligned' or 'released'.
    batch_reward: 'mean' or 'sum' of a batch.
    reward_bound: xi; None for that of the bounds.

  Returns:
    Config, whose arrays have the dtype of the system.

  Raises:
    ValueError: options or shapes that do not fit.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.exp3.configure(system, arms, 100, batch=10)
    >>> print(config.batch, config.mixing.round(2))
    10 0.35
  """
  arguments.one_of('credit', credit, CREDITS)
  arguments.one_of('batch_reward', batch_reward, BATCH_REWARDS)
  action_sets.require_finite(actions, 'Exp3')
  bounds_lib.check_shapes(system, actions)
  confidence.check_horizon(horizon)
  if batch < 1:
    raise ValueError(f'batch must be at least 1, not {batch}')
  if bounds is None:
    bounds = bounds_lib.of_system(system, actions)
  xi = bounds.reward if reward_bound is None else reward_bound
  if not (math.isfinite(xi) and xi > 0):
    raise ValueError(f'the bound on rewards (xi) must be positive, not {xi}')
  k = actions.count
  batches = horizon / batch
  mixing = min(
    1.0, math.sqrt(k * math.log(k) / ((math.e - 1) * 2 * batches / 3))
  )
  dtype = system.A.dtype
  return Config(
    actions=actions,
    mixing=jnp.asarray(mixing, dtype),
    step=jnp.asarray(mixing / k, dtype),
    reward_bound=jnp.asarray(xi, dtype),
    batch=jnp.asarray(batch, jnp.int32),
    credit=credit,
    batch_reward=batch_reward,
  )


def init(config: Config) -> State:
  """The state before the first round.

  Args:
    config: settings.

  Returns:
    State, in which nothing was played yet.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.exp3.configure(system, arms, 100)
    >>> print(bandits.exp3.init(config).rounds)
    0
  """
  dtype = config.step.dtype
  return State(
    jnp.zeros((config.actions.count,), dtype),
    jnp.zeros((), jnp.int32),
    jnp.zeros((), dtype),
    jnp.zeros((), jnp.int32),
  )


def probabilities(config: Config, state: State) -> jax.Array:
  """The probability of each action, p_k.

  Args:
    config: settings.
    state: before the round.

  Returns:
    float [K], which sum to 1.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.exp3.configure(system, arms, 100)
    >>> state = bandits.exp3.init(config)
    >>> print(bandits.exp3.probabilities(config, state))
    [0.5 0.5]
  """
  weights = jnp.exp(state.log_weights)
  share = weights / weights.sum()
  return (1 - config.mixing) * share + config.mixing / config.actions.count


def select(config: Config, state: State, draw: jax.Array):
  """The action of the next round.

  Args:
    config: settings.
    state: before the round.
    draw: float [], uniform in [0, 1); decides the action of a batch.

  Returns:
    The action (int32 [], an index in the finite set) and the State with it.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.exp3.configure(system, arms, 100)
    >>> state = bandits.exp3.init(config)
    >>> action, state = bandits.exp3.select(config, state, jnp.array(0.0))
    >>> print(action)
    0
  """
  p = probabilities(config, state)
  k = config.actions.count
  upto = jnp.tril(jnp.ones((k, k), p.dtype))
  cumulative = (upto * p).sum(axis=-1)
  # The last entry is 1 but for rounding.
  index = (cumulative[:-1] <= draw * cumulative[-1]).sum().astype(jnp.int32)
  action = jnp.where(state.rounds % config.batch == 0, index, state.action)
  return action, dataclasses.replace(state, action=action)


def update(
  config: Config, state: State, action: jax.Array, reward: jax.Array
) -> State:
  """The state after a round.

  Args:
    config: settings.
    state: of `select`.
    action: int32 [], that was played.
    reward: float [], y_t.

  Returns:
    State.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.exp3.configure(system, arms, 100)
    >>> state = bandits.exp3.init(config)
    >>> action, state = bandits.exp3.select(config, state, jnp.array(0.0))
    >>> state = bandits.exp3.update(config, state, action, jnp.array(1.0))
    >>> print(state.rounds)
    1
  """
  position = state.rounds % config.batch
  if config.credit == 'aligned':
    due = position == config.batch - 1
  else:
    # Rounds 1, k + 1, ...; for k = 1 the first update is a round late too.
    due = (position == 1 % config.batch) & (state.rounds > 0)
  earned = state.earned + reward
  learnt = earned
  if config.batch_reward == 'mean':
    learnt = earned / config.batch
  scaled = (learnt + 2 * config.reward_bound) / (4 * config.reward_bound)
  taken = jnp.arange(config.actions.count) == action
  p = probabilities(config, state)
  gain = jnp.where(taken & due, config.step * scaled / p, 0)
  log_weights = state.log_weights + gain
  # Only differences matter; without this the sum outgrows float32's spacing.
  log_weights = log_weights - log_weights.max()
  return State(
    log_weights,
    action,
    jnp.where(due, 0, earned).astype(earned.dtype),
    state.rounds + 1,
  )


ALGORITHM = play.Algorithm(init, select, update)
