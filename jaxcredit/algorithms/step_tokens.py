"""Steps in rows of tokens: where each begins, and where it ends.

`step_of_token` says which step a token belongs to, -1 where to none (prompt,
observation, padding). It alone decides: steps are never told apart by gaps in a
mask, so that two with no token between them stay two.
"""

import jax
import jax.numpy as jnp

from jaxcredit.algorithms import arguments


def checked(step_of_token, leading, of: str) -> jax.Array:
  """`step_of_token` as an array with the leading axes of another argument.

  Raises:
    ValueError: wrong shape or dtype.
  """
  arguments.axes('step_of_token', step_of_token, 1, '[..., L]')
  step_of_token = jnp.asarray(step_of_token)
  arguments.same_shape(
    'step_of_token without L', step_of_token[..., 0:0].sum(-1), leading, of
  )
  if not jnp.issubdtype(step_of_token.dtype, jnp.integer):
    raise ValueError(
      f'step_of_token must be integers, not {step_of_token.dtype}'
    )
  return step_of_token


def _by_step(reduce, values, step_of_token, steps, present):
  """[..., L] -> [..., S], reduced over the tokens of each step.

  Args:
    reduce: jax.ops.segment_sum, segment_min or segment_max.
    values: [..., L].
    step_of_token: int [..., L].
    steps: S.
    present: bool [..., L], tokens of steps below S.
  """
  size = values.shape[-1]
  segment = jnp.where(present, step_of_token, steps)

  def one(x, segment):
    return reduce(x, segment, num_segments=steps + 1)

  result = jax.vmap(one)(values.reshape(-1, size), segment.reshape(-1, size))
  return result.reshape(*values.shape[:-1], steps + 1)[..., :steps]


def of_steps(step_of_token: jax.Array, steps: int) -> jax.Array:
  """bool [..., L], whether each token is of a step below `steps`."""
  return (step_of_token >= 0) & (step_of_token < steps)


def sums(values: jax.Array, step_of_token: jax.Array, steps: int) -> jax.Array:
  """float [..., S], sum of token values [..., L] over each step."""
  present = of_steps(step_of_token, steps)
  return _by_step(
    jax.ops.segment_sum,
    jnp.where(present, values, 0),
    step_of_token,
    steps,
    present,
  )


def first_positions(step_of_token: jax.Array, steps: int) -> jax.Array:
  """int32 [..., S], where each step begins; L for a step without a token."""
  length = step_of_token.shape[-1]
  position = jnp.broadcast_to(
    jnp.arange(length, dtype=jnp.int32), step_of_token.shape
  )
  present = of_steps(step_of_token, steps)
  first = _by_step(jax.ops.segment_min, position, step_of_token, steps, present)
  return jnp.minimum(first, length)


def last_positions(step_of_token: jax.Array, steps: int) -> jax.Array:
  """int32 [..., S], where each step ends; -1 for a step without a token."""
  position = jnp.broadcast_to(
    jnp.arange(step_of_token.shape[-1], dtype=jnp.int32), step_of_token.shape
  )
  present = of_steps(step_of_token, steps)
  last = _by_step(jax.ops.segment_max, position, step_of_token, steps, present)
  return jnp.maximum(last, -1)


def spread(values: jax.Array, step_of_token: jax.Array) -> jax.Array:
  """[..., L], step values [..., S] on every token of the step, 0 elsewhere."""
  steps = values.shape[-1]
  present = of_steps(step_of_token, steps)
  if not steps:
    return jnp.zeros(step_of_token.shape, values.dtype)
  index = jnp.where(present, step_of_token, 0)
  return jnp.where(present, jnp.take_along_axis(values, index, axis=-1), 0)
