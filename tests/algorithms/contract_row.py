"""A row of the contract table: a function, and how its arguments are made."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcredit import running_statistics


def given(*positional, **options):
  """Arguments of a call."""
  return positional, options


@dataclasses.dataclass(frozen=True)
class Row:
  """A function under contract.

  Attributes:
    name: of the row.
    function: under contract.
    given: (floats, mask, integers) -> its arguments.
    shape: of a group's arrays, without leading axes.
    integers: kind of the integer argument, 'anchors', 'steps', 'parents' or ''.
    floats: how many float arrays the function takes.
    over_batch: whether leading axes are mixed (whitening, means).
    gradient: whether the result is differentiable in the first float.
    options_of: the row of the same function with other options; '' for the
      row that runs all contracts.
    result: what of the result has the shapes that contracts look at.
    squares: whether it holds squares of the floats, which may be infinite
      where the floats are not.
    undefined: whether it is NaN where nothing counts.
    bounded: whether the result of an infinite float is finite.
  """

  name: str
  function: Callable[..., Any]
  given: Callable[..., tuple[tuple, dict]]
  shape: tuple[int, ...]
  integers: str = ''
  floats: int = 1
  over_batch: bool = False
  gradient: bool = True
  options_of: str = ''
  result: Callable[[Any], Any] = lambda result: result
  squares: bool = False
  undefined: bool = False
  bounded: bool = False

  def call(self, floats, mask, integers):
    """The function's result, a pytree."""
    positional, options = self.given(floats, mask, integers)
    return self.result(self.function(*positional, **options))


def of_loss(ratio, aggregation, **options):
  def arguments_of(floats, mask, integers):
    return given(
      0.1 * floats[0] - 1,
      0.1 * floats[1] - 1,
      floats[2],
      mask,
      ratio=ratio,
      aggregation=aggregation,
      step_of_token=integers,
      **options,
    )

  return arguments_of


def of_weighted_loss(floats, mask, integers):
  weights = jnp.exp(0.1 * floats[3])
  arguments_of = of_loss('token', 'token-mean', weights=weights)
  return arguments_of(floats, mask, integers)


def of_importance(ratio, floats, mask, integers):
  return given(
    0.1 * floats[0] - 1,
    0.1 * floats[1] - 1,
    mask,
    ratio=ratio,
    step_of_token=integers,
  )


def scores(rewards, mask):
  """A reward for each row, NaN for a row that is all masked."""
  if mask.shape != rewards.shape:
    return jnp.zeros(rewards.shape[:-1])  # the function is to complain
  total = jnp.where(mask, rewards, 0).sum(axis=-1)
  return jnp.where(mask.any(axis=-1), total, jnp.nan)


def tempo_parts(parts):
  """TEMPO's parts, all of the shape of the tokens."""
  return parts.total, parts.td, parts.branch, parts.values[..., 1:]


def of_tokens(step, mask):
  """Steps of those tokens that `mask` holds, -1 elsewhere."""
  if mask.shape != step.shape:
    return step  # the function is to complain
  return jnp.where(mask, step, -1)


def of_subsampled(form, unbiased, floats, mask, integers):
  """RRD's loss; episodes have two steps more than were drawn."""
  lengths = mask.sum(-1) + 2
  return given(
    floats[0],
    scores(floats[1], mask),
    lengths,
    mask,
    form=form,
    unbiased=unbiased,
  )


def normalised(values, mask):
  """Entries of one feature, by their own statistics."""
  state = running_statistics.update(running_statistics.init(()), values, mask)
  return running_statistics.apply(state, values, mask)


def of_redistributed(scaling, agents, floats, mask, integers):
  axes = (-1, -2) if agents else -1
  totals = None
  if mask.shape == floats[1].shape:
    totals = floats[1].max(axes, where=mask, initial=-3)
    totals = jnp.where(mask.any(axes), totals, jnp.nan)
  return given(
    floats[0],
    mask,
    scaling=scaling,
    returns=totals,
    deviation=2.0,
    factor=0.5,
    agents=agents,
  )


def of_ircr(floats, mask, integers):
  # A mask of the wrong shape is one without its steps.
  fits = mask.shape == floats[0].shape
  return given(scores(floats[0], mask), mask if fits else mask[..., 0])


def ends(floats, *, first):
  return {
    'terminated': floats[first] > 1,
    'truncated': floats[first] < -1,
    'final_values': floats[first + 1],
  }


def arguments(row: Row, leading, seed=0, dtype=np.float32):
  """Random arguments (floats, mask, integers) for a row of the table."""
  rng = np.random.default_rng(seed)
  shape = (*leading, *row.shape)
  # Round numbers, so that groups have equal members now and then.
  floats = tuple(
    np.round(rng.normal(size=shape) * 2).astype(dtype) / 2
    for _ in range(row.floats)
  )
  length = rng.integers(0, row.shape[-1] + 1, shape[:-1])
  mask = np.arange(row.shape[-1]) < length[..., None]
  integers = None
  if row.integers == 'anchors':
    integers = rng.integers(0, 4, (*shape, 2)).astype(np.uint32)
  elif row.integers == 'steps':
    integers = np.sort(rng.integers(-1, 4, shape), axis=-1).astype(np.int32)
    mask = mask & (integers >= 0)
  elif row.integers == 'parents':
    # Trees whose masked nodes are leaves.
    integers = rng.integers(-1, np.arange(row.shape[-1]), shape)
  return floats, mask, integers
