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
* It charges an answer of wrong form to its own step, in both parts:
  `penalties`. They do not enter the discounted return of earlier steps. With
  'trajectories' they do not enter the statistics either (in the released code
  one step's penalty, whichever comes first, does), and with scale='std' they
  are left out of the episode part of a group whose returns are all equal.
* A rollout without companions gets its raw score as episode part:
  singleton='score'. Here it gets 0 unless asked for.
* Steps that were duplicated to fill a batch enter its statistics; here nothing
  is duplicated.
* Groups of equal members can get advantages up to 0.65 by rounding; here they
  get exactly 0.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.algorithms import grpo
from jaxcredit.algorithms import returns as returns_lib
from jaxcredit.algorithms.internal import (
  arguments,
  explicit_axes,
  group_statistics,
  integer_words,
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


def _mix(words, seed):
  """A 32-bit hash of the last axis, other with each seed."""
  h = jnp.full(words.shape[:-1], 0x9E3779B9, jnp.uint32) * (2 * seed + 1)
  for k in range(words.shape[-1]):
    h = (h ^ words[..., k]) * jnp.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * jnp.uint32(0xC2B2AE35)
    h = h ^ (h >> 16)
  return h


def _first_equal(words: jax.Array, mask: jax.Array) -> jax.Array:
  """Index of the first entry that equals each entry, -1 where masked.

  Entries claim slots of a table, the first entry of a slot wins, and all
  entries equal to a winner are settled. The rest try again with another hash.
  Each round settles at least one state of each group, so that it ends; two or
  three rounds are usual. The work is linear in the number of entries, and the
  answer exact whatever collides.

  Args:
    words: uint32 [P, M, K].
    mask: bool [P, M].

  Returns:
    int32 [P, M].
  """
  size = words.shape[1]
  slots = 1 << max(4, (8 * size - 1).bit_length())
  index = jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), mask.shape)

  def claim(carry):
    found, open_, seed = carry
    slot = (_mix(words, seed) & jnp.uint32(slots - 1)).astype(jnp.int32)
    slot = jnp.where(open_, slot, slots)

    def winners(slot, index):
      table = jnp.full((slots,), size, jnp.int32)
      return table.at[slot].min(index, mode='drop')

    table = jax.vmap(winners)(slot, index)
    winner = jnp.take_along_axis(table, jnp.minimum(slot, slots - 1), axis=1)
    winner = jnp.minimum(winner, size - 1)
    equal = open_
    for k in range(words.shape[-1]):
      word = words[..., k]
      equal &= jnp.take_along_axis(word, winner, axis=1) == word
    return jnp.where(equal, winner, found), open_ & ~equal, seed + 1

  found, _, _ = jax.lax.while_loop(
    lambda carry: carry[1].any(),
    claim,
    (jnp.where(mask, index, -1), mask, jnp.uint32(0)),
  )
  return jnp.where(mask, found, -1)


def _group_ids(words, mask) -> jax.Array:
  """`_first_equal` over the steps of each group, any leading axes."""
  *_, g, s = mask.shape
  if not mask.size:
    return jnp.zeros(mask.shape, jnp.int32)
  ids = _first_equal(
    words.reshape(-1, g * s, words.shape[-1]), mask.reshape(-1, g * s)
  )
  return ids.reshape(mask.shape)


@explicit_axes.under_any_mesh
@jax.jit
def _anchor_groups(anchors, mask):
  return _group_ids(integer_words.split(anchors, mask.ndim), mask)


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
  shape = np.shape(anchors) if mask is None else np.shape(mask)
  if len(shape) < 2:
    raise ValueError(f'anchors must be [..., G, S], but have shape {shape}')
  anchors = integer_words.before_jit('anchors', anchors, shape)
  return _anchor_groups(
    anchors, arguments.boolean_mask('mask', mask, shape, 'anchors')
  )


def _step_part(scores, mask, ids, scale, ddof, eps):
  """Scores relative to the mean of their anchor group (Eq. 7)."""
  *_, g, s = mask.shape
  if not mask.size:
    return jnp.zeros_like(scores)
  flat = (-1, g * s)
  return group_statistics.relative_to_segment(
    scores.reshape(flat),
    mask.reshape(flat),
    ids.reshape(flat),
    scale=scale,
    ddof=ddof,
    eps=eps,
  ).reshape(mask.shape)


