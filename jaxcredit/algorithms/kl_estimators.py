"""Estimators of a KL divergence from the tokens that a policy drew.

With d = log ref - log pi of a token (Schulman 2020, "Approximating KL
divergence"):

  k1 = -d    k2 = d^2 / 2    k3 = exp(d) - d - 1    abs = |d|

k1 and k3 are unbiased; k3 is never negative, and varies less.
"""

import functools

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.internal import arguments

KL_ESTIMATORS = ('k1', 'k2', 'k3', 'abs')


@functools.partial(jax.jit, static_argnames=('estimator', 'clamp'))
def kl(
  log_probs: jax.Array,
  reference_log_probs: jax.Array,
  *,
  estimator: str = 'k3',
  clamp: float | None = None,
) -> jax.Array:
  """Estimates KL(policy || reference) from tokens that the policy drew.

  With d = log ref - log pi (Schulman 2020, "Approximating KL divergence"):
  k1 = -d, k2 = d^2 / 2, k3 = exp(d) - d - 1, abs = |d|.

  Args:
    log_probs: float [...], of the tokens under the policy.
    reference_log_probs: float [...], under the reference.
    estimator: one of KL_ESTIMATORS.
    clamp: bounds each entry to [-clamp, clamp] (verl: 10 for k3); None for
      no bound.

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
  log_probs = arguments.floating('log_probs', log_probs)
  arguments.same_shape(
    'reference_log_probs', reference_log_probs, log_probs.shape, 'log_probs'
  )
  d = arguments.wide(jnp.asarray(reference_log_probs)) - arguments.wide(
    log_probs
  )
  if estimator == 'k1':
    result = -d
  elif estimator == 'k2':
    result = 0.5 * d * d
  elif estimator == 'abs':
    result = jnp.abs(d)
  else:
    # A token that the policy has all but given up would overflow.
    result = jnp.expm1(jnp.minimum(d, 20.0)) - d
  if clamp is not None:
    result = jnp.clip(result, -clamp, clamp)
  return result.astype(log_probs.dtype)
