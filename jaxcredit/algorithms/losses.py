"""Policy-gradient losses over tokens.

  PPO clip (Schulman et al. 2017):  L = -min(rho A, clip(rho, 1-c, 1+c') A)
  asymmetric clip (DAPO):           c' = clip_high
  dual clip (Ye et al. 2020):       L <- min(L, -dual_clip A)   where A < 0
  ratio='token':     rho = pi / pi_old of each token
  ratio='step':      of all tokens of a step together, GiGPO's Eq. 9
  ratio='sequence':  exp of the row's mean log-ratio, GSPO (arXiv 2507.18071)
  weights:           L <- w L, where w corrects for another behaviour policy;
                     with `importance_weights`, and `old_log_probs` of the
                     policy before the update, this is the decoupled objective
                     (Hilton et al. 2022, arXiv 2110.00641)

Aggregations of token losses to one number, under their usual names:

  'token-mean'               mean over all tokens (DAPO, default of verl)
  'seq-mean-token-sum'       sum over each row, mean over rows
  'seq-mean-token-mean'      mean over each row, mean over rows (GRPO)
  'seq-mean-token-sum-norm'  sum over each row / `normaliser`, mean over rows
                             (Dr. GRPO; verl sums over rows instead, which
                             normaliser = L / N gives)
  'step-mean'                mean over each step's tokens, mean over steps
                             (GiGPO's 1 / (N T) sum over actions)

Rows without valid tokens do not count as rows. Without any valid token the
result is 0. A loss that overflows its dtype is infinite: in float32 the squared
error does from 1.8e19 on.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from jaxcredit.algorithms import kl_penalty
from jaxcredit.algorithms.internal import arguments, explicit_axes, public
from jaxcredit.algorithms.internal.masked_mean import masked_mean

RATIOS = ('token', 'step', 'sequence')
AGGREGATIONS = (
  'token-mean',
  'seq-mean-token-sum',
  'seq-mean-token-mean',
  'seq-mean-token-sum-norm',
  'step-mean',
)
KL_ESTIMATORS = kl_penalty.KL_ESTIMATORS
KL_GRADIENTS = kl_penalty.KL_GRADIENTS
# Its estimates are rewards as often as they are losses.
kl = kl_penalty.kl


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PolicyLoss:
  """A policy loss and what tells whether it is healthy.

  Attributes:
    loss: float [], to be minimised.
    clip_share: float [], share of tokens whose gradient the clip cut off.
    dual_clip_share: float [], share of tokens that the dual clip bound.
    approximate_kl: float [], mean of log pi_old - log pi over tokens.
    ratio: float [N, L], probability ratios, 1 where masked.
  """

  loss: jax.Array
  clip_share: jax.Array
  dual_clip_share: jax.Array
  approximate_kl: jax.Array
  ratio: jax.Array


def _steps(step_of_token, mask, name):
  """Step of each token, from 0 in each row; L for tokens of no step."""
  if step_of_token is None:
    raise ValueError(f'{name} needs step_of_token')
  arguments.same_shape('step_of_token', step_of_token, mask.shape, 'mask')
  step = arguments.integers('step_of_token', step_of_token)
  drawn = mask & (step >= 0)
  # A row may hold a late step alone, whose number is beyond the row's length.
  far = jnp.iinfo(step.dtype).max
  first = jnp.where(drawn, step, far).min(axis=-1, keepdims=True, initial=far)
  return jnp.where(drawn, step - first, mask.shape[-1])


@explicit_axes.under_any_mesh
def _sum_by_step(values, step):
  """[..., L] token values -> [..., L + 1] sums, by the step of each token."""
  *leading, size = values.shape
  rows = (math.prod(leading), size)

  def one(x, segment):
    return jax.ops.segment_sum(x, segment, num_segments=size + 1)

  sums = jax.vmap(one)(values.reshape(rows), step.reshape(rows))
  return sums.reshape(*leading, size + 1)


@public.function(static=('aggregation',), ranges={'normaliser': {'above': 0}})
def aggregate(
  values: jax.Array,
  mask: jax.Array | None = None,
  aggregation: str = 'token-mean',
  *,
  step_of_token: jax.Array | None = None,
  normaliser: float | None = None,
) -> jax.Array:
  """Makes token values one number; see the table above.

  Args:
    values: float [..., L].
    mask: bool [..., L]; None for all.
    aggregation: one of AGGREGATIONS.
    step_of_token: int32 [..., L], for 'step-mean': consecutive steps in a row.
    normaliser: for 'seq-mean-token-sum-norm'; L by default.

  Returns:
    float [], dtype of `values`.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import losses
    >>> values = jnp.array([[1.0, 1, 1], [3, 0, 0]])
    >>> mask = jnp.array([[True, True, True], [True, False, False]])
    >>> print(losses.aggregate(values, mask))
    1.5
    >>> print(losses.aggregate(values, mask, 'seq-mean-token-mean'))
    2.0
  """
  arguments.one_of('aggregation', aggregation, AGGREGATIONS)
  if normaliser is not None:
    arguments.number('normaliser', normaliser, above=0)
  arguments.axes('values', values, 1, '[..., L]')
  values = arguments.floating('values', values)
  dtype = values.dtype
  mask = arguments.boolean_mask('mask', mask, values.shape, 'values')
  values = jnp.where(mask, arguments.wide(values), 0)
  if aggregation == 'token-mean':
    return masked_mean(values, mask).astype(dtype)
  if aggregation == 'step-mean':
    step = _steps(step_of_token, mask, "aggregation 'step-mean'")
    sums = _sum_by_step(values, step)[..., :-1]
    counts = _sum_by_step(mask.astype(values.dtype), step)[..., :-1]
    return masked_mean(sums / jnp.maximum(counts, 1), counts > 0).astype(dtype)
  rows = values.sum(axis=-1)
  if aggregation == 'seq-mean-token-mean':
    rows = rows / jnp.maximum(mask.sum(axis=-1), 1).astype(values.dtype)
  elif aggregation == 'seq-mean-token-sum-norm':
    rows = rows / (values.shape[-1] if normaliser is None else normaliser)
  return masked_mean(rows, mask.any(axis=-1)).astype(dtype)


def _log_ratio(log_ratio, mask, ratio, step_of_token):
  """Log of the probability ratio of each token's unit."""
  if ratio == 'token':
    return log_ratio
  if ratio == 'sequence':
    count = jnp.maximum(mask.sum(axis=-1, keepdims=True), 1)
    mean = log_ratio.sum(axis=-1, keepdims=True) / count.astype(log_ratio.dtype)
    return jnp.broadcast_to(mean, log_ratio.shape)
  step = _steps(step_of_token, mask, "ratio 'step'")
  return jnp.take_along_axis(_sum_by_step(log_ratio, step), step, axis=-1)


