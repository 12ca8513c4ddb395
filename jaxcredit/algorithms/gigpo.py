"""GiGPO: group-in-group policy optimisation (Feng et al. 2025, 2505.10978).

Within the G rollouts of one task, credit is relative twice:

  A_E(i)   = (R(i) - mean_j R(j)) / F                    episode, Eq. 3
  R_t(i)   = sum_{k >= t} discount^(k-t) r_k(i)          step return, Eq. 5
  A_S(i,t) = (R_t(i) - mean of its anchor group) / F     step, Eqs. 6 and 7
  A        = episode_weight * A_E + step_weight * A_S    Eq. 8

An anchor group holds all steps of the G rollouts that were taken in the same
state, repeats within a rollout included. F is the standard deviation
(scale='std') or 1 (scale='none').

What the released code (verl-agent) does differently, and how to get it:
* It takes mean and deviation of the episode part over all steps of the group,
  so that long rollouts weigh more: episode_statistics='steps'. The default,
  'trajectories', is the paper's Eq. 3.
* It subtracts the penalty of a completion of wrong form from its own step, in
  both parts: `penalties`. Penalties do not enter the discounted returns of
  earlier steps. With 'trajectories' they do not enter the statistics either (in
  the released code the penalty of the step that comes first does). With
  scale='std' a group of equal returns has no penalties in its episode part.
* The only rollout of a group gets its return as episode part:
  singleton='score'. The default here is 0.
* Steps that were duplicated to fill a batch enter its statistics. Nothing is
  duplicated here.
* Groups of equal members can get advantages up to 0.65 by rounding. Here they
  get exactly 0.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit.algorithms import returns as returns_lib
from jaxcredit.algorithms.internal import (
  arguments,
  equal_states,
  group_statistics,
  integer_words,
  public,
)

EPISODE_STATISTICS = ('trajectories', 'steps')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Advantages:
  """GiGPO's credit and its parts, each [..., G, S].

  Attributes:
    total: float, what multiplies the policy gradient (Eq. 8).
    episode: float, the episode part (Eq. 3), unweighted.
    step: float, the step part (Eq. 7), unweighted.
    anchor_group: int32, see `anchor_groups`.
  """

  total: jax.Array
  episode: jax.Array
  step: jax.Array
  anchor_group: jax.Array


@public.function(words=('anchors',))
def anchor_groups(
  anchors: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
  """Groups the steps of a task's rollouts by state (Eq. 6).

  Args:
    anchors: integers [..., G, S], or [..., G, S, K] for fingerprints of K
      words; equal anchors are one state. 64-bit NumPy integers are taken whole,
      whether or not JAX has 64-bit types enabled.
    mask: bool [..., G, S]; None for all. It tells the two forms of `anchors`
      apart, so None means [..., G, S].

  Returns:
    int32 [..., G, S]: the position g * S + s of the first step of the same
    state in the group, which is the group's name; -1 where masked.

  Raises:
    ValueError: wrong shapes, or anchors that are not integers.

  Example:
    >>> from jaxcredit import gigpo
    >>> print(gigpo.anchor_groups(jnp.array([[7, 8, 7], [8, 8, 9]])))
    [[0 1 0]
     [1 1 5]]
  """
  shape = anchors.shape if mask is None else jnp.shape(mask)
  arguments.axes('anchors', anchors, 2, '[..., G, S]')
  words = integer_words.split('anchors', anchors, shape)
  mask = arguments.boolean_mask('mask', mask, shape, 'anchors')
  return equal_states.in_groups(words, mask)


def _step_part(returns, mask, ids, scale, ddof, eps):
  """Step returns relative to the mean of their anchor group (Eq. 7)."""
  *_, g, s = mask.shape
  if not mask.size:
    return jnp.zeros_like(returns)
  flat = (-1, g * s)
  groups = group_statistics.of_segments(
    returns.reshape(flat), mask.reshape(flat), ids.reshape(flat), ddof
  )
  return groups.standardised(scale, eps).reshape(mask.shape)


def _episode_part(
  returns, mask, penalties, statistics, scale, ddof, eps, singleton
):
  """Episode returns relative to the group's (Eq. 3), for each step.

  Args:
    returns: float [..., G].
    mask: bool [..., G, S].
    penalties: float [..., G, S].
  """
  charged = returns[..., None] - penalties
  if statistics == 'steps':
    flat = (*mask.shape[:-2], mask.shape[-2] * mask.shape[-1])
    group = group_statistics.of_rows(
      charged.reshape(flat), mask.reshape(flat), ddof
    )
    result = group.standardised(scale, eps).reshape(mask.shape)
    lone = group.count[..., None] == 1
  else:
    group = group_statistics.of_rows(returns, mask.any(axis=-1), ddof)
    relative = group.standardised(scale, eps)
    unit = group.unit(scale, eps)
    if scale == 'std':
      # Where nothing differs there is no unit to measure a penalty in.
      unit = jnp.where(group.equal, jnp.inf, unit)
    charge = penalties / unit[..., None]
    lone = group.count[..., None] == 1
    result = jnp.where(mask & ~lone, relative[..., None] - charge, 0)
  if singleton == 'score':
    result = jnp.where(lone & mask, charged, result)
  return result


@public.function(
  static=('scale', 'episode_statistics', 'ddof', 'eps', 'singleton'),
  words=('anchors',),
  ranges={'step_weight': {}, 'episode_weight': {}},
)
def advantages(
  rewards: jax.Array,
  mask: jax.Array | None,
  anchors: jax.Array,
  *,
  discount: float = 0.95,
  step_weight: float = 1.0,
  episode_weight: float = 1.0,
  scale: str = 'std',
  episode_statistics: str = 'trajectories',
  penalties: jax.Array | None = None,
  ddof: int = 1,
  eps: float = 1e-6,
  singleton: str = 'zero',
) -> Advantages:
  """GiGPO's advantages.

  Compiled once for each set of shapes and static options; `discount` and the
  weights may change, or be traced, without recompilation.

  Args:
    rewards: float [..., G, S].
    mask: bool [..., G, S], steps that were taken; None for all. A rollout
      without a step takes no part.
    anchors: integers [..., G, S] or [..., G, S, K], see `anchor_groups`.
    discount: of the step returns.
    step_weight: omega of Eq. 8; 0 gives GRPO.
    episode_weight: weight of the episode part.
    scale: 'std' or 'none', in both parts.
    episode_statistics: 'trajectories' (paper) or 'steps' (released code).
    penalties: float [..., G, S], not negative: what a step of wrong form costs
      itself, in both parts.
    ddof: delta degrees of freedom of the deviations, 0 or 1.
    eps: added to the deviations.
    singleton: episode part of a group's only rollout (with 'steps': only
      step): 'zero', or 'score' as in the released code.

  Returns:
    Advantages; 0 where masked, dtype of `rewards`. The step part of a state
    that was met once is 0.

  Raises:
    ValueError: wrong shapes, dtypes or options.

  Example:
    >>> from jaxcredit import gigpo
    >>> rewards = jnp.array([[0.0, 0, 1], [0, 0, 0]])
    >>> anchors = jnp.array([[7, 8, 9], [7, 7, 8]])
    >>> credit = gigpo.advantages(rewards, None, anchors)
    >>> print(credit.episode.round(2))
    [[ 0.71  0.71  0.71]
     [-0.71 -0.71 -0.71]]
    >>> print(credit.step.round(2))
    [[ 1.15  0.71  0.  ]
     [-0.58 -0.58 -0.71]]
  """
  arguments.one_of('scale', scale, group_statistics.SCALES)
  arguments.one_of('episode_statistics', episode_statistics, EPISODE_STATISTICS)
  arguments.one_of('singleton', singleton, group_statistics.SINGLETONS)
  arguments.one_of('ddof', ddof, (0, 1))
  arguments.number('eps', eps, 0)
  arguments.axes('rewards', rewards, 2, '[..., G, S]')
  rewards = arguments.floating('rewards', rewards)
  dtype = rewards.dtype
  mask = arguments.boolean_mask('mask', mask, rewards.shape, 'rewards')
  words = integer_words.split('anchors', anchors, rewards.shape)
  if penalties is None:
    penalties = jnp.zeros_like(rewards)
  penalties = arguments.floating('penalties', penalties)
  arguments.same_shape('penalties', penalties, rewards.shape, 'rewards')
  rewards = jnp.where(mask, arguments.wide(rewards), 0)
  penalties = jnp.where(mask, penalties, 0).astype(rewards.dtype)

  groups = equal_states.in_groups(words, mask)
  step_returns = returns_lib.discounted_returns(
    rewards, mask, discount=discount
  )
  episode = _episode_part(
    rewards.sum(axis=-1),
    mask,
    penalties,
    episode_statistics,
    scale,
    ddof,
    eps,
    singleton,
  )
  step = _step_part(step_returns - penalties, mask, groups, scale, ddof, eps)
  total = episode_weight * episode + step_weight * step
  return Advantages(
    total.astype(dtype), episode.astype(dtype), step.astype(dtype), groups
  )
