"""The methods whose credit is scored: name -> label and function.

A function takes one batch and returns what multiplies the policy gradient at
each step, float [P, G, S]. Settings are the papers' where they have one here.
A new method is one line in METHODS.

Methods that learn something before they give credit (a critic, contributions,
rewards of steps) learn it from earlier episodes of the same policy, as tables
over what the agent sees; what was never seen gets the mean, or 0. The losses
are those of the library. All are quadratic in a table, so that their minimum is
found by conjugate gradients, from 0: of many solutions that of least norm.
Rewards of steps become advantages as in PPO, with a critic of those rewards.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxcredit import (
  gigpo,
  grpo,
  hepo,
  ircr,
  lare,
  ppo,
  prefix_trees,
  reinforce_plus_plus,
  returns,
  rloo,
  spa,
  tempo,
  treerpo,
  vineppo,
)

# Steps of conjugate gradients; and what RRD draws of each episode.
_ITERATIONS = 40
_DRAWS, _DRAWN_STEPS = 16, 6
_GAE_LAMBDA = 0.95


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
class Batch:
  """What a method may look at.

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


def spread(advantages: jax.Array, batch: Batch) -> jax.Array:
  """Credit of episodes [P, G] on each of their steps."""
  return jnp.where(batch.now.mask, advantages[..., None], 0)


def equal_steps(*words: jax.Array, mask: jax.Array) -> jax.Array:
  """int32 [M], the first step that is equal to each; -1 where masked.

  Args:
    *words: int [M].
    mask: bool [M].
  """
  anchors = jnp.stack(words, axis=-1)[None]
  return gigpo.anchor_groups(anchors, mask[None])[0]


def _both(batch: Batch, name: str) -> jax.Array:
  """A field of earlier and present steps, one after the other, [M]."""
  parts = (getattr(steps, name) for steps in (batch.earlier, batch.now))
  return jnp.concatenate([part.reshape(-1) for part in parts])


def _table(batch: Batch, with_actions: bool) -> tuple[jax.Array, jax.Array]:
  """Entries of a table that earlier and present steps read, and its mask.

  Returns:
    earlier int32 [P, E, S], now int32 [P, G, S]; 0 where masked.
  """
  words = [_both(batch, 'seen')]
  if with_actions:
    words.append(_both(batch, 'actions'))
  ids = jnp.maximum(equal_steps(*words, mask=_both(batch, 'mask')), 0)
  count = batch.earlier.mask.size
  return (
    ids[:count].reshape(batch.earlier.mask.shape),
    ids[count:].reshape(batch.now.mask.shape),
  )


def _learned_means(targets: jax.Array, batch: Batch, with_actions: bool):
  """Means of earlier steps' targets [P, E, S], looked up for both.

  Returns:
    Tables' entries for earlier and present steps.
  """
  entries, present = _table(batch, with_actions)
  mask = batch.earlier.mask
  size = mask.size + batch.now.mask.size
  flat = jnp.where(mask, entries, size).reshape(-1)

  def total(x):
    x = jnp.where(mask, x, 0).reshape(-1)
    return jax.ops.segment_sum(x, flat, num_segments=size + 1)

  count = total(jnp.ones_like(targets))
  overall = total(targets).sum() / jnp.maximum(count.sum(), 1)
  table = jnp.where(count > 0, total(targets) / jnp.maximum(count, 1), overall)
  return table[entries], table[present]


def critic(batch: Batch, earlier_rewards: jax.Array) -> jax.Array:
  """float [P, G, S]: mean return after seeing what is seen before each step."""
  later = returns.discounted_returns(
    earlier_rewards, batch.earlier.mask, discount=1.0
  )
  return _learned_means(later, batch, with_actions=False)[1]


def proximal(
  batch: Batch,
  rewards: jax.Array,
  values: jax.Array,
  gae_lambda: float = _GAE_LAMBDA,
) -> jax.Array:
  """PPO's advantages."""
  return ppo.advantages(
    rewards, values, batch.now.mask, gae_lambda=gae_lambda
  ).total