def _episode_part(
  scores, mask, penalties, statistics, scale, ddof, eps, singleton
):
  """Episode returns relative to the group's (Eq. 3), for each step.

  Args:
    scores: float [..., G], returns.
    mask: bool [..., G, S].
    penalties: float [..., G, S].
  """
  flat = (*mask.shape[:-2], -1)
  if statistics == 'steps':
    values = scores[..., None] - penalties
    result = group_statistics.relative_to_group(
      values.reshape(flat),
      mask.reshape(flat),
      scale=scale,
      ddof=ddof,
      eps=eps,
    ).reshape(mask.shape)
    lone = mask.sum(axis=(-2, -1), keepdims=True) == 1
  else:
    taken = mask.any(axis=-1)
    count = group_statistics.sum_last(taken.astype(jnp.int32))
    reference = group_statistics.first_valid(scores, taken)
    difference = group_statistics.from_reference(scores, taken, reference)
    mean, deviation = group_statistics.mean_and_deviation(
      difference, taken, count, ddof, group_statistics.sum_last
    )
    relative = group_statistics.standardise(
      difference, taken, count, mean, deviation, reference, scale, eps
    )
    charge = penalties
    if scale == 'std':
      # Where nothing differs there is no unit to measure a penalty in.
      equal = group_statistics.alike(deviation, count, reference)
      unit = jnp.where(equal, jnp.inf, deviation + eps)[..., None]
      charge = penalties / unit
    lone = count[..., None] == 1
    result = jnp.where(mask & ~lone, relative[..., None] - charge, 0)
  if singleton == 'score':
    result = jnp.where(lone & mask, scores[..., None] - penalties, result)
  return result


@explicit_axes.under_any_mesh
@functools.partial(
  jax.jit,
  static_argnames=(
    'scale',
    'episode_statistics',
    'ddof',
    'eps',
    'singleton',
  ),
)
def _advantages(
  rewards,
  mask,
  anchors,
  penalties,
  discount,
  step_weight,
  episode_weight,
  *,
  scale,
  episode_statistics,
  ddof,
  eps,
  singleton,
):
  ids = _group_ids(integer_words.split(anchors, mask.ndim), mask)
  dtype = rewards.dtype
  rewards = jnp.where(mask, arguments.wide(rewards), 0)
  penalties = jnp.where(mask, arguments.wide(penalties), 0)
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
  step = _step_part(step_returns - penalties, mask, ids, scale, ddof, eps)
  total = episode_weight * episode + step_weight * step
  return Advantages(
    total.astype(dtype), episode.astype(dtype), step.astype(dtype), ids
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
  arguments.one_of('scale', scale, grpo.SCALES)
  arguments.one_of('episode_statistics', episode_statistics, EPISODE_STATISTICS)
  arguments.one_of('singleton', singleton, grpo.SINGLETONS)
  arguments.one_of('ddof', ddof, (0, 1))
  arguments.number('eps', eps, 0)
  arguments.number('discount', discount, 0, 1)
  arguments.number('step_weight', step_weight)
  arguments.number('episode_weight', episode_weight)
  arguments.axes('rewards', rewards, 2, '[..., G, S]')
  rewards = arguments.floating('rewards', rewards)
  mask = arguments.boolean_mask('mask', mask, rewards.shape, 'rewards')
  anchors = integer_words.before_jit('anchors', anchors, rewards.shape)
  if penalties is None:
    penalties = jnp.zeros_like(rewards)
  else:
    arguments.same_shape('penalties', penalties, rewards.shape, 'rewards')
    penalties = jnp.asarray(penalties).astype(rewards.dtype)
  return _advantages(
    rewards,
    mask,
    anchors,
    penalties,
    discount,
    step_weight,
    episode_weight,
    scale=scale,
    episode_statistics=episode_statistics,
    ddof=ddof,
    eps=eps,
    singleton=singleton,
  )
