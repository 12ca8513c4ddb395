"""SPA: stepwise progress attribution (Wang et al. 2025, arXiv 2505.20732).

A model learns from outcomes R only what each step of an episode contributed.
PPO learns from these contributions:

  loss = mean over episodes of (sum_t c_t - R)^2        progress estimator
  r_t  = progress_weight * c_t + grounding_weight * g_t

g_t is 1 if the action could be executed, else 0.

The loss sees only sums. Let h_t be all that the model sees at step t, including
the action, C_t = c_1 + ... + c_t, and n the number of steps. Then C_n = E[R |
h_n] minimises the loss for any C_1 .. C_{n-1}. All credit on the last step is
one of many solutions. With discount and gae_lambda 1 this affects only the
variance: the sum of the remaining rewards, C_n - C_{t-1}, differs among
solutions by a baseline, which was known before the action. With a discount
below 1, or a gae_lambda below 1 and an inaccurate critic, the policy gradient
depends on the split. What the options of `progress_loss` add:

  prefix_weight      The only minimum is C_t = E[R | h_t] for every t. Then c_t
                     is by how much step t, and the observation before it,
                     changed the expected outcome under the exploring policy, as
                     in RUDDER (Arjona-Medina et al. 2019, 1806.07857). c_1
                     includes the outcome expected at the start. A model that
                     sees whole episodes must not use it: it puts everything on
                     c_1.
  smoothness_weight  Small weights select the solution with the smallest
                     differences between neighbours: c_t = R / n if the model
                     sees whole episodes. A causal model pushes whatever it
                     cannot predict onto the last steps. Neither solution
                     measures what an action contributed, and larger weights
                     bias the sum.
  monotone_weight    In all remaining solutions 0 <= c_t <= R. All credit on the
                     last step is still one of them: the option selects no
                     solution, but gives 0 to all steps of episodes with R = 0.
                     A step that lowers the expected outcome cannot get negative
                     credit.

`experiments/accuracy/progress_identification.py` computes all this exactly
for a small case.

What the released code (WangHanLinHenry/SPA-RL-Agent, on StepTool and TRL
0.10.1) does differently, and how to get it:
* It drops the contributions: each step gets the outcome less the mean outcome
  of the group's other episodes, redistribute(redistribution='leave_one_out',
  singleton='score').
* It multiplies the reward of step k by the number of remaining steps, n - 1 -
  k, so that the last step gets nothing: place(placement='remaining').
* A step is grounded if its observation does not contain a certain sentence, and
  the last step always is. Here grounding is an argument.
* Advantages are computed for tokens, over all positions of the row:
  token_advantages(gae_positions='all').
* An episode without steps adds R^2 to the loss. Here it does not count.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit.algorithms import ppo, rloo, step_tokens
from jaxcredit.algorithms.internal import (
  arguments,
  group_statistics,
  public,
)
from jaxcredit.algorithms.internal.masked_mean import masked_mean

REDISTRIBUTIONS = ('none', 'shift', 'leave_one_out')
PLACEMENTS = step_tokens.PLACEMENTS
GAE_POSITIONS = ppo.GAE_POSITIONS

# Defined elsewhere, since others use them too.
first_tokens = step_tokens.first_tokens
place = step_tokens.place
token_advantages = ppo.token_advantages
step_advantages = ppo.step_advantages


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ProgressLoss:
  """A progress estimator's loss and its parts, unweighted.

  Attributes:
    loss: float [], to be minimised.
    regression: float [], mean squared error of the sum of contributions, the
      paper's loss.
    prefix: float [], mean squared error of the sums up to each step.
    smoothness: float [], mean squared difference of neighbouring steps.
    monotone: float [], mean square of negative contributions.
    error: float [], mean absolute error of the sum of contributions.
    accuracy: float [], share of episodes whose error is at most `tolerance`.
  """

  loss: jax.Array
  regression: jax.Array
  prefix: jax.Array
  smoothness: jax.Array
  monotone: jax.Array
  error: jax.Array
  accuracy: jax.Array


@public.function(
  ranges={
    'prefix_weight': {'low': 0},
    'smoothness_weight': {'low': 0},
    'monotone_weight': {'low': 0},
  },
  renamed={'outcome': 'returns'},
)
def progress_loss(
  contributions: jax.Array,
  returns: jax.Array,
  mask: jax.Array | None = None,
  *,
  prefix_weight: float = 0.0,
  smoothness_weight: float = 0.0,
  monotone_weight: float = 0.0,
) -> jax.Array:
  """The loss of a progress estimator.

  Args:
    contributions: float [..., S], what the model says each step contributed.
    returns: float [...], the return (final reward) of each episode.
    mask: bool [..., S], steps that were taken; None for all. An episode without
      a step does not count.
    prefix_weight: of the error of the sums up to each step.
    smoothness_weight: of the differences of neighbouring steps.
    monotone_weight: of negative contributions. What each of them identifies
      stands at the head of this module; with 0, the paper's loss, none does.

  Returns:
    float [], mean over episodes, dtype of `contributions`; 0 without episodes.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import spa
    >>> contributions = jnp.array([[0.5, 0, 0.5], [0.5, 0, 0]])
    >>> print(spa.progress_loss(contributions, jnp.array([1.0, 0])))
    0.125
  """
  return progress_loss_parts(
    contributions,
    returns,
    mask,
    prefix_weight=prefix_weight,
    smoothness_weight=smoothness_weight,
    monotone_weight=monotone_weight,
  ).loss


@public.function(
  ranges={
    'prefix_weight': {'low': 0},
    'smoothness_weight': {'low': 0},
    'monotone_weight': {'low': 0},
    'tolerance': {'low': 0},
  },
  renamed={'outcome': 'returns'},
)
def progress_loss_parts(
  contributions: jax.Array,
  returns: jax.Array,
  mask: jax.Array | None = None,
  *,
  prefix_weight: float = 0.0,
  smoothness_weight: float = 0.0,
  monotone_weight: float = 0.0,
  tolerance: float = 0.1,
) -> ProgressLoss:
  """The loss of a progress estimator, with its parts.

  Args:
    contributions: float [..., S], see `progress_loss`; likewise all but the
      last.
    returns: float [...], of the episodes.
    mask: bool [..., S], steps that were taken; None for all.
    prefix_weight: of the error of the sums up to each step.
    smoothness_weight: of the differences of neighbouring steps.
    monotone_weight: of negative contributions.
    tolerance: of `ProgressLoss.accuracy`.

  Returns:
    ProgressLoss, dtype of `contributions`.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import spa
    >>> contributions = jnp.array([[0.5, 0, 0.5], [0.5, 0, 0]])
    >>> parts = spa.progress_loss_parts(contributions, jnp.array([1.0, 0]))
    >>> print(parts.regression, parts.error, parts.accuracy)
    0.125 0.25 0.5
  """
  contributions, returns, mask = _episodes(contributions, returns, mask)
  dtype = contributions.dtype
  taken = mask.any(axis=-1)
  c = jnp.where(mask, arguments.wide(contributions), 0)
  returns = jnp.where(taken, returns, 0).astype(c.dtype)
  error = c.sum(axis=-1) - returns
  regression = masked_mean(error**2, taken)
  so_far = (jnp.cumsum(c, axis=-1) - returns[..., None]) ** 2
  prefix = _mean_of_episodes(so_far, mask)
  smoothness = _mean_of_episodes(*_differences(c, mask), taken)
  monotone = _mean_of_episodes(jnp.minimum(c, 0) ** 2, mask)
  loss = (
    regression
    + prefix_weight * prefix
    + smoothness_weight * smoothness
    + monotone_weight * monotone
  )
  size = jnp.abs(error)
  parts = (
    loss,
    regression,
    prefix,
    smoothness,
    monotone,
    masked_mean(size, taken),
    masked_mean((size <= tolerance).astype(c.dtype), taken),
  )
  return ProgressLoss(*(part.astype(dtype) for part in parts))


def _mean_of_episodes(values, mask, taken=None):
  """Mean over each episode's steps, then over episodes."""
  taken = mask.any(axis=-1) if taken is None else taken
  return masked_mean(masked_mean(values, mask, axis=-1), taken)


