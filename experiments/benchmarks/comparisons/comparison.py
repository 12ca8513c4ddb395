"""What all comparisons of runs do: their runs, tables and command."""

import concurrent.futures
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
from absl import flags

from experiments.benchmarks.speed import side_by_side
from experiments.run import command as command_lib
from jaxcredit import files

# Flags belong to the module that asks for them.
flags.disclaim_key_flags()


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
    The exit status, see `run.command.run`.
  """

  def work():
    output.mkdir(parents=True, exist_ok=True)
    text = compare(output)
    files.write_text(output / 'comparison.md', text)
    print(text)

  return command_lib.run(argv, work)


class Table:
  """Markdown that is written line by line.

  Args:
    words: over the table.
    columns: titles.
  """

  def __init__(self, words: str, columns: Sequence[str]):
    self._columns = list(columns)
    self._lines = [
      words,
      '',
      '| | ' + ' | '.join(self._columns) + ' |',
      '| --- |' + ' ---: |' * len(self._columns),
    ]

  def line(self, title: str, cells: Sequence[str]) -> None:
    """Adds a row."""
    if len(cells) != len(self._columns):
      raise ValueError(f'{len(cells)} cells of {len(self._columns)} columns')
    self._lines.append(f'| {title} | ' + ' | '.join(cells) + ' |')

  def text(self) -> str:
    return '\n'.join(self._lines) + '\n'


class Runs:
  """Runs of a script that begin from one start for each seed.

  Defines the flags that such comparisons share: --output, --settings, --seed
  and --jobs.

  Args:
    module: of the script, such as 'experiments.spa'.
    output: folder of the runs by default.
    settings: flagfile that all runs share, by default.
  """

  def __init__(self, module: str, output: str, settings: str):
    self._module = module
    self._output = flags.DEFINE_string('output', output, 'Folder of the runs.')
    self._settings = flags.DEFINE_string(
      'settings', settings, 'Flagfile that all runs share.'
    )
    self._seeds = flags.DEFINE_multi_integer('seed', [0, 1, 2], 'Seeds.', 0)
    self._jobs = flags.DEFINE_integer(
      'jobs', 2, 'Runs side by side; the cores are shared out among them.', 1
    )

  @property
  def output(self) -> pathlib.Path:
    return pathlib.Path(self._output.value)

  @property
  def seeds(self) -> list[int]:
    return self._seeds.value

  def workers(self) -> concurrent.futures.ThreadPoolExecutor:
    """Threads, one for each run side by side, with its share of the cores."""
    return side_by_side.workers(self._jobs.value)

  def run(self, name: str, *arguments: str) -> pathlib.Path:
    """Starts or resumes a run and waits for it; returns its folder.

    Raises:
      ChildProcessError: it failed; names the log.
    """
    command = [self._module, f'--flagfile={self._settings.value}']
    command += [f'--run={self.output / name}', *arguments]
    side_by_side.execute(self.output, name, command)
    return self.output / name

  def run_all(
    self,
    start: str,
    start_flags: Sequence[str],
    names: Sequence[str],
    flags_of: Callable[[str, pathlib.Path], Sequence[str]],
    share_start: bool = False,
  ) -> dict[tuple[int, str], pathlib.Path]:
    """All starts, then all variants.

    Args:
      start: name of the starts.
      start_flags: of a start.
      names: of the variants.
      flags_of: name of a variant and folder of its start -> flags.
      share_start: all seeds go from the first one's start.

    Returns:
      (seed, name) -> folder.
    """
    begun = self.seeds[:1] if share_start else self.seeds
    pairs = [(seed, name) for seed in self.seeds for name in names]
    with self.workers() as pool:

      def begin(seed):
        own = (f'--seed={seed}', '--iterations=0', *start_flags)
        return self.run(f'seed{seed}/{start}', *own)

      starts = dict(zip(begun, pool.map(begin, begun), strict=True))

      def train(pair):
        seed, name = pair
        source = starts[begun[0] if share_start else seed]
        own = (f'--seed={seed}', f'--start_from={source}')
        return self.run(f'seed{seed}/{name}', *own, *flags_of(name, source))

      trained = dict(zip(pairs, pool.map(train, pairs), strict=True))
    return {**{(s, start): f for s, f in starts.items()}, **trained}
