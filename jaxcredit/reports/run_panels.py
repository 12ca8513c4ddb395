"""What the metrics of a text run look like as charts."""

from collections.abc import Sequence
from typing import Any

from jaxcredit.reports import run_data, svg_chart, time_split

# Name in the records: title, factor.
TRAINING = {
  'success_rate': ('success in training, per cent', 100),
  'episode_length': ('steps of an episode', 1),
  'mean_return': ('return of an episode in training', 1),
  'grounding_accuracy': ('actions that could be carried out, per cent', 100),
}
_SIZES = ('1', '2-4', '5-9', '10-49', '50+')
# What stands elsewhere on the page, or counts itself.
_NOT_DRAWN = {'stage', 'iteration', 'time'}


def smooth(values: Sequence[float], window: int = 5) -> list[float]:
  """Trailing mean."""
  return [
    sum(part) / len(part)
    for part in (
      values[max(0, i - window + 1) : i + 1] for i in range(len(values))
    )
  ]


def series(
  records: list[dict[str, Any]], name: str, factor: float = 1
) -> tuple[list[int], list[float]]:
  """Iterations that have a number of this name, and the numbers."""
  pairs = [
    (r['iteration'], factor * r[name])
    for r in records
    if isinstance(r.get(name), int | float)
  ]
  return [x for x, _ in pairs], [y for _, y in pairs]


def evaluated(
  run: run_data.RunData, name: str = 'success_rate', factor: float = 100
) -> tuple[list[int], list[float]]:
  """Iterations of the evaluations that have a number, and the numbers."""
  return series(run.evaluations, name, factor)


def _main(run: run_data.RunData) -> list[svg_chart.Panel]:
  panels = []
  for name, (title, factor) in TRAINING.items():
    x, y = series(run.training, name, factor)
    curves = [
      svg_chart.Curve('mean of 5', x, smooth(y)),
      svg_chart.Curve('each iteration', x, y, kind='faint'),
    ]
    if name == 'success_rate':
      seen = evaluated(run)
      curves.append(svg_chart.Curve('evaluation', *seen, kind='marks'))
    panels.append(svg_chart.Panel(title, 'iteration', curves, floor=0))
  sizes = [r for r in run.training if r.get('anchor_group_sizes')]
  panels.append(
    svg_chart.Panel(
      'steps by size of their anchor group, per cent',
      'iteration',
      [
        svg_chart.Curve(
          size.replace('-', '–'),
          [r['iteration'] for r in sizes],
          [100 * r['anchor_group_sizes'].get(size, 0) for r in sizes],
        )
        for size in _SIZES
      ],
      floor=0,
    )
  )
  panels.append(
    svg_chart.Panel(
      'seconds of an iteration',
      'iteration',
      [
        svg_chart.Curve(stage, *points)
        for stage, points in time_split.curves(run.training).items()
      ],
      floor=0,
    )
  )
  return panels


def _others(
  records: list[dict[str, Any]], left_out: set[str], x_label: str
) -> list[svg_chart.Panel]:
  """A chart for each number that the records have, in their order."""
  names = dict.fromkeys(name for record in records for name in record)
  return [
    svg_chart.Panel(
      name.replace('_', ' '),
      x_label,
      [svg_chart.Curve(name.replace('_', ' '), *series(records, name))],
    )
    for name in names
    if name not in _NOT_DRAWN | left_out and not name.startswith('seconds_')
  ]


def of_run(
  run: run_data.RunData,
) -> tuple[list[svg_chart.Panel], list[svg_chart.Panel]]:
  """The charts that everybody wants, and those of all other metrics."""
  if not run.training:
    return [], _others(run.warm_start, set(), 'step of the warm start')
  others = _others(run.warm_start, set(), 'step of the warm start')
  return _main(run), others + _others(run.training, set(TRAINING), 'iteration')