@public.function(static=('cap', 'ratio'))
def importance_weights(
  proximal_log_probs: jax.Array,
  behaviour_log_probs: jax.Array,
  mask: jax.Array | None = None,
  *,
  cap: float | None = 2.0,
  ratio: str = 'token',
  step_of_token: jax.Array | None = None,
) -> jax.Array:
  """Truncated importance weights min(pi_prox / pi_behaviour, cap).

  The weights of the decoupled objective (Hilton et al. 2022, arXiv 2110.00641;
  used where rollouts are stale by AReaL, arXiv 2505.24298). They are not
  truncated there; the cap bounds their variance at the price of a bias (Ionides
  2008; V-trace, arXiv 1802.01561).

  Args:
    proximal_log_probs: float [..., L], under the policy before the update.
    behaviour_log_probs: float [..., L], under the policy that drew the tokens.
    mask: bool [..., L], tokens that were drawn; None for all.
    cap: above 0; None for no bound.
    ratio: the unit that has one weight, 'token', 'step' or 'sequence', as in
      `policy_loss`.
    step_of_token: int32 [..., L], needed by 'step'.

  Returns:
    float [..., L], 0 where masked, without a gradient.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import losses
    >>> proximal, behaviour = jnp.log(jnp.array([[0.5, 0.9], [0.25, 0.1]]))
    >>> print(losses.importance_weights(proximal, behaviour, cap=3.0).round(2))
    [2. 3.]
  """
  arguments.one_of('ratio', ratio, RATIOS)
  if cap is not None:
    arguments.number('cap', cap, above=0)
  arguments.axes('proximal_log_probs', proximal_log_probs, 1, '[..., L]')
  proximal = arguments.floating('proximal_log_probs', proximal_log_probs)
  dtype = proximal.dtype
  proximal = arguments.wide(proximal)
  mask = arguments.boolean_mask(
    'mask', mask, proximal.shape, 'proximal_log_probs'
  )
  arguments.same_shape(
    'behaviour_log_probs',
    behaviour_log_probs,
    proximal.shape,
    'proximal_log_probs',
  )
  behaviour = jnp.asarray(behaviour_log_probs)
  difference = jnp.where(mask, proximal, 0) - jnp.where(mask, behaviour, 0)
  difference = jax.lax.stop_gradient(difference).astype(proximal.dtype)
  log_weight = _log_ratio(difference, mask, ratio, step_of_token)
  weight = jnp.exp(jnp.clip(log_weight, -20.0, 20.0))
  if cap is not None:
    weight = jnp.minimum(weight, cap)
  return jnp.where(mask, weight, 0).astype(dtype)


