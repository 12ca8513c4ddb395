"""AR2 (Chen et al. 2023) for arms that follow AR(1) chains, as in the paper.

After one pull of each arm, rounds alternate: even ones take the superior arm
i* (the better of the last two pulled, by estimate), odd ones a triggered arm,
the one that was triggered first. Estimates shrink by alpha each round that an
arm is not pulled; a pull sets its own to alpha y. Arm i is triggered in round t
once

  r_{i*} - r_i <= c1 sigma sqrt((alpha^2 - alpha^{2 (t - tau_i + 1)})
                                / (1 - alpha^2)),

tau_i being the round of its last pull, c1 = 24 c0,
c0 = sqrt(4 log(1 / (alpha sigma)) + 4 log(epoch) + 2 log(4 K)). An epoch of
ceil(K / (alpha sigma)^3) rounds ends with a restart.

In the released script a triggered arm stays triggered, restarts included, so
that from then on odd rounds draw from the arms that were triggered first:
triggered='kept', the default, which gives the paper's figures. In AR2 itself an
arm leaves the set when it is pulled, and the set is emptied by a restart:
triggered='released_by_pull'.

alpha is the spectral radius. Where the eigenvalue that attains it is complex,
the script computes with that instead, and NumPy drops the imaginary parts of
what is stored or compared: eigenvalue=... does the same.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.algorithms.bandits import (
  action_sets,
  confidence,
  linear_system,
  play,
)
from jaxcredit.algorithms.bandits import bounds as bounds_lib
from jaxcredit.algorithms.internal import arguments

TRIGGERED = ('kept', 'released_by_pull')
_NEVER = 2**31 - 1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
  """Settings; made by `configure`.

  Attributes:
    actions: K actions.
    alpha: float (or complex) [], how much of a chain is left a round later.
    threshold: likewise, c1 sigma.
    epoch: int32 [], rounds between restarts.
    triggered: 'kept' or 'released_by_pull'.
  """

  actions: action_sets.FiniteActions
  alpha: jax.Array
  threshold: jax.Array
  epoch: jax.Array
  triggered: str = dataclasses.field(metadata={'static': True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """What the agent remembers; rounds count from 1 here.

  Attributes:
    round: int32 [], the next one.
    epoch_start: int32 [], rounds before this epoch.
    estimates: float [K].
    pulled: int32 [K], round of each arm's last pull.
    triggered: int32 [K], round in which each arm was triggered; 2^31 - 1 for
      those that are not.
    last, before_last: int32 [], the two arms that were pulled last.
  """

  round: jax.Array
  epoch_start: jax.Array
  estimates: jax.Array
  pulled: jax.Array
  triggered: jax.Array
  last: jax.Array
  before_last: jax.Array


def configure(
  system: linear_system.LinearSystem,
  actions: action_sets.FiniteActions,
  horizon: int,
  *,
  bounds: bounds_lib.Bounds | None = None,
  triggered: str = 'kept',
  eigenvalue: complex | None = None,
) -> Config:
  """Settings.

  Args:
    system: from which the bounds are taken where none are given, and whose
      dtype the settings get.
    actions: a finite set.
    horizon: T, rounds.
    bounds: what the agent is told; `rho` and `sigma` of them are used.
    triggered: 'kept' or 'released_by_pull'.
    eigenvalue: alpha as in the script, where it is complex; None for the bound
      on the spectral radius.

  Returns:
    Config, whose arrays have the dtype of the system.

  Raises:
    ValueError: options or shapes that do not fit; rho or sigma that are 0.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.ar2.configure(system, arms, 100)
    >>> print(config.alpha, config.epoch)
    0.5 103
  """
  arguments.one_of('triggered', triggered, TRIGGERED)
  action_sets.require_finite(actions, 'AR2')
  bounds_lib.check_shapes(system, actions)
  confidence.check_horizon(horizon)
  if bounds is None:
    bounds = bounds_lib.of_system(system, actions)
  alpha, sigma, k = bounds.rho, bounds.sigma, actions.count
  if alpha == 0 or sigma == 0:
    raise ValueError(
      f'AR2 divides by rho and sigma, which are {alpha} and {sigma}: it needs '
      'both above 0'
    )
  dtype = system.A.dtype
  if eigenvalue is not None:
    if not 0 < abs(eigenvalue) < 1:
      raise ValueError(
        f'the modulus of eigenvalue must be in (0, 1), not {abs(eigenvalue)}'
      )
    alpha = np.complex128(eigenvalue)
    dtype = jnp.result_type(dtype, jnp.complex64)
  epoch = math.ceil(np.real(k * alpha**-3 * sigma**-3))
  if epoch < 1:
    raise ValueError(
      f'the real part of eigenvalue^-3 is negative for {eigenvalue}: an epoch '
      'would have no round'
    )
  c0 = np.sqrt(
    4 * np.log(1 / (alpha * sigma)) + 4 * np.log(epoch) + 2 * np.log(4 * k)
  )
  return Config(
    actions=actions,
    alpha=jnp.asarray(alpha, dtype),
    threshold=jnp.asarray(24 * c0 * sigma, dtype),
    # Beyond the horizon all are alike, and 7.5e11 is no int32.
    epoch=jnp.asarray(min(epoch, horizon + k + 1), jnp.int32),
    triggered=triggered,
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
    >>> config = bandits.ar2.configure(system, arms, 100)
    >>> print(bandits.ar2.init(config).round)
    1
  """
  k = (config.actions.count,)
  one, zero = jnp.ones((), jnp.int32), jnp.zeros((), jnp.int32)
  return State(
    round=one,
    epoch_start=zero,
    estimates=jnp.full(k, jnp.inf, config.alpha.real.dtype),
    pulled=jnp.zeros(k, jnp.int32),
    triggered=jnp.full(k, _NEVER, jnp.int32),
    last=zero,
    before_last=zero,
  )


