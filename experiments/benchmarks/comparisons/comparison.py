"""What all comparisons of runs do: their command, and spreads over seeds."""

import pathlib
import sys
from collections.abc import Callable, Sequence

import numpy as np


def spread(values: Sequence[float | None], digits: int = 1) -> str:
  """Mean and standard deviation over seeds in words.

  Args:
    values: of the seeds; None where one has none, such as the success in a type
      of task that was not played.
    digits: behind the point.

  Returns:
    '4.0 ± 1.0', '4.0' of one value, '-' of none.
  """
  values = [value for value in values if value is not None]
  if not values:
    return '-'
  text = f'{np.mean(values):.{digits}f}'
  if len(values) > 1:
    text += f' ± {np.std(values, ddof=1):.{digits}f}'
  return text


def command(
  argv: Sequence[str],
  output: pathlib.Path,
  compare: Callable[[pathlib.Path], str],
) -> int:
  """Compares, prints the table and keeps it in OUTPUT/comparison.md.

  Args:
    argv: of the script; must hold its name alone.
    output: folder of the runs, made where it is not there.
    compare: runs what is compared in that folder and returns Markdown.

  Returns:
    The status: 0, or 1 after a message that says what is wrong.
  """
  if len(argv) > 1:
    print(
      f'error: unknown arguments: {" ".join(argv[1:])} (flags start with --)',
      file=sys.stderr,
    )
    return 1
  try:
    output.mkdir(parents=True, exist_ok=True)
    text = compare(output)
    (output / 'comparison.md').write_text(text, encoding='utf-8')
  except (OSError, RuntimeError, ValueError, ModuleNotFoundError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  print(text)
  return 0
