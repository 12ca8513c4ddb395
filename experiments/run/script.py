"""The main of every script that makes a run: from flags to the report.

A script ends with 0 when the run is complete; 1 after an error, which is
printed in one line; 130 after Ctrl-C (SIGINT) and 143 after SIGTERM, the signal
of preemption. After either signal the progress is saved, and the same command
resumes. A second signal stops at once, and the same command resumes from the
last checkpoint. After SIGTERM no report is written, since time is short.

A new script is a few lines:

  flags.adopt_module_key_flags(script)
  SHORT = {'Run': script.SHORT, 'Credit': ('method', 'discount')}

  def main(argv):
    return script.run(argv, module=__name__, build=build, execute=execute)

  if __name__ == '__main__':
    script.start(main, SHORT)
"""

import math
import os
import pathlib
import sys
import threading
from collections.abc import Callable, Collection, Iterable
from typing import Any

from absl import app, flags, logging

from experiments.run import (
  command,
  console,
  help_pages,
  interruption,
  process_flags,
)
from experiments.run import folder as run_folder
from jaxcredit.distributed import processes

# Scripts adopt these with the flags of this file.
flags.adopt_module_key_flags(process_flags)

_RUN = flags.DEFINE_string(
  'run', None, "Folder of the run; by default runs/ and the script's name."
)
_COMPILATION_CACHE = flags.DEFINE_string(
  'compilation_cache',
  os.path.join('~', '.cache', 'jaxcredit', 'compiled'),
  'Folder that keeps compiled programs for later runs; empty turns it off.',
)

# Flags of every script that change no number of a run.
MAY_CHANGE = frozenset({'run', 'compilation_cache', *process_flags.NAMES})
# Those that a short help shows.
SHORT = ('run', 'processes')
# Seconds that threads of libraries have to end after an error.
_PATIENCE = 20.0


def name_of(module: str) -> str:
  """The name of a script, such as 'gigpo'.

  Args:
    module: its `__name__`.
  """
  if module == '__main__':
    return pathlib.Path(sys.argv[0]).stem
  return module.rpartition('.')[2]


def folder(module: str) -> pathlib.Path:
  """The folder of the run that the flags name.

  Args:
    module: `__name__` of the script.
  """
  return pathlib.Path(_RUN.value or f'runs/{name_of(module)}').expanduser()


def _flags(module: str) -> list[flags.Flag]:
  """The flags that a script defines and those that it adopts."""
  if module == '__main__':
    # As absl calls it.
    module = sys.argv[0]
  return flags.FLAGS.get_key_flags_for_module(module)


def own_flags(module: str) -> dict[str, Any]:
  """Values of the flags that a script defines or adopts, by name.

  Args:
    module: `__name__` of the script.
  """
  return {flag.name: flag.value for flag in _flags(module)}


def defaults(module: str) -> dict[str, Any]:
  """Defaults of the script's flags, by name."""
  return {flag.name: flag.default for flag in _flags(module)}


def config(module: str) -> dict[str, Any]:
  """What is recorded of a run: its script's name, and the flags."""
  return {
    **own_flags(module),
    'run': str(folder(module)),
    run_folder.SCRIPT: name_of(module),
  }


def check_finite(values: dict[str, Any]) -> None:
  """Refuses NaN, which passes the bounds of flags and would spoil a run.

  Args:
    values: of flags, by name.

  Raises:
    ValueError: names the flag.
  """
  for name, value in values.items():
    for x in value if isinstance(value, (list, tuple)) else [value]:
      if isinstance(x, float) and not math.isfinite(x):
        raise ValueError(f'--{name}={x}: must be a finite number')


def use_compilation_cache() -> None:
  """Keeps compiled programs where --compilation_cache says.

  JAX's own variable counts where the flag is not given.
  """
  given = _COMPILATION_CACHE.present
  named = os.environ.get('JAX_COMPILATION_CACHE_DIR')
  if not _COMPILATION_CACHE.value or (named and not given):
    return
  import jax

  path = os.path.expanduser(_COMPILATION_CACHE.value)
  jax.config.update('jax_compilation_cache_dir', path)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)


