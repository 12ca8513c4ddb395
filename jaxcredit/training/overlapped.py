"""Rollouts beside learning: the next iteration is played while one is learned.

  iteration k:   learn batch k  |  play batch k + 1 with the parameters that
                                |  were there before update k

So batch k + 1 was drawn by the policy of k - 1 updates and is learned by that
of k: it is one step off-policy, but for the first two, which the same policy
plays. See `off_policy` for what corrects it. Noukhovitch et al. 2025 (arXiv
2410.18252) call this one-step asynchronous.

What an iteration does remains a function of its state and number. The state
holds the older parameters for that: whoever resumes plays with them what an
interrupted run had played, and goes on with the same numbers.
"""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxcredit.distributed import device_lock
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.training import loop as loop_lib
from jaxcredit.training import stage_clock


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OverlappedState:
  """The state of a training whose rollouts are a step behind.

  Attributes:
    training: what is learned, as `loop.Loop` has it.
    behaviour_params: the parameters before the latest update, which play the
      iteration that comes next.
  """

  training: loop_lib.TrainingState
  behaviour_params: Any


def lock_for(
  mesh: jax.sharding.Mesh | None,
) -> contextlib.AbstractContextManager:
  """What learner and sampler are to hold while they use these devices."""
  if mesh is None or mesh.size == 1:
    # One device takes programs in the order in which they come.
    return contextlib.nullcontext()
  return device_lock.FairLock()


class _Abandoned(Exception):
  """What ends a thread whose episodes nobody wants any more."""


class _Following(threading.Thread):
  """Plays the next batch, and keeps it or what went wrong.

  A daemon, so that a process that is told to end at once does so.
  """

  def __init__(self, play: Callable[[], loop_lib.Batch]):
    super().__init__(name='rollouts', daemon=True)
    self._play = play
    self._batch: loop_lib.Batch | None = None
    self._error: BaseException | None = None
    self.seconds = 0.0

  def run(self) -> None:
    start = time.perf_counter()
    try:
      self._batch = self._play()
    # Whatever it is, it is raised again where the batch is asked for.
    except BaseException as error:
      self._error = error
    self.seconds = time.perf_counter() - start

  def result(self) -> loop_lib.Batch:
    """Waits for the batch; raises what its playing raised."""
    self.join()
    if self._error is not None:
      raise self._error
    return self._batch


class _UntilAbandoned(contextlib.AbstractContextManager):
  """Turns that are refused once nobody waits for the episodes."""

  def __init__(self, lock: contextlib.AbstractContextManager):
    self._lock = lock
    self.abandoned = False

  def __enter__(self):
    if self.abandoned:
      raise _Abandoned
    return self._lock.__enter__()

  def __exit__(self, *details):
    return self._lock.__exit__(*details)


class Overlapped:
  """Runs training iterations as `loop.Loop` does, overlapped.

  Args:
    loop: whose iterations these are. Its learner, and that of its critic, were
      made with the same `lock`, so that draws come between micro-batches.
    collector: that of the loop.
    iterations: number of the last one, after which nothing is played.
    lock: see `lock_for`.

  Raises:
    ValueError: there are several processes. Each would start the programs of
      learner and sampler in an order of its own, and they would wait for each
      other for ever.
  """

  def __init__(
    self,
    loop: loop_lib.Loop,
    collector,
    iterations: int,
    lock: contextlib.AbstractContextManager,
  ):
    if jax.process_count() > 1:
      raise ValueError(
        f'rollouts beside learning need all devices in one process, and there '
        f'are {jax.process_count()}: train without overlap'
      )
    self._loop = loop
    self._collector = collector
    self._iterations = iterations
    self._lock = collector.device_lock = lock
    # Iteration, parameters that played it, and what they played.
    self._ready: tuple[int, Any, loop_lib.Batch] | None = None

  def init(self, state: loop_lib.TrainingState) -> OverlappedState:
    """The state before the first iteration."""
    return OverlappedState(state, self._copy(state))

  def _copy(self, state):
    # The update takes the buffers over.
    with self._lock:
      return jax.tree.map(jnp.copy, self._loop.parameters(state))

  def run(
    self,
    state: OverlappedState,
    iteration: int,
    *,
    reference=None,
    on_episode: Callable[[int], None] | None = None,
  ):
    """One iteration; see `loop.Loop.run`.

    Args:
      state: donated.
      iteration: its number.
      reference: parameters of the reference policy, if the loss uses one.
      on_episode: called with the number of episodes that just ended, of this
        iteration or the next, from another thread.

    Returns:
      The new state, metrics, what was learned from, and its credit.
      `seconds_rollout` is what was waited for episodes, and `seconds_beside`
      how long those took that were played beside the update, the next
      iteration's.
    """
    clock = stage_clock.StageClock('rollout')
    with clock.measure('rollout'):
      batch = self._take(state, iteration, on_episode)
    # Those before this update: they play what comes next.
    behind = self._copy(state.training)
    following, until = None, _UntilAbandoned(self._lock)
    if iteration < self._iterations:
      following = self._start(behind, iteration + 1, on_episode, until)
    try:
      training, metrics, credit = self._loop.learn(
        state.training, batch, iteration, reference=reference
      )
      if following is not None:
        # Who wants to stop does so after this iteration, which is learned.
        with (
          clock.measure('rollout'),
          contextlib.suppress(collector_lib.RolloutInterruptedError),
        ):
          self._ready = (iteration + 1, behind, following.result())
    except BaseException:
      if following is not None:
        until.abandoned = True
        following.join()
      raise
    finally:
      self._collector.device_lock = self._lock
    metrics |= self._loop.timing_metrics(clock, metrics)
    metrics['seconds_beside'] = following.seconds if following else 0.0
    return OverlappedState(training, behind), metrics, batch, credit

  def _take(self, state, iteration, on_episode):
    """The batch of this iteration, played here if it is not yet."""
    ready, self._ready = self._ready, None
    if ready and ready[0] == iteration and ready[1] is state.behaviour_params:
      return ready[2]
    with self._lock:
      playing = self._loop.playing(state.behaviour_params)
    return self._loop.collect(playing, iteration, on_episode)

  def _start(self, behind, iteration, on_episode, until) -> _Following:
    with self._lock:
      playing = jax.block_until_ready(self._loop.playing(behind))
    self._collector.device_lock = until
    following = _Following(
      lambda: self._loop.collect(playing, iteration, on_episode)
    )
    following.start()
    return following
