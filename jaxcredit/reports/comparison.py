"""Several runs together: those that differ in their seed alone are one curve.

A curve is the interquartile mean over the runs of a setting, its band the 95
per cent bootstrap interval of that (Agarwal et al. 2021, arXiv 2108.13264).
With fewer than four runs the interquartile mean is the mean; with one there is
no band.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcredit.reports import (
  run_data,
  run_panels,
  seed_statistics,
  study_data,
  svg_chart,
)

# Flags that do not make a setting: the seed, and what changes no numbers.
_BESIDE = {
  'run', 'seed', 'checkpoint_every', 'compilation_cache',
  'environment_workers', 'keep_checkpoints', 'save_episodes_every',
  'profile', 'step_time_limit', 'tensorboard',
}  # fmt: skip
# Several methods of one folder are curves of their own.
_BESIDE_STUDY = _BESIDE | {'method'}


@dataclasses.dataclass(frozen=True)
class Setting:
  """Runs with the same flags.

  Attributes:
    label: the flags in which it differs from the other settings.
    runs: of text, `run_data.RunData`, or `study_data.Study`.
  """

  label: str
  runs: Sequence[Any]


def _flags(config: dict[str, Any], beside: set[str]) -> dict[str, Any]:
  """The flags that make a setting."""
  flags = {k: v for k, v in config.items() if k not in beside}
  if flags.get('start_from'):
    # Each seed starts from a folder of its own.
    flags['start_from'] = 'another run'
  return flags


def _words(value: Any) -> str:
  text = value if isinstance(value, str) else json.dumps(value)
  return text if len(text) <= 40 else f'{text[:37]}...'


def settings(runs: Sequence[Any], beside: set[str] = _BESIDE) -> list[Setting]:
  """Groups runs whose flags are the same but for the seed.

  Raises:
    ValueError: two runs have the same seed too.
  """
  groups: dict[str, list[Any]] = {}
  for run in runs:
    key = json.dumps(_flags(run.config, beside), sort_keys=True)
    groups.setdefault(key, []).append(run)
  for members in groups.values():
    seen: dict[str, Any] = {}
    for run in members:
      seed = json.dumps([run.config.get('seed'), run.config.get('method')])
      if seed in seen:
        raise ValueError(
          f'{seen[seed].folder} and {run.folder} have the same flags and the '
          'same seed: they are one run, give one of them'
        )
      seen[seed] = run
  flags = [_flags(members[0].config, beside) for members in groups.values()]
  names = sorted({name for f in flags for name in f})
  differ = [n for n in names if len({json.dumps(f.get(n)) for f in flags}) > 1]
  # The method first, as it is what is compared most of all.
  differ.sort(key=lambda name: name != 'method')
  result = []
  for f, members in zip(flags, groups.values(), strict=True):
    label = ', '.join(f'{n}={_words(f.get(n))}' for n in differ)
    if differ == ['method']:
      label = _words(f.get('method'))
    label = label or str(f.get('method') or members[0].folder.name)
    result.append(Setting(label, members))
  return result


def seeds(setting: Setting) -> str:
  """Seeds of a setting, as text."""
  return ', '.join(str(run.config.get('seed', '?')) for run in setting.runs)


def panels(groups: Sequence[Setting]) -> list[svg_chart.Panel]:
  """Charts of text runs: evaluations and what their training shows."""

  def panel(title, read, **options):
    by_label = {}
    for group in groups:
      some = {i: read(run) for i, run in enumerate(group.runs)}
      by_label[group.label] = some if all(x for x, _ in some.values()) else {}
    return study_data.seed_panel(
      title, 'iteration', by_label, floor=0, **options
    )

  return [
    panel('success in evaluation, per cent', run_panels.evaluated),
    *(
      panel(
        f'{title}, mean of 5',
        lambda run, n=name, f=factor: _smoothed(
          *run_panels.series(run.training, n, f)
        ),
      )
      for name, (title, factor) in run_panels.TRAINING.items()
    ),
    panel(
      'seconds of an iteration',
      lambda run: run_panels.series(run.training, 'seconds_total'),
    ),
  ]


def _smoothed(x, y):
  return x, run_panels.smooth(y)


def interval(values: Sequence[float | None], digits: int = 1) -> str:
  """Interquartile mean and its interval as text; '-' where a value lacks."""
  if not values or any(v is None for v in values):
    return '-'
  numbers = np.array(values, np.float64)
  middle = f'{seed_statistics.interquartile_mean(numbers):.{digits}f}'
  if len(numbers) < 2:
    return middle.replace('-', '\u2212')
  low, high = seed_statistics.bootstrap_interval(numbers)
  text = f'{middle} [{low:.{digits}f}, {high:.{digits}f}]'
  return text.replace('-', '\u2212')


def _last(run: run_data.RunData) -> dict[str, Any]:
  return run.evaluations[-1] if run.evaluations else {}


def _percent(value: float | None) -> float | None:
  return None if value is None else 100 * value


def table(groups: Sequence[Setting]) -> list[list[str]]:
  """What text runs came to: a header, and a row for each setting."""
  header = [
    'setting', 'runs', 'seeds', 'success, per cent', 'each run',
    'evaluated after', 'mean reward', 'steps of an episode', 'iterations',
    'minutes of training',
  ]  # fmt: skip
  rows = [header]
  for group in groups:
    last = [_last(run) for run in group.runs]
    success = [_percent(e.get('success_rate')) for e in last]
    seconds = [
      sum(y) / 60 if (y := run_panels.series(run.training, 'seconds_total')[1])
      else None
      for run in group.runs
    ]  # fmt: skip
    rows.append(
      [
        group.label,
        str(len(group.runs)),
        seeds(group),
        interval(success),
        ', '.join('-' if s is None else f'{s:.1f}' for s in success),
        ', '.join(str(i) for i in sorted({e['iteration'] for e in last if e})),
        interval([e.get('mean_reward') for e in last], 3),
        interval([e.get('mean_length') for e in last]),
        ', '.join(str(len(run.training)) for run in group.runs),
        interval(seconds),
      ]
    )
  return rows


def by_task_type(groups: Sequence[Setting]) -> list[list[str]]:
  """Success of the last evaluation by task type; a column for each setting."""
  kinds = sorted(
    {
      k
      for g in groups
      for r in g.runs
      for k in _last(r).get('by_task_type', {})
    }
  )
  rows = [['task type', *(group.label for group in groups)]]
  for kind in kinds:
    cells = []
    for group in groups:
      parts = [
        _last(run).get('by_task_type', {}).get(kind) for run in group.runs
      ]
      cells.append(
        interval([_percent(p['success_rate']) if p else None for p in parts])
      )
    rows.append([kind, *cells])
  return rows if kinds else []


def games(groups: Sequence[Setting]) -> list[str]:
  """What the last evaluations were on; more than one cannot be compared."""
  return sorted(
    {e['games'] for g in groups for r in g.runs if (e := _last(r)).get('games')}
  )


def of_studies(
  studies: Sequence[study_data.Study],
) -> tuple[list[svg_chart.Panel], list[list[str]]]:
  """Charts and final numbers of experiments with several methods each.

  Folders whose flags differ in the seeds alone are one. Curves without seeds
  stand side by side, those of one chart together.
  """
  merged: dict[str, dict[str, dict[str, tuple]]] = {}
  charts: dict[str, svg_chart.Panel] = {}
  groups = settings(studies, _BESIDE_STUDY)
  for group in groups:
    prefix = f'{group.label}: ' if len(groups) > 1 else ''
    for study in group.runs:
      for method, curves in study.by_seed.items():
        names = merged.setdefault(f'{prefix}{method}', {})
        for name, by_seed in curves.items():
          names.setdefault(name, {}).update(by_seed)
      for panel in () if study.by_seed else study.panels:
        curves = [
          dataclasses.replace(c, label=f'{prefix}{c.label}')
          for c in panel.curves
        ]
        before = charts.get(panel.title)
        charts[panel.title] = dataclasses.replace(
          panel, curves=[*(before.curves if before else ()), *curves]
        )
  main, _ = study_data.seed_panels(merged)
  rows = [['method', 'seeds', 'final', 'number']]
  for label, names in merged.items():
    for name in [n for n in names if n in ('evaluation', 'team_return')]:
      finals = [values[-1] for _, values in names[name].values()]
      rows.append(
        [label, str(len(finals)), name.replace('_', ' '), interval(finals, 2)]
      )
  for title, panel in charts.items():
    for c in panel.curves:
      last = svg_chart.number(c.y[-1])
      if c.low is not None:
        ends = svg_chart.number(c.low[-1]), svg_chart.number(c.high[-1])
        last += f' [{ends[0]}, {ends[1]}]'
      rows.append([c.label, '', title, last])
  return main + list(charts.values()), rows if len(rows) > 1 else []
