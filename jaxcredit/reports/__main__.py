"""Writes the table, the curves and the page of a run again."""

import argparse
import sys

try:
  from rich import console

  from jaxcredit.reports import curves, page, run_data, success_table
except ModuleNotFoundError as error:
  sys.exit(
    f'error: reports need {error.name}, which the light install leaves out: '
    "pip install 'jaxcredit[train]'"
  )


def main(argv=None) -> int:
  """Reports on each folder given; returns an exit status."""
  parser = argparse.ArgumentParser(
    prog='python -m jaxcredit.reports', description=__doc__
  )
  parser.add_argument('run', nargs='+', help='folder of a run')
  for folder in parser.parse_args(argv).run:
    try:
      run = run_data.read(folder)
    except (FileNotFoundError, ValueError) as error:
      print(f'error: {error}', file=sys.stderr)
      return 1
    if run.evaluations:
      console.Console().print(success_table.success_table(run.evaluations))
    if run.training:
      curves.save(run)
    print(page.save(run))
  return 0


if __name__ == '__main__':
  sys.exit(main())
