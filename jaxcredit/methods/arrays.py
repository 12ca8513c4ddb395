"""Views of a batch that several methods take."""

import jax
import jax.numpy as jnp

from jaxcredit import types
from jaxcredit.methods.method import Batch


def trajectories(
  rewards: jax.Array,
  mask: jax.Array,
  anchors: jax.Array | None = None,
  penalties: jax.Array | None = None,
  grounding: jax.Array | None = None,
) -> types.Trajectories:
  """Makes trajectories from plain arrays.

  Args:
    rewards: float [P, G, S] or [G, S].
    mask: bool or 0 and 1, same shape: steps that were taken.
    anchors: integers, same shape, or with words [..., K]; None if all states
      differ.
    penalties: float, same shape; None means 0.
    grounding: bool, same shape; None if unknown.

  Returns:
    Trajectories [P, G, S]; all episodes count as terminated.

  Raises:
    ValueError: shapes differ.

  Example:
    >>> from jaxcredit import methods
    >>> made = methods.trajectories(jnp.ones((4, 3)), jnp.ones((4, 3), bool))
    >>> print(made.rewards.shape, made.anchors.shape)
    (1, 4, 3) (1, 4, 3)
  """
  rewards = jnp.asarray(rewards)
  if rewards.ndim not in (2, 3):
    raise ValueError(
      f'rewards must be [G, S] or [P, G, S], but have shape {rewards.shape}'
    )
  lift = rewards.ndim == 2

  def place(name, x, dtype, words=False):
    x = jnp.asarray(x)
    if x.shape[: rewards.ndim] != rewards.shape or (
      x.ndim != rewards.ndim and not (words and x.ndim == rewards.ndim + 1)
    ):
      raise ValueError(
        f'{name} have shape {x.shape}, which does not fit the rewards, '
        f'{rewards.shape}'
      )
    x = x if dtype is None else x.astype(dtype)
    return x[None] if lift else x

  if anchors is None:
    anchors = jnp.arange(rewards.size, dtype=jnp.int32).reshape(rewards.shape)
  if penalties is None:
    penalties = jnp.zeros_like(rewards)
  mask = place('mask', mask, bool)
  return types.Trajectories(
    rewards=place('rewards', rewards, None),
    mask=mask,
    anchors=place('anchors', anchors, None, words=True),
    penalties=place('penalties', penalties, rewards.dtype),
    terminated=mask.any(axis=-1),
    truncated=jnp.zeros(mask.shape[:-1], bool),
    grounding=None
    if grounding is None
    else place('grounding', grounding, bool),
  )


def returns(batch: Batch) -> jax.Array:
  """Return of each episode, float [P, G]."""
  t = batch.trajectories
  return jnp.where(t.mask, t.rewards, 0).sum(axis=-1)


def scores(batch: Batch) -> jax.Array:
  """Return of each episode minus its penalties, float [P, G]."""
  t = batch.trajectories
  return jnp.where(t.mask, t.rewards - t.penalties, 0).sum(axis=-1)


def by_group(x: jax.Array, batch: Batch) -> jax.Array:
  """Reshapes arrays of episodes [E, ...] to [P, G, ...]."""
  return x.reshape(*batch.trajectories.mask.shape[:2], *x.shape[1:])


def sampled(batch: Batch) -> jax.Array:
  """Tokens that the policy sampled, bool [P, G, L]."""
  return by_group(batch.rows.step_of_token >= 0, batch)


def environment(batch: Batch) -> jax.Array:
  """Tokens of the environment after the prompt, bool [P, G, L]."""
  policy = batch.rows.step_of_token >= 0
  begun = jax.lax.cummax(policy.astype(jnp.int32), axis=1) > 0
  position = jnp.arange(policy.shape[1])
  inside = position < batch.rows.length[:, None]
  return by_group(begun & inside & ~policy, batch)
