"""The report of an experiment without text: its table, figures and page."""

import pathlib

from experiments.run import console
from jaxcredit.reports import study_data, study_page


def show(folder: pathlib.Path) -> None:
  """Prints the table of an experiment and writes its page, if it has come so
  far."""
  table = folder / 'table.md'
  if not table.exists():
    return
  print(table.read_text(encoding='utf-8'))
  page = study_page.save(study_data.read(folder))
  console.console.print(f'figures, CSV and table: {folder}', soft_wrap=True)
  console.console.print(f'report: {page}', soft_wrap=True)
