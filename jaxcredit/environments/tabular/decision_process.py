"""A finite Markov decision process as tables.

Dimensions: N states, A actions, B outcomes of an action, F factors. Outcomes
are listed, not spread over all states, so that thousands of states are no
matter. What chance does is drawn from a key in the state: `fresh` gives the
same state another future.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.environments import functional


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
  """Where a process stands.

  Attributes:
    index: int32 [], the state.
    key: random key of what chance does from here on.
  """

  index: jax.Array
  key: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class DecisionProcess:
  """The tables; a `functional.Environment` of one agent.

  Attributes:
    successors: int32 [N, A, B], the state after each outcome.
    probabilities: float32 [N, A, B], of each outcome; they add up to 1.
    rewards: float32 [N, A, B], of each outcome.
    ended: bool [N], states in which nothing can be done any more.
    initial: float32 [N], probability of each state at the start.
    admissible: bool [N, A], actions that there are.
    observed: int32 [N], states with equal numbers look alike.
    factors: float32 [N, A, F], what a latent reward (LaRe) is a function of.
    horizon: steps of an episode at most, which belong to the task.
  """

  successors: jax.Array
  probabilities: jax.Array
  rewards: jax.Array
  ended: jax.Array
  initial: jax.Array
  admissible: jax.Array
  observed: jax.Array
  factors: jax.Array
  horizon: int = dataclasses.field(metadata={'static': True})

  agents = 1
  discrete = True
  end_counts = True

  @property
  def states(self) -> int:
    return self.successors.shape[-3]

  @property
  def action_size(self) -> int:
    return self.successors.shape[-2]

  @property
  def observation_size(self) -> int:
    return self.states

  def observe(self, state: State) -> jax.Array:
    """float32 [1, N], the number of what is observed as a unit vector."""
    return jax.nn.one_hot(self.observed[state.index][None], self.states)

  def reset(self, key: jax.Array) -> tuple[State, jax.Array]:
    """A state of `initial`; see `functional.Environment`."""
    start_key, key = jax.random.split(key)
    index = jax.random.categorical(start_key, jnp.log(self.initial))
    state = State(index.astype(jnp.int32), key)
    return state, self.observe(state)

  def fresh(self, state: State, key: jax.Array) -> State:
    """The same state, from which chance takes another course."""
    return State(state.index, key)

  def move(
    self, state: State, action: jax.Array
  ) -> tuple[State, jax.Array, jax.Array]:
    """The state after an action [], its reward [] and whether it is the end.

    What `step` does, without the axis of agents and the observation.
    """
    key, outcome = state.key, jnp.int32(0)
    if self.successors.shape[-1] > 1:
      key, chance_key = jax.random.split(key)
      below = jnp.cumsum(self.probabilities[state.index, action])[:-1]
      # 1 - u lies in (0, 1]: an outcome without probability never comes.
      chance = 1 - jax.random.uniform(chance_key)
      outcome = jnp.sum(chance > below).astype(jnp.int32)
    after = self.successors[state.index, action, outcome]
    reward = self.rewards[state.index, action, outcome]
    return State(after, key), reward, self.ended[after]

  def step(self, state: State, action: jax.Array) -> functional.Transition:
    """One step, action int32 [1]; an inadmissible action is a fault."""
    after, reward, ended = self.move(state, action[0])
    return functional.Transition(
      after, self.observe(after), reward[None], ended
    )


def build(
  successors: np.ndarray,
  rewards: np.ndarray,
  ended: np.ndarray,
  initial: np.ndarray,
  factors: np.ndarray,
  horizon: int,
  *,
  probabilities: np.ndarray | None = None,
  admissible: np.ndarray | None = None,
  observed: np.ndarray | None = None,
) -> DecisionProcess:
  """A process from numpy tables, checked.

  Args:
    successors: int [N, A, B].
    rewards: float [N, A, B].
    ended: bool [N].
    initial: float [N].
    factors: float [N, A, F].
    horizon: steps of an episode at most.
    probabilities: float [N, A, B]; None for equal ones.
    admissible: bool [N, A]; None for all.
    observed: int [N]; None where all states look different.

  Raises:
    ValueError: tables that do not fit together.
  """
  n, a, b = successors.shape
  if probabilities is None:
    probabilities = np.full(successors.shape, 1 / b)
  if admissible is None:
    admissible = np.ones((n, a), bool)
  if observed is None:
    observed = np.arange(n)
  if horizon < 1:
    raise ValueError(f'horizon must be positive, not {horizon}')
  if successors.min() < 0 or successors.max() >= n:
    raise ValueError(f'successors must be states below {n}')
  for name, sums in (
    ('probabilities', probabilities.sum(axis=-1)),
    ('initial', initial.sum()),
  ):
    if not np.allclose(sums, 1, atol=1e-5):
      raise ValueError(f'{name} must add up to 1')
  if initial[ended].any():
    raise ValueError('initial: no episode can begin at its end')
  if not admissible[~ended].any(axis=-1).all():
    raise ValueError('admissible: a state that is no end needs an action')
  return DecisionProcess(
    jnp.asarray(successors, jnp.int32),
    jnp.asarray(probabilities, jnp.float32),
    jnp.asarray(rewards, jnp.float32),
    jnp.asarray(ended, bool),
    jnp.asarray(initial, jnp.float32),
    jnp.asarray(admissible, bool),
    jnp.asarray(observed, jnp.int32),
    jnp.asarray(factors, jnp.float32),
    horizon,
  )


def _grown(process: DecisionProcess, count: int) -> dict[str, np.ndarray]:
  """Tables with `count` more states, which stay where they are."""
  n = process.states
  own = np.arange(n, n + count)
  tables = {}
  for field in dataclasses.fields(process):
    if field.name == 'horizon':
      continue
    table = np.array(getattr(process, field.name))
    more = np.zeros((count, *table.shape[1:]), table.dtype)
    if field.name == 'successors':
      more[:] = own[:, None, None]
    elif field.name == 'probabilities':
      more[..., 0] = 1
    elif field.name == 'admissible':
      more[:] = True
    elif field.name == 'observed':
      more[:] = table.max(initial=-1) + 1 + np.arange(count)
    tables[field.name] = np.concatenate([table, more])
  return tables


def pay_later(process: DecisionProcess, delay: int) -> DecisionProcess:
  """The same task, whose ends come `delay` steps later, and their reward too.

  Steps in between change nothing, whatever is done. The horizon grows by as
  many, so that what was worth something at a step still is.

  Args:
    process: the task.
    delay: steps between what decided and the end; 0 for none.

  Raises:
    ValueError: a negative delay.
  """
  if delay < 0:
    raise ValueError(f'delay must not be negative, but is {delay}')
  if not delay:
    return process
  n = process.states
  final = np.array(process.ended)[np.array(process.successors)]
  # Nothing comes after an end.
  final &= ~np.array(process.ended)[:, None, None]
  ways = np.stack(
    [np.array(process.successors)[final], np.array(process.rewards)[final]], -1
  )
  pairs, which = np.unique(ways, axis=0, return_inverse=True)
  tables = _grown(process, len(pairs) * delay)
  tables['successors'][:n][final] = n + which.reshape(-1) * delay
  tables['rewards'][:n][final] = 0
  for pair, (end, reward) in enumerate(pairs):
    first = n + pair * delay
    for k in range(delay):
      tables['successors'][first + k] = first + k + 1
    tables['successors'][first + delay - 1] = int(end)
    tables['rewards'][first + delay - 1] = reward
  return build(horizon=process.horizon + delay, **tables)


def random_rewards(process: DecisionProcess, size: float) -> DecisionProcess:
  """The same task, with `size` or -`size` more in each step, by a coin.

  They are no credit to anybody: all true advantages stay as they are.

  Args:
    process: the task.
    size: of the rewards; 0 for none.
  """
  if not size:
    return process

  def twice(table):
    return jnp.concatenate([table, table], axis=-1)

  coin = jnp.where(process.ended, 0.0, size)[:, None, None]
  return dataclasses.replace(
    process,
    successors=twice(process.successors),
    probabilities=twice(process.probabilities / 2),
    rewards=jnp.concatenate(
      [process.rewards + coin, process.rewards - coin], axis=-1
    ),
  )


def stack(
  processes: Sequence[DecisionProcess],
  *,
  states: int = 0,
  actions: int = 0,
  outcomes: int = 0,
  factors: int = 0,
) -> DecisionProcess:
  """Tasks with a leading axis, for vmap; smaller ones are filled up.

  States that there are not are met by none, actions not admissible, outcomes
  without probability, and factors 0.

  Args:
    processes: the tasks.
    states, actions, outcomes, factors: N, A, B and F at least, so that tasks of
      other stacks have the same shapes.

  Raises:
    ValueError: horizons differ.
  """
  horizons = {process.horizon for process in processes}
  if len(horizons) != 1:
    raise ValueError(f'horizons must be equal, not {sorted(horizons)}')
  states = max(states, *(p.states for p in processes))
  actions = max(actions, *(p.action_size for p in processes))
  outcomes = max(outcomes, *(p.successors.shape[-1] for p in processes))
  factors = max(factors, *(p.factors.shape[-1] for p in processes))

  def fill(process):
    tables = _grown(process, states - process.states)
    some = process.action_size
    for name, table in tables.items():
      shape = {
        'admissible': (states, actions),
        'factors': (states, actions, factors),
      }.get(name, (states, actions, outcomes))
      if table.ndim > 1:
        edges = [(0, n - m) for n, m in zip(shape, table.shape, strict=True)]
        tables[name] = np.pad(table, edges)
    # What is never done leaves everything as it is.
    tables['successors'][:, some:] = np.arange(states)[:, None, None]
    tables['probabilities'][:, some:, 0] = 1
    return build(horizon=process.horizon, **tables)

  return jax.tree.map(lambda *x: jnp.stack(x), *map(fill, processes))
