"""Console output of a run: bars, one line an iteration, tables."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from rich import console as rich_console
from rich import progress

console = rich_console.Console(
  # Piped to a file, a line must not be cut at 80 columns.
  width=None if sys.stdout.isatty() else 140,
  highlight=False,
)

# Shares that methods measure -> what a line calls them.
_SHARES = {'singleton_share': 'singletons', 'branch_share': 'branch tokens'}


def print_line(text: str) -> None:
  """Prints a line, which stays one where it is piped to a file."""
  console.print(text, soft_wrap=True)


@contextlib.contextmanager
def bar(label: str, total: int, done: int = 0) -> Iterator[Any]:
  """A progress bar; yields `advance(count, note)`.

  Args:
    label: what is counted.
    total: count at the end.
    done: count at the start.
  """
  columns = (
    progress.TextColumn('{task.description:<12}'),
    progress.BarColumn(bar_width=24),
    progress.MofNCompleteColumn(),
    progress.TimeElapsedColumn(),
    progress.TimeRemainingColumn(),
    progress.TextColumn('{task.fields[note]}'),
  )
  with progress.Progress(
    *columns, console=console, transient=True, disable=not console.is_terminal
  ) as bars:
    task = bars.add_task(label, total=total, completed=done, note='')

    def advance(count: int = 1, note: str | None = None) -> None:
      bars.update(
        task, advance=count, **({} if note is None else {'note': note})
      )

    yield advance


def percent(value: float | None) -> str:
  """A share in per cent, or a dash for NaN."""
  return '-' if value is None or value != value else f'{100 * value:.1f} %'


def iteration_line(iteration: int, total: int, metrics: dict[str, Any]) -> str:
  """One line with the results of an iteration and its times."""
  seconds = metrics['seconds_total']
  shares = ''.join(
    f'{label} {percent(metrics[name]):>6}  '
    for name, label in _SHARES.items()
    if name in metrics
  )
  return (
    f'iteration {iteration:>4}/{total}  '
    f'success {percent(metrics["success_rate"]):>7}  '
    f'return {metrics["mean_return"]:.2f}  '
    f'steps {metrics["episode_length"]:5.1f}  '
    f'invalid {percent(metrics["invalid_share"]):>6}  '
    f'{shares}{seconds:5.1f} s '
    f'(rollout {metrics["seconds_rollout"]:.1f}, credit '
    f'{metrics["seconds_credit"]:.4f}, update {metrics["seconds_update"]:.1f})'
  )
