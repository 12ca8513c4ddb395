"""One transformer block, as a Flax NNX module.

The block is written once. `decoder` splits it into a static graph and a plain
dict of arrays, stacks the dicts of all layers, and merges them back one layer
at a time. Attention itself is handed in as a function, since training attends
within a row and decoding attends to a cache.
"""

from collections.abc import Callable, Collection

import jax
import jax.numpy as jnp
from flax import nnx

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import rope, sharding

# (queries [N, L, H, D], keys [N, L, K, D], values) -> (mixed [N, L, H, D], aux)
Attend = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, object]]


class Projection(nnx.Module):
  """x @ kernel (+ bias) (+ x @ lora_a @ lora_b), in the dtype of x."""

  def __init__(
    self, fan_in, fan_out, *, bias=False, scale=1.0, adapted=False, rngs
  ):
    deviation = scale * fan_in**-0.5
    self.kernel = nnx.Param(
      deviation * jax.random.normal(rngs.params(), (fan_in, fan_out))
    )
    self.bias = nnx.Param(jnp.zeros((fan_out,))) if bias else None
    # Of rank 1, to stand for those of any rank; see `lora`.
    self.lora_a = nnx.Param(jnp.zeros((fan_in, 1))) if adapted else None
    self.lora_b = nnx.Param(jnp.zeros((1, fan_out))) if adapted else None

  def __call__(self, x):
    # One flat product: with two leading axes the kernel's gradient contracts
    # over both, which XLA's CPU backend does at half the speed.
    kernel = self.kernel[...].astype(x.dtype)
    flat = x.reshape(-1, kernel.shape[0])
    y = flat @ kernel
    if self.lora_a is not None:
      low = flat @ self.lora_a[...].astype(x.dtype)
      y = y + low @ self.lora_b[...].astype(x.dtype)
    if self.bias is not None:
      y = y + self.bias[...].astype(x.dtype)
    return y.reshape(*x.shape[:-1], kernel.shape[1])


class Norm(nnx.Module):
  """Root-mean-square norm over the last axis, computed in float32 or wider."""

  def __init__(self, size, eps):
    self.scale = nnx.Param(jnp.ones((size,)))
    self.eps = eps

  def __call__(self, x):
    return rms_norm(x, self.scale[...], self.eps)


def rms_norm(x, scale, eps):
  """x / sqrt(mean(x^2) + eps) * scale."""
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  square = jnp.mean(wide * wide, axis=-1, keepdims=True)
  return (wide * jax.lax.rsqrt(square + eps)).astype(x.dtype) * scale.astype(
    x.dtype
  )


class Block(nnx.Module):
  """Attention and gated linear unit, each with a norm and a residual.

  Args:
    config: of the decoder.
    rngs: draws the weights.
    adapted: names of projections that have low-rank adapters; see `lora`.
  """

  def __init__(
    self,
    config: config_lib.DecoderConfig,
    rngs: nnx.Rngs,
    adapted: Collection[str] = (),
  ):
    c = config
    queries, keys = c.heads * c.head_dim, c.kv_heads * c.head_dim
    # Residual branches start smaller, so that depth does not raise the scale.
    small = (2 * c.layers) ** -0.5

    def project(name, fan_in, fan_out, **options):
      options = {'adapted': name in adapted, 'rngs': rngs, **options}
      return Projection(fan_in, fan_out, **options)

    self.attention_norm = Norm(c.width, c.norm_eps)
    self.q = project('q', c.width, queries, bias=c.qkv_bias)
    self.k = project('k', c.width, keys, bias=c.qkv_bias)
    self.v = project('v', c.width, keys, bias=c.qkv_bias)
    self.o = project('o', queries, c.width, bias=c.o_bias, scale=small)
    self.q_norm = Norm(c.head_dim, c.norm_eps) if c.qk_norm else None
    self.k_norm = Norm(c.head_dim, c.norm_eps) if c.qk_norm else None
    self.unit_norm = Norm(c.width, c.norm_eps)
    self.gate = project('gate', c.width, c.hidden)
    self.up = project('up', c.width, c.hidden)
    self.down = project('down', c.hidden, c.width, scale=small)
    self.config = config

  def __call__(self, x, positions, attend: Attend):
    """Applies the block.

    Args:
      x: [N, L, W].
      positions: int32 [N, L].
      attend: mixes values by queries and keys.

    Returns:
      [N, L, W] and what `attend` returned beside the mixture.
    """
    c = self.config
    h = self.attention_norm(x)
    split = h.shape[:2]
    q = self.q(h).reshape(*split, c.heads, c.head_dim)
    k = self.k(h).reshape(*split, c.kv_heads, c.head_dim)
    v = self.v(h).reshape(*split, c.kv_heads, c.head_dim)
    if self.q_norm is not None:
      q, k = self.q_norm(q), self.k_norm(k)
    q = sharding.constrain(q, 'batch', None, 'heads', None)
    frequency = rope.frequencies(c)
    q = rope.rotate(q, positions, frequency)
    k = rope.rotate(k, positions, frequency)
    mixed, aux = attend(q, k, v)
    x = x + self.o(mixed.reshape(*split, c.heads * c.head_dim))
    x = sharding.constrain(x, 'batch', None, None)
    h = self.unit_norm(x)
    hidden = jax.nn.silu(self.gate(h)) * self.up(h)
    hidden = sharding.constrain(hidden, 'batch', None, 'hidden')
    x = x + self.down(hidden)
    return sharding.constrain(x, 'batch', None, None), aux
