"""What scripts that train a text policy do from flags to report.

They end with 0 when the run is complete; 1 after an error, which stands in one
line; 130 after Ctrl-C (SIGINT) and 143 after SIGTERM, as a machine gets that is
about to be taken away. After either signal the state of the last complete
iteration is saved: a rollout under way is given up and is played again, with
the same episodes, by the same command; optimizer steps under way are finished
first. A second signal stops at once, and the same command goes on from the last
checkpoint. After SIGTERM no report is written, since the time is short.
"""

import pathlib
import sys
from collections.abc import Callable
from typing import Any

from absl import logging

from experiments.run import console, interruption, process_flags
from experiments.run import folder as run_folder
from experiments.text import flags as training_flags
from jaxcredit.distributed import processes


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
    The exit status: 0, 1 after an error, 130 or 143 if the run was stopped.
  """
  if len(argv) > 1:
    print(
      f'error: unknown arguments: {" ".join(argv[1:])} (flags start with --)',
      file=sys.stderr,
    )
    return 1
  # Orbax logs with a traceback what it raises as well.
  logging.set_verbosity(logging.FATAL)
  return process_flags.together(lambda: _run(build, after, train))


def _run(build, after, train) -> int:
  """What `main` does in each process."""
  from jaxcredit.environments import household
  from jaxcredit.training import learner

  training_flags.use_compilation_cache()
  folder = training_flags.folder()
  own = training_flags.own()
  new = False
  stop = interruption.Interruption()
  try:
    training_flags.check_numbers(own)
    parts = build()
    new = not run_folder.open_together(
      folder, own, training_flags.MAY_CHANGE, training_flags.defaults()
    )
    if not new:
      console.console.print(f'{folder} holds this run: going on')
    with stop:
      complete = train(*parts, stop)
  except KeyboardInterrupt:
    return stop.at_once(folder)
  except (
    OSError,
    household.GameError,
    learner.NonFiniteError,
    ValueError,
  ) as error:
    if new and processes.is_first():
      run_folder.forget_unbegun(folder)
    print(f'error: {run_folder.error_in_words(error, folder)}', file=sys.stderr)
    return 1
  if processes.is_first() and (complete or not stop.terminated):
    report(folder)
    after(folder)
  if not complete:
    console.console.print(f'stopped; the same command goes on from {folder}')
    return stop.exit_status
  return 0
