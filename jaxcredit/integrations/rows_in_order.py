"""Credit of rows whose groups stand side by side, as TRL and Tunix hold them.

The `num_generations` rows of a prompt follow each other, so that a group is
`rows[k * num_generations : (k + 1) * num_generations]`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxcredit import methods, tempo, types


def _grouped(name: str, rows: jax.Array, num_generations: int) -> jax.Array:
  """Rows [B, ...] as [P, G, ...]."""
  if num_generations < 1 or rows.shape[0] % num_generations:
    raise ValueError(
      f'{name} has {rows.shape[0]} rows, which is no multiple of '
      f'num_generations = {num_generations}'
    )
  return rows.reshape(-1, num_generations, *rows.shape[1:])


def estimator(
  advantages: Callable[..., jax.Array], **options
) -> Callable[..., jax.Array]:
  """An estimator for rows in order, from a function for groups.

  Args:
    advantages: (scores [P, G]) -> float [P, G], such as `grpo.advantages`.
    **options: of that function.

  Returns:
    (rewards float [B], num_generations) -> float [B], dtype of the rewards. It
    raises ValueError where B is no multiple of `num_generations`.

  Example:
    >>> from jaxcredit import grpo
    >>> from jaxcredit.integrations import rows_in_order
    >>> estimate = rows_in_order.estimator(grpo.advantages, scale='none')
    >>> print(estimate(rewards=jnp.array([1.0, 0, 0, 0]), num_generations=2))
    [ 0.5 -0.5  0.   0. ]
  """

  def estimate(rewards: jax.Array, num_generations: int) -> jax.Array:
    rewards = jnp.asarray(rewards)
    scores = _grouped('rewards', rewards, num_generations)
    return advantages(scores, **options).reshape(rewards.shape)

  return estimate


def of_method(
  method: methods.Method, options: Any = None
) -> Callable[..., jax.Array]:
  """An estimator for rows in order, from a method that judges whole episodes.

  Args:
    method: of `methods.TABLE`, whose unit is the episode and which needs
      rewards alone.
    options: of the method; None for its own.

  Returns:
    (rewards float [B], num_generations) -> float [B].

  Raises:
    ValueError: the method gives credit to steps or tokens, or needs more.

  Example:
    >>> from jaxcredit import methods
    >>> from jaxcredit.integrations import rows_in_order
    >>> estimate = rows_in_order.of_method(methods.TABLE['rloo'])
    >>> print(estimate(rewards=jnp.array([1.0, 0, 1, 1]), num_generations=2))
    [ 1. -1.  0.  0.]
  """
  options = method.options() if options is None else options
  if method.unit != 'episode' or method.needs_with(options):
    raise ValueError(
      f'{method.label} gives credit to {method.unit}s or needs more than '
      'rewards: an estimator of rows in order is given rewards alone'
    )

  def returns_to_credit(returns: jax.Array) -> jax.Array:
    steps = returns[..., None]
    batch = methods.Batch(methods.trajectories(steps, jnp.ones_like(steps)))
    return method.credit(batch, options).total[..., 0]

  return estimator(returns_to_credit)


def of_token_method(
  method: methods.Method, options: Any = None
) -> Callable[..., jax.Array]:
  """Credit of tokens for rows in order, from a method of tokens.

  Args:
    method: of `methods.TABLE`, whose unit is the token and which needs no more
      than tokens and rewards.
    options: of the method; None for its own.

  Returns:
    (tokens int [B, L], mask [B, L], rewards float [B], num_generations) ->
    float [B, L], 0 where masked.

  Raises:
    ValueError: the method's unit is another, or it needs more.

  Example:
    >>> from jaxcredit import methods
    >>> from jaxcredit.integrations import rows_in_order
    >>> tempo = methods.TABLE['tempo']
    >>> credit = rows_in_order.of_token_method(tempo, tempo.options('none'))
    >>> tokens, mask = jnp.array([[5, 6], [5, 7]]), jnp.ones((2, 2), bool)
    >>> print(credit(tokens, mask, jnp.array([1.0, 0]), 2))
    [[ 0.5  1. ]
     [-0.5 -1. ]]
  """
  options = method.options() if options is None else options
  if method.unit != 'token' or method.needs_with(options):
    raise ValueError(
      f'{method.label} gives credit to {method.unit}s or needs more than '
      'tokens and rewards'
    )

  def credit(tokens, mask, rewards, num_generations):
    tokens, mask = jnp.asarray(tokens), jnp.asarray(mask) != 0
    steps = _grouped('rewards', jnp.asarray(rewards), num_generations)[
      ..., None
    ]
    taken = _grouped('mask', mask, num_generations).any(axis=-1, keepdims=True)
    count, length = tokens.shape
    rows = types.Rows(
      tokens=tokens,
      step_of_token=jnp.where(mask, 0, -1),
      trajectory=jnp.arange(count),
      length=length - jnp.argmax(mask[:, ::-1], axis=1) * mask.any(axis=1),
      log_probs=jnp.zeros(tokens.shape, steps.dtype),
    )
    batch = methods.Batch(methods.trajectories(steps, taken), rows)
    return method.credit(batch, options).total.reshape(tokens.shape)

  return credit


def tempo_advantages(
  tokens: jax.Array,
  mask: jax.Array,
  rewards: jax.Array,
  num_generations: int,
  **options,
) -> jax.Array:
  """TEMPO's advantages of tokens (2509.18314) for rows in order.

  Args:
    tokens: int [B, L], the responses without their prompts.
    mask: bool or int [B, L], tokens that the policy drew.
    rewards: float [B], a reward for each response.
    num_generations: G.
    **options: of `tempo.advantages`.

  Returns:
    float [B, L], dtype of `rewards`; 0 where masked.

  Raises:
    ValueError: B is no multiple of `num_generations`, or what
      `tempo.advantages` raises.

  Example:
    >>> from jaxcredit.integrations import rows_in_order
    >>> tokens = jnp.array([[5, 6], [5, 7]])
    >>> mask, rewards = jnp.ones((2, 2), bool), jnp.array([1.0, 0])
    >>> credit = rows_in_order.tempo_advantages(
    ...   tokens, mask, rewards, 2, scale='none'
    ... )
    >>> print(credit)
    [[ 0.5  1. ]
     [-0.5 -1. ]]
  """
  tokens, mask = jnp.asarray(tokens), jnp.asarray(mask) != 0
  credit = tempo.advantages(
    _grouped('tokens', tokens, num_generations),
    _grouped('mask', mask, num_generations),
    _grouped('rewards', jnp.asarray(rewards), num_generations),
    **options,
  )
  return credit.total.reshape(tokens.shape)
