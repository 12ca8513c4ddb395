"""One HTML page about several runs together."""

from collections.abc import Sequence
from typing import Any

from jaxcredit.reports import (
  comparison,
  page_template,
  run_data,
  study_data,
  svg_chart,
)


def render(runs: Sequence[Any]) -> str:
  """The page as text.

  Args:
    runs: `run_data.RunData` and `study_data.Study`.

  Raises:
    ValueError: two of them are the same run.
  """
  text = [run for run in runs if isinstance(run, run_data.RunData)]
  studies = [run for run in runs if isinstance(run, study_data.Study)]
  groups = comparison.settings(text)
  charts, rows = comparison.of_studies(studies)
  return page_template.render(
    'comparison.html.jinja',
    title=f'Comparison of {len(runs)} runs',
    count=len(runs),
    table=comparison.table(groups) if groups else [],
    games=comparison.games(groups),
    by_task_type=comparison.by_task_type(groups),
    charts=[c for c in map(svg_chart.draw, comparison.panels(groups)) if c],
    study_table=rows,
    study_charts=[c for c in map(svg_chart.draw, charts) if c],
    bands=list(dict.fromkeys(s.band for s in studies if s.band)),
    folders=[str(run.folder) for run in runs],
  )
