"""The main of scripts that train a text policy; see `run.script`."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

from experiments.run import console
from experiments.run import script as run_script
from experiments.text import flags as training_flags


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
  from experiments.text import stages as text_training

  return text_training.TextTraining(settings, domain, method, stop).run()


def main(
  argv: list[str],
  module: str,
  build: Callable[[], tuple[Any, Any, Any]],
  after: Callable[[pathlib.Path], None] = lambda folder: None,
  train: Callable[..., bool] = train,
) -> int:
  """Runs, or resumes, what the flags say.

  Args:
    argv: what absl left of the command line.
    module: `__name__` of the script.
    build: flags -> settings, domain and method, as `stages.TextTraining` takes
      them.
    after: writes more of the report.
    train: what is done with them, and with what tells of an interruption;
      returns whether it is complete.

  Returns:
    The exit status: 0, 1 after an error, 130 or 143 if the run was stopped.
  """

  def execute(parts, stop, folder):
    settings, domain, method = parts
    settings = dataclasses.replace(settings, run=folder)
    return train(settings, domain, method, stop)

  def write(folder):
    report(folder)
    after(folder)

  return run_script.run(
    argv,
    module=module,
    build=build,
    execute=execute,
    report=write,
    may_change=training_flags.MAY_CHANGE,
  )
