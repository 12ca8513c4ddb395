"""Causal attention within rows: grouped queries, windows, packed sequences.

Four implementations give the same numbers, up to rounding:

  blocks  plain XLA, for CPUs: queries are taken in blocks, each of which meets
          the keys from its window's start to its own end: half the work of a
          square that is masked afterwards, in pieces that fit a CPU's cache
  xla     `jax.nn.dot_product_attention`: the whole square, masked
  cudnn   the same function with the fused kernel of cuDNN, for NVIDIA GPUs
  splash  the fused kernel that JAX ships for TPUs

'auto' takes the one for the platform that computes.
"""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import sharding

IMPLEMENTATIONS = config_lib.ATTENTIONS

# More than this many blocks compile slowly.
_QUERY_BLOCKS = 8
_QUERY_BLOCK = 64

# Lanes of a TPU; splash takes rows in multiples of them.
_LANES = 128


def attend(
  q: jax.Array,
  k: jax.Array,
  v: jax.Array,
  *,
  window: int | None = None,
  runs: jax.Array | None = None,
  implementation: str = 'auto',
) -> jax.Array:
  """Mixes values by queries and keys.

  A query sees its own position and those before it, so padding at the right
  needs no mask.

  Args:
    q: [N, L, H, D].
    k, v: [N, L, K, D]; K divides H.
    window: positions seen at most, the query's own included; None: all.
    runs: int32 [N, L]; a query sees only positions with its own number. None:
      a row is one sequence.
    implementation: one of IMPLEMENTATIONS.

  Returns:
    [N, L, H, D].

  Raises:
    ValueError: the implementation cannot do this; it says why.
  """
  if implementation == 'auto':
    implementation = choose(q, packed=runs is not None)
  elif implementation not in IMPLEMENTATIONS:
    raise ValueError(
      f'attention must be one of {IMPLEMENTATIONS}, not {implementation!r}'
    )
  if implementation == 'blocks':
    return _in_blocks(q, k, v, window, runs)
  if implementation == 'splash':
    return _splash(q, k, v, window, runs)
  if implementation == 'cudnn':
    problem = why_not_cudnn(q, packed=runs is not None)
    if problem:
      raise ValueError(f'attention by cudnn cannot be: {problem}')
  mask = None
  if runs is not None:
    mask = (runs[:, :, None] == runs[:, None])[:, None]
  return jax.nn.dot_product_attention(
    q,
    k,
    v,
    mask=mask,
    is_causal=True,
    local_window_size=None if window is None else (window - 1, 0),
    implementation=implementation,
  )


def choose(
  q: jax.Array, *, packed: bool = False, platform: str | None = None
) -> str:
  """The implementation for a platform.

  Args:
    q: queries, or their shape and dtype.
    packed: whether rows hold several sequences.
    platform: 'cpu', 'gpu' or 'tpu'; None for the default backend's.
  """
  platform = jax.default_backend() if platform is None else platform
  if platform == 'tpu':
    # Short rows would be mostly padding to the kernel's blocks.
    return 'splash' if q.shape[1] >= _LANES else 'xla'
  if platform in ('gpu', 'cuda', 'rocm'):
    return 'xla' if why_not_cudnn(q, packed=packed) else 'cudnn'
  return 'blocks'


def why_not_cudnn(q: jax.Array, *, packed: bool = False) -> str:
  """What cuDNN's kernel does not support of these queries; empty if nothing."""
  if q.dtype not in (jnp.bfloat16, jnp.float16):
    return f'it computes in bfloat16 or float16, not {q.dtype}'
  most = 256 if _capability() >= 9 else 128
  if q.shape[-1] % 8 or q.shape[-1] > most:
    return (
      f'its heads are multiples of 8 up to {most} on this device, not '
      f'{q.shape[-1]}'
    )
  if packed and q.shape[1] % 2:
    return f'its rows with a mask are of even length, not {q.shape[1]}'
  if not _capability():
    return 'there is no NVIDIA GPU'
  return ''


