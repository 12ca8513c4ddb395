"""Checkpoints: Orbax, asynchronous, the newest few kept.

Of several processes each writes its part, into one folder that all of them see;
what was written can be read by another number of processes, onto other devices.

A checkpoint holds the whole of what training changes (parameters, optimizer
state, counters). Everything else (keys, data order, tasks) is a function of
seed and iteration, so a resumed run gives the numbers of an undisturbed one,
and so does one that goes on from an older checkpoint, where the newest is
damaged: it only takes longer.
"""

import errno
import logging
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from jaxcredit.distributed import processes
from jaxcredit.training import abandoned_writes, checksums

_log = logging.getLogger(__name__)

# Orbax's folder of arrays within a checkpoint, and how it calls a checkpoint
# that is not written yet.
_ITEM = 'default'
_UNFINISHED = '.orbax-checkpoint-tmp'
_SET_ASIDE = '.damaged'
# The disk, or what this user may take of it.
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DamagedCheckpointError(ValueError):
  """No checkpoint of a stage is whole."""


class CheckpointWriteError(OSError):
  """A checkpoint could not be written; those before it are as they were."""


def _steps(folder: pathlib.Path) -> list[int]:
  """Numbers of the checkpoints in a folder, newest first."""
  names = [path.name for path in folder.glob('*') if path.name.isdigit()]
  return sorted(map(int, names), reverse=True)


def find_damage(checkpoint: pathlib.Path) -> str:
  """What is wrong with a checkpoint, in words; '' for nothing."""
  needed = (f'{_ITEM}/_METADATA', f'{_ITEM}/manifest.ocdbt')
  for name in needed:
    path = checkpoint / name
    if not path.exists():
      return f'{name} is missing'
    if not path.stat().st_size:
      return f'{name} is empty'
  return checksums.damage(checkpoint)


def newest_whole(
  folder: pathlib.Path,
) -> tuple[int | None, dict[int, str]]:
  """The newest checkpoint that is whole.

  Args:
    folder: of the stage's checkpoints.

  Returns:
    Its number, None if there is no checkpoint at all; and for each newer one
    what is wrong with it.

  Raises:
    DamagedCheckpointError: there are checkpoints, and none is whole.
  """
  damaged: dict[int, str] = {}
  for step in _steps(folder):
    reason = find_damage(folder / str(step))
    if not reason:
      return step, damaged
    damaged[step] = reason
  if damaged:
    listed = '; '.join(f'{step}: {reason}' for step, reason in damaged.items())
    raise DamagedCheckpointError(
      f'no checkpoint in {folder} is whole ({listed}): delete this folder, and '
      'the same command does this stage again from its beginning'
    )
  return None, {}


def _in_words(whole: int, damaged: dict[int, str], folder: pathlib.Path) -> str:
  """Says which checkpoints are damaged, why, and what that costs."""
  listed = '; '.join(f'{step}: {reason}' for step, reason in damaged.items())
  repeated = max(damaged) - whole
  return (
    f'damaged checkpoints in {folder} ({listed}): going on from {whole}, the '
    f'newest that is whole, {repeated} before the newest'
  )


