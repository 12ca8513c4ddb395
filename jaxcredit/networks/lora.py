"""Low-rank adapters (LoRA, Hu et al. 2021) over a decoder's projections.

  y = x W + (alpha / rank) x A B,    A [in, rank] random, B [rank, out] zero

The adapters are a dict of their own, {'layers': {'q': {'lora_a' [layers, in,
rank], 'lora_b' [layers, rank, out]}, ...}}, which is all that is learned:

  adapters = lora.init(key, params, options)
  learner = Learner(lora.adapted(loss, options), ...)
  state = learner.init(adapters)
  learner.update(state, rows, advantages, reference=params)
  weights.save_pretrained(lora.merge(params, state.params, options), ...)

The adapted model begins as the base model, which is also the reference policy.
"""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Params = dict[str, Any]

PROJECTIONS = ('q', 'k', 'v', 'o', 'gate', 'up', 'down')


@dataclasses.dataclass(frozen=True)
class LoraOptions:
  """What is adapted, and how.

  Attributes:
    rank: of the update of each projection.
    alpha: the update is scaled by alpha / rank.
    targets: patterns of the names of projections (PROJECTIONS); one that
      matches a whole name adapts it. ('q|v',) are those of the paper.
  """

  rank: int = 8
  alpha: float = 16.0
  targets: tuple[str, ...] = ('.*',)

  def __post_init__(self):
    if self.rank < 1:
      raise ValueError(f'the rank must be positive, not {self.rank}')
    if not self.alpha > 0:
      raise ValueError(f'alpha must be positive, not {self.alpha}')
    if not self.targets or isinstance(self.targets, str):
      raise ValueError(
        f'targets must be one or more patterns in a tuple, not {self.targets!r}'
      )
    for pattern in self.targets:
      if not any(re.fullmatch(pattern, name) for name in PROJECTIONS):
        raise ValueError(
          f'the pattern {pattern!r} of targets matches none of the '
          f'projections {", ".join(PROJECTIONS)}'
        )

  @property
  def scale(self) -> float:
    """What the product of the two factors is multiplied by."""
    return self.alpha / self.rank

  @property
  def adapted(self) -> tuple[str, ...]:
    """Names of the projections that have adapters."""
    return tuple(
      name
      for name in PROJECTIONS
      if any(re.fullmatch(pattern, name) for pattern in self.targets)
    )


def init(key: jax.Array, params: Params, options: LoraOptions) -> Params:
  """Draws adapters that do not change the model yet.

  Args:
    key: random key.
    params: of the decoder, or their shapes.
    options: of the adapters.

  Returns:
    The adapters, float32 or wider.
  """
  adapters = {}
  keys = jax.random.split(key, len(options.adapted))
  for name, own_key in zip(options.adapted, keys, strict=True):
    kernel = params['layers'][name]['kernel']
    layers, fan_in, fan_out = kernel.shape
    dtype = jnp.promote_types(kernel.dtype, jnp.float32)
    shape = (layers, fan_in, options.rank)
    adapters[name] = {
      'lora_a': fan_in**-0.5 * jax.random.normal(own_key, shape, dtype),
      'lora_b': jnp.zeros((layers, options.rank, fan_out), dtype),
    }
  return {'layers': adapters}


def check(params: Params, adapters: Params, options: LoraOptions) -> None:
  """Checks that adapters fit a model and the options.

  Args:
    params: of the base model, or their shapes.
    adapters: as `init` makes them, or their shapes.
    options: of the adapters.

  Raises:
    ValueError: they do not; it names the projection and both shapes.
  """
  names = set(adapters['layers'])
  if names != set(options.adapted):
    raise ValueError(
      f'the adapters are of {sorted(names)}, but the options adapt '
      f'{sorted(options.adapted)}'
    )
  for name, factors in adapters['layers'].items():
    layers, fan_in, fan_out = params['layers'][name]['kernel'].shape
    for factor, shape in (
      ('lora_a', (layers, fan_in, options.rank)),
      ('lora_b', (layers, options.rank, fan_out)),
    ):
      if factors[factor].shape != shape:
        raise ValueError(
          f'layers/{name}/{factor} is {list(factors[factor].shape)}, but a '
          f'kernel {[layers, fan_in, fan_out]} and rank {options.rank} need '
          f'{list(shape)}'
        )


def apply(params: Params, adapters: Params, options: LoraOptions) -> Params:
  """The adapted model, whose projections compute both products.

  Cheaper to learn than `merge`: no gradient of a whole kernel is formed.

  Args:
    params: of the base model.
    adapters: as `init` makes them.
    options: of the adapters.

  Returns:
    Parameters for `decoder.log_probs`.
  """
  check(params, adapters, options)
  layers = dict(params['layers'])
  for name, factors in adapters['layers'].items():
    layers[name] = {
      **layers[name],
      'lora_a': factors['lora_a'],
      'lora_b': options.scale * factors['lora_b'],
    }
  return {**params, 'layers': layers}


def merge(params: Params, adapters: Params, options: LoraOptions) -> Params:
  """The adapted model in the form of the base model.

  For decoding and for export: nothing tells it from a model whose kernels were
  learned.

  Args:
    params: of the base model.
    adapters: as `init` makes them.
    options: of the adapters.

  Returns:
    Parameters of the shapes and dtypes of `params`.
  """
  check(params, adapters, options)
  layers = dict(params['layers'])
  for name, factors in adapters['layers'].items():
    kernel = layers[name]['kernel']
    update = options.scale * (factors['lora_a'] @ factors['lora_b'])
    layers[name] = {
      **layers[name],
      'kernel': (kernel + update).astype(kernel.dtype),
    }
  return {**params, 'layers': layers}


def adapted(loss: Callable[..., Any], options: LoraOptions):
  """Makes a loss of parameters a loss of adapters.

  Args:
    loss: `(params, reference, ...)`, as `learner.Learner` takes it.
    options: of the adapters.

  Returns:
    A loss `(adapters, base, ...)`. The base model, which is not learned, is
    the reference policy.
  """

  def loss_of_adapters(adapters, base, *rest):
    base = jax.lax.stop_gradient(base)
    return loss(apply(base, adapters, options), base, *rest)

  return loss_of_adapters
