"""SPA: stepwise progress attribution (Wang et al. 2025, arXiv 2505.20732).

A model learns what each step of an episode contributed to its outcome R, from
outcomes alone, and PPO learns from the contributions:

  loss = mean over episodes of (sum_t c_t - R)^2        progress estimator
  r_t  = progress_weight * c_t + grounding_weight * g_t

g_t is 1 if the action could be executed, else 0.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from jaxcredit.algorithms import (
  arguments,
  explicit_axes,
  group_statistics,
  ppo,
  rloo,
  step_tokens,
)
from jaxcredit.algorithms import returns as returns_lib

MODES = ('none', 'shift', 'leave_one_out')
WEIGHTS = ('unit', 'remaining')
ACROSS = ('drawn', 'all')


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


def _mean(values, mask, axis=None):
  """Mean over unmasked entries, 0 if there are none."""
  count = jnp.maximum(mask.sum(axis=axis), 1).astype(values.dtype)
  return jnp.where(mask, values, 0).sum(axis=axis) / count


@explicit_axes.under_any_mesh
@jax.jit
def _progress_loss(
  contributions,
  outcome,
  mask,
  prefix_weight,
  smoothness_weight,
  monotone_weight,
  tolerance,
):
  dtype = contributions.dtype
  taken = mask.any(axis=-1)
  c = jnp.where(mask, arguments.wide(contributions), 0)
  outcome = jnp.where(taken, outcome, 0).astype(c.dtype)
  error = c.sum(axis=-1) - outcome
  regression = _mean(error**2, taken)
  so_far = (jnp.cumsum(c, axis=-1) - outcome[..., None]) ** 2
  prefix = _mean(_mean(so_far, mask, axis=-1), taken)
  # Neighbours are steps that follow each other when masked ones are cut out.
  steps = c.shape[-1]
  index = jnp.where(mask, jnp.arange(steps), -1)
  before = jax.lax.cummax(index, axis=index.ndim - 1)
  before = jnp.pad(
    before[..., :-1],
    [(0, 0)] * taken.ndim + [(1, 0)] * (steps > 0),
    constant_values=-1,
  )
  pair = mask & (before >= 0)
  previous = jnp.take_along_axis(c, jnp.maximum(before, 0), axis=-1)
  smoothness = _mean(_mean((c - previous) ** 2, pair, axis=-1), taken)
  monotone = _mean(_mean(jnp.minimum(c, 0) ** 2, mask, axis=-1), taken)
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
    _mean(size, taken),
    _mean((size <= tolerance).astype(c.dtype), taken),
  )
  return ProgressLoss(*(part.astype(dtype) for part in parts))


def progress_loss(
  contributions: jax.Array,
  outcome: jax.Array,
  mask: jax.Array | None = None,
  *,
  prefix_weight: float = 0.0,
  smoothness_weight: float = 0.0,
  monotone_weight: float = 0.0,
  tolerance: float = 0.1,
) -> ProgressLoss:
  """The loss of a progress estimator.

  Args:
    contributions: float [..., S], what the model says each step contributed.
    outcome: float [...], final reward of each episode.
    mask: bool [..., S], steps that were taken; None for all. An episode without
      a step does not count.
    prefix_weight: of the error of the sums up to each step.
    smoothness_weight: of the differences of neighbouring steps.
    monotone_weight: of negative contributions.
    tolerance: of `ProgressLoss.accuracy`.

  Returns:
    ProgressLoss, dtype of `contributions`.

  Raises:
    ValueError: wrong shapes or options.
  """
  for name, value in (
    ('prefix_weight', prefix_weight),
    ('smoothness_weight', smoothness_weight),
    ('monotone_weight', monotone_weight),
    ('tolerance', tolerance),
  ):
    arguments.number(name, value, 0)
  contributions, outcome, mask = _episodes(contributions, outcome, mask)
  return _progress_loss(
    contributions,
    outcome,
    mask,
    prefix_weight,
    smoothness_weight,
    monotone_weight,
    tolerance,
  )


def _episodes(contributions, outcome, mask):
  """Checked contributions [..., S], outcome [...] and mask [..., S]."""
  arguments.axes('contributions', contributions, 1, '[..., S]')
  contributions = arguments.floating('contributions', contributions)
  outcome = arguments.floating('outcome', outcome)
  arguments.same_shape(
    'outcome', outcome, contributions.shape[:-1], 'contributions without S'
  )
  mask = arguments.boolean_mask(
    'mask', mask, contributions.shape, 'contributions'
  )
  return contributions, outcome, mask


@explicit_axes.under_any_mesh
@functools.partial(jax.jit, static_argnames=('mode', 'singleton'))
def redistribute(
  contributions: jax.Array,
  outcome: jax.Array,
  mask: jax.Array | None = None,
  *,
  mode: str = 'none',
  singleton: str = 'zero',
) -> jax.Array:
  """Contributions that PPO learns from.

  Args:
    contributions: float [..., S], [..., G, S] for 'leave_one_out'.
    outcome: float [...], final reward of each episode.
    mask: bool [..., S], steps that were taken; None for all.
    mode: 'none' leaves them as they are; 'shift' adds the same to each step of
      an episode, so that they sum to its outcome; 'leave_one_out' (released
      code) drops them and gives every step the outcome less the mean of the
      group's other episodes.
    singleton: what the only episode of a group gets with 'leave_one_out':
      'zero', or its outcome ('score'), as in the released code.

  Returns:
    float [..., S], dtype of `contributions`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.
  """
  arguments.one_of('mode', mode, MODES)
  arguments.one_of('singleton', singleton, group_statistics.SINGLETONS)
  contributions, outcome, mask = _episodes(contributions, outcome, mask)
  c = jnp.where(mask, arguments.wide(contributions), 0)
  if mode == 'shift':
    count = jnp.maximum(mask.sum(axis=-1), 1).astype(c.dtype)
    missing = (outcome.astype(c.dtype) - c.sum(axis=-1)) / count
    c = c + missing[..., None]
  elif mode == 'leave_one_out':
    arguments.axes('contributions', contributions, 2, '[..., G, S]')
    relative = rloo.advantages(
      outcome.astype(c.dtype), mask.any(axis=-1), singleton=singleton
    )
    c = jnp.broadcast_to(relative[..., None], mask.shape)
  return jnp.where(mask, c, 0).astype(contributions.dtype)


@explicit_axes.under_any_mesh
@jax.jit
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
  """
  arguments.axes('contributions', contributions, 1, '[..., S]')
  contributions = arguments.floating('contributions', contributions)
  arguments.same_shape(
    'grounding', grounding, contributions.shape, 'contributions'
  )
  mask = arguments.boolean_mask(
    'mask', mask, contributions.shape, 'contributions'
  )
  c = jnp.where(mask, arguments.wide(contributions), 0)
  g = jnp.where(mask, jnp.asarray(grounding), 0).astype(c.dtype)
  result = progress_weight * c + grounding_weight * g
  return jnp.where(mask, result, 0).astype(contributions.dtype)


