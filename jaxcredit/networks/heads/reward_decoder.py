"""The network of return decomposition: features of a step -> its reward.

  config = RewardDecoderConfig.mujoco(inputs=5)
  params = init(key, config)
  rewards = step_rewards(params, config, features, mask)

Features are LaRe's evaluation factors z = phi(s, a), for which the network is
called decoder, or the transition itself as in RD and RRD, see
`transition_features`. With several agents it is applied to each of them.

The dict is {'layer_0': {'kernel' [d, H], 'bias' [H]}, ...}, the last with one
output.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

Params = dict[str, Any]

# Small, so that each device has it whole; see `sharding.RULES`.
RULES = (
  (r'layer_[0-9]+/kernel$', (None, None)),
  (r'layer_[0-9]+/bias$', (None,)),
)


@dataclasses.dataclass(frozen=True)
class RewardDecoderConfig:
  """Sizes of the network.

  Attributes:
    inputs: features of a step, d.
    hidden: width of the hidden layers.
    layers: linear layers, the one to the reward included.
  """

  inputs: int
  hidden: int = 256
  layers: int = 3

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if not isinstance(value, int) or value < 1:
        raise ValueError(
          f'{field.name} must be a whole number from 1 on, not {value!r}'
        )

  @classmethod
  def mujoco(cls, inputs: int) -> 'RewardDecoderConfig':
    """As released for MuJoCo, of LaRe, RD and RRD."""
    return cls(inputs, hidden=256, layers=3)

  @classmethod
  def particles(cls, inputs: int) -> 'RewardDecoderConfig':
    """As released for the particle environments, shared by the agents."""
    return cls(inputs, hidden=64, layers=5)


class Linear(nnx.Module):
  """x @ kernel + bias, both drawn uniformly from +-1 / sqrt(inputs).

  PyTorch's default, with which the released networks begin.
  """

  def __init__(self, inputs, outputs, *, rngs):
    bound = inputs**-0.5

    def draw(*shape):
      return jax.random.uniform(
        rngs.params(), shape, minval=-bound, maxval=bound
      )

    self.kernel = nnx.Param(draw(inputs, outputs))
    self.bias = nnx.Param(draw(outputs))

  def __call__(self, x):
    return x @ self.kernel[...] + self.bias[...]


class RewardDecoder(nnx.Module):
  """Linear layers with ReLU between them; one output."""

  def __init__(self, config: RewardDecoderConfig, rngs: nnx.Rngs):
    sizes = [config.inputs, *[config.hidden] * (config.layers - 1), 1]
    self.layers = config.layers
    for i, (inputs, outputs) in enumerate(
      zip(sizes[:-1], sizes[1:], strict=True)
    ):
      setattr(self, f'layer_{i}', Linear(inputs, outputs, rngs=rngs))

  def __call__(self, x):
    for i in range(self.layers):
      x = getattr(self, f'layer_{i}')(x if i == 0 else jax.nn.relu(x))
    return x[..., 0]


@functools.lru_cache(maxsize=64)
def _graph(config: RewardDecoderConfig):
  """The module's static graph; with a dict of arrays it merges to a module."""
  graph = None

  def build():
    nonlocal graph
    graph, state = nnx.split(RewardDecoder(config, nnx.Rngs(0)))
    return nnx.to_pure_dict(state)

  jax.eval_shape(build)
  return graph


@functools.partial(jax.jit, static_argnames=('config',))
def init(key: jax.Array, config: RewardDecoderConfig) -> Params:
  """Draws parameters, float32 (float64 under x64).

  Args:
    key: random key.
    config: of the network.
  """
  _, state = nnx.split(RewardDecoder(config, nnx.Rngs(params=key)))
  return nnx.to_pure_dict(state)


@functools.partial(jax.jit, static_argnames=('config',))
def step_rewards(
  params: Params,
  config: RewardDecoderConfig,
  features: jax.Array,
  mask: jax.Array | None = None,
) -> jax.Array:
  """Rewards of steps.

  Args:
    params: of the network.
    config: likewise.
    features: float [..., d].
    mask: bool [...], steps that there are; None for all. What others hold, NaN
      included, is not looked at.

  Returns:
    float32 [...] (float64 with parameters of that), 0 where masked.

  Raises:
    ValueError: shapes do not fit.
  """
  features = jnp.asarray(features)
  batch = features.shape[:-1]
  if features.ndim < 1 or features.shape[-1] != config.inputs:
    raise ValueError(
      f'features have shape {features.shape}, but the network takes '
      f'[..., {config.inputs}]'
    )
  if mask is not None:
    mask = jnp.asarray(mask)
    if mask.shape != batch:
      raise ValueError(
        f'mask has shape {mask.shape}, but features without their last axis '
        f'have {batch}: they must be equal'
      )
    # Before the network: a NaN would be in the gradients of all parameters.
    features = jnp.where(mask[..., None] != 0, features, 0)
  # One flat product a layer: with more leading axes a kernel's gradient
  # contracts over several, which XLA's CPU backend does at half the speed.
  dtype = params['layer_0']['kernel'].dtype
  flat = features.reshape(-1, config.inputs).astype(dtype)
  rewards = nnx.merge(_graph(config), params)(flat).reshape(batch)
  rewards = rewards.astype(jnp.promote_types(dtype, jnp.float32))
  return rewards if mask is None else jnp.where(mask != 0, rewards, 0)


def transition_features(
  observations: jax.Array,
  actions: jax.Array,
  next_observations: jax.Array | None = None,
) -> jax.Array:
  """What RD and RRD predict from: [s, a], or [s, a, s - s'].

  Args:
    observations: float [..., S, n].
    actions: float [..., S, m].
    next_observations: float [..., S, n]; None leaves the difference out. The
      code released with LaRe has it.

  Returns:
    float [..., S, n + m] or [..., S, 2 n + m].
  """
  parts = [observations, actions]
  if next_observations is not None:
    parts.append(observations - next_observations)
  return jnp.concatenate(parts, axis=-1)


def count_parameters(params: Params) -> int:
  """Number of parameters."""
  return sum(x.size for x in jax.tree.leaves(params))