def _differences(c, mask):
  """Squared differences of neighbours, and where there are two.

  Neighbours are steps that follow each other when masked ones are cut out.
  """
  if not mask.shape[-1]:
    return c, mask
  position = jnp.where(mask, jnp.arange(mask.shape[-1]), -1)
  latest = jax.lax.cummax(position, axis=position.ndim - 1)
  before = jnp.roll(latest, 1, axis=-1).at[..., :1].set(-1)
  previous = jnp.take_along_axis(c, jnp.maximum(before, 0), axis=-1)
  return (c - previous) ** 2, mask & (before >= 0)


def _episodes(contributions, returns, mask):
  """Checked contributions [..., S], returns [...] and mask [..., S]."""
  arguments.axes('contributions', contributions, 1, '[..., S]')
  contributions = arguments.floating('contributions', contributions)
  returns = arguments.floating('returns', returns)
  arguments.same_shape(
    'returns', returns, contributions.shape[:-1], 'contributions without S'
  )
  mask = arguments.boolean_mask(
    'mask', mask, contributions.shape, 'contributions'
  )
  return contributions, returns, mask


@public.function(
  static=('redistribution', 'singleton'),
  renamed={'outcome': 'returns', 'mode': 'redistribution'},
)
def redistribute(
  contributions: jax.Array,
  returns: jax.Array,
  mask: jax.Array | None = None,
  *,
  redistribution: str = 'none',
  singleton: str = 'zero',
) -> jax.Array:
  """Contributions that PPO learns from.

  Args:
    contributions: float [..., S], [..., G, S] for 'leave_one_out'.
    returns: float [...], the return (final reward) of each episode.
    mask: bool [..., S], steps that were taken; None for all.
    redistribution: 'none' leaves them as they are; 'shift' adds the same to
      each step of an episode, so that they sum to its return; 'leave_one_out'
      (released code) drops them and gives every step the return less the mean
      of the group's other episodes.
    singleton: what the only episode of a group gets with 'leave_one_out':
      'zero', or its return ('score'), as in the released code.

  Returns:
    float [..., S], dtype of `contributions`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import spa
    >>> contributions = jnp.array([[0.5, 0, 0.5], [0.5, 0, 0]])
    >>> returns = jnp.array([1.0, 0.5])
    >>> credit = spa.redistribute(
    ...   contributions, returns, redistribution='leave_one_out'
    ... )
    >>> print(credit)
    [[ 0.5  0.5  0.5]
     [-0.5 -0.5 -0.5]]
  """
  arguments.one_of('redistribution', redistribution, REDISTRIBUTIONS)
  arguments.one_of('singleton', singleton, group_statistics.SINGLETONS)
  contributions, returns, mask = _episodes(contributions, returns, mask)
  c = jnp.where(mask, arguments.wide(contributions), 0)
  if redistribution == 'shift':
    count = jnp.maximum(mask.sum(axis=-1), 1).astype(c.dtype)
    missing = (returns.astype(c.dtype) - c.sum(axis=-1)) / count
    c = c + missing[..., None]
  elif redistribution == 'leave_one_out':
    arguments.axes('contributions', contributions, 2, '[..., G, S]')
    relative = rloo.advantages(
      returns.astype(c.dtype), mask.any(axis=-1), singleton=singleton
    )
    c = jnp.broadcast_to(relative[..., None], mask.shape)
  return jnp.where(mask, c, 0).astype(contributions.dtype)


