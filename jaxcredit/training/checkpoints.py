"""Checkpoints: Orbax, asynchronous, the newest few kept.

A checkpoint holds the whole of what training changes (parameters, optimizer
state, counters). Everything else (keys, data order, tasks) is a function of
seed and iteration, so a resumed run gives the numbers of an undisturbed one.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp


class Checkpoints:
  """The checkpoints of one stage of a run.

  Args:
    folder: where they lie; made if it is not there.
    keep: how many of the newest stay.
    every: iterations between checkpoints.
  """

  def __init__(self, folder: pathlib.Path, *, keep: int = 2, every: int = 1):
    if keep < 1 or every < 1:
      raise ValueError(
        f'keep and every must be positive, not {keep} and {every}'
      )
    self._folder = pathlib.Path(folder).resolve()
    self._manager = ocp.CheckpointManager(
      self._folder,
      options=ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        save_interval_steps=every,
        enable_async_checkpointing=True,
      ),
    )

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, *unused) -> None:
    self.close()

  @property
  def latest(self) -> int | None:
    """Iterations that the newest checkpoint has behind it; None if none."""
    return self._manager.latest_step()

  def save(self, iteration: int, state: Any, *, force: bool = False) -> None:
    """Starts to save `state`, if `iteration` is due or `force`.

    Args:
      iteration: how many iterations are done.
      state: a pytree of arrays. It is copied to the host before this returns,
        so that its buffers may be donated afterwards.
      force: saves whatever the interval says.
    """
    if iteration == self._manager.latest_step():
      return
    self._manager.save(
      iteration, args=ocp.args.StandardSave(state), force=force
    )

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
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    return self._manager.restore(
      iteration, args=ocp.args.StandardRestore(abstract)
    )

  def wait(self) -> None:
    """Waits until what was started is on disk."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    self._manager.wait_until_finished()
    self._manager.close()


def read_params(folder: pathlib.Path) -> dict[str, Any]:
  """Reads the parameters of a stage's newest checkpoint, and nothing else.

  No learner is needed for it: whoever only plays the policy does not know the
  optimizer that trained it.

  Args:
    folder: of the stage's checkpoints.

  Returns:
    The parameters, a nested dict of arrays.

  Raises:
    FileNotFoundError: there is no whole checkpoint.
  """
  folder = pathlib.Path(folder).resolve()
  steps = [int(path.name) for path in folder.glob('*') if path.name.isdigit()]
  if not steps:
    raise FileNotFoundError(f'{folder} holds no checkpoint')
  with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
    state = reader.restore(folder / str(max(steps)) / 'default')
  # Where rollouts are a step behind, what is learned is one part; where a
  # critic learned beside it, the policy is one of two.
  state = state.get('learned', state)
  state = state.get('policy', state)
  return jax.tree.map(jnp.asarray, state['params'])
