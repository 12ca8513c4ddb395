"""Credit of steps, computed by several processes.

The groups are dealt out over the devices of all processes, each from the host
that has it; a group lies on one device. A method is a pure function of the
whole, so one that takes statistics over the batch takes them over all of it.
"""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxcredit import types
from jaxcredit.distributed import processes


def place(trajectories: types.Trajectories) -> types.Trajectories:
  """Deals the groups out over the devices of all processes.

  Args:
    trajectories: numpy [P, G, S], of which this process reads its own part.

  Returns:
    Global arrays [P', G, S], P' the next number that the devices divide; groups
    beyond P are masked.
  """
  # The devices of a process side by side, and so its groups.
  devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
  mesh = jax.sharding.Mesh(devices, ('groups',))
  where = NamedSharding(mesh, PartitionSpec('groups'))
  groups = trajectories.mask.shape[0]
  total = -(-groups // len(devices)) * len(devices)

  def one(x):
    x = np.pad(x, [(0, total - groups)] + [(0, 0)] * (x.ndim - 1))
    mine = processes.share(total)
    return jax.make_array_from_process_local_data(
      where, x[mine.start : mine.stop], x.shape
    )

  return jax.tree.map(one, trajectories)


def over_processes(
  credit: Callable[[types.Trajectories], jax.Array],
) -> Callable[[types.Trajectories], jax.Array]:
  """The same credit, each process's groups on its own devices.

  Args:
    credit: trajectories [P, G, S] -> advantages [P, G, S].

  Returns:
    The same function, which all processes must call with the same trajectories
    of numpy arrays.
  """
  compiled = jax.jit(credit)

  def shared(trajectories: types.Trajectories) -> jax.Array:
    given = compiled(place(trajectories))
    return jax.numpy.asarray(
      processes.to_host(given)[: trajectories.mask.shape[0]]
    )

  return shared
