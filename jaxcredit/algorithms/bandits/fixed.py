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
  """Plays `action` [d], which need not be one of `actions`.

  Raises:
    ValueError: shapes that do not fit.
  """
  bounds_lib.check_shapes(system, actions)
  arms = action_sets.finite(np.asarray(action)[None], system.A.dtype)
  bounds_lib.check_shapes(system, arms)
  return Config(arms, actions)


def optimum(
  system: linear_system.LinearSystem, actions: action_sets.Actions
) -> Config:
  """Plays the best constant action of the set (Theorem 2.1)."""
  bounds_lib.check_shapes(system, actions)
  h = linear_system.cumulative_markov_parameter(system)
  best = actions.vector(actions.best(h))
  return Config(action_sets.FiniteActions(best[None]), actions)


def capped_shares(amounts, total: float, cap: float) -> np.ndarray:
  """Historical amounts [d] as shares of `total`, none above `cap`.

  What is cut off goes to the other shares, in proportion, as in the expert of
  the paper's advertising system.

  Raises:
    ValueError: no share is left to take what was cut off.
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
  """There is nothing to remember."""
  del config
  return ()


def select(config: Config, state: tuple[()], draw: jax.Array):
  """The one action."""
  del config, draw
  return jnp.zeros((), jnp.int32), state


def update(config: Config, state: tuple[()], action, reward) -> tuple[()]:
  """There is nothing to learn."""
  del config, action, reward
  return state


ALGORITHM = play.Algorithm(init, select, update)


def run(
  key: jax.Array,
  system: linear_system.LinearSystem,
  config: Config,
  horizon: int,
  *,
  record_every: int | None = None,
) -> play.History:
  """Plays `horizon` rounds; see `play.run`."""
  return play.run(
    ALGORITHM,
    key,
    system,
    config,
    horizon,
    record_every=record_every,
    comparator=config.comparator,
  )