def short_help(module: str, short: help_pages.Groups) -> str:
  """The page that --help shows.

  Args:
    module: `__name__` of the script.
    short: the flags that a reader meets first, by group; at most 40.
  """
  script = sys.modules[module]
  spec = getattr(script, '__spec__', None)
  return help_pages.page(
    script.__doc__ or '',
    short,
    own_flags(module),
    f'python -m {spec.name if spec else module}',
  )


def start(main: Callable[[list[str]], int], short: help_pages.Groups) -> None:
  """Starts the script of this process; does not return.

  Args:
    main: takes what is left of the command line and returns the exit status.
    short: the flags that --help shows, by group; see `help_pages`.
  """
  app.run(
    main, flags_parser=help_pages.parser(lambda: short_help('__main__', short))
  )


def run(
  argv: list[str],
  *,
  module: str,
  build: Callable[[], Any],
  execute: Callable[[Any, interruption.Interruption, pathlib.Path], bool],
  report: Callable[[pathlib.Path], None] = lambda folder: None,
  may_change: Iterable[str] = (),
) -> int:
  """Runs, or resumes, what the flags say, in each of its processes.

  Errors that a user or a machine is at fault for are those of
  `command.ERRORS`, wherever they are raised.

  Args:
    argv: what absl left of the command line.
    module: `__name__` of the script. Its flags, those that it adopts included,
      are recorded in the folder and determine the run's numbers.
    build: makes the parts of the run from flags. Nothing is trained here: the
      folder is not made before it returns.
    execute: does the work of the parts in the folder. It stops in good order
      where the interruption asks for it; it returns whether the run is
      complete, or raises `interruption.InterruptedRunError`.
    report: writes and prints what the folder holds, in the first process, also
      where the run was stopped by Ctrl-C.
    may_change: flags that do not change the numbers, beside `MAY_CHANGE`.

  Returns:
    The exit status: 0, 1 after an error, 130 or 143 if the run was stopped.
  """
  if not command.takes_no_arguments(argv):
    return 1
  # Orbax logs with a traceback what it raises as well.
  logging.set_verbosity(logging.FATAL)
  may_change = MAY_CHANGE | set(may_change)
  status = process_flags.together(
    lambda: _run(module, build, execute, report, may_change)
  )
  if status == 1 and module == '__main__':
    _end_soon(status)
  return status


def _run(
  module: str, build, execute, report, may_change: Collection[str]
) -> int:
  """What `run` does in each process."""
  use_compilation_cache()
  place = folder(module)
  stop = interruption.Interruption()
  complete = False
  try:
    record = config(module)
    check_finite(record)
    with stop:
      with stop.at_once('reading flags and data'):
        parts = build()
      with run_folder.opened(
        place, record, may_change, defaults(module)
      ) as going_on:
        if going_on:
          console.console.print(f'{place} holds this run: going on')
        try:
          complete = execute(parts, stop, place)
        except interruption.InterruptedRunError:
          complete = False
        if processes.is_first() and (complete or not stop.terminated):
          report(place)
  except interruption.InterruptedRunError:
    # Of several processes, the others do not know of it.
    return process_flags.leave(stop.exit_status)
  except KeyboardInterrupt:
    return process_flags.leave(stop.stopped_at_once(place))
  except command.ERRORS as error:
    command.print_error(run_folder.error_in_words(error, place))
    return 1
  if not complete:
    console.console.print(
      f'stopped; the same command goes on from {place}', soft_wrap=True
    )
    return stop.exit_status
  return 0


def _end_soon(status: int) -> None:
  """Ends the process, even if threads of libraries wait.

  A failed save of a checkpoint must not leave a process that hangs.
  """

  def end():
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)

  timer = threading.Timer(_PATIENCE, end)
  timer.daemon = True
  timer.start()
