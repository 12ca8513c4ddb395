"""Several processes as one program over one mesh, by `jax.distributed`.

Every process runs the same script and takes the same steps in the same order.
Each plays its own share of the episodes (`rollouts.shared_collector`); what
was played is then known to all, so that credit, metrics and the order of rows
are those of one process. Parameters and rows lie on a mesh of the devices of
all processes.

Where there is one process, nothing here computes or waits.
"""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

# Seconds without a sign of life after which a process counts as dead. The
# others end then; those that wait for it in a collective notice at once.
HEARTBEAT = 30


def join(
  coordinator: str | None = None,
  processes: int | None = None,
  process: int | None = None,
  *,
  heartbeat: int = HEARTBEAT,
  patience: int = 300,
) -> None:
  """Makes this process one of several; before any other use of jax.

  Args:
    coordinator: host:port of process 0, where it listens; None, like the next
      two, where jax finds it out (SLURM, Cloud TPU, GKE).
    processes: how many there are.
    process: number of this one.
    heartbeat: seconds without a sign of life after which a process counts as
      dead, which ends the others.
    patience: seconds to wait for the others to come.
  """
  # On CPUs, processes talk through gloo. Elsewhere this says nothing.
  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  jax.distributed.initialize(
    coordinator,
    processes,
    process,
    heartbeat_timeout_seconds=heartbeat,
    initialization_timeout=patience,
  )


def count() -> int:
  """How many processes there are; starts no backend where there is one."""
  return jax.process_count() if jax.distributed.is_initialized() else 1


def index() -> int:
  """The number of this process."""
  return jax.process_index() if count() > 1 else 0


def is_first() -> bool:
  """Whether this process writes what a run leaves behind."""
  return index() == 0


def any_of(flag: bool) -> bool:
  """Whether the flag is set in any process; all must ask."""
  if count() == 1:
    return flag
  return bool(multihost_utils.process_allgather(np.bool_(flag)).any())


def as_first(flag: bool) -> bool:
  """The flag as process 0 has it; all must ask."""
  if count() == 1:
    return flag
  # A sum of booleans stays one.
  return bool(multihost_utils.broadcast_one_to_all(np.int32(flag)))


def wait() -> None:
  """Waits until all processes are here."""
  any_of(False)


def gather(own: bytes) -> list[bytes]:
  """What each process has to say, in the order of their numbers.

  Args:
    own: of this process; sizes may differ.
  """
  if count() == 1:
    return [own]
  if len(own) >= 2**31:
    raise ValueError(
      f'{len(own)} bytes of a process are too many to be sent at a time, '
      f'{2**31 - 1} at most: play fewer episodes an iteration'
    )
  sizes = multihost_utils.process_allgather(np.int32(len(own)))
  # Few sizes, since each compiles.
  room = 1 << max(int(sizes.max()) - 1, 1023).bit_length()
  padded = np.zeros(room, np.uint8)
  padded[: len(own)] = np.frombuffer(own, np.uint8)
  every = multihost_utils.process_allgather(padded)
  return [x[:n].tobytes() for x, n in zip(every, sizes.tolist(), strict=True)]


def share(total: int) -> range:
  """Which of so many things are this process's: neighbours, evenly dealt."""
  bounds = [total * i // count() for i in range(count() + 1)]
  return range(bounds[index()], bounds[index() + 1])


def largest_share(total: int) -> int:
  """The most things that a process has of so many."""
  return -(-total // count())


def to_host(x: jax.Array | np.ndarray) -> np.ndarray:
  """An array as numpy, wherever its parts lie; all processes must ask."""
  if not isinstance(x, jax.Array) or x.is_fully_addressable:
    return np.asarray(x)
  return np.asarray(multihost_utils.process_allgather(x, tiled=True))


def on_every_device(x: Any, mesh: jax.sharding.Mesh) -> jax.Array:
  """What is the same in every process as a whole on every device of a mesh."""
  whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  x = np.asarray(x)
  return jax.make_array_from_process_local_data(whole, x, x.shape)


def of_this_process(params: Any) -> Any:
  """Parameters, whole, on one device of this process.

  Where they are cut over devices of several processes they are collected, one
  after the other; where not, nothing is sent. All processes must ask.
  """

  def one(x: jax.Array) -> jax.Array:
    if x.is_fully_addressable:
      return x
    if not x.is_fully_replicated:
      whole = x.sharding.update(spec=jax.sharding.PartitionSpec())
      x = jax.jit(_same, out_shardings=whole)(x)
    return x.addressable_data(0)

  return jax.tree.map(one, params)


def _same(x: jax.Array) -> jax.Array:
  return x
