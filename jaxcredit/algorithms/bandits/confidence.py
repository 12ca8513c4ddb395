"""Constants and shared parts of the confidence radii of linear bandits.

They are those of Mussi et al. 2023, 2211.08997, Section 3 and Theorem 3.1.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.bandits import action_sets, linear_system
from jaxcredit.algorithms.bandits import bounds as bounds_lib


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Constants:
  """What the radii are made of, each float [].

  Attributes:
    ridge: lambda.
    transient: c1, see `bounds`.
    parameter: c2.
    noise: sbar2.
    log_confidence: log(1 / delta).
    norm: U.
  """

  ridge: jax.Array
  transient: jax.Array
  parameter: jax.Array
  noise: jax.Array
  log_confidence: jax.Array
  norm: jax.Array


def constants(
  system: linear_system.LinearSystem,
  actions: action_sets.Actions,
  horizon: int,
  bounds: bounds_lib.Bounds,
  ridge: float | None,
  delta: float | None,
) -> Constants:
  """Computes the constants on the host, in float64.

  Args:
    system: for the dtype, and to check the actions against.
    actions: the set of actions.
    horizon: T, rounds.
    bounds: what the agent is told.
    ridge: lambda; None for log T.
    delta: None for 1 / T.

  Returns:
    Constants, whose arrays have the dtype of the system.

  Raises:
    ValueError: values out of range, or actions that do not fit the system.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> bounds = bandits.bounds.of_system(system, arms)
    >>> constants = bandits.confidence.constants(
    ...   system, arms, 100, bounds, ridge=1.0, delta=0.1
    ... )
    >>> print(constants.ridge, constants.log_confidence.round(1))
    1.0 2.3
  """
  bounds_lib.check_shapes(system, actions)
  check_horizon(horizon)
  if ridge is None:
    # log 1 is 0, and a ridge must be positive.
    ridge = math.log(max(horizon, 2))
  if not (math.isfinite(ridge) and ridge > 0):
    raise ValueError(f'ridge (lambda) must be positive, not {ridge}')
  delta = 1 / horizon if delta is None else delta
  if not 0 < delta <= 1:
    raise ValueError(f'delta must be in (0, 1], not {delta}')
  values = (
    ridge,
    bounds.transient,
    bounds.parameter,
    bounds.noise,
    math.log(1 / delta),
    bounds.u,
  )
  return Constants(*(jnp.asarray(v, system.A.dtype) for v in values))


def check_horizon(horizon: int) -> None:
  """Checks that a horizon is a positive whole number.

  Args:
    horizon: T, rounds.

  Raises:
    ValueError: it is none.

  Example:
    >>> from jaxcredit import bandits
    >>> bandits.confidence.check_horizon(0)
    Traceback (most recent call last):
        ...
    ValueError: horizon must be a whole number above 0, not 0
  """
  if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 1:
    raise ValueError(f'horizon must be a whole number above 0, not {horizon!r}')


def log_volume(constants: Constants, weight: jax.Array, dimension: int):
  """Bound on log det(V / lambda): d log(1 + weight U^2 / (d lambda)).

  Args:
    constants: U and lambda of them.
    weight: float [], sum of the weights of the rounds; t where all weigh 1.
    dimension: d.

  Returns:
    float [].

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> bounds = bandits.bounds.of_system(system, arms)
    >>> constants = bandits.confidence.constants(
    ...   system, arms, 100, bounds, ridge=1.0, delta=0.1
    ... )
    >>> volume = bandits.confidence.log_volume(constants, jnp.array(6.0), 2)
    >>> print(volume.round(1))
    2.8
  """
  spread = weight * constants.norm**2 / (dimension * constants.ridge)
  return dimension * jnp.log1p(spread)


def noise_radius(constants: Constants, volume: jax.Array) -> jax.Array:
  """sqrt(2 sbar2 (log(1 / delta) + volume / 2)), the self-normalised part.

  Args:
    constants: sbar2 and delta of them.
    volume: float [], log det(V / lambda) or its bound.

  Returns:
    float [], in units of the reward.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> bounds = bandits.bounds.of_system(system, arms)
    >>> constants = bandits.confidence.constants(
    ...   system, arms, 100, bounds, ridge=1.0, delta=0.1
    ... )
    >>> radius = bandits.confidence.noise_radius(constants, jnp.array(0.0))
    >>> print((radius**2 / constants.noise).round(1))
    4.6
  """
  exponent = constants.log_confidence + volume / 2
  return jnp.sqrt(2 * constants.noise * exponent)


def parameter_radius(constants: Constants) -> jax.Array:
  """c2 sqrt(lambda), what the ridge may bias.

  Args:
    constants: c2 and lambda of them.

  Returns:
    float [], in units of the reward.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> bounds = bandits.bounds.of_system(system, arms)
    >>> constants = bandits.confidence.constants(
    ...   system, arms, 100, bounds, ridge=1.0, delta=0.1
    ... )
    >>> print(bandits.confidence.parameter_radius(constants))
    3.0
  """
  return constants.parameter * jnp.sqrt(constants.ridge)


def transient_radius(constants: Constants, rounds: jax.Array) -> jax.Array:
  """(c1 / sqrt(lambda)) log(e (t + 1)), what the transients may bias.

  Args:
    constants: c1 and lambda of them.
    rounds: int or float [], t, played so far.

  Returns:
    float [], in units of the reward.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> bounds = bandits.bounds.of_system(system, arms)
    >>> constants = bandits.confidence.constants(
    ...   system, arms, 100, bounds, ridge=1.0, delta=0.1
    ... )
    >>> print(bandits.confidence.transient_radius(constants, jnp.array(0.0)))
    4.0
  """
  scale = constants.transient / jnp.sqrt(constants.ridge)
  return scale * (1 + jnp.log1p(rounds))
