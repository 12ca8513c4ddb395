"""Multi-layer perceptrons: `init` and `apply` over a plain list of dicts."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

Params = list[dict[str, jax.Array]]


def init(
  key: jax.Array,
  sizes: Sequence[int],
  *,
  orthogonal: bool = False,
  last_scale: float = 1.0,
) -> Params:
  """Parameters of layers between `sizes`.

  Args:
    key: random key, consumed.
    sizes: of the input, the hidden layers and the output.
    orthogonal: weights orthogonal times sqrt 2, biases 0, as policies that
      learn on-policy begin; else both uniform in +-1 / sqrt(inputs).
    last_scale: factor of the last layer's weights, instead of sqrt 2 where
      they are orthogonal.

  Returns:
    For each layer {'kernel': float [inputs, outputs], 'bias': [outputs]}.

  Raises:
    ValueError: fewer than two sizes.
  """
  if len(sizes) < 2:
    raise ValueError(f'sizes must be two or more, not {tuple(sizes)}')
  layers = []
  last = len(sizes) - 2
  for i, layer_key in enumerate(jax.random.split(key, last + 1)):
    shape = (sizes[i], sizes[i + 1])
    if orthogonal:
      scale = last_scale if i == last else 2**0.5
      kernel = jax.nn.initializers.orthogonal(scale)(layer_key, shape)
      bias = jnp.zeros(shape[1])
    else:
      bound = max(shape[0], 1) ** -0.5
      kernel, bias = (
        jax.random.uniform(k, s, minval=-bound, maxval=bound)
        for k, s in zip(
          jax.random.split(layer_key), (shape, shape[1:]), strict=True
        )
      )
      kernel = kernel * (last_scale if i == last else 1.0)
    layers.append({'kernel': kernel, 'bias': bias})
  return layers


def apply(
  params: Params,
  inputs: jax.Array,
  activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
) -> jax.Array:
  """float [..., inputs] -> [..., outputs], linear at the end."""
  for layer in params[:-1]:
    inputs = activation(inputs @ layer['kernel'] + layer['bias'])
  return inputs @ params[-1]['kernel'] + params[-1]['bias']
