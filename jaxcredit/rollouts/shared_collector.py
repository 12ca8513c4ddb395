"""Episodes that several processes play, each a share of the groups.

A group is played by one process, on devices of its own. What an episode draws
is a function of its group's number, so the shares together are what one process
would have played. Afterwards every process has all episodes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcredit.distributed import processes
from jaxcredit.networks import sharding
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import episode_messages
from jaxcredit.rollouts import episodes as episodes_lib


class SharedCollector:
  """A collector of one process, in the company of those of the others.

  All processes must call `collect` with the same arguments, but `on_episode`.

  Args:
    collector: of this process, made with `mesh`.
    mesh: devices of this process that play; None for one.

  Attributes:
    timing: of this process.
  """

  def __init__(
    self,
    collector: collector_lib.Collector,
    mesh: jax.sharding.Mesh | None = None,
  ):
    self._collector = collector
    self._mesh = mesh

  @property
  def timing(self) -> collector_lib.Timing:
    return self._collector.timing

  @timing.setter
  def timing(self, value: collector_lib.Timing) -> None:
    self._collector.timing = value

  def collect(
    self,
    params,
    tasks: Sequence[Any],
    group_size: int,
    key: jax.Array,
    *,
    on_episode: Callable[[int], None] | None = None,
    **options,
  ) -> list[episodes_lib.Episode]:
    """Plays `group_size` episodes of each task; see `Collector.collect`.

    Args:
      params: on a mesh of all processes.
      tasks: of all processes.
      group_size: G.
      key: random key.
      on_episode: called with the number of episodes that just ended here, and
        at last with that of those that ended elsewhere.
      **options: of `Collector.collect`.

    Returns:
      The episodes of all processes.
    """
    mine = processes.share(len(tasks))
    params = sharding.place(processes.of_this_process(params), self._mesh)
    played = self._collector.collect(
      params,
      [tasks[i] for i in mine],
      group_size,
      key,
      first_group=mine.start,
      on_episode=on_episode,
      **options,
    )
    del params
    episodes = []
    for message in processes.gather(episode_messages.encode(played)):
      episodes.extend(episode_messages.decode(message, tasks))
    if on_episode is not None:
      on_episode(len(episodes) - len(played))
    return episodes
