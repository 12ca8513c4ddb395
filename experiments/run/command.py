"""Arguments, errors and exit status of every command."""

import sys
from collections.abc import Callable, Sequence

from absl import logging

from experiments.run import interruption

# What a user can get wrong, or a machine: one line, no traceback.
ERRORS = (OSError, ValueError, FloatingPointError, ModuleNotFoundError)


def print_error(error: BaseException | str) -> None:
  """Prints an error as all commands do."""
  print(f'error: {error}', file=sys.stderr, flush=True)


def takes_no_arguments(argv: Sequence[str]) -> bool:
  """Whether there are only flags; prints an error if not."""
  if len(argv) <= 1:
    return True
  print_error(f'unknown arguments: {" ".join(argv[1:])} (flags start with --)')
  return False


def run(argv: Sequence[str], work: Callable[[], int | None]) -> int:
  """The main of a tool or a benchmark, which makes no run.

  Args:
    argv: what absl left of the command line.
    work: does what the flags say. Errors that are a user's fault are those of
      `ERRORS`.

  Returns:
    The exit status: that of `work`, 0 for None; 1 after an error, which is
    printed in one line; 130 after Ctrl-C.
  """
  if not takes_no_arguments(argv):
    return 1
  logging.set_verbosity(logging.ERROR)
  try:
    return work() or 0
  except (KeyboardInterrupt, interruption.InterruptedRunError):
    print('stopped', file=sys.stderr)
    return 130
  except ERRORS as error:
    print_error(error)
    return 1
