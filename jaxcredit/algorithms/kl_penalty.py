"""KL to a reference: estimates, the reward of tokens, its coefficient.

With d = log ref - log pi of a token that the policy drew (Schulman 2020,
"Approximating KL divergence"), a token's KL is estimated by

  k1 = -d    k2 = d^2 / 2    k3 = exp(d) - d - 1    abs = |d|

In expectation over the policy's tokens k1 and k3 are KL(pi, ref), and k3 is
never negative and varies less; k2 and abs are not. That is true of the values.
What descending by an estimate does is another question, and depends on how it
is used. In expectation over tokens drawn from pi, with rho = pi / pi_old (1 in
value, but differentiated):

      as a reward, -k     as a loss, k       as a loss, rho k
  k1  KL(pi, ref)         nothing: 0         KL(pi, ref)
  k2  no divergence       KL(pi, ref)        E[d^2] / 2
  k3  KL(pi, ref)         KL(ref, pi)        KL(pi, ref)
      less KL(ref, pi)
  abs no divergence       no divergence      E|d|

Each entry names the function whose gradient it is. So as a loss k1 does not
regularise at all though its value looks right, and k3 pulls towards the
reference from the other side. `gradient='unbiased'` gives any of them the
gradient of k2, that of KL(pi, ref), and leaves the value as it is (verl:
`low_var_kl+`, `k3+`). Tokens that another policy drew need the weights rho,
without a gradient: `losses.importance_weights`.

As a reward (Ziegler et al. 2019, 1909.08593) and with a coefficient that
adapts:

  r_t = -coefficient * KL_t
  e   = clip(KL / target - 1, -clip, clip)
  coefficient <- coefficient * (1 + e * count / horizon)

KL_t is an estimate for one token; KL is that of an episode, the sum over its
tokens, meaned over episodes:
`losses.aggregate(losses.kl(...), mask, 'seq-mean-token-sum')`. Ziegler et al.
write a gain of 0.1 where their code, and TRL's, have count / horizon with the
episodes since the last call.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.algorithms.internal import arguments, public

KL_ESTIMATORS = ('k1', 'k2', 'k3', 'abs')
KL_GRADIENTS = ('own', 'unbiased')
# exp(20) is far above any KL of use, and its multiples are finite.
_FAR = 20.0


def _along(slope, d):
  """0, whose gradient by d is `slope`."""
  return jax.lax.stop_gradient(slope) * (d - jax.lax.stop_gradient(d))


def _estimate(d, estimator):
  """The estimate for each d, finite as its gradient is.

  Where a value would overflow it stays what it is at the bound, and so does its
  slope: a token that the policy has all but given up is still pulled back.
  """
  if estimator == 'k1':
    return -d
  if estimator == 'abs':
    return jnp.abs(d)
  if estimator == 'k2':
    far = np.sqrt(np.finfo(d.dtype).max) / 2
    near = jnp.clip(d, -far, far)
    value, slope = 0.5 * near * near, near
    beyond = jnp.abs(d) > far
  else:
    near = jnp.minimum(d, _FAR)
    value, slope = jnp.expm1(near) - near, jnp.expm1(near)
    beyond = d > _FAR
  return jnp.where(
    beyond, jax.lax.stop_gradient(value) + _along(slope, d), value
  )


@public.function(static=('estimator', 'clamp', 'gradient'))
def kl(
  log_probs: jax.Array,
  reference_log_probs: jax.Array,
  *,
  estimator: str = 'k3',
  clamp: float | None = None,
  gradient: str = 'own',
) -> jax.Array:
  """Estimates KL(policy || reference) from tokens that the policy drew.

  With d = log ref - log pi (Schulman 2020, "Approximating KL divergence"):
  k1 = -d, k2 = d^2 / 2, k3 = exp(d) - d - 1, abs = |d|. As a term of the loss,
  in expectation over tokens of the policy, their gradients are

    k1   0: no regularisation      k3   of KL(reference || policy)
    k2   of KL(policy || reference)  abs  of no divergence

  and that of k2 for all with gradient='unbiased'. The table at the head of
  `kl_penalty` has their use as rewards and with ratios, too.

  Values and gradients are finite for finite log-probabilities: k3 and its slope
  are held from d = 20 nats on, those of k2 where d^2 would overflow.

  Args:
    log_probs: float [...], of the tokens under the policy.
    reference_log_probs: float [...], under the reference.
    estimator: one of KL_ESTIMATORS.
    clamp: above 0, bounds each entry to [-clamp, clamp] (verl: 10 for k3); its
      own gradient is 0 beyond. None for no bound.
    gradient: 'own', of the estimate as it stands; or 'unbiased', that of
      KL(policy || reference), which `clamp` does not touch.

  Returns:
    float [...], an estimate for each token, in nats; dtype of `log_probs`.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import losses
    >>> policy, reference = jnp.array([-1.0]), jnp.array([-2.0])
    >>> print(losses.kl(policy, reference).round(2))
    [0.37]
    >>> print(losses.kl(policy, reference, estimator='k1'))
    [1.]
  """
  arguments.one_of('estimator', estimator, KL_ESTIMATORS)
  arguments.one_of('gradient', gradient, KL_GRADIENTS)
  if clamp is not None:
    arguments.number('clamp', clamp, above=0)
  log_probs = arguments.floating('log_probs', log_probs)
  reference = arguments.floating('reference_log_probs', reference_log_probs)
  arguments.same_shape(
    'reference_log_probs', reference, log_probs.shape, 'log_probs'
  )
  d = arguments.wide(reference) - arguments.wide(log_probs)
  result = _estimate(d, estimator)
  if clamp is not None:
    result = jnp.clip(result, -clamp, clamp)
  if gradient == 'unbiased':
    result = jax.lax.stop_gradient(result) + _along(d, d)
  return result.astype(log_probs.dtype)


@public.function(static=('estimator',), ranges={'coefficient': {'low': 0}})
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
    estimator: one of KL_ESTIMATORS; TRL calls k1 'kl' and k2 'mse'.

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
  arguments.one_of('estimator', estimator, KL_ESTIMATORS)
  arguments.axes('log_probs', log_probs, 1, '[..., L]')
  log_probs = arguments.floating('log_probs', log_probs)
  reference = arguments.floating('reference_log_probs', reference_log_probs)
  arguments.same_shape(
    'reference_log_probs', reference, log_probs.shape, 'log_probs'
  )
  mask = arguments.boolean_mask('mask', mask, log_probs.shape, 'log_probs')
  # Half-precision log-probabilities are far coarser than their differences.
  policy = jnp.where(mask, arguments.wide(log_probs), 0)
  reference = jnp.where(mask, reference, 0).astype(policy.dtype)
  estimate = kl(policy, reference, estimator=estimator)
  return jnp.where(mask, -coefficient * estimate, 0).astype(log_probs.dtype)


@public.function(
  ranges={
    'target': {'above': 0},
    'horizon': {'above': 0},
    'clip': {'low': 0},
  }
)
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
  coefficient = arguments.floating('coefficient', coefficient)
  error = jnp.clip(arguments.floating('kl', kl) / target - 1, -clip, clip)
  return coefficient * (1 + error * count / horizon)