class Checkpoints:
  """The checkpoints of one stage of a run.

  When this is made, the newest checkpoint is compared with the checksums that
  were written with it. One that is damaged is set aside (`.damaged`, for
  somebody to look at) and the one before it is the newest; what an interrupted
  save left is removed. Both are reported.

  Args:
    folder: where they lie; made if it is not there.
    keep: how many of the newest stay. With 1 there is none to go back to
      where that one is damaged.
    every: iterations between checkpoints.
    report: takes a sentence on what is damaged; by default it is logged.

  Raises:
    DamagedCheckpointError: there are checkpoints, and none is whole.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    *,
    keep: int = 2,
    every: int = 1,
    report: Callable[[str], None] = _log.warning,
  ):
    if keep < 1 or every < 1:
      raise ValueError(
        f'keep and every must be positive, not {keep} and {every}'
      )
    abandoned_writes.silence()
    self._folder = pathlib.Path(folder).resolve()
    if processes.is_first():
      self._tidy(report)
    # No process reads the folder before process 0 has cleaned it.
    processes.wait()
    # Number of the checkpoint that is being written.
    self._writing: int | None = None
    self._manager = ocp.CheckpointManager(
      self._folder,
      options=ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        save_interval_steps=every,
        enable_async_checkpointing=True,
        async_options=ocp.AsyncOptions(
          post_finalization_callback=self._write_checksums
        ),
      ),
    )

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, kind, *unused) -> None:
    if kind is None:
      self.close()
      return
    # What went wrong is on its way; a second error would hide it.
    try:
      self.close()
    except Exception as error:
      _log.warning('while closing %s: %s', self._folder, error)

  @property
  def latest(self) -> int | None:
    """Iterations that the newest checkpoint has behind it; None if none."""
    return self._manager.latest_step()

  def _tidy(self, report) -> None:
    """Sets damaged checkpoints aside; removes what was never finished."""
    whole, damaged = newest_whole(self._folder)
    for step in damaged:
      path = self._folder / str(step)
      aside = path.with_name(path.name + _SET_ASIDE)
      number = 1
      while aside.exists():
        number += 1
        aside = path.with_name(f'{path.name}{_SET_ASIDE}-{number}')
      path.rename(aside)
    if damaged:
      report(
        _in_words(whole, damaged, self._folder)
        + f'; the damaged ones are kept as *{_SET_ASIDE}'
      )
    unfinished = sorted(self._folder.glob(f'*{_UNFINISHED}*'))
    for path in unfinished:
      shutil.rmtree(path, ignore_errors=True)
    if unfinished:
      report(
        f'removed from {self._folder} what interrupted saves left half '
        f'written: {", ".join(p.name for p in unfinished)}'
      )

  def _write_checksums(self) -> None:
    """Called when all is written, before the checkpoint gets its name."""
    if processes.is_first():
      for path in self._folder.glob(f'{self._writing}{_UNFINISHED}*'):
        checksums.write(path)

  def save(self, iteration: int, state: Any, *, force: bool = False) -> None:
    """Starts to save `state`, if `iteration` is due or `force`.

    Args:
      iteration: how many iterations are done.
      state: a pytree of arrays. It is copied to the host before this returns,
        so that its buffers may be donated afterwards.
      force: saves whatever the interval says.

    Raises:
      CheckpointWriteError: this checkpoint, or the one before it, which was
        still on its way, could not be written.
    """
    if iteration == self._manager.latest_step():
      return
    if not force and not self._manager.should_save(iteration):
      return
    self.wait()
    self._writing = iteration
    try:
      self._manager.save(
        iteration, args=ocp.args.StandardSave(_of_all(state)), force=True
      )
    except Exception as error:
      raise self._failed(error) from error

  def _failed(self, error: Exception) -> CheckpointWriteError:
    """The error of a save, in words; nothing half written stays."""
    for path in self._folder.glob(f'{self._writing}{_UNFINISHED}*'):
      shutil.rmtree(path, ignore_errors=True)
    words = str(error)
    full = getattr(error, 'errno', None) in _FULL or any(
      os.strerror(number) in words for number in _FULL
    )
    reason = words.strip().partition('\n')[0] or type(error).__name__
    before = [s for s in _steps(self._folder) if s != self._writing]
    failure = CheckpointWriteError(
      f'checkpoint {self._writing} could not be written into {self._folder}: '
      + ('the disk is full. ' if full else f'{reason}. ')
      + (
        f'Checkpoint {before[0]} is whole: the same command goes on from it'
        if before
        else 'There is none before it: the same command begins anew'
      )
      + (' once there is room.' if full else '.')
    )
    failure.errno = errno.ENOSPC if full else errno.EIO
    return failure

  def restore(self, like: Any, iteration: int | None = None) -> Any:
    """Reads a checkpoint.

    Args:
      like: a pytree of arrays of the same structure, shapes and shardings.
      iteration: which one; by default the newest.

    Returns:
      The state.

    Raises:
      FileNotFoundError: there is no such checkpoint.
    """
    iteration = self.latest if iteration is None else iteration
    if iteration is None or iteration not in self._manager.all_steps():
      raise FileNotFoundError(
        f'{self._folder} holds no checkpoint'
        + (f' of iteration {iteration}' if iteration is not None else '')
      )
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, _of_all(like))
    state = self._manager.restore(
      iteration, args=ocp.args.StandardRestore(abstract)
    )
    if processes.count() == 1:
      return state
    return jax.tree.map(_lie_as, state, like)

  def wait(self) -> None:
    """Waits until what was started is on disk.

    Raises:
      CheckpointWriteError: it could not be written.
    """
    try:
      self._manager.wait_until_finished()
    except Exception as error:
      raise self._failed(error) from error

  def close(self) -> None:
    """Waits, and ends the threads that write; see `wait`."""
    try:
      self.wait()
    finally:
      self._manager.close()


def _of_all(state: Any) -> Any:
  """The state as arrays of all processes.

  What a process has for itself is the same in each, such as the coefficient of
  a method; Orbax saves what lies on devices of all.
  """
  if processes.count() == 1:
    return state
  devices = jax.sharding.Mesh(jax.devices(), 'devices')

  def one(x):
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
      return x
    return processes.on_every_device(x, devices)

  return jax.tree.map(one, state)


def _lie_as(x: jax.Array, like: Any) -> jax.Array:
  """Restores process-local arrays as process-local."""
  if isinstance(like, jax.Array) and not like.is_fully_addressable:
    return x
  return jnp.asarray(np.asarray(x.addressable_data(0)))


def read_params(
  folder: pathlib.Path, report: Callable[[str], None] = _log.warning
) -> dict[str, Any]:
  """Reads the parameters of a stage's newest checkpoint that is whole.

  No learner is needed for it: whoever only plays the policy does not know the
  optimizer that trained it.

  Args:
    folder: of the stage's checkpoints. Nothing in it is changed.
    report: takes a sentence on what is damaged; by default it is logged.

  Returns:
    The parameters, a nested dict of arrays.

  Raises:
    FileNotFoundError: there is no checkpoint.
    DamagedCheckpointError: there are checkpoints, and none is whole.
  """
  folder = pathlib.Path(folder).resolve()
  step, damaged = newest_whole(folder)
  if step is None:
    raise FileNotFoundError(f'{folder} holds no checkpoint')
  if damaged:
    report(_in_words(step, damaged, folder))
  path = folder / str(step) / _ITEM
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
    # As numpy, whatever devices and processes wrote it.
    tree = jax.tree.map(
      lambda _: ocp.RestoreArgs(restore_type=np.ndarray),
      reader.metadata(path).item_metadata.tree,
    )
    state = reader.restore(path, args=ocp.args.PyTreeRestore(restore_args=tree))
  # Where rollouts are a step behind, the training is one part of the state; the
  # critic learned beside it, the policy is one of two.
  state = state.get('training', state)
  state = state.get('policy', state)
  return jax.tree.map(jnp.asarray, state['params'])
