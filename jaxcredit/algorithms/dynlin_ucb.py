"""DynLin-UCB for dynamical linear bandits (Mussi et al. 2023, 2211.08997).

Rewards come late because a hidden linear system stands between action and
reward. The algorithm holds each action until the system has nearly settled,
and learns from the last reward alone. Epoch m = 1, 2, ... of Algorithm 1:

  u     = argmax <hhat, u> + beta ||u||_{V^-1}
  play u for 1 + H_m rounds,    H_m = floor(log m / log(1 / rho))
  V    += u u^T,  b += u y,  hhat = V^-1 b       with the last reward y

  beta  = (c1 / sqrt(lambda)) log(e (t + 1)) + c2 sqrt(lambda)
          + sqrt(2 sbar2 (log(1 / delta) + (d / 2) log(1 + t U^2 / (d lambda))))

after t rounds, with the constants of `bandits.bounds`. As rho^(1 + H_m) <=
1 / m, what is left of the transients sums to a logarithm.

  system = linear_dynamical_system.synthetic()
  actions = action_sets.finite(action_sets.budget_shares(3, 1.5, 1.0))
  config = dynlin_ucb.configure(system, actions, 100_000)
  history = dynlin_ucb.run(jax.random.key(0), system, config, 100_000)
  history.offline_regret[-1]

`jax.vmap` over keys, systems and configurations gives many runs in one
compiled call. For a loop of one's own there are `init`, `select` and `update`.

What the released script does differently, and how to get it:
* Its first epoch has two rounds, and its first action is uniform:
  start='released'.
* Its bound on the states, and the noise that it tells the agent of, are not
  those of its system: `bounds.of_system(x='released', sigma=...)`.
* A horizon that ends inside an epoch cuts it; so it does here.

The paper's Theorem 3.1 has a sharper radius with the determinant of V in place
of its bound: radius='determinant'.
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

RADII = ('closed', 'determinant')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
  """Settings; made by `configure`, stacked for vmap over settings.

  Attributes:
    actions: the set of actions.
    constants: of the radius.
    ends: bool [horizon], whether each round is the last of its epoch.
    random_start: whether the first action is uniform.
    radius: 'closed' or 'determinant'.
  """

  actions: action_sets.Actions
  constants: confidence.Constants
  ends: jax.Array
  random_start: bool = dataclasses.field(metadata={'static': True})
  radius: str = dataclasses.field(metadata={'static': True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """What the agent remembers.

  Attributes:
    statistics: of the regression.
    action: that is held.
    fresh: bool [], whether an epoch begins.
    rounds: int32 [], t, played so far.
  """

  statistics: ridge_lib.ArmStatistics | ridge_lib.GramStatistics
  action: jax.Array
  fresh: jax.Array
  rounds: jax.Array


def configure(
  system: linear_system.LinearSystem,
  actions: action_sets.Actions,
  horizon: int,
  *,
  bounds: bounds_lib.Bounds | None = None,
  ridge: float | None = None,
  delta: float | None = None,
  start: str = 'paper',
  radius: str = 'closed',
) -> Config:
  """Settings for runs of up to `horizon` rounds.

  Args:
    system: from which the bounds are taken where none are given, and whose
      dtype the settings get.
    actions: the set of actions.
    horizon: T, rounds.
    bounds: what the agent is told; None for the tightest. The epochs follow
      from their `rho`, which is the only place where 0 is special: then every
      reward is used.
    ridge: lambda; None for log T, which the paper recommends.
    delta: chance that the radius may fail; None for 1 / T.
    start: 'paper' or 'released'.
    radius: 'closed' (Algorithm 1) or 'determinant' (Theorem 3.1).

  Returns:
    Config, whose arrays have the dtype of the system.

  Raises:
    ValueError: options or shapes that do not fit.

  Example:
    >>> from jaxcredit import bandits, dynlin_ucb
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = dynlin_ucb.configure(system, arms, 100)
    >>> print(config.ends[:8].astype(int))
    [1 0 1 0 1 0 0 1]
  """
  arguments.one_of('radius', radius, RADII)
  arguments.one_of('start', start, epochs.STARTS)
  if bounds is None:
    bounds = bounds_lib.of_system(system, actions)
  constants = confidence.constants(
    system, actions, horizon, bounds, ridge, delta
  )
  return Config(
    actions=actions,
    constants=constants,
    ends=jnp.asarray(epochs.ends(bounds.rho, horizon, start)),
    random_start=start == 'released',
    radius=radius,
  )


def init(config: Config) -> State:
  """The state before the first round.

  Args:
    config: settings.

  Returns:
    State, in which nothing was played yet.

  Example:
    >>> from jaxcredit import bandits, dynlin_ucb
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = dynlin_ucb.configure(system, arms, 100)
    >>> print(dynlin_ucb.init(config).rounds)
    0
  """
  return State(
    ridge_lib.init(config.actions, config.constants.ridge.dtype),
    config.actions.blank(),
    jnp.ones((), bool),
    jnp.zeros((), jnp.int32),
  )


def confidence_radius(
  config: Config, rounds: jax.Array, estimate: ridge_lib.Estimate
) -> jax.Array:
  """The width beta of the confidence set (Section 3, Theorem 3.1).

  Args:
    config: settings.
    rounds: int32 [], t, played so far.
    estimate: the regression, whose determinant radius='determinant' needs.

  Returns:
    float [], in units of the reward, dtype of the settings.

  Example:
    >>> from jaxcredit import bandits, dynlin_ucb
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = dynlin_ucb.configure(system, arms, 100)
    >>> estimate = bandits.ridge.estimate(
    ...   dynlin_ucb.init(config).statistics, arms, config.constants.ridge
    ... )
    >>> few, many = jnp.array(1), jnp.array(90)
    >>> radius = dynlin_ucb.confidence_radius
    >>> print(radius(config, few, estimate) < radius(config, many, estimate))
    True
  """
  c = config.constants
  rounds = rounds.astype(c.ridge.dtype)
  if config.radius == 'determinant':
    volume = estimate.log_determinant(c.ridge)
  else:
    volume = confidence.log_volume(c, rounds, config.actions.dimension)
  return (
    confidence.transient_radius(c, rounds)
    + confidence.parameter_radius(c)
    + confidence.noise_radius(c, volume)
  )


def select(config: Config, state: State, draw: jax.Array):
  """The action of the next round (Algorithm 1): the optimistic one, held.

  Args:
    config: settings.
    state: before the round.
    draw: float [], uniform in [0, 1); used only by start='released'.

  Returns:
    The action (int32 [], an index in a finite set, else float [d]) and the
    State with it.

  Example:
    >>> from jaxcredit import bandits, dynlin_ucb
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = dynlin_ucb.configure(system, arms, 100)
    >>> state = dynlin_ucb.init(config)
    >>> action, state = dynlin_ucb.select(config, state, jnp.array(0.0))
    >>> print(action)
    0
  """

  def optimistic():
    estimate = ridge_lib.estimate(
      state.statistics, config.actions, config.constants.ridge
    )
    beta = confidence_radius(config, state.rounds, estimate)
    return config.actions.optimistic(estimate, beta)

  action = jax.lax.cond(state.fresh, optimistic, lambda: state.action)
  if config.random_start:
    first = config.actions.at_random(draw)
    action = jnp.where(state.rounds == 0, first, action)
  return action, dataclasses.replace(state, action=action)


def update(
  config: Config, state: State, action: jax.Array, reward: jax.Array
) -> State:
  """The state after a round; its reward counts if the epoch ends with it.

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
    >>> from jaxcredit import bandits, dynlin_ucb
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = dynlin_ucb.configure(system, arms, 100)
    >>> state = dynlin_ucb.init(config)
    >>> action, state = dynlin_ucb.select(config, state, jnp.array(0.0))
    >>> state = dynlin_ucb.update(config, state, action, jnp.array(1.0))
    >>> print(state.rounds, state.statistics.counts)
    1 [1 0]
  """
  end, reward = epochs.end_and_reward(config.ends, state.rounds, reward)
  return State(
    ridge_lib.add(state.statistics, action, reward, end),
    action,
    end,
    state.rounds + 1,
  )


ALGORITHM = play.Algorithm(init, select, update)


def run(
  key: jax.Array,
  system: linear_system.LinearSystem,
  config: Config,
  horizon: int,
  *,
  record_every: int | None = None,
) -> play.History:
  """Plays `horizon` rounds from the start; see `bandits.play.run`.

  Args:
    key: random key, of all randomness.
    system: the system.
    config: settings, made for `horizon` rounds or more.
    horizon: rounds; static.
    record_every: rounds between records; None for up to 500 records.

  Returns:
    bandits.play.History of R records.

  Raises:
    ValueError: arguments that do not fit.

  Example:
    >>> from jaxcredit import bandits, dynlin_ucb
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = dynlin_ucb.configure(system, arms, 100)
    >>> history = dynlin_ucb.run(
    ...   jax.random.key(0), system, config, 100, record_every=50
    ... )
    >>> print(history.rounds, history.plays.sum())
    [ 50 100] 100
  """
  return play.run(
    ALGORITHM, key, system, config, horizon, record_every=record_every
  )
