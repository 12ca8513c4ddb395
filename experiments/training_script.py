"""What scripts that train a text policy do from flags to report."""

import pathlib
import sys
from collections.abc import Callable
from typing import Any

from absl import logging

from experiments import (
  console,
  interruption,
  process_flags,
  run_folder,
  training_flags,
)
from jaxcredit.networks import processes


def report(folder: pathlib.Path) -> None:
  """Shows the table of success and writes curves and page."""
  from jaxcredit.reports import curves, page, run_data, success_table

  run = run_data.read(folder)
  if run.evaluations:
    console.console.print(success_table.success_table(run.evaluations))
  if run.training:
    curves.save(run)
  console.console.print(f'report: {page.save(run)}', soft_wrap=True)


def train(settings, domain, method, stop) -> bool:
  """Warm start, training and evaluation; returns whether they are complete."""
  from experiments import text_training

  return text_training.TextTraining(settings, domain, method, stop).run()


def main(
  argv: list[str],
  build: Callable[[], tuple[Any, Any, Any]],
  after: Callable[[pathlib.Path], None] = lambda folder: None,
  train: Callable[..., bool] = train,
) -> int:
  """Runs, or resumes, what the flags say.

  Args:
    argv: what absl left of the command line.
    build: flags -> settings, domain and method, as `text_training.TextTraining`
      takes them.
    after: writes more of the report.
    train: what is done with them, and with what tells of an interruption;
      returns whether it is complete.

  Returns:
    The exit status: 0, 1 after an error, 130 if the run was interrupted.
  """
  if len(argv) > 1:
    print(
      f'error: unknown arguments: {" ".join(argv[1:])} (flags start with --)',
      file=sys.stderr,
    )
    return 1
  logging.set_verbosity(logging.ERROR)
  return process_flags.together(lambda: _run(build, after, train))


def _open_run(folder: pathlib.Path, own: dict[str, Any]) -> bool:
  """Opens the run, in the first process first; returns whether it is new.

  Raises:
    FileNotFoundError: another process does not see what the first has made.
    ValueError: another process has other flags.
  """

  def opened():
    return not run_folder.open_run(
      folder, own, training_flags.MAY_CHANGE, training_flags.defaults()
    )

  new = opened() if processes.is_first() else False
  new = processes.as_first(new)
  if not processes.is_first():
    run_folder.wait_for(folder)
    opened()
  return new


def _run(build, after, train) -> int:
  """What `main` does in each process."""
  from jaxcredit.environments import household
  from jaxcredit.training import learner

  training_flags.use_compilation_cache()
  folder = training_flags.folder()
  own = training_flags.own()
  new = False
  try:
    training_flags.check_numbers(own)
    parts = build()
    new = _open_run(folder, own)
    if not new:
      console.console.print(f'{folder} holds this run: going on')
    with interruption.Interruption() as stop:
      complete = train(*parts, stop)
  except (
    OSError,
    household.GameError,
    learner.NonFiniteError,
    ValueError,
  ) as error:
    if new and processes.is_first():
      run_folder.forget_unbegun(folder)
    print(f'error: {error}', file=sys.stderr)
    return 1
  if processes.is_first():
    report(folder)
    after(folder)
  if not complete:
    console.console.print(f'stopped; the same command goes on from {folder}')
    return 130
  return 0
