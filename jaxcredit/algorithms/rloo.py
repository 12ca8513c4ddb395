"""RLOO: leave-one-out baseline (Ahmadian et al. 2024, arXiv 2402.14740).

A_i = r_i - mean of the other rollouts' r  =  n / (n - 1) * (r_i - mean(r))

The code released with verl gives a rollout without companions its raw score;
here that is an option, `singleton='score'`, and 0 is the default.
"""

import functools

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.internal import (
  arguments,
  explicit_axes,
  group_statistics,
)


@explicit_axes.under_any_mesh
@functools.partial(jax.jit, static_argnames='singleton')
def advantages(
  scores: jax.Array,
  mask: jax.Array | None = None,
  *,
  singleton: str = 'zero',
) -> jax.Array:
  """Advantages of rollouts over the mean of their companions.

  Args:
    scores: float [..., G].
    mask: bool [..., G], rollouts that count; None for all.
    singleton: what the only rollout of a group gets: 'zero', or its 'score' as
      in the released code.

  Returns:
    float [..., G], dtype of `scores`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import rloo
    >>> print(rloo.advantages(jnp.array([2.0, 1, 0])))
    [ 1.5  0.  -1.5]
  """
  arguments.one_of('singleton', singleton, group_statistics.SINGLETONS)
  arguments.axes('scores', scores, 1, '[..., G]')
  scores = arguments.floating('scores', scores)
  mask = arguments.boolean_mask('mask', mask, scores.shape, 'scores')
  count = mask.sum(axis=-1, keepdims=True)
  centred = group_statistics.relative_to_group(
    arguments.wide(scores), mask, scale='none', ddof=0, eps=0.0
  )
  result = centred * (count / jnp.maximum(count - 1, 1))
  if singleton == 'score':
    result = jnp.where(mask & (count == 1), scores, result)
  return result.astype(scores.dtype)
