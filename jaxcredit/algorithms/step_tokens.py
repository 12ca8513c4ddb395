"""Steps in rows of tokens: where each begins and ends, and rewards there.

`step_of_token` says which step a token belongs to, -1 where to none (prompt,
observation, padding). It alone decides: steps are never told apart by gaps in a
mask, so that two with no token between them stay two. A row may hold all of an
episode, some of its steps, or one.
"""

import math

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.internal import arguments, public

PLACEMENTS = ('unit', 'remaining')


def checked(step_of_token, leading, of: str) -> jax.Array:
  """`step_of_token`, checked against the leading axes of another argument.

  Args:
    step_of_token: integers [..., L].
    leading: axes that stand in front of L.
    of: name of the other argument, for messages.

  Returns:
    The integers [..., L] as an array, dtype as given.

  Raises:
    ValueError: wrong shape or dtype.

  Example:
    >>> from jaxcredit import step_tokens
    >>> step_tokens.checked([[0, 0, 1]], (1,), 'step_rewards').shape
    (1, 3)
  """
  step_of_token = arguments.numbers('step_of_token', step_of_token)
  arguments.axes('step_of_token', step_of_token, 1, '[..., L]')
  step_of_token = arguments.integers('step_of_token', step_of_token)
  if step_of_token.shape[:-1] != tuple(leading):
    raise ValueError(
      f'step_of_token has shape {step_of_token.shape}, but {of} has leading '
      f'axes {tuple(leading)}: they must be equal'
    )
  return step_of_token


def _steps(steps):
  """S, which has to be a whole number."""
  if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
    raise ValueError(f'steps must be a whole number from 0 on, not {steps!r}')
  return steps


def _of_rows(step_of_token, steps):
  """Checked step of each token, of rows of any leading axes."""
  _steps(steps)
  return checked(step_of_token, jnp.shape(step_of_token)[:-1], 'step_of_token')


@public.function(static=('steps',))
def of_steps(step_of_token: jax.Array, steps: int) -> jax.Array:
  """Whether each token is of a step below `steps`.

  Args:
    step_of_token: int32 [..., L], step of each token, -1 for none.
    steps: S, how many steps there may be.

  Returns:
    bool [..., L].

  Raises:
    ValueError: wrong shape, dtype or number of steps.

  Example:
    >>> from jaxcredit import step_tokens
    >>> print(step_tokens.of_steps(jnp.array([0, 0, -1, 1, 2]), 2))
    [ True  True False  True False]
  """
  return _inside(_of_rows(step_of_token, steps), steps)


def _inside(step_of_token, steps):
  return (step_of_token >= 0) & (step_of_token < steps)


def _by_step(reduce, values, step_of_token, steps):
  """[..., L] -> [..., S], `reduce` (a segment operation) over each step."""
  size = values.shape[-1]
  inside = _inside(step_of_token, steps)
  segment = jnp.where(inside, step_of_token, steps)

  def one(x, segment):
    return reduce(x, segment, num_segments=steps + 1)

  flat = (math.prod(values.shape[:-1]), size)
  result = jax.vmap(one)(values.reshape(flat), segment.reshape(flat))
  return result.reshape(*values.shape[:-1], steps + 1)[..., :steps]


def _positions(step_of_token):
  position = jnp.arange(step_of_token.shape[-1], dtype=jnp.int32)
  return jnp.broadcast_to(position, step_of_token.shape)


@public.function(static=('steps',))
def sums(values: jax.Array, step_of_token: jax.Array, steps: int) -> jax.Array:
  """Sums of token values over each step.

  Args:
    values: float [..., L].
    step_of_token: int32 [..., L], step of each token, -1 for none.
    steps: S, how many steps there may be.

  Returns:
    float [..., S], dtype of `values`; 0 for a step without a token.

  Raises:
    ValueError: wrong shape, dtype or number of steps.

  Example:
    >>> from jaxcredit import step_tokens
    >>> step_of_token = jnp.array([0, 0, -1, 1, 2])
    >>> print(step_tokens.sums(jnp.arange(5.0), step_of_token, 2))
    [1. 3.]
  """
  step_of_token = _of_rows(step_of_token, steps)
  values = arguments.floating('values', values)
  arguments.same_shape('values', values, step_of_token.shape, 'step_of_token')
  return _by_step(jax.ops.segment_sum, values, step_of_token, steps)


@public.function(static=('steps',))
def first_positions(step_of_token: jax.Array, steps: int) -> jax.Array:
  """Where each step begins.

  Args:
    step_of_token: int32 [..., L], step of each token, -1 for none.
    steps: S, how many steps there may be.

  Returns:
    int32 [..., S]; L for a step without a token.

  Raises:
    ValueError: wrong shape, dtype or number of steps.

  Example:
    >>> from jaxcredit import step_tokens
    >>> print(step_tokens.first_positions(jnp.array([0, 0, -1, 1, 2]), 2))
    [0 3]
  """
  step_of_token = _of_rows(step_of_token, steps)
  position = _positions(step_of_token)
  first = _by_step(jax.ops.segment_min, position, step_of_token, steps)
  return jnp.minimum(first, step_of_token.shape[-1])


