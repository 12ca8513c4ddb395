"""One HTML page about an experiment of control or bandits."""

import pathlib

from jaxcredit import files
from jaxcredit.reports import page, page_template, study_data, svg_chart


def render(study: study_data.Study) -> str:
  """The page as text."""
  kind = study.config.get('study') or study.config.get('task') or 'experiment'
  return page_template.render(
    'study.html.jinja',
    title=f'{kind}: {study.folder.name}',
    tables=study.blocks,
    charts=[c for c in map(svg_chart.draw, study.panels) if c],
    other_charts=[c for c in map(svg_chart.draw, study.others) if c],
    band=study.band,
    pictures=list(study.pictures.items()),
    config=sorted(study.config.items()),
  )


def save(study: study_data.Study) -> pathlib.Path:
  """Writes report.html into the folder; returns its path."""
  path = study.folder / page.NAME
  files.write_text(path, render(study))
  return path
