"""A constant action: the optimum that knows h, or an expert's choice."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.algorithms.bandits import action_sets, linear_system, play
from jaxcredit.algorithms.bandits import bounds as bounds_lib


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
  """Settings; made by `optimum` and `constant`.

  Attributes:
    actions: the one action that is played.
    comparator: the set whose best action regret is measured from.
  """

  actions: action_sets.FiniteActions
  comparator: action_sets.Actions


def constant(
  system: linear_system.LinearSystem, actions: action_sets.Actions, action
) -> Config:
  """Plays one action, which need not be one of the set.

  Args:
    system: whose dtype the action gets.
    actions: the set whose best action regret is measured from.
    action: [d].

  Returns:
    Config.

  Raises:
    ValueError: shapes that do not fit.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.fixed.constant(system, arms, [0.5, 0.5])
    >>> print(config.actions.arms)
    [[0.5 0.5]]
  """
  bounds_lib.check_shapes(system, actions)
  arms = action_sets.finite(np.asarray(action)[None], system.A.dtype)
  bounds_lib.check_shapes(system, arms)
  return Config(arms, actions)


def optimum(
  system: linear_system.LinearSystem, actions: action_sets.Actions
) -> Config:
  """Plays the best constant action of the set (Theorem 2.1).

  Args:
    system: whose cumulative Markov parameter h is known here.
    actions: the set.

  Returns:
    Config.

  Raises:
    ValueError: shapes that do not fit.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.fixed.optimum(system, arms)
    >>> print(config.actions.arms)
    [[1. 0.]]
  """
  bounds_lib.check_shapes(system, actions)
  h = linear_system.cumulative_markov_parameter(system)
  best = actions.vector(actions.best(h))
  return Config(action_sets.FiniteActions(best[None]), actions)


def capped_shares(amounts, total: float, cap: float) -> np.ndarray:
  """Historical amounts as shares of `total`, none above `cap`.

  What is cut off goes to the other shares, in proportion, as in the expert of
  the paper's advertising system.

  Args:
    amounts: [d], not negative.
    total: what the shares sum to, in units of the action.
    cap: the largest share, likewise.

  Returns:
    float64 [d].

  Raises:
    ValueError: no share is left to take what was cut off.

  Example:
    >>> from jaxcredit import bandits
    >>> print(bandits.fixed.capped_shares([6, 1, 1], total=1.5, cap=1.0))
    [1.   0.25 0.25]
  """
  share = np.asarray(amounts, np.float64)
  share = share / share.sum()
  over = share > cap / total
  if over.all() or share[~over].sum() == 0:
    raise ValueError(f'shares {share.tolist()} cannot be capped at {cap}')
  share = np.where(over, cap / total, share)
  share[~over] *= (1 - share[over].sum()) / share[~over].sum()
  return share * total


def init(config: Config) -> tuple[()]:
  """There is nothing to remember.

  Args:
    config: settings.

  Returns:
    The empty tuple.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.fixed.optimum(system, arms)
    >>> bandits.fixed.init(config)
    ()
  """
  del config
  return ()


def select(config: Config, state: tuple[()], draw: jax.Array):
  """The one action.

  Args:
    config: settings.
    state: the empty tuple.
    draw: float [], not used.

  Returns:
    int32 [], 0, and the state.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.fixed.optimum(system, arms)
    >>> action, _ = bandits.fixed.select(config, (), jnp.array(0.0))
    >>> print(action)
    0
  """
  del config, draw
  return jnp.zeros((), jnp.int32), state


def update(config: Config, state: tuple[()], action, reward) -> tuple[()]:
  """There is nothing to learn.

  Args:
    config: settings.
    state: the empty tuple.
    action: int32 [].
    reward: float [].

  Returns:
    The state, as it was.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.fixed.optimum(system, arms)
    >>> bandits.fixed.update(config, (), jnp.array(0), jnp.array(1.0))
    ()
  """
  del config, action, reward
  return state


ALGORITHM = play.Algorithm(init, select, update)
