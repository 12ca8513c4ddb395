"""Fills device arrays part by part, so that the host never holds a second copy.

Each device's shard is written into a buffer on the device itself, which is
donated from part to part; on the host exists one part at a time.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.networks.weights import source as source_lib

# Bytes of a part, at most, unless one layer of a shard is larger.
_PART = 2 << 20


def place(
  shape: tuple[int, ...],
  dtype: np.dtype,
  sharding: jax.sharding.Sharding | None,
  read: Callable[[source_lib.Bounds], np.ndarray],
  *,
  axis: int,
) -> jax.Array:
  """Makes an array from parts.

  Args:
    shape: of the array.
    dtype: of the array.
    sharding: where its shards lie; None: on the default device.
    read: gives the part of the array within bounds, in this dtype.
    axis: along which parts are cut.
  """
  whole = tuple((0, size) for size in shape)
  if sharding is None:
    return _fill(whole, dtype, [None], read, axis)[0]
  # Devices that hold the same shard share its reading.
  shards: dict[source_lib.Bounds, list[jax.Device]] = {}
  indices = sharding.addressable_devices_indices_map(shape)
  for device, index in indices.items():
    bounds = tuple(
      part.indices(size)[:2] for part, size in zip(index, shape, strict=True)
    )
    shards.setdefault(bounds, []).append(device)
  arrays = []
  for bounds, devices in shards.items():
    arrays += _fill(bounds, dtype, devices, read, axis)
  return jax.make_array_from_single_device_arrays(shape, sharding, arrays)


def _fill(bounds, dtype, devices, read, axis) -> list[jax.Array]:
  """One shard, on each of the devices."""
  sizes = tuple(stop - start for start, stop in bounds)
  size = dtype.itemsize * math.prod(sizes)
  if size <= _PART:
    part = read(bounds)
    return [_put(part, device) for device in devices]
  buffers = [_zeros(sizes, dtype, device) for device in devices]
  start, stop = bounds[axis]
  step = max(1, _PART * sizes[axis] // size)
  for first in range(start, stop, step):
    part_bounds = list(bounds)
    part_bounds[axis] = (first, min(first + step, stop))
    part = read(tuple(part_bounds))
    buffers = [
      _write(buffer, _put(part, device), first - start, axis)
      for buffer, device in zip(buffers, devices, strict=True)
    ]
    # Parts must not queue up.
    jax.block_until_ready(buffers)
  return buffers


def _put(part: np.ndarray, device: jax.Device | None) -> jax.Array:
  return jnp.asarray(part) if device is None else jax.device_put(part, device)


def _zeros(shape, dtype, device) -> jax.Array:
  if device is None:
    return jnp.zeros(shape, dtype)
  return jnp.zeros(shape, dtype, device=device)


@functools.partial(jax.jit, donate_argnums=0, static_argnames='axis')
def _write(buffer, part, start, axis):
  return jax.lax.dynamic_update_slice_in_dim(buffer, part, start, axis)