@public.function(
  static=(
    'clip',
    'clip_high',
    'dual_clip',
    'ratio',
    'aggregation',
    'normaliser',
  )
)
def policy_loss(
  log_probs: jax.Array,
  old_log_probs: jax.Array,
  advantages: jax.Array,
  mask: jax.Array | None = None,
  *,
  clip: float = 0.2,
  clip_high: float | None = None,
  dual_clip: float | None = None,
  ratio: str = 'token',
  aggregation: str = 'token-mean',
  step_of_token: jax.Array | None = None,
  normaliser: float | None = None,
  weights: jax.Array | None = None,
) -> PolicyLoss:
  """The clipped policy-gradient loss.

  Args:
    log_probs: float [..., L], of the tokens under the policy.
    old_log_probs: float [..., L], under the policy that drew them; with
      `weights`, under the policy before the update.
    advantages: float [..., L]; no gradient passes through them.
    mask: bool [..., L], tokens that the policy drew; None for all.
    clip: lower clip range, 1 - clip.
    clip_high: upper clip range, 1 + clip_high; `clip` by default.
    dual_clip: bound on the loss of negative advantages, above 1; None for none
      (verl: 3).
    ratio: 'token', 'step' or 'sequence'.
    aggregation: one of AGGREGATIONS.
    step_of_token: int32 [..., L], needed by 'step' and 'step-mean'.
    normaliser: see `aggregate`.
    weights: float [..., L], of each token's loss, as `importance_weights` makes
      them; no gradient passes through them. None for 1.

  Returns:
    PolicyLoss.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import losses
    >>> old, new = jnp.log(jnp.array([[[0.25, 0.2]], [[0.5, 0.2]]]))
    >>> credit = jnp.array([[1.0, -1.0]])
    >>> result = losses.policy_loss(new, old, credit, clip=0.5)
    >>> print(result.ratio.round(2), result.loss, result.clip_share)
    [[2. 1.]] -0.25 0.5
  """
  arguments.one_of('ratio', ratio, RATIOS)
  arguments.one_of('aggregation', aggregation, AGGREGATIONS)
  arguments.number('clip', clip, 0, 1)
  clip_high = clip if clip_high is None else clip_high
  arguments.number('clip_high', clip_high, 0)
  if dual_clip is not None:
    arguments.number('dual_clip', dual_clip, above=1)
  arguments.axes('log_probs', log_probs, 1, '[..., L]')
  log_probs = arguments.floating('log_probs', log_probs)
  dtype = log_probs.dtype
  log_probs = arguments.wide(log_probs)
  mask = arguments.boolean_mask('mask', mask, log_probs.shape, 'log_probs')
  for name, array in (
    ('old_log_probs', old_log_probs),
    ('advantages', advantages),
  ):
    arguments.same_shape(name, array, log_probs.shape, 'log_probs')
  old = jax.lax.stop_gradient(jnp.asarray(old_log_probs))
  advantages = jax.lax.stop_gradient(jnp.asarray(advantages))
  advantages = jnp.where(mask, advantages, 0).astype(log_probs.dtype)
  difference = (jnp.where(mask, log_probs, 0) - jnp.where(mask, old, 0)).astype(
    log_probs.dtype
  )
  log_rho = _log_ratio(difference, mask, ratio, step_of_token)
  # exp(20) is far outside of any clip range, and still a finite float32.
  rho = jnp.exp(jnp.clip(log_rho, -20.0, 20.0))
  free = -rho * advantages
  bound = -jnp.clip(rho, 1 - clip, 1 + clip_high) * advantages
  loss = jnp.maximum(free, bound)
  clipped = mask & (bound > free)
  ceiling = mask & False
  if dual_clip is not None:
    limit = -dual_clip * advantages
    ceiling = mask & (advantages < 0) & (loss > limit)
    loss = jnp.where(ceiling, limit, loss)
  if weights is not None:
    arguments.same_shape('weights', weights, log_probs.shape, 'log_probs')
    weights = jax.lax.stop_gradient(jnp.asarray(weights))
    loss = loss * jnp.where(mask, weights, 0).astype(loss.dtype)
  total = aggregate(
    loss,
    mask,
    aggregation,
    step_of_token=step_of_token,
    normaliser=normaliser,
  )
  return PolicyLoss(
    loss=total.astype(dtype),
    clip_share=masked_mean(clipped.astype(loss.dtype), mask).astype(dtype),
    dual_clip_share=masked_mean(ceiling.astype(loss.dtype), mask).astype(dtype),
    approximate_kl=masked_mean(-difference, mask).astype(dtype),
    ratio=jnp.where(mask, rho, 1).astype(dtype),
  )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ValueLoss:
  """A critic's loss and what there is to watch in it.

  Attributes:
    loss: float [].
    clip_share: float [], share of tokens whose clipped error is the larger.
    error: float [], mean absolute error of the values over tokens.
  """

  loss: jax.Array
  clip_share: jax.Array
  error: jax.Array


