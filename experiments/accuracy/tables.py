"""Episodes of tabular tasks, and what is learned from earlier ones as tables.

Methods that learn something before they give credit (a critic, contributions,
rewards of steps) learn it from earlier episodes of the same policy, as tables
over what the agent sees; what was never seen gets the mean, or 0. The losses
are those of the library. All are quadratic in a table, so that their minimum is
found by conjugate gradients, from 0: of many solutions that of least norm.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxcredit import gigpo, returns

# Steps of conjugate gradients.
_ITERATIONS = 40


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Steps:
  """Episodes as an agent lived them, [P, G, S].

  Attributes:
    rewards: float.
    mask: bool, steps that were taken.
    seen: int32, equal where what was seen is.
    actions: int32.
    factors: float [P, G, S, F], of a latent reward.
  """

  rewards: jax.Array
  mask: jax.Array
  seen: jax.Array
  actions: jax.Array
  factors: jax.Array

  @property
  def scores(self) -> jax.Array:
    """float [P, G], return of each episode."""
    return jnp.where(self.mask, self.rewards, 0).sum(axis=-1)

  @property
  def taken(self) -> jax.Array:
    """bool [P, G], episodes that there are."""
    return self.mask.any(axis=-1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Played:
  """Episodes, and what is known of them.

  Attributes:
    now: the groups that get credit, [P, G, S].
    earlier: episodes to learn from, [P, E, S].
    entropies: float [P, G, S], of the policy.
    values: float [P, G, S], exact, for methods with a perfect critic.
    continuations: float [P, G, S, K], returns of extra rollouts from the state
      before each step.
    key: of what a method draws.
  """

  now: Steps
  earlier: Steps
  entropies: jax.Array
  values: jax.Array
  continuations: jax.Array
  key: jax.Array


def equal_steps(*words: jax.Array, mask: jax.Array) -> jax.Array:
  """int32 [M], the first step that is equal to each; -1 where masked.

  Args:
    *words: int [M].
    mask: bool [M].
  """
  anchors = jnp.stack(words, axis=-1)[None]
  return gigpo.anchor_groups(anchors, mask[None])[0]


def _both(played: Played, name: str) -> jax.Array:
  """A field of earlier and present steps, one after the other, [M]."""
  parts = (getattr(steps, name) for steps in (played.earlier, played.now))
  return jnp.concatenate([part.reshape(-1) for part in parts])


def _table(played: Played, with_actions: bool) -> tuple[jax.Array, jax.Array]:
  """Entries of a table that earlier and present steps read, and its mask.

  Returns:
    earlier int32 [P, E, S], now int32 [P, G, S]; 0 where masked.
  """
  words = [_both(played, 'seen')]
  if with_actions:
    words.append(_both(played, 'actions'))
  ids = jnp.maximum(equal_steps(*words, mask=_both(played, 'mask')), 0)
  count = played.earlier.mask.size
  return (
    ids[:count].reshape(played.earlier.mask.shape),
    ids[count:].reshape(played.now.mask.shape),
  )


def learned_means(
  targets: jax.Array, played: Played, with_actions: bool
) -> tuple[jax.Array, jax.Array]:
  """Means of earlier steps' targets [P, E, S], looked up for both.

  Returns:
    Tables' entries for earlier and present steps.
  """
  entries, present = _table(played, with_actions)
  mask = played.earlier.mask
  size = mask.size + played.now.mask.size
  flat = jnp.where(mask, entries, size).reshape(-1)

  def total(x):
    x = jnp.where(mask, x, 0).reshape(-1)
    return jax.ops.segment_sum(x, flat, num_segments=size + 1)

  count = total(jnp.ones_like(targets))
  overall = total(targets).sum() / jnp.maximum(count.sum(), 1)
  table = jnp.where(count > 0, total(targets) / jnp.maximum(count, 1), overall)
  return table[entries], table[present]


def critic(played: Played, earlier_rewards: jax.Array) -> jax.Array:
  """float [P, G, S]: mean return after seeing what is seen before each step."""
  later = returns.discounted_returns(
    earlier_rewards, played.earlier.mask, discount=1.0
  )
  return learned_means(later, played, with_actions=False)[1]


def minimum(loss: Callable[[jax.Array], jax.Array], size: int) -> jax.Array:
  """float [size]: where a quadratic loss is least, from 0."""
  slope = jax.grad(loss)
  zero = jnp.zeros(size)
  start = slope(zero)

  def curve(x):
    return slope(x) - start

  return jax.scipy.sparse.linalg.cg(curve, -start, maxiter=_ITERATIONS)[0]


def tabular_rewards(played: Played, loss) -> tuple[jax.Array, jax.Array]:
  """Rewards of a table over what is seen and done that minimise a loss.

  Args:
    played: episodes.
    loss: of the earlier steps' rewards [P, E, S].
  """
  earlier, now = _table(played, with_actions=True)
  size = earlier.size + now.size
  table = minimum(lambda table: loss(table[earlier]), size)
  return table[earlier], table[now]