@public.function(ranges={'progress_weight': {}, 'grounding_weight': {}})
def rewards(
  contributions: jax.Array,
  grounding: jax.Array,
  mask: jax.Array | None = None,
  *,
  progress_weight: float = 1.0,
  grounding_weight: float = 0.5,
) -> jax.Array:
  """Rewards of steps: what they contributed, and whether they were grounded.

  Args:
    contributions: float [..., S].
    grounding: bool or float [..., S], whether the action could be executed.
    mask: bool [..., S], steps that were taken; None for all.
    progress_weight: of the contributions, alpha.
    grounding_weight: of the grounding, beta.

  Returns:
    float [..., S], dtype of `contributions`; 0 where masked.

  Raises:
    ValueError: wrong shapes.

  Example:
    >>> from jaxcredit import spa
    >>> contributions = jnp.array([[0.5, 0, 0.5]])
    >>> grounding = jnp.array([[True, False, True]])
    >>> print(spa.rewards(contributions, grounding))
    [[1. 0. 1.]]
  """
  arguments.axes('contributions', contributions, 1, '[..., S]')
  contributions = arguments.floating('contributions', contributions)
  grounding = arguments.floating('grounding', grounding)
  arguments.same_shape(
    'grounding', grounding, contributions.shape, 'contributions'
  )
  mask = arguments.boolean_mask(
    'mask', mask, contributions.shape, 'contributions'
  )
  c = jnp.where(mask, arguments.wide(contributions), 0)
  g = jnp.where(mask, grounding, 0).astype(c.dtype)
  result = progress_weight * c + grounding_weight * g
  return jnp.where(mask, result, 0).astype(contributions.dtype)


@public.function()
def grounding_accuracy(
  grounding: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
  """Share of actions that could be executed, over all axes.

  Args:
    grounding: bool or float [..., S].
    mask: bool [..., S], steps that were taken; None for all.

  Returns:
    float [], 0 without any action.

  Raises:
    ValueError: shapes differ.

  Example:
    >>> from jaxcredit import spa
    >>> print(spa.grounding_accuracy(jnp.array([[True, False]])))
    0.5
  """
  arguments.axes('grounding', grounding, 1, '[..., S]')
  grounding = arguments.floating('grounding', grounding)
  mask = arguments.boolean_mask('mask', mask, grounding.shape, 'grounding')
  wide = arguments.wide(grounding)
  return masked_mean(wide, mask).astype(grounding.dtype)
