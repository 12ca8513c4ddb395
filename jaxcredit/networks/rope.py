"""Rotary positions (Su et al. 2021) on half-split pairs, as in Llama and Qwen.

Pair i of a head turns by position * frequency_i, where frequency_i =
base^(-2i/D), divided where rope scaling says so.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.networks import config as config_lib


def frequencies(config: config_lib.DecoderConfig) -> np.ndarray:
  """Radians a position for each of the D/2 pairs of a head, float64."""
  half = config.head_dim // 2
  plain = config.rope_base ** (-np.arange(half) / half)
  return plain / scaling_factors(plain, config.rope_scaling)


def scaling_factors(
  plain: np.ndarray, scaling: config_lib.RopeScaling | None
) -> np.ndarray:
  """What each frequency is divided by.

  Args:
    plain: frequencies before scaling, [D/2].
    scaling: None gives ones.
  """
  if scaling is None:
    return np.ones_like(plain)
  if scaling.kind == 'linear':
    return np.full_like(plain, scaling.factor)
  # Turns of a pair within the rows first trained on. Many: untouched. Few:
  # divided by the factor. Between: the frequency is mixed linearly in turns.
  turns = scaling.original_positions * plain / (2 * np.pi)
  ramp = (turns - scaling.low_frequency) / (
    scaling.high_frequency - scaling.low_frequency
  )
  ramp = np.clip(ramp, 0, 1)
  return 1 / ((1 - ramp) / scaling.factor + ramp)


def rotate(x: jax.Array, positions: jax.Array, frequency: np.ndarray):
  """Turns the pairs (i, i + D/2) of each head.

  Args:
    x: [N, L, H, D].
    positions: int32 [N, L].
    frequency: [D/2].
  """
  half = x.shape[-1] // 2
  wide = jnp.promote_types(x.dtype, jnp.float32)
  angle = positions[..., None, None].astype(wide) * jnp.asarray(frequency, wide)
  cos, sin = jnp.cos(angle).astype(x.dtype), jnp.sin(angle).astype(x.dtype)
  a, b = x[..., :half], x[..., half:]
  return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
