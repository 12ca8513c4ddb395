"""Lin-UCB (Abbasi-Yadkori et al. 2011), which takes each reward as settled.

  u     = argmax <hhat, u> + beta ||u||_{V^-1}
  beta  = c2 sqrt(lambda)
          + sqrt(2 sbar2 (log(1 / delta) + (d / 2) log(1 + t U^2 / (d lambda))))

The paper's comparison has it in two forms, which its script implements as two
classes:
* form='filtered': the above, with lambda = log T ("log T" in the figures).
* form='horizon': lambda = 1 ("1"), without the noise's scale, with the horizon
  in place of t and the budget in place of U:
    beta = Theta sqrt(lambda)
           + sqrt(2 log T + d log(1 + T budget^2 / (d lambda)))
  It is not the formula of the paper's appendix.

With `batch` = k, an action is held for k rounds and learnt from once: from the
mean of its rewards, or from the last. In the script the first action is uniform
(random_start).
"""

import dataclasses

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
from jaxcredit.algorithms.bandits import ridge as ridge_lib
from jaxcredit.algorithms.internal import arguments

FORMS = ('filtered', 'horizon')
BATCH_REWARDS = ('mean', 'last')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
  """Settings; made by `configure`.

  Attributes:
    actions: the set of actions.
    constants: of the radius.
    theta: float [], Theta.
    fixed_volume: float [], the horizon form's log determinant.
    ends: bool [horizon], the last round of each batch.
    batch: int32 [], rounds of a batch.
    form: 'filtered' or 'horizon'.
    batch_reward: 'mean' or 'last'.
    random_start: whether the first action is uniform.
  """

  actions: action_sets.Actions
  constants: confidence.Constants
  theta: jax.Array
  fixed_volume: jax.Array
  ends: jax.Array
  batch: jax.Array
  form: str = dataclasses.field(metadata={'static': True})
  batch_reward: str = dataclasses.field(metadata={'static': True})
  random_start: bool = dataclasses.field(metadata={'static': True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """What the agent remembers.

  Attributes:
    statistics: of the regression.
    action: that is held.
    fresh: bool [], whether a batch begins.
    earned: float [], rewards of the batch so far.
    rounds: int32 [], t, played so far.
  """

  statistics: ridge_lib.ArmStatistics | ridge_lib.GramStatistics
  action: jax.Array
  fresh: jax.Array
  earned: jax.Array
  rounds: jax.Array


def configure(
  system: linear_system.LinearSystem,
  actions: action_sets.Actions,
  horizon: int,
  *,
  bounds: bounds_lib.Bounds | None = None,
  ridge: float | None = None,
  delta: float | None = None,
  form: str = 'filtered',
  budget: float | None = None,
  batch: int = 1,
  batch_reward: str = 'mean',
  random_start: bool = False,
) -> Config:
  """Settings for runs of up to `horizon` rounds.

  Args:
    system: from which the bounds are taken where none are given, and whose
      dtype the settings get.
    actions: the set of actions.
    horizon: T, rounds.
    bounds: what the agent is told; None for the tightest.
    ridge: lambda; None for log T ('filtered') or 1 ('horizon').
    delta: of the radius; None for 1 / T.
    form: 'filtered' or 'horizon'.
    budget: of the 'horizon' form (1.5 in the script); None for U.
    batch: rounds that an action is held.
    batch_reward: 'mean' or 'last'.
    random_start: whether the first action is uniform.

  Returns:
    Config, whose arrays have the dtype of the system.

  Raises:
    ValueError: options or shapes that do not fit.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.lin_ucb.configure(system, arms, 100, batch=10)
    >>> print(config.ends.shape, config.ends.sum())
    (100,) 10
  """
  arguments.one_of('form', form, FORMS)
  arguments.one_of('batch_reward', batch_reward, BATCH_REWARDS)
  if budget is not None and form != 'horizon':
    raise ValueError("budget belongs to form='horizon'; the other uses U")
  if bounds is None:
    bounds = bounds_lib.of_system(system, actions)
  if ridge is None and form == 'horizon':
    ridge = 1.0
  constants = confidence.constants(
    system, actions, horizon, bounds, ridge, delta
  )
  widest = bounds.u if budget is None else budget
  total = dataclasses.replace(
    constants, norm=jnp.asarray(widest, constants.norm.dtype)
  )
  return Config(
    actions=actions,
    constants=constants,
    theta=jnp.asarray(bounds.theta, system.A.dtype),
    fixed_volume=confidence.log_volume(total, horizon, actions.dimension),
    ends=jnp.asarray(epochs.batch_ends(batch, horizon)),
    batch=jnp.asarray(batch, jnp.int32),
    form=form,
    batch_reward=batch_reward,
    random_start=random_start,
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
    >>> config = bandits.lin_ucb.configure(system, arms, 100)
    >>> print(bandits.lin_ucb.init(config).rounds)
    0
  """
  dtype = config.constants.ridge.dtype
  return State(
    ridge_lib.init(config.actions, dtype),
    config.actions.blank(),
    jnp.ones((), bool),
    jnp.zeros((), dtype),
    jnp.zeros((), jnp.int32),
  )


def confidence_radius(config: Config, rounds: jax.Array) -> jax.Array:
  """The width beta of the confidence set.

  Args:
    config: settings.
    rounds: int32 [], t, played so far.

  Returns:
    float [], in units of the reward, dtype of the settings.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.lin_ucb.configure(system, arms, 100)
    >>> few, many = jnp.array(1), jnp.array(90)
    >>> radius = bandits.lin_ucb.confidence_radius
    >>> print(radius(config, few) < radius(config, many))
    True
  """
  c = config.constants
  if config.form == 'horizon':
    spread = 2 * c.log_confidence + config.fixed_volume
    return config.theta * jnp.sqrt(c.ridge) + jnp.sqrt(spread)
  volume = confidence.log_volume(
    c, rounds.astype(c.ridge.dtype), config.actions.dimension
  )
  return confidence.parameter_radius(c) + confidence.noise_radius(c, volume)


def select(config: Config, state: State, draw: jax.Array):
  """The action of the next round.

  Args:
    config: settings.
    state: before the round.
    draw: float [], uniform in [0, 1); used by random_start alone.

  Returns:
    The action (int32 [], an index in a finite set, else float [d]) and the
    State with it.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.lin_ucb.configure(system, arms, 100)
    >>> state = bandits.lin_ucb.init(config)
    >>> action, state = bandits.lin_ucb.select(config, state, jnp.array(0.0))
    >>> print(action)
    0
  """

  def optimistic():
    estimate = ridge_lib.estimate(
      state.statistics, config.actions, config.constants.ridge
    )
    beta = confidence_radius(config, state.rounds)
    return config.actions.optimistic(estimate, beta)

  action = jax.lax.cond(state.fresh, optimistic, lambda: state.action)
  if config.random_start:
    first = config.actions.at_random(draw)
    action = jnp.where(state.rounds == 0, first, action)
  return action, dataclasses.replace(state, action=action)


def update(
  config: Config, state: State, action: jax.Array, reward: jax.Array
) -> State:
  """The state after a round.

  Args:
    config: settings.
    state: of `select`.
    action: that was played, int32 [] or float [d], as `select` gave it.
    reward: float [], y_t.

  Returns:
    State. Beyond the configuration's horizon, where rounds are traced, its
    statistics are NaN.

  Raises:
    ValueError: the horizon was played already.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.lin_ucb.configure(system, arms, 100)
    >>> state = bandits.lin_ucb.init(config)
    >>> action, state = bandits.lin_ucb.select(config, state, jnp.array(0.0))
    >>> state = bandits.lin_ucb.update(config, state, action, jnp.array(1.0))
    >>> print(state.rounds)
    1
  """
  end, reward = epochs.end_and_reward(config.ends, state.rounds, reward)
  earned = state.earned + reward
  if config.batch_reward == 'mean':
    learnt = earned / config.batch
  else:
    learnt = reward
  return State(
    ridge_lib.add(state.statistics, action, learnt, end),
    action,
    end,
    jnp.where(end, 0, earned).astype(earned.dtype),
    state.rounds + 1,
  )


ALGORITHM = play.Algorithm(init, select, update)