def decoded(batch: Batch, earlier: jax.Array, now: jax.Array) -> jax.Array:
  """Advantages of rewards that a method has put in place of the return."""
  return proximal(batch, now, critic(batch, earlier))


def minimum(loss: Callable[[jax.Array], jax.Array], size: int) -> jax.Array:
  """float [size]: where a quadratic loss is least, from 0."""
  slope = jax.grad(loss)
  zero = jnp.zeros(size)
  start = slope(zero)

  def curve(x):
    return slope(x) - start

  return jax.scipy.sparse.linalg.cg(curve, -start, maxiter=_ITERATIONS)[0]


def tabular_rewards(batch: Batch, loss) -> tuple[jax.Array, jax.Array]:
  """Rewards of a table over what is seen and done that minimise a loss.

  Args:
    batch: the batch.
    loss: of the earlier steps' rewards [P, E, S].
  """
  earlier, now = _table(batch, with_actions=True)
  size = earlier.size + now.size
  table = minimum(lambda table: loss(table[earlier]), size)
  return table[earlier], table[now]


def progress(batch: Batch, **options) -> jax.Array:
  """SPA with contributions from a table; its loss is RD's."""

  def loss(contributions):
    return spa.progress_loss(
      contributions, batch.earlier.scores, batch.earlier.mask, **options
    )

  return decoded(batch, *tabular_rewards(batch, loss))


def randomised_decomposition(batch: Batch) -> jax.Array:
  """RRD, its loss as the paper has it, with the variance of the draws."""
  keys = jax.random.split(batch.key, _DRAWS)
  samples = jax.vmap(
    lambda key: lare.sample_steps(key, batch.earlier.mask, _DRAWN_STEPS)
  )(keys)

  def loss(rewards):
    def one(sample):
      taken = lare.take_steps(rewards[..., None], sample.indices, sample.mask)
      return lare.subsampled_loss(
        taken[..., 0], batch.earlier.scores, sample.lengths, sample.mask,
        form='mean', unbiased=False,
      )  # fmt: skip

    return jax.vmap(one)(samples).mean()

  return decoded(batch, *tabular_rewards(batch, loss))


def latent(batch: Batch) -> jax.Array:
  """LaRe with a reward that is linear in the factors of the task."""
  earlier, now = batch.earlier, batch.now

  def loss(weights):
    return lare.decomposition_loss(
      earlier.factors @ weights, earlier.scores, earlier.mask
    )

  weights = minimum(loss, now.factors.shape[-1])
  return decoded(batch, earlier.factors @ weights, now.factors @ weights)


def guidance(batch: Batch) -> jax.Array:
  """IRCR: each state and action has the mean guidance of its episodes."""
  earlier = batch.earlier
  flat = earlier.mask.reshape(-1, earlier.mask.shape[-1])
  rewards = ircr.guidance_rewards(earlier.scores.reshape(-1), flat)
  smooth = _learned_means(
    rewards.reshape(earlier.mask.shape), batch, with_actions=True
  )
  return decoded(batch, *smooth)


def words(batch: Batch) -> jax.Array:
  """int32 [P, G, S, 2], what names a step in a tree."""
  return jnp.stack([batch.now.seen, batch.now.actions], axis=-1)


def grown_tree(batch: Batch) -> jax.Array:
  """TreeRPO on the tree that the rollouts of a group happen to form."""
  mask, scores = batch.now.mask, batch.now.scores
  *_, g, s = mask.shape
  shared = prefix_trees.common_prefixes(words(batch), mask)
  # The first rollout that begins alike has the node.
  alike = shared[..., None] > jnp.arange(s)
  owner = jnp.argmax(alike, axis=-2)
  node = owner * s + jnp.arange(s)
  parents = jnp.concatenate(
    [jnp.full((*node.shape[:-1], 1), -1), node[..., :-1]], axis=-1
  )
  own = mask & (owner == jnp.arange(g)[:, None])
  flat = (*mask.shape[:-2], g * s)
  credit = treerpo.advantages(
    jnp.broadcast_to(scores[..., None], mask.shape).reshape(flat),
    parents.reshape(flat),
    own.reshape(flat),
  ).total
  taken = jnp.take_along_axis(credit, node.reshape(flat), axis=-1)
  return jnp.where(mask, taken.reshape(mask.shape), 0)


