"""Groups of episodes whose true advantages are known, for scoring credit.

A setting is a task with its parameters. For each seed P groups are played under
one fixed policy, and then again R times, with the first rollout of each group
kept and all its companions redrawn: what varies is the company alone.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.accuracy import settings as credit_settings
from experiments.accuracy import tables
from jaxcredit.environments import tabular
from jaxcredit.environments.tabular import dynamic_programming
from jaxcredit.rollouts import branched_advantages, tabular_episodes

# Extra rollouts from a state, and how many of them VinePPO is given.
_POOL, _CONTINUATIONS = 16, 4
# Branches are computed for as many steps at once: a matter of memory.
_CHUNK = 512


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Known:
  """What is known of the steps of `Played.now`, float [..., P, G, S] each.

  Attributes:
    advantages: true ones.
    errors: their standard errors, 0 where they are exact.
    states, pairs: int32, as `credit_quality.gradient_cosine` takes them.
    probabilities, collisions: likewise.
  """

  advantages: jax.Array
  errors: jax.Array
  states: jax.Array
  pairs: jax.Array
  probabilities: jax.Array
  collisions: jax.Array


@functools.partial(jax.jit, static_argnames=('episodes',))
def _play(processes, policies, starts, key, episodes):
  """Episodes [P, episodes, S] of groups with a task, policy and start each."""
  keys = jax.random.split(key, len(starts))

  def one(process, policy, start, key):
    return tabular_episodes.play(process, policy, start, key, episodes)

  return jax.vmap(one)(processes, policies, starts, keys)


@functools.partial(jax.jit, static_argnames=('branches',))
def _branch(process, policy, states, actions, left, key, branches):
  def act(state, key):
    return tabular_episodes.draw(policy, state, key)

  begin = tabular.State(states, jax.random.split(key, len(states)))
  return branched_advantages.estimate(
    process, act, begin, actions, left, key, branches=branches, at_once=64
  )


@jax.jit
def _continue(process, policy, states, left, key):
  """Returns [M, _POOL] of the policy from states on."""

  def act(state, key):
    return tabular_episodes.draw(policy, state, key)

  def one(inputs):
    state, left, key = inputs
    return branched_advantages.returns(
      process, act, tabular.State(state, key), None, left, key, _POOL
    )

  keys = jax.random.split(key, len(states))
  return jax.lax.map(one, (states, left, keys), batch_size=64)


def _chunks(function, *columns, key):
  """Applies a function to columns [M] a chunk at a time, filled up."""
  count = len(columns[0])
  results = []
  for begin in range(0, count, _CHUNK):
    key, use = jax.random.split(key)
    part = [np.asarray(c[begin : begin + _CHUNK], np.int32) for c in columns]
    size = len(part[0])
    # Copies of the last entry; a program for each number of steps would cost
    # more.
    part = [np.pad(c, (0, _CHUNK - size), 'edge') for c in part]
    result = function(*part, key=use)
    results.append(jax.tree.map(lambda x, n=size: np.asarray(x)[:n], result))
  return jax.tree.map(lambda *x: np.concatenate(x), *results)


class Source:
  """Tasks of a setting with their policies and exact values."""

  def __init__(
    self,
    setting: credit_settings.Setting,
    sizes: credit_settings.Sizes,
    policy: credit_settings.Policy,
    seed: int,
  ):
    self.setting = setting
    self.sizes = sizes
    found = credit_settings.tasks(setting)
    self.count, self.horizon = len(found), found[0].horizon
    # The horizon is a matter of how much is cut off: one program for all.
    self.processes = dataclasses.replace(
      tabular.stack(
        found, states=sizes.states, actions=sizes.actions,
        outcomes=sizes.outcomes, factors=sizes.factors,
      ),
      horizon=sizes.steps,
    )  # fmt: skip
    keys = jax.random.split(jax.random.key(seed), self.count)
    self.policies = jnp.stack(
      [
        dynamic_programming.softmax_policy(
          self.task(d),
          keys[d],
          competence=policy.competence,
          roughness=policy.roughness,
        )
        for d in range(self.count)
      ]
    )
    q, v = zip(
      *(
        dynamic_programming.values(self.task(d), self.policies[d])
        for d in range(self.count)
      ),
      strict=True,
    )
    # What counts is the time that is left.
    self.q, self.v = (
      np.stack(x)[:, -steps:]
      for x, steps in ((q, self.horizon), (v, self.horizon + 1))
    )

  def task(self, d: int) -> tabular.DecisionProcess:
    return jax.tree.map(lambda x: x[d], self.processes)

  def branched(self, owner, time, states, actions, branches: int, key):
    """Advantages by branching; equal steps are computed once.

    Args:
      owner, time, states, actions: int [M], the task and the step.
      branches: rollouts for each of both means.
      key: random key.

    Returns:
      advantages and standard errors, float [M].
    """
    rows, which = np.unique(
      np.stack([owner, time, states, actions], axis=1), axis=0,
      return_inverse=True,
    )  # fmt: skip
    found = np.zeros((len(rows), 2))
    for d in range(self.count):
      mine = rows[:, 0] == d
      if not mine.any():
        continue
      _, t, s, a = rows[mine].T
      estimate = _chunks(
        functools.partial(
          _branch, self.task(d), self.policies[d], branches=branches
        ),
        s, a, self.horizon - t, key=jax.random.fold_in(key, d),
      )  # fmt: skip
      found[mine] = np.stack([estimate.advantage, estimate.error], axis=1)
    return found[which.reshape(-1)].T

  def continuations(self, owner, time, states, key) -> np.ndarray:
    """float [M, _CONTINUATIONS], returns of rollouts from each state.

    They are drawn from `_POOL` rollouts that all steps at the same time in the
    same state share.
    """
    rows, which = np.unique(
      np.stack([owner, time, states], axis=1), axis=0, return_inverse=True
    )
    pool = np.zeros((len(rows), _POOL))
    for d in range(self.count):
      mine = rows[:, 0] == d
      if not mine.any():
        continue
      _, t, s = rows[mine].T
      pool[mine] = _chunks(
        functools.partial(_continue, self.task(d), self.policies[d]),
        s, self.horizon - t, key=jax.random.fold_in(key, d),
      )  # fmt: skip
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    first = rng.integers(0, _POOL, (len(which), 1))
    chosen = (first + np.arange(_CONTINUATIONS)) % _POOL
    return pool[which.reshape(-1)[:, None], chosen]

  def batches(
    self, seed: int, branches: int = 0
  ) -> tuple[tables.Played, Known]:
    """R batches with the true advantages of their steps.

    Args:
      seed: of all draws.
      branches: 0 for exact advantages, else how many rollouts.
    """
    sizes, g = self.sizes, self.setting.group_size
    r, p, e = sizes.resamples, sizes.groups, sizes.earlier
    key = jax.random.key(seed)
    start_key, play_key, branch_key, pool_key, method_key = jax.random.split(
      key, 5
    )
    owner = np.arange(p) % self.count
    groups = jax.tree.map(lambda x: x[owner], self.processes)
    starts = jax.vmap(jax.random.categorical)(
      jax.random.split(start_key, p), jnp.log(groups.initial)
    )
    played = _play(
      groups, self.policies[owner], starts, play_key,
      1 + r * (e + sizes.group_size - 1),
    )  # fmt: skip
    played = jax.tree.map(lambda x: np.asarray(x)[..., : self.horizon], played)

    def cut(x):
      """[P, M, S] -> now [R, P, G, S] and earlier [R, P, E, S]."""
      kept = np.broadcast_to(x[:, None, :1], (p, r, 1, x.shape[2]))
      rest = x[:, 1:].reshape(p, r, -1, x.shape[2])
      earlier, company = rest[:, :, :e], rest[:, :, e : e + g - 1]
      now = np.concatenate([kept, company], axis=2)
      return now.swapaxes(0, 1), earlier.swapaxes(0, 1)

    fields = {f: cut(getattr(played, f)) for f in vars(played)}
    rng = np.random.default_rng(seed)
    now, earlier = (
      self._steps({f: v[i] for f, v in fields.items()}, owner, rng)
      for i in range(2)
    )
    states, actions, mask = (
      fields[f][0] for f in ('states', 'actions', 'mask')
    )
    time = np.broadcast_to(np.arange(states.shape[-1]), states.shape)
    owners = np.broadcast_to(owner[:, None, None], states.shape)
    at = owners, time, states
    policy = np.asarray(self.policies)
    value = self.v[at]
    advantages, errors = self.q[(*at, actions)] - value, np.zeros_like(value)
    taken = [x[mask] for x in (*at, actions)]
    if branches:
      advantages, errors = advantages.copy(), errors.copy()
      advantages[mask], errors[mask] = self.branched(
        *taken, branches, branch_key
      )
    rollouts = np.zeros((*states.shape, _CONTINUATIONS), np.float32)
    rollouts[mask] = self.continuations(*taken[:3], pool_key)
    choice = policy[owners, states]
    safe = np.where(choice > 0, choice, 1)
    entropy = -(choice * np.log(safe)).sum(axis=-1)
    own = owners * policy.shape[1] + states
    known = Known(
      advantages,
      errors,
      own,
      own * policy.shape[2] + actions,
      policy[(owners, states, actions)],
      (choice**2).sum(axis=-1),
    )

    def fill(tree, rows):
      return jax.tree.map(lambda x: _fill(x, rows, sizes.steps), tree)

    known = fill(known, sizes.group_size)
    batch = tables.Played(
      fill(now, sizes.group_size),
      fill(earlier, sizes.earlier),
      *fill((entropy, value, rollouts), sizes.group_size),
      jax.random.split(method_key, r),
    )
    return batch, _numbered(known, batch.now.mask)

  def _steps(self, fields, owner, rng) -> tables.Steps:
    """What the agent lived through, from arrays [R, P, ., S]."""
    states, actions = fields['states'], fields['actions']
    owners = np.broadcast_to(owner[:, None, None], states.shape)
    looks = np.asarray(self.processes.observed)[owners, states]
    colours = self.setting.colours
    light = rng.integers(0, colours, states.shape)
    # Tasks have nothing in common that could be recognised.
    looks = owners * (self.processes.states + 1) + looks
    factors = np.asarray(self.processes.factors)
    return tables.Steps(
      fields['rewards'],
      fields['mask'],
      (looks * colours + light).astype(np.int32),
      actions,
      factors[owners, states, actions],
    )


def _fill(x: np.ndarray, rows: int, steps: int) -> jax.Array:
  """[R, P, G, S, ...] filled up to so many rollouts and steps, by 0."""
  edges = [(0, 0), (0, 0), (0, rows - x.shape[2]), (0, steps - x.shape[3])]
  kind = np.float32 if x.dtype == np.float64 else x.dtype
  return jnp.asarray(np.pad(x, edges + [(0, 0)] * (x.ndim - 4)).astype(kind))


@jax.jit
def _numbered(known: Known, mask: jax.Array) -> Known:
  """States and pairs as numbers below the number of steps of a batch."""

  def number(x, mask):
    first = tables.equal_steps(x.reshape(-1), mask=mask.reshape(-1))
    return jnp.maximum(first, 0).reshape(x.shape)

  return dataclasses.replace(
    known,
    states=jax.vmap(number)(known.states, mask),
    pairs=jax.vmap(number)(known.pairs, mask),
  )


def repeated_share(batch: tables.Played) -> float:
  """Share of steps whose look another step of the group has too."""
  now = batch.now
  r, p, g, s = now.mask.shape
  seen = np.asarray(now.seen).reshape(r * p, g * s)
  mask = np.asarray(now.mask).reshape(r * p, g * s)
  repeated = 0
  for looks, taken in zip(seen, mask, strict=True):
    _, which, counts = np.unique(
      looks[taken], return_inverse=True, return_counts=True
    )
    repeated += (counts[which] > 1).sum()
  return float(repeated / mask.sum())
