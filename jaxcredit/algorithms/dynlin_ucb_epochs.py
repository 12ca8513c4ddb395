"""DynLin-UCB as a scan over epochs, where only steady-state regret is wanted.

Within an epoch the action is constant, and so the state at its last round is
known in distribution without the rounds between: with H held rounds

  x_{t+H} = A^H x_t + (sum_{i<H} A^i) B u + N(0, sum_{i<H} A^i D A^{iT}),

D being the covariance of the state's noise. One step an epoch is about a
seventh of the steps at a million rounds with rho = 0.2, and a fortieth with
rho = 0.8. The regret has the same distribution as that of `dynlin_ucb.run`;
the path is another. Rewards between are never drawn, so there is no reward
regret here.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.algorithms import dynlin_ucb
from jaxcredit.algorithms.bandits import (
  action_sets,
  epochs,
  linear_system,
  play,
)
from jaxcredit.algorithms.bandits import bounds as bounds_lib
from jaxcredit.algorithms.bandits import ridge as ridge_lib


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
  """Settings; made by `configure`.

  Attributes:
    agent: those of `dynlin_ucb`.
    lengths: int32 [M], rounds of each epoch; 0 for those that only fill up.
    longest: the largest of them.
  """

  agent: dynlin_ucb.Config
  lengths: jax.Array
  longest: int = dataclasses.field(metadata={'static': True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class History:
  """What happened between R records, a number of epochs apart.

  Attributes:
    rounds: int32 [R], rounds played up to each record.
    steady_shortfall: float [R], sum of J* - J(u_t) since the record before.
    plays: int32 [R, K], rounds that each action was played since then; K = 0
      where the set of actions is not finite.
  """

  rounds: jax.Array
  steady_shortfall: jax.Array
  plays: jax.Array

  @property
  def offline_regret(self) -> jax.Array:
    """sum_t (J* - J(u_t)) up to each record, [R]."""
    return jnp.cumsum(self.steady_shortfall, axis=-1)


def configure(
  system: linear_system.LinearSystem,
  actions: action_sets.Actions,
  horizon: int,
  *,
  count: int | None = None,
  longest: int | None = None,
  bounds: bounds_lib.Bounds | None = None,
  start: str = 'paper',
  **options,
) -> Config:
  """Settings for runs of exactly `horizon` rounds.

  Args:
    system: as in `dynlin_ucb.configure`.
    actions: likewise.
    horizon: T, rounds.
    count: epochs to fill up to, so that settings can be stacked; None for as
      many as there are.
    longest: rounds of the longest epoch, likewise.
    bounds: what the agent is told; None for the tightest.
    start: 'paper' or 'released'.
    **options: of `dynlin_ucb.configure`.

  Returns:
    Config, whose arrays have the dtype of the system.

  Raises:
    ValueError: `count` or `longest` is too small, and whatever
      `dynlin_ucb.configure` raises.

  Example:
    >>> from jaxcredit import bandits, dynlin_ucb_epochs
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = dynlin_ucb_epochs.configure(system, arms, 100)
    >>> print(config.lengths[:8], config.lengths.sum())
    [1 2 2 3 3 3 3 4] 100
  """
  if bounds is None:
    bounds = bounds_lib.of_system(system, actions)
  agent = dynlin_ucb.configure(
    system, actions, horizon, bounds=bounds, start=start, **options
  )
  # The table of rounds is not used, and would be the largest part.
  agent = dataclasses.replace(agent, ends=jnp.zeros((0,), bool))
  lengths = epochs.lengths(bounds.rho, horizon, start)
  longest = int(lengths.max()) if longest is None else longest
  count = lengths.size if count is None else count
  if count < lengths.size or longest < lengths.max():
    raise ValueError(
      f'{horizon} rounds have {lengths.size} epochs of up to {lengths.max()} '
      f'rounds, more than count = {count} or longest = {longest}'
    )
  lengths = np.pad(lengths, (0, count - lengths.size))
  return Config(agent, jnp.asarray(lengths, jnp.int32), longest)


def _square_root(matrix: jax.Array) -> jax.Array:
  """F with F F^T = matrix, positive semidefinite."""
  values, vectors = jnp.linalg.eigh(matrix)
  return vectors * jnp.sqrt(jnp.maximum(values, 0))


def _held(system: linear_system.LinearSystem, longest: int):
  """A^H, sum_{i<H} A^i B and the noise's square root for H < longest."""
  n = system.states
  dtype = system.A.dtype
  variance = jnp.broadcast_to(system.state_noise, (n,)) ** 2

  def step(carry, _):
    power, summed, covariance = carry
    after = (
      system.A @ power,
      summed + power,
      covariance + (power * variance) @ power.T,
    )
    return after, carry

  zero = jnp.zeros((n, n), dtype)
  _, (powers, sums, covariances) = jax.lax.scan(
    step, (jnp.eye(n, dtype=dtype), zero, zero), length=longest
  )
  return powers, sums @ system.B, jax.vmap(_square_root)(covariances)