@explicit_axes.under_any_mesh
@jax.jit
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
  """
  arguments.axes('grounding', grounding, 1, '[..., S]')
  grounding = arguments.floating('grounding', grounding)
  mask = arguments.boolean_mask('mask', mask, grounding.shape, 'grounding')
  wide = arguments.wide(grounding)
  return _mean(wide, mask).astype(grounding.dtype)


@explicit_axes.under_any_mesh
@functools.partial(jax.jit, static_argnames='weight')
def place(
  step_rewards: jax.Array,
  step_of_token: jax.Array,
  mask: jax.Array | None = None,
  *,
  weight: str = 'unit',
) -> jax.Array:
  """Puts the reward of each step on its last token.

  Args:
    step_rewards: float [..., S].
    step_of_token: int32 [..., L], step of each token, -1 for none.
    mask: bool [..., S], steps of the episode; None for all.
    weight: 'unit', or 'remaining' (released code): the reward of step k is
      multiplied by n - 1 - k.

  Returns:
    float [..., L], dtype of `step_rewards`; 0 on all other tokens. A step
    without a token in the row gives nothing.

  Raises:
    ValueError: wrong shapes or options.
  """
  arguments.one_of('weight', weight, WEIGHTS)
  arguments.axes('step_rewards', step_rewards, 1, '[..., S]')
  step_rewards = arguments.floating('step_rewards', step_rewards)
  mask = arguments.boolean_mask(
    'mask', mask, step_rewards.shape, 'step_rewards'
  )
  step_of_token = step_tokens.checked(
    step_of_token, step_rewards.shape[:-1], 'step_rewards without S'
  )
  steps = step_rewards.shape[-1]
  safe = jnp.where(mask, arguments.wide(step_rewards), 0)
  if weight == 'remaining':
    count = mask.sum(axis=-1, keepdims=True)
    safe = safe * (count - jnp.cumsum(mask, axis=-1)).astype(safe.dtype)
  last = step_tokens.last_positions(step_of_token, steps)
  position = jnp.arange(step_of_token.shape[-1])
  ends = step_tokens.of_steps(step_of_token, steps) & (
    step_tokens.spread(last, step_of_token) == position
  )
  spread = step_tokens.spread(safe, step_of_token)
  return jnp.where(ends, spread, 0).astype(step_rewards.dtype)


@explicit_axes.under_any_mesh
@functools.partial(jax.jit, static_argnames=('across', 'whiten', 'ddof', 'eps'))
def token_advantages(
  rewards: jax.Array,
  values: jax.Array,
  mask: jax.Array | None = None,
  *,
  across: str = 'drawn',
  discount: float = 0.99,
  gae_lambda: float = 0.95,
  bootstrap: float | jax.Array = 0.0,
  whiten: bool = True,
  ddof: int = 1,
  eps: float = 1e-8,
) -> ppo.Advantages:
  """PPO's advantages of tokens.

  Args:
    rewards: float [..., L], as `place` gives them, KL added.
    values: float [..., L], value of the state before each token.
    mask: bool [..., L], tokens that the policy drew; None for all.
    across: 'drawn' skips all other tokens as if they were not there; 'all'
      (released code) counts them as moments of reward and value 0.
    discount: in [0, 1].
    gae_lambda: in [0, 1].
    bootstrap: value of the state after the last token, scalar or [...].
    whiten: whether advantages are whitened over the drawn tokens of all axes.
    ddof: delta degrees of freedom of the variance, 0 or 1.
    eps: added to the variance.

  Returns:
    ppo.Advantages, dtype of `rewards`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.
  """
  arguments.one_of('across', across, ACROSS)
  arguments.axes('rewards', rewards, 1, '[..., L]')
  rewards = arguments.floating('rewards', rewards)
  values = arguments.floating('values', values)
  arguments.same_shape('values', values, rewards.shape, 'rewards')
  mask = arguments.boolean_mask('mask', mask, rewards.shape, 'rewards')
  if across == 'drawn':
    return ppo.advantages(
      rewards,
      values,
      mask,
      discount=discount,
      gae_lambda=gae_lambda,
      bootstrap=bootstrap,
      whiten=whiten,
      ddof=ddof,
      eps=eps,
    )
  arguments.one_of('ddof', ddof, (0, 1))
  arguments.number('eps', eps, 0)
  safe = jnp.where(mask, arguments.wide(rewards), 0)
  safe_values = jnp.where(mask, values, 0).astype(safe.dtype)
  total = returns_lib.gae(
    safe,
    safe_values,
    discount=discount,
    gae_lambda=gae_lambda,
    bootstrap=bootstrap,
  )
  total = jnp.where(mask, total, 0)
  returns = total + safe_values
  if whiten:
    total = group_statistics.whiten(total, mask, ddof, eps)
  dtype = rewards.dtype
  return ppo.Advantages(total.astype(dtype), returns.astype(dtype))


@explicit_axes.under_any_mesh
@functools.partial(jax.jit, static_argnames=('whiten', 'ddof', 'eps'))
def step_advantages(
  step_rewards: jax.Array,
  values: jax.Array,
  step_of_token: jax.Array,
  mask: jax.Array | None = None,
  *,
  token_rewards: jax.Array | None = None,
  discount: float = 0.99,
  gae_lambda: float = 0.95,
  bootstrap: float | jax.Array = 0.0,
  whiten: bool = True,
  ddof: int = 1,
  eps: float = 1e-8,
) -> ppo.Advantages:
  """PPO's advantages of steps.

  Args:
    step_rewards: float [..., S].
    values: float [..., L], value of the state before each token; that before a
      step's first token is the step's.
    step_of_token: int32 [..., L], step of each token, -1 for none.
    mask: bool [..., S], steps that were taken; None for all. A step without a
      token in the row is left out.
    token_rewards: float [..., L], such as KL, summed over each step's tokens;
      None for none.
    discount: in [0, 1], of a step.
    gae_lambda: in [0, 1].
    bootstrap: value of the state after the last step, scalar or [...].
    whiten: whether advantages are whitened over the steps of all axes.
    ddof: delta degrees of freedom of the variance, 0 or 1.
    eps: added to the variance.

  Returns:
    ppo.Advantages [..., S], dtype of `step_rewards`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.
  """
  arguments.axes('step_rewards', step_rewards, 1, '[..., S]')
  step_rewards = arguments.floating('step_rewards', step_rewards)
  mask = arguments.boolean_mask(
    'mask', mask, step_rewards.shape, 'step_rewards'
  )
  step_of_token = step_tokens.checked(
    step_of_token, step_rewards.shape[:-1], 'step_rewards without S'
  )
  values = arguments.floating('values', values)
  arguments.same_shape('values', values, step_of_token.shape, 'step_of_token')
  steps, length = step_rewards.shape[-1], step_of_token.shape[-1]
  first = step_tokens.first_positions(step_of_token, steps)
  mask &= first < length
  safe = jnp.where(mask, arguments.wide(step_rewards), 0)
  if token_rewards is not None:
    arguments.same_shape(
      'token_rewards', token_rewards, step_of_token.shape, 'step_of_token'
    )
    extra = arguments.wide(arguments.floating('token_rewards', token_rewards))
    extra = step_tokens.sums(extra, step_of_token, steps).astype(safe.dtype)
    safe = safe + jnp.where(mask, extra, 0)
  if length:
    index = jnp.minimum(first, length - 1)
    before = jnp.take_along_axis(arguments.wide(values), index, axis=-1)
  else:
    before = jnp.zeros_like(safe)
  result = ppo.advantages(
    safe,
    before.astype(safe.dtype),
    mask,
    discount=discount,
    gae_lambda=gae_lambda,
    bootstrap=bootstrap,
    whiten=whiten,
    ddof=ddof,
    eps=eps,
  )
  return jax.tree.map(lambda x: x.astype(step_rewards.dtype), result)