@public.function(static=('steps',))
def last_positions(step_of_token: jax.Array, steps: int) -> jax.Array:
  """Where each step ends.

  Args:
    step_of_token: int32 [..., L], step of each token, -1 for none.
    steps: S, how many steps there may be.

  Returns:
    int32 [..., S]; -1 for a step without a token.

  Raises:
    ValueError: wrong shape, dtype or number of steps.

  Example:
    >>> from jaxcredit import step_tokens
    >>> print(step_tokens.last_positions(jnp.array([0, 0, -1, 1, 2]), 2))
    [1 3]
  """
  step_of_token = _of_rows(step_of_token, steps)
  position = _positions(step_of_token)
  last = _by_step(jax.ops.segment_max, position, step_of_token, steps)
  return jnp.maximum(last, -1)


@public.function()
def spread(
  values: jax.Array, step_of_token: jax.Array, empty: float = 0
) -> jax.Array:
  """Values of steps, on each of their tokens.

  Args:
    values: [..., S].
    step_of_token: int32 [..., L], step of each token, -1 for none.
    empty: what a token of no step, or of one beyond S, gets.

  Returns:
    [..., L], dtype of `values`.

  Raises:
    ValueError: wrong shape, dtype or number of steps.

  Example:
    >>> from jaxcredit import step_tokens
    >>> step_of_token = jnp.array([0, 0, -1, 1, 2])
    >>> print(step_tokens.spread(jnp.array([0.5, 1]), step_of_token))
    [0.5 0.5 0.  1.  0. ]
  """
  values = jnp.asarray(values)
  arguments.axes('values', values, 1, '[..., S]')
  step_of_token = checked(step_of_token, values.shape[:-1], 'values')
  steps = values.shape[-1]
  if not steps:
    return jnp.full(step_of_token.shape, empty, values.dtype)
  inside = _inside(step_of_token, steps)
  index = jnp.where(inside, step_of_token, 0)
  spread_values = jnp.take_along_axis(values, index, axis=-1)
  return jnp.where(inside, spread_values, empty).astype(values.dtype)


@public.function(static=('steps',))
def first_tokens(step_of_token: jax.Array, steps: int) -> jax.Array:
  """The tokens whose values are those of steps, to train a critic on.

  Args:
    step_of_token: int32 [..., L], step of each token, -1 for none.
    steps: S, how many steps there may be.

  Returns:
    bool [..., L], the first token of each step.

  Raises:
    ValueError: wrong shape or dtype.

  Example:
    >>> from jaxcredit import step_tokens
    >>> print(step_tokens.first_tokens(jnp.array([0, 0, -1, 1, 1]), 2))
    [ True False False  True False]
  """
  step_of_token = _of_rows(step_of_token, steps)
  first = first_positions(step_of_token, steps)
  return spread(first, step_of_token, -1) == _positions(step_of_token)


@public.function(static=('placement',), renamed={'weight': 'placement'})
def place(
  step_rewards: jax.Array,
  step_of_token: jax.Array,
  mask: jax.Array | None = None,
  *,
  placement: str = 'unit',
) -> jax.Array:
  """Puts the reward of each step on its last token.

  Args:
    step_rewards: float [..., S].
    step_of_token: int32 [..., L], step of each token, -1 for none.
    mask: bool [..., S], steps of the episode, whether or not the row holds
      tokens of them; None for all.
    placement: 'unit', or 'remaining' (released code of SPA): the reward of
      step k is multiplied by n - 1 - k, so that the last step of an episode,
      and the only one, get none. n counts the steps of the episode, in `mask`,
      and k those before: a row that was truncated does not change them.

  Returns:
    float [..., L], dtype of `step_rewards`; 0 on all other tokens. A step
    without a token in the row gives nothing.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import step_tokens
    >>> step_of_token = jnp.array([0, 0, -1, 1, 1])
    >>> print(step_tokens.place(jnp.array([0.5, 1]), step_of_token))
    [0.  0.5 0.  0.  1. ]
  """
  arguments.one_of('placement', placement, PLACEMENTS)
  arguments.axes('step_rewards', step_rewards, 1, '[..., S]')
  step_rewards = arguments.floating('step_rewards', step_rewards)
  mask = arguments.boolean_mask(
    'mask', mask, step_rewards.shape, 'step_rewards'
  )
  step_of_token = checked(
    step_of_token, step_rewards.shape[:-1], 'step_rewards'
  )
  weighted = jnp.where(mask, arguments.wide(step_rewards), 0)
  if placement == 'remaining':
    later = mask.sum(axis=-1, keepdims=True) - jnp.cumsum(mask, axis=-1)
    weighted = weighted * jnp.maximum(later, 0).astype(weighted.dtype)
  last = last_positions(step_of_token, step_rewards.shape[-1])
  ends = spread(last, step_of_token, -1) == _positions(step_of_token)
  result = jnp.where(ends, spread(weighted, step_of_token), 0)
  return result.astype(step_rewards.dtype)
