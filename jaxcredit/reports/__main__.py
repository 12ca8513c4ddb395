"""Turns folders of runs into pages of HTML.

  python -m jaxcredit.reports RUN
  python -m jaxcredit.reports RUN --method=grpo --method=gigpo --method=rloo
  python -m jaxcredit.reports RUN_A RUN_B ... --output=comparison.html

Every run gets a page of its own, RUN/report.html, text runs their table and
curves as well. With --output there is one page about all of them: runs that
differ in their seed alone are one curve with a confidence band.
"""

import argparse
import pathlib
import sys

try:
  from rich import console

  from jaxcredit import files, methods
  from jaxcredit.reports import (
    comparison_page,
    curves,
    page,
    run_data,
    study_data,
    study_page,
    success_table,
  )
except ModuleNotFoundError as error:
  sys.exit(
    f'error: reports need {error.name}, which the light install leaves out: '
    "pip install 'jaxcredit[train]'"
  )


def read(folder: str) -> run_data.RunData | study_data.Study:
  """A run of any kind."""
  if study_data.is_study(folder):
    return study_data.read(folder)
  return run_data.read(folder)


def report(run, methods) -> pathlib.Path:
  """Writes what one run has of its own; returns the path of its page."""
  if isinstance(run, study_data.Study):
    return study_page.save(run)
  if run.evaluations:
    console.Console().print(success_table.success_table(run.evaluations))
  if run.training:
    curves.save(run)
  return page.save(run, methods=methods)


def main(argv=None) -> int:
  """Reports on each folder given, or on all; returns an exit status."""
  parser = argparse.ArgumentParser(
    prog='python -m jaxcredit.reports',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('run', nargs='+', help='folder of a run')
  parser.add_argument(
    '--method',
    action='append',
    default=[],
    choices=list(methods.TABLE),
    help='whose credit of steps and answers the page shows; several may be '
    'given; by default that of the run, beside GRPO',
  )
  parser.add_argument(
    '--output', help='one page that compares the runs, instead of one for each'
  )
  flags = parser.parse_args(argv)
  if flags.output and flags.method:
    parser.error('--method is for pages of one run, not for a comparison')
  try:
    runs = [read(folder) for folder in flags.run]
    if flags.output:
      path = pathlib.Path(flags.output).expanduser()
      files.write_text(path, comparison_page.render(runs))
      print(path)
    else:
      for run in runs:
        print(report(run, flags.method))
  except (OSError, ValueError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  return 0


if __name__ == '__main__':
  sys.exit(main())
