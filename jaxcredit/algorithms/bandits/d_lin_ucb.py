"""D-Lin-UCB (Russac et al. 2019), Lin-UCB that forgets, as in the paper.

The paper's comparison has two forms, which its script implements as two
classes:
* form='radius': gamma enters the radius alone, and nothing is forgotten
  ("log T" in the figures, lambda = log T, gamma = 0.999999):
    beta = c2 sqrt(lambda) + sqrt(2 sbar2 (log(1 / delta)
           + (d / 2) log(1 + s U^2 / (d lambda)))),
    s    = t (1 - gamma^{2t}) / (1 - gamma^2)
* form='discounted': true forgetting ("1", lambda = 1, gamma = 1 - 1e-9) with a
  ridge r_t = gamma^{-t} lambda that grows, in the order of the script:
    u    = argmax <hhat, u> + beta ||u||_{V^-1 V' V^-1}
    V   <- gamma V + u u^T + (1 - gamma) r_t I,   b <- gamma b + u y
    V'  <- gamma^2 V' + u u^T + (1 - gamma^2) r_t I
    beta = Theta sqrt(r_t) + sigma sqrt(2 log T
           + d log(1 + budget^2 (1 - gamma^{2t}) / (d r_t (1 - gamma^2))))

float32 has no number between 1 - 6e-8 and 1, so what is kept of gamma is its
distance from 1, and the discounted sums are compensated.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.bandits import (
  action_sets,
  confidence,
  linear_system,
  play,
  small_matrices,
)
from jaxcredit.algorithms.bandits import bounds as bounds_lib
from jaxcredit.algorithms.bandits import ridge as ridge_lib
from jaxcredit.algorithms.internal import arguments

FORMS = ('radius', 'discounted')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
  """Settings; made by `configure`.

  Attributes:
    actions: K actions.
    constants: of the radius.
    theta: float [], Theta.
    sigma: float [], scale of the noise.
    budget: float [], largest action of the 'discounted' radius.
    forgotten: float [], 1 - gamma.
    log_discount: float [], log gamma.
    form: 'radius' or 'discounted'.
    random_start: whether the first action is uniform.
  """

  actions: action_sets.FiniteActions
  constants: confidence.Constants
  theta: jax.Array
  sigma: jax.Array
  budget: jax.Array
  forgotten: jax.Array
  log_discount: jax.Array
  form: str = dataclasses.field(metadata={'static': True})
  random_start: bool = dataclasses.field(metadata={'static': True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """What the agent remembers; sums are discounted in the 'discounted' form.

  Attributes:
    weights: of each action's rounds, [K], for V.
    squared_weights: the same with gamma^2, for V'.
    sums: rewards of each action, [K].
    ridge: [], what V has of the identity.
    squared_ridge: [], what V' has of it.
    rounds: int32 [], t, played so far.
  """

  weights: ridge_lib.Compensated
  squared_weights: ridge_lib.Compensated
  sums: ridge_lib.Compensated
  ridge: ridge_lib.Compensated
  squared_ridge: ridge_lib.Compensated
  rounds: jax.Array


def configure(
  system: linear_system.LinearSystem,
  actions: action_sets.FiniteActions,
  horizon: int,
  *,
  bounds: bounds_lib.Bounds | None = None,
  ridge: float | None = None,
  delta: float | None = None,
  form: str = 'radius',
  forgotten: float | None = None,
  budget: float | None = None,
  random_start: bool = False,
) -> Config:
  """Settings for runs of up to `horizon` rounds.

  Args:
    system: from which the bounds are taken where none are given, and whose
      dtype the settings get.
    actions: a finite set.
    horizon: T, rounds.
    bounds: what the agent is told; None for the tightest.
    ridge: lambda; None for log T ('radius') or 1 ('discounted').
    delta: of the radius; None for 1 / T.
    form: 'radius' or 'discounted'.
    forgotten: 1 - gamma; None for 1e-6 ('radius') or 1e-9 ('discounted').
    budget: of the 'discounted' form (1.5 in the script); None for U.
    random_start: whether the first action is uniform.

  Returns:
    Config, whose arrays have the dtype of the system.

  Raises:
    ValueError: options or shapes that do not fit.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.d_lin_ucb.configure(
    ...   system, arms, 100, form='discounted'
    ... )
    >>> print(config.constants.ridge)
    1.0
  """
  arguments.one_of('form', form, FORMS)
  action_sets.require_finite(actions, 'D-Lin-UCB')
  if bounds is None:
    bounds = bounds_lib.of_system(system, actions)
  discounted = form == 'discounted'
  if budget is not None and not discounted:
    raise ValueError("budget belongs to form='discounted'; the other uses U")
  if ridge is None and discounted:
    ridge = 1.0
  if forgotten is None:
    forgotten = 1e-9 if discounted else 1e-6
  if not 0 < forgotten < 1:
    raise ValueError(f'forgotten (1 - gamma) must be in (0, 1): {forgotten}')
  log_discount = math.log1p(-forgotten)
  if discounted and -log_discount * horizon > 60:
    raise ValueError(
      f'gamma = 1 - {forgotten:g} over {horizon} rounds: the ridge gamma^-t '
      'lambda grows beyond all numbers; take a smaller forgotten, at most '
      f'{60 / horizon:.2g}'
    )
  dtype = system.A.dtype
  return Config(
    actions=actions,
    constants=confidence.constants(
      system, actions, horizon, bounds, ridge, delta
    ),
    theta=jnp.asarray(bounds.theta, dtype),
    sigma=jnp.asarray(bounds.sigma, dtype),
    budget=jnp.asarray(bounds.u if budget is None else budget, dtype),
    forgotten=jnp.asarray(forgotten, dtype),
    log_discount=jnp.asarray(log_discount, dtype),
    form=form,
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
    >>> config = bandits.d_lin_ucb.configure(system, arms, 100)
    >>> print(bandits.d_lin_ucb.init(config).rounds)
    0
  """
  ridge = config.constants.ridge
  k = (config.actions.count,)
  zeros = ridge_lib.Compensated.zeros
  identity = ridge_lib.Compensated(ridge, jnp.zeros_like(ridge))
  return State(
    weights=zeros(k, ridge.dtype),
    squared_weights=zeros(k, ridge.dtype),
    sums=zeros(k, ridge.dtype),
    ridge=identity,
    squared_ridge=identity,
    rounds=jnp.zeros((), jnp.int32),
  )


