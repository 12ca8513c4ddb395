"""A bandit algorithm against a linear system, as one compiled scan.

An algorithm is three pure functions:

  init(config) -> state
  select(config, state, draw) -> action, state
  update(config, state, action, reward) -> state

`draw` is uniform in [0, 1) and all the chance that a round's choice needs. A
configuration is a pytree with the set of `actions` among its fields.

Random numbers are drawn for BLOCK rounds at a time, with the key of the run
folded with the block's number, so that a run does not depend on how often it is
recorded or on where it was interrupted. What is kept is sums over the rounds
between two records: a few kilobytes a run, and exact counts.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.bandits import (
  action_sets,
  confidence,
  linear_system,
)
from jaxcredit.algorithms.bandits import bounds as bounds_lib
from jaxcredit.algorithms.internal import arguments

BLOCK = 500
# About how many records a run keeps unless told otherwise.
RECORDS = 500


class Algorithm(NamedTuple):
  """A bandit algorithm, as three pure functions.

  Attributes:
    init: config -> state.
    select: config, state, draw -> action, state.
    update: config, state, action, reward -> state.
  """

  init: Callable[..., Any]
  select: Callable[..., Any]
  update: Callable[..., Any]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class History:
  """What happened between R records.

  Attributes:
    rounds: int32 [R], rounds played up to each record.
    steady_shortfall: float [R], sum of J* - J(u_t) since the record before.
    shortfall: float [R], sum of J* - y_t since then.
    plays: int32 [R, K], how often each action was taken since then; K = 0
      where the set of actions is not finite.
  """

  rounds: jax.Array
  steady_shortfall: jax.Array
  shortfall: jax.Array
  plays: jax.Array

  @property
  def offline_regret(self) -> jax.Array:
    """sum_t (J* - J(u_t)) up to each record: steady-state regret, [R]."""
    return jnp.cumsum(self.steady_shortfall, axis=-1)

  @property
  def reward_regret(self) -> jax.Array:
    """t J* - sum of rewards up to each record, [R]."""
    return jnp.cumsum(self.shortfall, axis=-1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Progress:
  """A run between two rounds.

  Attributes:
    agent: the algorithm's state.
    state: float [n], the system's.
    rounds: int32 [], played so far.
  """

  agent: Any
  state: jax.Array
  rounds: jax.Array


def check(system, config, horizon: int, record_every: int | None) -> int:
  """Checks a run's arguments.

  Args:
    system: the system.
    config: the algorithm's settings.
    horizon: rounds.
    record_every: rounds between records; None for up to RECORDS records.

  Returns:
    Rounds between records, an int.

  Raises:
    ValueError: they do not fit.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.fixed.optimum(system, arms)
    >>> bandits.play.check(system, config, 100_000, None)
    250
  """
  confidence.check_horizon(horizon)
  bounds_lib.check_shapes(system, config.actions)
  ends = getattr(config, 'ends', None)
  if ends is not None and ends.shape[-1] < horizon:
    raise ValueError(
      f'the configuration was made for {ends.shape[-1]} rounds, fewer than '
      f'{horizon}: configure it with that horizon'
    )
  if record_every is None:
    record_every = BLOCK * math.ceil(horizon / (BLOCK * RECORDS))
    if horizon <= BLOCK * RECORDS:
      record_every = next(
        every
        for every in range(1, BLOCK + 1)
        if BLOCK % every == 0 and horizon <= every * RECORDS
      )
  if record_every < 1 or (BLOCK % record_every and record_every % BLOCK):
    allowed = [every for every in range(1, BLOCK) if BLOCK % every == 0]
    raise ValueError(
      f'record_every must be one of {", ".join(map(str, allowed))} or a '
      f'multiple of {BLOCK}, not {record_every}'
    )
  return record_every


def random_numbers(key: jax.Array, block: jax.Array, states: int, dtype):
  """The random numbers of a block of rounds.

  Args:
    key: random key of the run.
    block: int32 [], number of the block.
    states: n, of the system.
    dtype: floating.

  Returns:
    Standard normal noise [BLOCK, 1 + n], of the reward and then of the state,
    and uniform draws [BLOCK].

  Example:
    >>> from jaxcredit import bandits
    >>> noise, draws = bandits.play.random_numbers(
    ...   jax.random.key(0), 0, 3, jnp.float32
    ... )
    >>> noise.shape, draws.shape
    ((500, 4), (500,))
  """
  noise_key, draw_key = jax.random.split(jax.random.fold_in(key, block))
  noise = jax.random.normal(noise_key, (BLOCK, 1 + states), dtype)
  return noise, jax.random.uniform(draw_key, (BLOCK,), dtype)


def begin(
  algorithm: Algorithm, system: linear_system.LinearSystem, config
) -> Progress:
  """A run before its first round.

  Args:
    algorithm: its three functions.
    system: the system.
    config: the algorithm's settings.

  Returns:
    Progress.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.fixed.optimum(system, arms)
    >>> progress = bandits.play.begin(bandits.fixed.ALGORITHM, system, config)
    >>> print(progress.rounds, progress.state)
    0 [0.]
  """
  return Progress(
    algorithm.init(config), system.initial_state, jnp.zeros((), jnp.int32)
  )


def _play_rounds(algorithm, system, config, progress, numbers):
  """Plays a round for each of the numbers; returns the actions and rewards."""

  def play_round(carry, numbers):
    agent, state = carry
    noise, draw = numbers
    action, agent = algorithm.select(config, agent, draw)
    vector = config.actions.vector(action)
    reward = linear_system.reward(system, state, vector, noise[0])
    state = linear_system.next_state(system, state, vector, noise[1:])
    agent = algorithm.update(config, agent, action, reward)
    return (agent, state), (action, reward)

  (agent, state), played = jax.lax.scan(
    play_round, (progress.agent, progress.state), numbers
  )
  rounds = progress.rounds + numbers[1].shape[0]
  return Progress(agent, state, rounds), played


def replay(
  algorithm: Algorithm,
  system: linear_system.LinearSystem,
  config,
  noise: jax.Array,
  draws: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """Plays rounds with given random numbers: of a log, or of another code.

  Args:
    algorithm: its three functions.
    system: the system.
    config: the algorithm's settings.
    noise: float [T, 1 + n], standard normal, of the reward and of the state.
    draws: float [T], uniform in [0, 1).

  Returns:
    The actions, int32 [T] of a finite set or float [T, d], and the rewards,
    float [T], of T rounds from the start. With the numbers of `random_numbers`
    they are those of `run`.

  Raises:
    ValueError: arguments that do not fit.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.fixed.optimum(system, arms)
    >>> noise, draws = jnp.zeros((3, 2)), jnp.zeros(3)
    >>> actions, rewards = bandits.play.replay(
    ...   bandits.fixed.ALGORITHM, system, config, noise, draws
    ... )
    >>> print(actions, rewards)
    [0 0 0] [0.  1.  1.5]
  """
  noise, draws = (
    arguments.floating(name, arguments.numbers(name, x)).astype(system.A.dtype)
    for name, x in (('noise', noise), ('draws', draws))
  )
  if draws.ndim != 1 or noise.shape != (draws.size, 1 + system.states):
    raise ValueError(
      f'noise must be [T, {1 + system.states}] and draws [T], but they have '
      f'shapes {noise.shape} and {draws.shape}'
    )
  check(system, config, draws.size, None)
  progress = begin(algorithm, system, config)
  _, played = _play_rounds(algorithm, system, config, progress, (noise, draws))
  return played


def advance(
  algorithm: Algorithm,
  key: jax.Array,
  system: linear_system.LinearSystem,
  config,
  progress: Progress,
  rounds: int,
  record_every: int,
  comparator: action_sets.Actions | None = None,
) -> tuple[Progress, History]:
  """Plays on, so that the host can look between two calls.

  Args:
    algorithm: its three functions.
    key: random key of the run, the same in all calls.
    system: the system.
    config: the algorithm's settings.
    progress: from `begin` or the call before.
    rounds: how many, a multiple of BLOCK but for a run's last call.
    record_every: rounds between records.
    comparator: set of actions whose best one regret is measured from; None for
      the configuration's `comparator`, as of `fixed`, or else its `actions`.

  Returns:
    The Progress, and the History of these rounds.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.fixed.optimum(system, arms)
    >>> algorithm, key = bandits.fixed.ALGORITHM, jax.random.key(0)
    >>> progress = bandits.play.begin(algorithm, system, config)
    >>> progress, history = bandits.play.advance(
    ...   algorithm, key, system, config, progress, 500, 250
    ... )
    >>> print(progress.rounds, history.rounds)
    500 [250 500]
  """
  actions = config.actions
  h = linear_system.cumulative_markov_parameter(system)
  if comparator is None:
    comparator = getattr(config, 'comparator', None)
  best_of = actions if comparator is None else comparator
  optimum = (best_of.vector(best_of.best(h)) * h).sum()
  finite = isinstance(actions, action_sets.FiniteActions)
  arms = jnp.arange(actions.count if finite else 0)
  grain = math.gcd(record_every, BLOCK)
  stop = progress.rounds + rounds

  def grains(x):
    return x.reshape(BLOCK // grain, grain, *x.shape[1:]).sum(axis=1)

  def play_block(progress, _):
    block = progress.rounds // BLOCK
    numbers = random_numbers(key, block, system.states, system.A.dtype)
    live = progress.rounds + jnp.arange(BLOCK) < stop
    progress, (played, rewards) = _play_rounds(
      algorithm, system, config, progress, numbers
    )
    shortfall = grains(jnp.where(live, optimum - rewards, 0))
    if finite:
      plays = grains((played[:, None] == arms) & live[:, None])
      gaps = optimum - actions.values(h)
      steady = (plays * gaps).sum(axis=-1)
    else:
      plays = jnp.zeros((BLOCK // grain, 0), jnp.int32)
      values = (actions.vector(played) * h).sum(axis=-1)
      steady = grains(jnp.where(live, optimum - values, 0))
    return progress, (steady, shortfall, plays.astype(jnp.int32))

  progress, rows = jax.lax.scan(
    play_block, progress, length=math.ceil(rounds / BLOCK)
  )
  records = math.ceil(rounds / record_every)
  each = record_every // grain

  def between_records(x):
    x = x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])[: records * each]
    missing = records * each - x.shape[0]
    x = jnp.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1))
    return x.reshape(records, each, *x.shape[1:]).sum(axis=1)

  steady, shortfall, plays = map(between_records, rows)
  times = jnp.minimum(jnp.arange(1, records + 1) * record_every, rounds)
  return progress, History(stop - rounds + times, steady, shortfall, plays)


@functools.partial(
  jax.jit, static_argnames=('algorithm', 'horizon', 'record_every')
)
def _run(algorithm, key, system, config, horizon, record_every, comparator):
  progress = begin(algorithm, system, config)
  _, history = advance(
    algorithm, key, system, config, progress, horizon, record_every, comparator
  )
  return history


def run(
  algorithm: Algorithm,
  key: jax.Array,
  system: linear_system.LinearSystem,
  config,
  horizon: int,
  *,
  record_every: int | None = None,
  comparator: action_sets.Actions | None = None,
) -> History:
  """Plays `horizon` rounds from the start.

  Compiled once for each algorithm, horizon and set of shapes; vmap it over
  keys, systems and configurations.

  Args:
    algorithm: its three functions.
    key: random key, of all randomness.
    system: the system.
    config: the algorithm's settings.
    horizon: rounds; a whole number.
    record_every: rounds between records: a divisor or a multiple of BLOCK;
      None for up to 500 records.
    comparator: as in `advance`.

  Returns:
    History of R records.

  Raises:
    ValueError: arguments that do not fit.

  Example:
    >>> from jaxcredit import bandits
    >>> system = bandits.linear_system.create([[0.5]], [[1, 0]], [1], [0, 1])
    >>> arms = bandits.action_sets.finite([[1, 0], [0, 1]])
    >>> config = bandits.fixed.optimum(system, arms)
    >>> history = bandits.play.run(
    ...   bandits.fixed.ALGORITHM, jax.random.key(0), system, config, 100
    ... )
    >>> print(history.plays.sum(), history.offline_regret[-1])
    100 0.0
  """
  record_every = check(system, config, horizon, record_every)
  return _run(algorithm, key, system, config, horizon, record_every, comparator)
