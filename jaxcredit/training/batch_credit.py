"""Credit of a batch, computed once, and what the host must know of it.

With several processes, the groups of a method of steps are dealt out over the
devices of all processes, each from the host that has it; a group lies on one
device. A method is a pure function of the whole batch, so one that takes
statistics over the batch takes them over all of it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxcredit import methods, types
from jaxcredit.distributed import processes


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Summary:
  """What the host must know of a batch's credit.

  Attributes:
    finite: bool, whether all of it is.
    used: bool [E, S] or [E, L], where it is not 0; NaN counts as used, since it
      must reach the learner and be reported.
    metrics: of the method, numbers.
  """

  finite: bool
  used: np.ndarray
  metrics: dict[str, Any]


@jax.jit
def _summary(credit: methods.Credit) -> Summary:
  flat = credit.total.reshape(-1, credit.total.shape[-1])
  return Summary(jnp.isfinite(flat).all(), flat != 0, credit.metrics)


def summary(credit: methods.Credit) -> Summary:
  """Fetches a summary of the credit, in one transfer."""
  found = jax.device_get(_summary(credit))
  return dataclasses.replace(
    found,
    finite=bool(found.finite),
    metrics=jax.tree.map(lambda x: x.item(), found.metrics),
  )


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
  credit: Callable[[methods.Batch], methods.Credit],
) -> Callable[[methods.Batch], methods.Credit]:
  """The same credit, each process's groups on its own devices.

  Args:
    credit: a compiled method that looks at trajectories alone.

  Returns:
    The same function, which all processes must call with the same trajectories
    of numpy arrays.
  """

  def shared(batch: methods.Batch) -> methods.Credit:
    groups = batch.trajectories.mask.shape[0]
    given = credit(
      dataclasses.replace(batch, trajectories=place(batch.trajectories))
    )
    host = jax.tree.map(
      lambda x: jnp.asarray(processes.to_host(x)[:groups]),
      (given.total, given.parts, given.returns),
    )
    metrics = jax.tree.map(processes.to_host, given.metrics)
    total, parts, returns = host
    return methods.Credit(total, parts, returns, given.carry, metrics)

  return shared


def compiled(
  method: methods.Method, options: Any
) -> Callable[[methods.Batch], methods.Credit]:
  """A method as the loop calls it: compiled, by all processes together."""
  credit = methods.compiled(method, options)
  if processes.count() > 1 and not method.needs_rows(options):
    return over_processes(credit)
  return credit