def _weight(config: Config, rounds: jax.Array) -> jax.Array:
  """(1 - gamma^{2t}) / (1 - gamma^2)."""
  doubled = 2 * config.log_discount
  return jnp.expm1(rounds * doubled) / jnp.expm1(doubled)


def _growing_ridge(config: Config, rounds: jax.Array) -> jax.Array:
  """r_t = gamma^{-t} lambda."""
  return config.constants.ridge * jnp.exp(-rounds * config.log_discount)


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
    >>> config = bandits.d_lin_ucb.configure(system, arms, 100)
    >>> few, many = jnp.array(1), jnp.array(90)
    >>> radius = bandits.d_lin_ucb.confidence_radius
    >>> print(radius(config, few) < radius(config, many))
    True
  """
  c = config.constants
  rounds = rounds.astype(c.ridge.dtype)
  d = config.actions.dimension
  if config.form == 'radius':
    volume = confidence.log_volume(c, rounds * _weight(config, rounds), d)
    return confidence.parameter_radius(c) + confidence.noise_radius(c, volume)
  ridge = _growing_ridge(config, rounds)
  spread = config.budget**2 * _weight(config, rounds) / (d * ridge)
  exponent = 2 * c.log_confidence + d * jnp.log1p(spread)
  return config.theta * jnp.sqrt(ridge) + config.sigma * jnp.sqrt(exponent)


def select(config: Config, state: State, draw: jax.Array):
  """The action of the next round.

  Args:
    config: settings.
    state: before the round.
    draw: float [], uniform in [0, 1); used by random_start alone.

  Returns:
    The action (int32 [], an index in the finite set) and the State with it.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.d_lin_ucb.configure(system, arms, 100)
    >>> state = bandits.d_lin_ucb.init(config)
    >>> action, state = bandits.d_lin_ucb.select(config, state, jnp.array(0.0))
    >>> print(action)
    0
  """
  arms = config.actions.arms
  beta = confidence_radius(config, state.rounds)
  factor = small_matrices.cholesky(
    small_matrices.gram(state.weights.total, arms), state.ridge.total
  )
  half = small_matrices.solve_lower(
    factor, small_matrices.moments(state.sums.total, arms)
  )
  solved = small_matrices.solve_lower(factor, arms.T)
  means = small_matrices.dot(solved, half)
  if config.form == 'radius':
    norms = jnp.sqrt(small_matrices.dot(solved, solved))
  else:
    # ||u||^2 in V^-1 V' V^-1, with V' as the sum that it is.
    turned = small_matrices.solve_upper(factor, solved)
    squares = state.squared_ridge.total * small_matrices.dot(turned, turned)
    for k in range(config.actions.count):
      overlap = small_matrices.dot(turned, arms[k])
      squares = squares + state.squared_weights.total[k] * overlap**2
    norms = jnp.sqrt(squares)
  action = jnp.argmax(means + beta * norms).astype(jnp.int32)
  if config.random_start:
    first = config.actions.at_random(draw)
    action = jnp.where(state.rounds == 0, first, action)
  return action, state


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
    >>> config = bandits.d_lin_ucb.configure(system, arms, 100)
    >>> state = bandits.d_lin_ucb.init(config)
    >>> action, state = bandits.d_lin_ucb.select(config, state, jnp.array(0.0))
    >>> state = bandits.d_lin_ucb.update(config, state, action, jnp.array(1.0))
    >>> print(state.rounds)
    1
  """
  taken = jnp.arange(config.actions.count) == action
  one = taken.astype(reward.dtype)
  earned = jnp.where(taken, reward, 0)
  if config.form == 'radius':
    # V and V' are the same, and the ridge stays.
    return dataclasses.replace(
      state,
      weights=state.weights.add(one),
      sums=state.sums.add(earned),
      rounds=state.rounds + 1,
    )

  def discounted(summed, value, forgotten):
    # gamma s + value, as s + (value - (1 - gamma) s).
    return summed.add(value - forgotten * summed.total)

  once = config.forgotten
  twice = once * (2 - once)
  grown = _growing_ridge(config, state.rounds.astype(reward.dtype))
  return State(
    weights=discounted(state.weights, one, once),
    squared_weights=discounted(state.squared_weights, one, twice),
    sums=discounted(state.sums, earned, once),
    ridge=discounted(state.ridge, once * grown, once),
    squared_ridge=discounted(state.squared_ridge, twice * grown, twice),
    rounds=state.rounds + 1,
  )


ALGORITHM = play.Algorithm(init, select, update)