@functools.partial(jax.jit, static_argnames='record_every')
def _run(key, system, config, record_every):
  agent_config, actions = config.agent, config.agent.actions
  powers, controls, roots = _held(system, config.longest)
  h = linear_system.cumulative_markov_parameter(system)
  optimum = (actions.vector(actions.best(h)) * h).sum()
  finite = isinstance(actions, action_sets.FiniteActions)
  arms = jnp.arange(actions.count if finite else 0)
  n, dtype = system.states, system.A.dtype

  def play_epoch(carry, numbers):
    agent, state = carry
    length, noise, draw = numbers
    held = jnp.maximum(length - 1, 0)
    action, agent = dynlin_ucb.select(agent_config, agent, draw)
    u = actions.vector(action)
    settled = (
      linear_system.times(powers[held], state)
      + linear_system.times(controls[held], u)
      + linear_system.times(roots[held], noise[1 : 1 + n])
    )
    reward = linear_system.reward(system, settled, u, noise[0])
    after = linear_system.next_state(system, settled, u, noise[1 + n :])
    used = length > 0
    agent = dynlin_ucb.State(
      ridge_lib.add(agent.statistics, action, reward, used),
      action,
      jnp.ones((), bool),
      agent.rounds + length,
    )
    plays = jnp.where(arms == action, length, 0)
    value = (u * h).sum()
    return (agent, jnp.where(used, after, state)), (value, plays)

  def play_block(carry, numbers):
    block, lengths = numbers
    noise_key, draw_key = jax.random.split(jax.random.fold_in(key, block))
    noise = jax.random.normal(noise_key, (record_every, 1 + 2 * n), dtype)
    draws = jax.random.uniform(draw_key, (record_every,), dtype)
    carry, (values, plays) = jax.lax.scan(
      play_epoch, carry, (lengths, noise, draws)
    )
    plays = plays.sum(axis=0).astype(jnp.int32)
    if finite:
      steady = (plays * (optimum - actions.values(h))).sum()
    else:
      steady = (lengths * (optimum - values)).sum()
    return carry, (carry[0].rounds, steady, plays)

  blocks = math.ceil(config.lengths.shape[-1] / record_every)
  missing = blocks * record_every - config.lengths.shape[-1]
  lengths = jnp.pad(config.lengths, (0, missing)).reshape(blocks, -1)
  start = (dynlin_ucb.init(agent_config), system.initial_state)
  _, history = jax.lax.scan(play_block, start, (jnp.arange(blocks), lengths))
  return History(*history)


def run(
  key: jax.Array,
  system: linear_system.LinearSystem,
  config: Config,
  *,
  record_every: int = play.BLOCK,
) -> History:
  """Plays all epochs; vmap it over keys, systems and configurations.

  Args:
    key: random key, of all randomness; other numbers than those of
      `dynlin_ucb.run`.
    system: the system.
    config: settings; they fix the horizon.
    record_every: epochs between records.

  Returns:
    History of R records.

  Raises:
    ValueError: `record_every` is below 1.

  Example:
    >>> from jaxcredit import bandits, dynlin_ucb_epochs
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = dynlin_ucb_epochs.configure(system, arms, 100)
    >>> history = dynlin_ucb_epochs.run(jax.random.key(0), system, config)
    >>> print(history.rounds, history.plays.sum())
    [100] 100
  """
  if record_every < 1:
    raise ValueError(f'record_every must be at least 1, not {record_every}')
  return _run(key, system, config, record_every)
