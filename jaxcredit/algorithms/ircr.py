"""IRCR: the return of an episode for each of its steps (Gangwani et al. 2020).

Learning Guidance Rewards with Trajectory-space Smoothing (2010.12718): a step
is worth the mean of the returns of the episodes in which it occurs. With a
replay buffer nothing is computed for that: each stored step carries its
episode's return, normalised over the buffer, and averaging is left to the
critic that learns from them:

  g = (x - min x) / (max x - min x),   x = R or R / L

The code released with LaRe has x = R / L, which is `per_step`.
"""

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.internal import arguments, public


def _arguments(returns, mask):
  """Checked arrays, and the length of each episode."""
  returns = arguments.floating('returns', returns)
  if mask is None:
    # Without a mask the number of steps is not known.
    mask = jnp.ones((*returns.shape, 1), bool)
  arguments.axes('mask', mask, 1, '[..., S]')
  shape = returns.shape + jnp.shape(mask)[-1:]
  mask = arguments.boolean_mask('mask', mask, shape, 'returns with S')
  length = mask.sum(axis=-1)
  wide = jnp.where(length > 0, arguments.wide(returns), 0)
  return returns.dtype, wide, mask, length


def _per_step(returns, length):
  return returns / jnp.maximum(length, 1).astype(returns.dtype)


@public.function(renamed={'episode_return': 'returns'})
def uniform_rewards(
  returns: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
  """R / L for each step: the rewards of least variance that add up to R.

  Args:
    returns: float [...].
    mask: bool [..., S], steps that were taken; None for episodes of one step.

  Returns:
    float [..., S], dtype of `returns`; 0 where masked.

  Raises:
    ValueError: shapes do not fit.

  Example:
    >>> from jaxcredit import ircr
    >>> mask = jnp.array([[True, True, True], [True, False, False]])
    >>> print(ircr.uniform_rewards(jnp.array([3.0, 2]), mask))
    [[1. 1. 1.]
     [2. 0. 0.]]
  """
  dtype, total, mask, length = _arguments(returns, mask)
  share = _per_step(total, length)[..., None]
  return jnp.where(mask, share, 0).astype(dtype)


@public.function(static=('per_step',), renamed={'episode_return': 'returns'})
def return_bounds(
  returns: jax.Array, mask: jax.Array | None = None, *, per_step: bool = True
) -> tuple[jax.Array, jax.Array]:
  """Least and greatest x over the M episodes of a buffer.

  Args:
    returns: float [..., M].
    mask: bool [..., M, S], steps that were taken; episodes without one do not
      count; None for episodes of one step.
    per_step: whether x is R / L or R.

  Returns:
    low, high: float [...], dtype of `returns`; 0 without episodes, NaN
    where a return is NaN.

  Raises:
    ValueError: shapes do not fit.

  Example:
    >>> from jaxcredit import ircr
    >>> mask = jnp.array([[True, True, True], [True, False, False]])
    >>> low, high = ircr.return_bounds(jnp.array([3.0, 2]), mask)
    >>> print(low, high)
    1.0 2.0
  """
  arguments.axes('returns', returns, 1, '[..., M]')
  dtype, x, _, length = _arguments(returns, mask)
  low, high = _bounds(_per_step(x, length) if per_step else x, length > 0)
  return low.astype(dtype), high.astype(dtype)


def _bounds(x, counts):
  some = counts.any(axis=-1)
  low = jnp.where(counts, x, jnp.inf).min(axis=-1, initial=jnp.inf)
  high = jnp.where(counts, x, -jnp.inf).max(axis=-1, initial=-jnp.inf)
  return jnp.where(some, low, 0), jnp.where(some, high, 0)


@public.function(static=('per_step',), renamed={'episode_return': 'returns'})
def guidance_rewards(
  returns: jax.Array,
  mask: jax.Array | None = None,
  *,
  per_step: bool = True,
  low: jax.Array | float | None = None,
  high: jax.Array | float | None = None,
) -> jax.Array:
  """IRCR's rewards, in [0, 1] where the bounds are those of the buffer.

  Args:
    returns: float [..., M], of the M episodes of a buffer, or of a batch
      from it if its bounds are given.
    mask: bool [..., M, S], steps that were taken; None for episodes of one
      step, S = 1.
    per_step: whether x is R / L or R.
    low: float, a number or [...]; the least x of the buffer, as `return_bounds`
      gives it. None: of these episodes.
    high: likewise, the greatest.

  Returns:
    float [..., M, S], dtype of `returns`; 0 where masked, and everywhere
    where the bounds are equal.

  Raises:
    ValueError: shapes do not fit, or one bound is given without the other.

  Example:
    >>> from jaxcredit import ircr
    >>> mask = jnp.array([[True, True, True], [True, False, False]])
    >>> print(ircr.guidance_rewards(jnp.array([3.0, 2]), mask))
    [[0. 0. 0.]
     [1. 0. 0.]]
  """
  if (low is None) != (high is None):
    raise ValueError('low and high must be given together')
  arguments.axes('returns', returns, 1, '[..., M]')
  dtype, x, mask, length = _arguments(returns, mask)
  x = _per_step(x, length) if per_step else x
  if low is None:
    low, high = _bounds(x, length > 0)
  low, high = (jnp.asarray(bound, x.dtype) for bound in (low, high))
  for name, bound in (('low', low), ('high', high)):
    if bound.ndim and bound.shape != x.shape[:-1]:
      raise ValueError(
        f'{name} must be a number or of shape {x.shape[:-1]}, not {bound.shape}'
      )
  low, spread = low[..., None], (high - low)[..., None]
  same = spread == 0
  # Were it not for what is not finite, the numerator would be 0 there, too.
  normal = jnp.where(
    same & jnp.isfinite(x), 0, (x - low) / jnp.where(same, 1, spread)
  )
  return jnp.where(mask, normal[..., None], 0).astype(dtype)