def branched_values(batch: Batch) -> jax.Array:
  """VinePPO."""
  now = batch.now
  values = vineppo.state_values(batch.continuations)
  return vineppo.advantages(now.rewards, values, now.mask)


def outcome(batch: Batch, advantages, **options) -> jax.Array:
  """A method that judges whole episodes."""
  now = batch.now
  return spread(advantages(now.scores, now.taken, **options), batch)


def whitened(batch: Batch, advantages) -> jax.Array:
  """REINFORCE++ in one of its forms."""
  return advantages(batch.now.rewards, batch.now.mask)


def certain(batch: Batch) -> jax.Array:
  """HEPO."""
  return hepo.advantages(batch.now.scores, batch.entropies, batch.now.mask)


def anchored(batch: Batch, **options) -> gigpo.Advantages:
  """GiGPO; states are what is seen."""
  now = batch.now
  return gigpo.advantages(now.rewards, now.mask, now.seen, **options)


def branching(batch: Batch) -> jax.Array:
  """TEMPO with steps as tokens."""
  now = batch.now
  return tempo.advantages(words(batch), now.mask, now.scores).total


def learned_critic(batch: Batch, gae_lambda: float) -> jax.Array:
  """PPO with a critic of earlier episodes."""
  values = critic(batch, batch.earlier.rewards)
  return proximal(batch, batch.now.rewards, values, gae_lambda)


def exact_critic(batch: Batch) -> jax.Array:
  """PPO with the true values."""
  return proximal(batch, batch.now.rewards, batch.values)


def exact_differences(batch: Batch) -> jax.Array:
  """r + V(s') - V(s) with the true values: wrong by chance alone."""
  now = batch.now
  return vineppo.advantages(now.rewards, batch.values, now.mask)


_PLAIN = {'discount': 1.0, 'scale': 'none'}
_BASELINE = reinforce_plus_plus.baseline_advantages

METHODS: dict[str, tuple[str, Callable[[Batch], jax.Array]]] = {
  'grpo': ('GRPO', lambda b: outcome(b, grpo.advantages)),
  'dr_grpo': ('Dr. GRPO', lambda b: outcome(b, grpo.advantages, scale='none')),
  'rloo': ('RLOO', lambda b: outcome(b, rloo.advantages)),
  'rpp': ('REINFORCE++', lambda b: whitened(b, reinforce_plus_plus.advantages)),
  'rpp_baseline': ('REINFORCE++-baseline', lambda b: whitened(b, _BASELINE)),
  'hepo': ('HEPO', certain),
  'gigpo': ('GiGPO', lambda b: anchored(b).total),
  'gigpo_step': ('GiGPO, step part', lambda b: anchored(b).step),
  'gigpo_plain': (
    'GiGPO, step part, plain',
    lambda b: anchored(b, **_PLAIN).step,
  ),
  'tempo': ('TEMPO', branching),
  'treerpo': ('TreeRPO, on chance trees', grown_tree),
  'ppo': ('PPO', lambda b: learned_critic(b, _GAE_LAMBDA)),
  'ppo_1': ('PPO, lambda 1', lambda b: learned_critic(b, 1.0)),
  'ppo_exact': ('PPO, true values', exact_critic),
  'td_exact': ('true values, lambda 0', exact_differences),
  'vineppo': ('VinePPO', branched_values),
  'spa': ('SPA, RD', progress),
  'spa_prefix': ('SPA, prefixes', lambda b: progress(b, prefix_weight=1.0)),
  'rrd': ('RRD', randomised_decomposition),
  'lare': ('LaRe, linear', latent),
  'ircr': ('IRCR', guidance),
}
