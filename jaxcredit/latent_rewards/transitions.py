"""Recorded transitions, on which a latent reward function is verified."""

import dataclasses
import os
import pathlib

import numpy as np

MIN_ROWS = 8


@dataclasses.dataclass(frozen=True)
class Transitions:
  """Observations and actions that an environment gave.

  Attributes:
    arrays: float [N, D], one for each argument of the function: observations,
      and actions where it takes those.
  """

  arrays: tuple[np.ndarray, ...]

  def __post_init__(self):
    shapes = [np.shape(array) for array in self.arrays]
    if not shapes or any(len(shape) != 2 for shape in shapes):
      raise ValueError(f'transitions are arrays [N, D], not {shapes}')
    if len({shape[0] for shape in shapes}) > 1 or shapes[0][0] < MIN_ROWS:
      raise ValueError(
        f'transitions need the same number of rows, at least {MIN_ROWS}, not '
        f'{shapes}'
      )
    for array in self.arrays:
      if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f'transitions are floats, not {array.dtype}')
      if not np.isfinite(array).all():
        raise ValueError(
          'transitions hold values that are not finite: leave those rows out'
        )

  def take(self, rows: int) -> 'Transitions':
    """At most so many rows, spread over all."""
    count = self.arrays[0].shape[0]
    if count <= rows:
      return self
    index = np.linspace(0, count - 1, rows).round().astype(int)
    return Transitions(tuple(array[index] for array in self.arrays))


def load(
  path: str | os.PathLike, parameters: tuple[str, ...], sizes: tuple[int, ...]
) -> Transitions:
  """Reads a .npz file with an array for each parameter.

  Args:
    path: of the file.
    parameters: names of the arrays, such as ('observation', 'action').
    sizes: of their last axes.

  Raises:
    OSError: it cannot be read.
    ValueError: it is no such file, or its arrays are not [N, D].
  """
  path = pathlib.Path(path)
  try:
    with np.load(path, allow_pickle=False) as file:
      missing = [name for name in parameters if name not in file.files]
      if missing:
        raise ValueError(f'has no array {missing[0]!r}, only {file.files}')
      arrays = [file[name] for name in parameters]
      for name, array, size in zip(parameters, arrays, sizes, strict=True):
        if array.shape[-1:] != (size,):
          raise ValueError(
            f'{name} has the shape {array.shape}, not [N, {size}]'
          )
      flat = [
        array.reshape(-1, size)
        for array, size in zip(arrays, sizes, strict=True)
      ]
      return Transitions(tuple(flat))
  # numpy says it by many types, that of a broken archive among them.
  except (AttributeError, EOFError, KeyError, ValueError) as error:
    raise ValueError(f'{path}: {error}') from None