def _superior(state: State) -> jax.Array:
  """i*: the better of the last two arms, the last one where they tie."""
  return jnp.where(
    state.estimates[state.last] >= state.estimates[state.before_last],
    state.last,
    state.before_last,
  )


def select(config: Config, state: State, draw: jax.Array):
  """The action of the next round.

  Args:
    config: settings.
    state: before the round.
    draw: float [], uniform in [0, 1); decides among arms triggered together.

  Returns:
    The action (int32 [], an index in the finite set) and the State with it.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.ar2.configure(system, arms, 100)
    >>> state = bandits.ar2.init(config)
    >>> action, state = bandits.ar2.select(config, state, jnp.array(0.0))
    >>> print(action)
    1
  """
  k = config.actions.count
  arms = jnp.arange(k)
  # One pull of each, from the last to the first.
  left = k + state.epoch_start - state.round
  warming = left >= 0
  superior = _superior(state)
  gone = (state.round - state.pulled).astype(config.alpha.real.dtype)
  alpha = config.alpha
  variance = (alpha**2 - alpha ** (2 * (gone + 1))) / (1 - alpha**2)
  behind = state.estimates[superior] - state.estimates
  close = behind <= jnp.real(config.threshold * jnp.sqrt(variance))
  new = close & (arms != superior) & (state.triggered == _NEVER) & ~warming
  triggered = jnp.where(new, state.round, state.triggered)
  first = triggered.min()
  candidates = triggered == first
  # The draw picks one of them.
  number = candidates.sum()
  wanted = jnp.minimum(
    jnp.floor(draw * number).astype(number.dtype), number - 1
  )
  upto = (candidates & (arms <= arms[:, None])).sum(axis=-1)
  choice = jnp.argmax(candidates & (upto == wanted + 1)).astype(jnp.int32)
  odd = (state.round % 2 == 1) & (first != _NEVER)
  action = jnp.where(odd, choice, superior)
  action = jnp.where(warming, left, action)
  if config.triggered == 'released_by_pull':
    triggered = jnp.where((arms == action) & ~warming, _NEVER, triggered)
  state = dataclasses.replace(
    state, triggered=triggered, last=action, before_last=state.last
  )
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
    >>> config = bandits.ar2.configure(system, arms, 100)
    >>> state = bandits.ar2.init(config)
    >>> action, state = bandits.ar2.select(config, state, jnp.array(0.0))
    >>> state = bandits.ar2.update(config, state, action, jnp.array(1.0))
    >>> print(state.round)
    2
  """
  k = config.actions.count
  taken = jnp.arange(k) == action
  warming = state.round < k + state.epoch_start
  # While warming, an estimate is discounted at once to the end of that phase.
  left = jnp.real(config.alpha)
  shrink = jnp.where(warming, jnp.real(config.alpha ** (k - 1)), left)
  others = jnp.where(warming, state.estimates, state.estimates * left)
  over = ~warming & (state.round % config.epoch == 0)
  triggered = state.triggered
  if config.triggered == 'released_by_pull':
    triggered = jnp.where(over, _NEVER, triggered)
  return State(
    round=state.round + 1,
    epoch_start=state.epoch_start + jnp.where(over, config.epoch, 0),
    estimates=jnp.where(taken, shrink * reward, others),
    pulled=jnp.where(taken, state.round, state.pulled),
    triggered=triggered,
    last=action,
    before_last=state.before_last,
  )


ALGORITHM = play.Algorithm(init, select, update)
