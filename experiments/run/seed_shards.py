"""Runs of several seeds, sharded over the devices of all processes.

Runs are independent: each device computes its own, and nothing is sent until
their results are collected.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxcredit.distributed import processes

AXIS = 'seed'


def make_mesh(runs: int) -> jax.sharding.Mesh:
  """A mesh with one axis, over which so many runs can be dealt evenly.

  Each process takes as many of its devices as divide its share of the runs.

  Args:
    runs: N.

  Raises:
    ValueError: the processes cannot all have as many runs.
  """
  count = processes.count()
  own, rest = divmod(runs, count)
  if rest:
    raise ValueError(
      f'{runs} runs cannot be shared out evenly among {count} processes: make '
      f'their number a multiple of {count}'
    )
  each = max(n for n in range(1, jax.local_device_count() + 1) if own % n == 0)
  devices = [
    device
    for process in range(count)
    for device in jax.local_devices(process_index=process)[:each]
  ]
  return jax.sharding.Mesh(np.array(devices), (AXIS,))


def place(x: np.ndarray, mesh: jax.sharding.Mesh) -> jax.Array:
  """An array whose first axis are runs, the same in each process, dealt out."""
  dealt = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))
  return jax.make_array_from_callback(x.shape, dealt, lambda part: x[part])


def over_runs(
  function: Callable[..., Any],
  mesh: jax.sharding.Mesh,
  in_axes: tuple[int | None, ...],
  out_axis: int,
) -> Callable[..., Any]:
  """Has each device compute a function of its runs.

  Args:
    function: of pytrees of arrays, of all runs at once.
    mesh: see `make_mesh`.
    in_axes: of each argument, which axis of its arrays are runs; None: it is
      the same for all.
    out_axis: which axis of the results are runs.

  Returns:
    The function, to be compiled; arguments and results lie on the mesh.
  """

  def spec(axis):
    if axis is None:
      return jax.sharding.PartitionSpec()
    return jax.sharding.PartitionSpec(*[None] * axis, AXIS)

  return jax.shard_map(
    function,
    mesh=mesh,
    in_specs=tuple(spec(axis) for axis in in_axes),
    out_specs=spec(out_axis),
    # Nothing is shared, so there is nothing to check.
    check_vma=False,
  )


def first(state: Any, mesh: jax.sharding.Mesh) -> Any:
  """What the first run has, on a device of this process; all must ask."""
  whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  taken = jax.jit(
    lambda state: jax.tree.map(lambda x: x[0], state), out_shardings=whole
  )(state)
  return processes.of_this_process(taken)
