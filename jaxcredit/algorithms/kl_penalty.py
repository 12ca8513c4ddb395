"""KL to a reference as a reward of tokens, and its adaptive coefficient.

  r_t = -coefficient * KL_t                  (Ziegler et al. 2019, 1909.08593)
  e   = clip(KL / target - 1, -clip, clip)
  coefficient <- coefficient * (1 + e * count / horizon)

KL_t is an estimate for one token, `losses.kl`; KL is that of an episode, the
sum over its tokens, meaned over episodes:
`losses.aggregate(losses.kl(...), mask, 'seq-mean-token-sum')`. Ziegler et al.
write a gain of 0.1 where their code, and TRL's, have count / horizon with the
episodes since the last call. As a term of the loss KL is `losses.kl` alone.
"""

import functools

import jax
import jax.numpy as jnp

from jaxcredit.algorithms import losses
from jaxcredit.algorithms.internal import arguments


@functools.partial(jax.jit, static_argnames='estimator')
def _rewards(log_probs, reference_log_probs, mask, coefficient, *, estimator):
  dtype = log_probs.dtype
  # Half-precision log-probabilities are far coarser than their differences.
  policy = jnp.where(mask, arguments.wide(log_probs), 0)
  reference = jnp.where(mask, reference_log_probs, 0).astype(policy.dtype)
  estimate = losses.kl(policy, reference, estimator=estimator)
  return jnp.where(mask, -coefficient * estimate, 0).astype(dtype)


def rewards(
  log_probs: jax.Array,
  reference_log_probs: jax.Array,
  mask: jax.Array | None = None,
  *,
  coefficient: float | jax.Array,
  estimator: str = 'k1',
) -> jax.Array:
  """What leaving the reference costs each token.

  Args:
    log_probs: float [..., L], of the tokens under the policy that drew them.
    reference_log_probs: float [..., L], under the reference.
    mask: bool [..., L], tokens that the policy drew; None for all.
    coefficient: not negative; may be traced.
    estimator: one of `losses.KL_ESTIMATORS`; TRL calls k1 'kl' and k2 'mse'.

  Returns:
    float [..., L], dtype of `log_probs`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import kl_penalty
    >>> policy, reference = jnp.array([-1.0, -2]), jnp.array([-1.5, -2])
    >>> print(kl_penalty.rewards(policy, reference, coefficient=0.1).round(3))
    [-0.05  0.  ]
  """
  arguments.one_of('estimator', estimator, losses.KL_ESTIMATORS)
  arguments.number('coefficient', coefficient, 0)
  arguments.axes('log_probs', log_probs, 1, '[..., L]')
  log_probs = arguments.floating('log_probs', log_probs)
  arguments.same_shape(
    'reference_log_probs', reference_log_probs, log_probs.shape, 'log_probs'
  )
  mask = arguments.boolean_mask('mask', mask, log_probs.shape, 'log_probs')
  return _rewards(
    log_probs,
    jnp.asarray(reference_log_probs),
    mask,
    coefficient,
    estimator=estimator,
  )


@jax.jit
def _adapted(coefficient, kl, target, horizon, count, clip):
  error = jnp.clip(kl / target - 1, -clip, clip)
  return coefficient * (1 + error * count / horizon)


def adapted_coefficient(
  coefficient: float | jax.Array,
  kl: float | jax.Array,
  *,
  target: float,
  count: int | jax.Array,
  horizon: float = 10_000,
  clip: float = 0.2,
) -> jax.Array:
  """The coefficient that follows, larger where KL was above its target.

  Args:
    coefficient: float [], that of the last episodes.
    kl: float [], their KL: summed over the tokens of an episode, meaned over
      episodes.
    target: of `kl`, above 0 (TRL: 6).
    count: episodes that `kl` was measured on.
    horizon: episodes in which a KL far from its target changes the coefficient
      by a share of about `clip`.
    clip: bound on the relative error.

  Returns:
    float []; NaN if `kl` is.

  Raises:
    ValueError: target or horizon is not above 0, clip is negative.

  Example:
    >>> from jaxcredit import kl_penalty
    >>> episodes = 10_000
    >>> print(
    ...   kl_penalty.adapted_coefficient(0.5, 9.0, target=6.0, count=episodes)
    ... )
    0.6
  """
  for name, value in (('target', target), ('horizon', horizon)):
    arguments.number(name, value, 0)
    if isinstance(value, (int, float)) and not value > 0:
      raise ValueError(f'{name} must be above 0, not {value}')
  arguments.number('clip', clip, 0)
  return _adapted(
    arguments.floating('coefficient', coefficient),
    arguments.floating('kl', kl),
    target,
    horizon,
    count,
    clip,
  )
