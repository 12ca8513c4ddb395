"""RLOO: leave-one-out baseline (Ahmadian et al. 2024, arXiv 2402.14740).

A_i = r_i - mean of the other rollouts' r  =  n / (n - 1) * (r_i - mean(r))
"""

import jax
import jax.numpy as jnp

from jaxcredit.algorithms import arguments, explicit_axes, group_statistics


@explicit_axes.under_any_mesh
@jax.jit
def advantages(scores: jax.Array, mask: jax.Array | None = None) -> jax.Array:
  """Advantages of rollouts over the mean of their companions.

  Args:
    scores: float [..., G].
    mask: bool [..., G], rollouts that count; None for all.

  Returns:
    float [..., G], dtype of `scores`; 0 where masked and for a rollout without
    companions.

  Raises:
    ValueError: wrong shapes.
  """
  arguments.axes('scores', scores, 1, '[..., G]')
  scores = arguments.floating('scores', scores)
  mask = arguments.boolean_mask('mask', mask, scores.shape, 'scores')
  count = mask.sum(axis=-1, keepdims=True)
  centred = group_statistics.relative_to_group(
    scores, mask, scale='none', ddof=0, eps=0.0
  )
  factor = count / jnp.maximum(count - 1, 1)
  return (centred * factor).astype(scores.dtype)