@functools.cache
def _capability() -> float:
  """Compute capability of the GPU; 0 where there is none of NVIDIA's."""
  return float(getattr(jax.devices()[0], 'compute_capability', 0) or 0)


def _in_blocks(q, k, v, window, runs):
  n, l, h, d = q.shape
  heads = k.shape[2]
  group = h // heads
  q = (q * d**-0.5).reshape(n, l, heads, group, d).transpose(0, 2, 3, 1, 4)
  k, v = k.transpose(0, 2, 3, 1), v.transpose(0, 2, 1, 3)

  def block_of(start, stop):
    first = 0 if window is None else max(0, start - window + 1)
    size, keys = stop - start, stop - first
    queries = q[:, :, :, start:stop].reshape(n, heads, group * size, d)
    scores = queries @ k[..., first:stop]
    scores = scores.reshape(n, heads, group, size, keys)
    wide = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    distance = jnp.arange(start, stop)[:, None] - jnp.arange(first, stop)
    seen = distance >= 0
    if window is not None:
      seen &= distance < window
    if runs is not None:
      same = runs[:, start:stop, None] == runs[:, None, first:stop]
      seen = (seen & same)[:, None, None]
    weights = jax.nn.softmax(jnp.where(seen, wide, -jnp.inf), axis=-1)
    weights = weights.astype(v.dtype).reshape(n, heads, group * size, keys)
    mixed = weights @ v[:, :, first:stop]
    return mixed.reshape(n, heads, group, size, d)

  block = max(_QUERY_BLOCK, -(-l // _QUERY_BLOCKS))
  mixed = jnp.concatenate(
    [block_of(i, min(i + block, l)) for i in range(0, l, block)], axis=3
  )
  return mixed.transpose(0, 3, 1, 2, 4).reshape(n, l, h, d)


def _splash(q, k, v, window, runs, *, interpret=False):
  """The TPU kernel, on each device's own rows and heads."""
  mesh = sharding.current_mesh()
  if mesh is None:
    return _splash_here(q, k, v, runs, window, interpret)
  # The compiler cannot cut a kernel of its own accord.
  rows = sharding.axes('batch', q.shape[0])
  heads = sharding.axes('heads', k.shape[2])
  spec = PartitionSpec(rows, None, heads, None)
  of_runs = None if runs is None else PartitionSpec(rows, None)
  return jax.shard_map(
    functools.partial(_splash_here, window=window, interpret=interpret),
    in_specs=(spec, spec, spec, of_runs),
    out_specs=spec,
    check_vma=False,
  )(q, k, v, runs)


def _splash_here(q, k, v, runs, window, interpret):
  """The TPU kernel on one device."""
  # Imported where it is used: nothing else needs Pallas.
  from jax.experimental.pallas.ops.tpu import splash_attention

  l, heads, d = q.shape[1:]
  padding = -l % _LANES
  size = l + padding
  block = next(b for b in (512, 256, _LANES) if size % b == 0)

  def lay_out(x):
    x = jnp.pad(x, ((0, 0), (0, padding), (0, 0), (0, 0)))
    return x.transpose(0, 2, 1, 3)

  if window is None:
    mask = splash_attention.CausalMask((size, size))
  else:
    mask = splash_attention.LocalMask((size, size), (window - 1, 0), 0)
  kernel = splash_attention.make_splash_mha(
    splash_attention.MultiHeadMask([mask] * heads),
    block_sizes=splash_attention.BlockSizes(
      block_q=block,
      block_kv=block,
      block_kv_compute=block,
      block_q_dkv=block,
      block_kv_dkv=block,
      block_kv_dkv_compute=block,
      block_q_dq=block,
      block_kv_dq=block,
    ),
    head_shards=1,
    q_seq_shards=1,
    interpret=interpret,
  )
  segments = None
  if runs is not None:
    runs = jnp.pad(runs, ((0, 0), (0, padding)), constant_values=-1)
    segments = splash_attention.SegmentIds(runs, runs)
  mixed = jax.vmap(kernel)(
    lay_out(q * d**-0.5), lay_out(k), lay_out(v), segments
  )
  return mixed.transpose(0, 2, 1, 3)[:, :l]
