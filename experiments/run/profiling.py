"""A profile of a few iterations of a run, by JAX's profiler."""

import contextlib
import pathlib
from collections.abc import Iterator

import jax

from experiments.run import console

FOLDER = 'profile'
# Iterations of a process in which programs are compiled, and not traced.
WARM_UP = 2
# What an iteration is called in the trace; `step_num` is its number.
ITERATION = 'iteration'


class Profile:
  """Traces iterations of this process after its first.

  Args:
    run: folder of the run; the trace goes into `profile` there.
    count: iterations to trace; 0 for none.
    left: iterations that the run has before it. Where they are few, the first
      are traced too.
  """

  def __init__(self, run: pathlib.Path, count: int, left: int):
    self._folder = pathlib.Path(run) / FOLDER
    self._count = min(count, left)
    self._skip = min(WARM_UP, left - self._count)
    self._seen = 0
    self._traced: list[int] = []
    self._running = False

  @contextlib.contextmanager
  def iteration(self, number: int) -> Iterator[None]:
    """Around one iteration."""
    if self._count and self._seen == self._skip:
      options = jax.profiler.ProfileOptions()
      # Calls of Python functions would crowd out everything else.
      options.python_tracer_level = 0
      jax.profiler.start_trace(str(self._folder), profiler_options=options)
      self._running = True
    self._seen += 1
    with jax.profiler.StepTraceAnnotation(ITERATION, step_num=number):
      yield
    if self._running:
      self._traced.append(number)
      if len(self._traced) == self._count:
        self.close()

  def close(self) -> None:
    """Writes the trace, if one is under way."""
    if not self._running:
      return
    self._running = False
    jax.profiler.stop_trace()
    traced = ', '.join(map(str, self._traced)) or 'none was completed'
    console.console.print(
      f'profile of iterations ({traced}): open the .trace.json.gz under '
      f'{self._folder} at https://ui.perfetto.dev, or run xprof '
      f'{self._folder}',
      soft_wrap=True,
    )
