"""Whether a long run leaks memory or compiles again.

  python -m experiments.benchmarks.long_run --run=runs/long \
      --flagfile=experiments/flagfiles/gigpo/long_run_household.cfg

Takes the flags of experiments.gigpo, and runs it in this process: rollouts in
the pool of environments, credit, update, metrics and checkpoints as always.
After each iteration it looks at the memory of this process and of its workers,
open files, threads, arrays, and at how many programs were traced and compiled.
`long_run.csv` in the folder of the run has all of it; the table has what grew
after the first tenth.
"""

import csv
import os
import pathlib
import sys
import time

import jax
import numpy as np
from absl import app, flags

from experiments import gigpo
from experiments.run import console, script
from experiments.text import flags as training_flags
from experiments.text import iterations, training
from experiments.text import script as text_script

flags.adopt_module_key_flags(gigpo)

FILE_NAME = 'long_run.csv'
# Events of jax.monitoring: a program goes through the compiler, or comes from
# the folder of compiled ones; a Python function is traced.
_COMPILED = '/jax/core/compile/backend_compile_duration'
_TRACED = '/jax/core/compile/jaxpr_trace_duration'


def resident(process: int | str = 'self') -> float:
  """Resident memory of a process, in MB; 0 where it has ended."""
  try:
    lines = pathlib.Path(f'/proc/{process}/status').read_text().splitlines()
  except OSError:
    return 0.0
  found = [line.split()[1] for line in lines if line.startswith('VmRSS:')]
  return int(found[0]) / 1024 if found else 0.0


def _children() -> list[str]:
  found = []
  for path in pathlib.Path('/proc/self/task').glob('*/children'):
    found += path.read_text().split()
  return found


class Watch:
  """What a process holds, iteration by iteration.

  Attributes:
    samples: one dict of numbers an iteration.
    traced: iterations completed before it, and name, of each function that was
      traced.
  """

  def __init__(self):
    self.samples: list[dict[str, float]] = []
    self.traced: list[tuple[int, str]] = []
    self._counts = {_COMPILED: 0, _TRACED: 0}
    self._start = time.perf_counter()

  def __enter__(self) -> 'Watch':
    jax.monitoring.register_event_duration_secs_listener(self._count)
    return self

  def __exit__(self, *unused) -> None:
    jax.monitoring.unregister_event_duration_listener(self._count)

  def _count(self, event: str, duration: float, **more) -> None:
    del duration
    if event in self._counts:
      self._counts[event] += 1
    if event == _TRACED:
      self.traced.append((len(self.samples), str(more.get('fun_name', '?'))))

  def sample(self, iteration: int) -> None:
    self.samples.append(
      {
        'iteration': iteration,
        'seconds': time.perf_counter() - self._start,
        'memory_mb': resident(),
        'workers_mb': sum(map(resident, _children())),
        'open_files': len(os.listdir('/proc/self/fd')),
        'threads': len(os.listdir('/proc/self/task')),
        'arrays': len(jax.live_arrays()),
        'python_blocks': sys.getallocatedblocks(),
        'compiled': self._counts[_COMPILED],
        'traced': self._counts[_TRACED],
      }
    )

  def column(self, name: str, warm_up: int = 0) -> np.ndarray:
    return np.array([s[name] for s in self.samples[warm_up:]], float)

  def slope(self, name: str, warm_up: int) -> float:
    """Growth over 1,000 iterations, by least squares, after the warm-up."""
    x = self.column('iteration', warm_up)
    return 1000 * float(np.polyfit(x, self.column(name, warm_up), 1)[0])

  def grown(self, name: str, warm_up: int) -> float:
    """What was added from the last iteration of the warm-up to the end."""
    column = self.column(name)
    return float(column[-1] - column[warm_up - 1])


def training_under(watch: Watch) -> type[training.TextTraining]:
  """A training that has a watch take a sample after each iteration."""

  class WatchedIterations(iterations.Iterations):
    """Iterations after each of which a sample is taken."""

    def _iterate(self, state, iteration):
      state = super()._iterate(state, iteration)
      watch.sample(iteration)
      return state

  class WatchedTraining(training.TextTraining):
    """A training with such iterations."""

    iterations = WatchedIterations

  return WatchedTraining


def write(watch: Watch, folder: pathlib.Path) -> None:
  """Writes all samples."""
  with open(folder / FILE_NAME, 'w', newline='', encoding='utf-8') as file:
    writer = csv.DictWriter(file, list(watch.samples[0]))
    writer.writeheader()
    writer.writerows(watch.samples)


def table(watch: Watch, warm_up: int) -> str:
  """What each quantity was after the warm-up and at the end, and its slope."""
  lines = [
    f'{len(watch.samples)} iterations, of which {warm_up} are warm-up',
    f'{"":<16}{"warm":>12}{"end":>12}{"most":>12}{"per 1,000":>12}',
  ]
  for name in watch.samples[0]:
    if name in ('iteration', 'seconds'):
      continue
    column = watch.column(name)
    lines.append(
      f'{name:<16}{column[warm_up - 1]:>12,.1f}{column[-1]:>12,.1f}'
      f'{column.max():>12,.1f}{watch.slope(name, warm_up):>12,.2f}'
    )
  seconds = np.diff(watch.column('seconds', warm_up))
  lines.append(
    f'seconds of an iteration: median {np.median(seconds):.3f}, of the first '
    f'half {np.median(seconds[: len(seconds) // 2]):.3f}, of the second '
    f'{np.median(seconds[len(seconds) // 2 :]):.3f}'
  )
  late = [f'{name} in {i + 1}' for i, name in watch.traced if i >= warm_up]
  lines.append(f'traced after the warm-up: {", ".join(late) or "nothing"}')
  return '\n'.join(lines)


def main(argv):
  watch = Watch()

  def execute(parts, stop, folder) -> bool:
    with watch:
      return training_under(watch)(*parts.of_training(), stop, folder).run()

  def report(folder) -> None:
    text_script.report(folder)
    if len(watch.samples) >= 20:
      write(watch, folder)
      console.console.print(table(watch, len(watch.samples) // 10))

  return script.run(
    argv,
    module=__name__,
    build=text_script.build,
    execute=execute,
    report=report,
    may_change=training_flags.MAY_CHANGE,
  )


if __name__ == '__main__':
  app.run(main)
