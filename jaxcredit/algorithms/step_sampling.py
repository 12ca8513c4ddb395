"""Steps that stand for their episodes: uniform subsets of static size.

Return decomposition from K of an episode's L steps (see `lare`) needs the
network at those steps alone, if they are drawn before it is evaluated.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from jaxcredit.algorithms.internal import arguments, explicit_axes, public

# What an episode of fewer than K steps gives.
SHORT = ('all', 'replacement')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StepSample:
  """Steps that stand for their episodes.

  Attributes:
    indices: int32 [..., K], of steps; 0 where masked.
    mask: bool [..., K], what was drawn.
    lengths: int32 [...], steps of each whole episode.
  """

  indices: jax.Array
  mask: jax.Array
  lengths: jax.Array


@explicit_axes.under_any_mesh
@functools.partial(jax.jit, static_argnames=('k', 'short'))
def _sample_steps(mask, order_bits, draw_bits, *, k, short):
  size = mask.shape[-1]
  lengths = mask.sum(axis=-1, dtype=jnp.int32)
  # The k largest of independent numbers are a uniform subset. Integers of 31
  # bits have fewer ties than floats, and leave -1 for what is masked.
  order = (order_bits >> 1).astype(jnp.int32)
  _, indices = jax.lax.top_k(jnp.where(mask, order, -1), min(k, size))
  padding = [(0, 0)] * (mask.ndim - 1) + [(0, k - min(k, size))]
  indices = jnp.pad(indices, padding)
  drawn = jnp.arange(k) < lengths[..., None]
  if short == 'replacement':
    ranks = (draw_bits >> 1).astype(jnp.int32) % jnp.maximum(lengths, 1)[
      ..., None
    ]
    steps = jnp.argsort(~mask, axis=-1, stable=True).astype(jnp.int32)
    again = jnp.take_along_axis(steps, ranks, axis=-1)
    few = (lengths < k)[..., None]
    indices = jnp.where(few, again, indices)
    drawn = jnp.broadcast_to(lengths[..., None] > 0, drawn.shape)
  return StepSample(jnp.where(drawn, indices, 0), drawn, lengths)


def sample_steps(
  key: jax.Array, mask: jax.Array, k: int, *, short: str = 'all'
) -> StepSample:
  """Draws K steps of each episode, without replacement where there are K.

  Each subset of K steps is as likely as any other, up to ties of 31 bits.

  Args:
    key: random key, consumed.
    mask: bool [..., S], steps that were taken, anywhere in the row.
    k: steps to draw, at least 1; static.
    short: what an episode of fewer than K steps gives: 'all' of them, each
      once, and masked entries behind; or K draws with 'replacement' (the
      released code).

  Returns:
    StepSample; nothing is drawn of an episode without steps.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import lare
    >>> mask = jnp.array([[True, True, False], [True, False, False]])
    >>> sample = lare.sample_steps(jax.random.key(0), mask, 2)
    >>> print(sample.indices.sort(axis=-1), sample.lengths)
    [[0 1]
     [0 0]] [2 1]
  """
  arguments.one_of('short', short, SHORT)
  if not isinstance(k, int) or k < 1:
    raise ValueError(f'k must be a whole number from 1 on, not {k!r}')
  mask = arguments.numbers('mask', mask)
  arguments.mask_values('mask', mask)
  arguments.axes('mask', mask, 1, '[..., S]')
  mask = arguments.boolean_mask('mask', mask, jnp.shape(mask), 'mask')
  if not mask.shape[-1]:
    raise ValueError(f'mask has shape {mask.shape}: there is no step to draw')
  order_key, draw_key = jax.random.split(key)
  draw_bits = None
  if short == 'replacement':
    draw_bits = jax.random.bits(draw_key, (*mask.shape[:-1], k), jnp.uint32)
  order_bits = jax.random.bits(order_key, mask.shape, jnp.uint32)
  return _sample_steps(mask, order_bits, draw_bits, k=k, short=short)


@public.function()
def take_steps(
  values: jax.Array, indices: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
  """What stands at the sampled steps: the input of a network.

  Entries that were not drawn are 0, since a NaN in a network's input would be
  in the gradient of its parameters even if the loss leaves its output out.

  Args:
    values: [..., S, *D], such as factors of each step [..., S, d].
    indices: int32 [..., K], of a `StepSample`.
    mask: bool [..., K], likewise; None for all.

  Returns:
    [..., K, *D], dtype of `values`.

  Raises:
    ValueError: shapes do not fit.

  Example:
    >>> from jaxcredit import lare
    >>> values, indices = jnp.array([[1.0, 2, 3]]), jnp.array([[2, 0]])
    >>> print(lare.take_steps(values, indices))
    [[3. 1.]]
  """
  values = jnp.asarray(values)
  indices = arguments.integers('indices', indices)
  arguments.axes('indices', indices, 1, '[..., K]')
  mask = arguments.boolean_mask('mask', mask, indices.shape, 'indices')
  batch = indices.ndim - 1
  if values.ndim <= batch or values.shape[:batch] != indices.shape[:-1]:
    raise ValueError(
      f'values have shape {values.shape} and indices {indices.shape}: they '
      'must be [..., S, *D] and [..., K]'
    )
  extra = (1,) * (values.ndim - indices.ndim)
  picked = jnp.take_along_axis(
    values, indices.reshape(*indices.shape, *extra), axis=batch
  )
  return jnp.where(mask.reshape(*mask.shape, *extra), picked, 0)