@public.function(static=('clip', 'aggregation'))
def value_loss(
  values: jax.Array,
  old_values: jax.Array,
  returns: jax.Array,
  mask: jax.Array | None = None,
  *,
  clip: float | None = 0.2,
  aggregation: str = 'token-mean',
  step_of_token: jax.Array | None = None,
  normaliser: float | None = None,
) -> ValueLoss:
  """The clipped loss of a critic, as PPO's implementations have it.

  1/2 max((V - R)^2, (clip(V, V_old - clip, V_old + clip) - R)^2)

  Args:
    values: float [..., L], of the critic that learns.
    old_values: float [..., L], of the critic before the update; no gradient
      passes through them.
    returns: float [..., L], targets; no gradient passes through them.
    mask: bool [..., L]; None for all.
    clip: how far a value may move from the old one; None for any distance.
    aggregation: one of AGGREGATIONS.
    step_of_token: int32 [..., L], needed by 'step-mean'.
    normaliser: see `aggregate`.

  Returns:
    ValueLoss.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import losses
    >>> values, old = jnp.array([[1.0, 0.5]]), jnp.array([[0.5, 0.5]])
    >>> returns = jnp.array([[1.0, 1.0]])
    >>> result = losses.value_loss(values, old, returns, clip=0.25)
    >>> print(result.loss, result.clip_share, result.error)
    0.078125 0.5 0.25
  """
  arguments.one_of('aggregation', aggregation, AGGREGATIONS)
  if clip is not None:
    arguments.number('clip', clip, 0)
  arguments.axes('values', values, 1, '[..., L]')
  values = arguments.floating('values', values)
  dtype = values.dtype
  values = arguments.wide(values)
  mask = arguments.boolean_mask('mask', mask, values.shape, 'values')
  for name, array in (('old_values', old_values), ('returns', returns)):
    arguments.same_shape(name, array, values.shape, 'values')
  values = jnp.where(mask, values, 0)
  old, target = (
    jnp.where(mask, jax.lax.stop_gradient(jnp.asarray(x)), 0).astype(
      values.dtype
    )
    for x in (old_values, returns)
  )
  free = values - target
  loss, clipped = free**2, mask & False
  if clip is not None:
    bound = jnp.clip(values, old - clip, old + clip) - target
    loss = jnp.maximum(loss, bound**2)
    # Squares may be infinite, both of them.
    clipped = mask & (jnp.abs(bound) > jnp.abs(free))
  total = 0.5 * aggregate(
    loss,
    mask,
    aggregation,
    step_of_token=step_of_token,
    normaliser=normaliser,
  )
  return ValueLoss(
    loss=total.astype(dtype),
    clip_share=masked_mean(clipped.astype(loss.dtype), mask).astype(dtype),
    error=masked_mean(jnp.abs(values - target), mask).astype(dtype),
  )


@public.function()
def entropy(logits: jax.Array) -> jax.Array:
  """Entropy in nats of categorical distributions.

  Args:
    logits: float [..., V]; -inf marks an impossible outcome.

  Returns:
    float [...], dtype of `logits`.

  Raises:
    ValueError: no axis.

  Example:
    >>> from jaxcredit import losses
    >>> print(losses.entropy(jnp.array([[0.0, 0], [0, 1]])).round(2))
    [0.69 0.58]
  """
  arguments.axes('logits', logits, 1, '[..., V]')
  logits = arguments.floating('logits', logits)
  log_p = jax.nn.log_softmax(arguments.wide(logits), axis=-1)
  p = jnp.exp(log_p)
  terms = jnp.where(p > 0, p * jnp.where(p > 0, log_p, 0), 0)
  return -jnp.sum(terms, axis=-1).astype(logits.dtype)
