"""What the experiments without text have written: LaRe's and DynLin-UCB's.

Their folders hold CSV files of curves, a table and pictures.
"""

import base64
import csv
import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxcredit.reports import markdown_blocks, seed_statistics, svg_chart

# Pictures of what the page draws itself are left out, and those too large.
_DRAWN = {'curves.png', 'regret.png', 'scaling.png'}
_LARGEST = 2_000_000
_MAIN = {
  'evaluation': 'team return of the likeliest actions',
  'team_return': 'team return in training',
  'reward_correlation': 'correlation with the reward of the step',
}
# Flags that the two scripts alone have.
_FLAGS = ('study', 'decoder_hidden')


@dataclasses.dataclass(frozen=True)
class Study:
  """Curves, tables and pictures of an experiment.

  Attributes:
    folder: of the experiment.
    config: its flags.
    panels: the main charts.
    others: those of all other numbers.
    blocks: of its table.md.
    pictures: name -> data URI of a PNG.
    band: what the bands of the curves are.
    by_seed: method -> name -> seed -> (iterations, values), where the folder
      holds the curve of each seed; else empty.
  """

  folder: pathlib.Path
  config: dict[str, Any]
  panels: Sequence[svg_chart.Panel] = ()
  others: Sequence[svg_chart.Panel] = ()
  blocks: Sequence[markdown_blocks.Block] = ()
  pictures: dict[str, str] = dataclasses.field(default_factory=dict)
  band: str = ''
  by_seed: dict[str, dict[str, dict[str, tuple]]] = dataclasses.field(
    default_factory=dict
  )


def is_study(folder: str | pathlib.Path) -> bool:
  """Whether the folder holds such an experiment, however far it came."""
  folder = pathlib.Path(folder).expanduser()
  if any((folder / name).exists() for name in ('curves.csv', 'scaling.csv')):
    return True
  try:
    config = json.loads((folder / 'config.json').read_text(encoding='utf-8'))
  except (OSError, ValueError):
    return False
  return isinstance(config, dict) and any(name in config for name in _FLAGS)


def _rows(path: pathlib.Path, columns: dict[str, Callable]) -> list[dict]:
  """Rows of a CSV file, the named columns read by their functions."""
  rows = []
  with open(path, newline='', encoding='utf-8') as file:
    reader = csv.DictReader(file)
    missing = sorted(set(columns) - set(reader.fieldnames or ()))
    if missing:
      raise ValueError(f'{path}: columns are missing: {", ".join(missing)}')
    for row in reader:
      try:
        rows.append({name: read(row[name]) for name, read in columns.items()})
      except (TypeError, ValueError):
        raise ValueError(
          f'{path}:{reader.line_num}: not a row of numbers: '
          f'{", ".join(str(v) for v in row.values())[:60]}'
        ) from None
  return rows


def _unique(values) -> list:
  return list(dict.fromkeys(values))


def banded(label: str, x, runs) -> svg_chart.Curve:
  """The interquartile mean of runs with its 95 per cent bootstrap interval.

  Args:
    label: of the curve.
    x: [R].
    runs: float [N, R]; where a run has no finite value there is no point.
  """
  runs = np.asarray(runs, np.float64)
  x = np.asarray(x)
  there = np.isfinite(runs).all(axis=0)
  runs, x = runs[:, there], x[there]
  middle = seed_statistics.interquartile_mean(runs)
  if len(runs) < 2 or not x.size:
    return svg_chart.Curve(label, x.tolist(), middle.tolist())
  low, high = seed_statistics.bootstrap_interval(runs)
  return svg_chart.Curve(
    label, x.tolist(), middle.tolist(), low.tolist(), high.tolist()
  )


def seed_panel(
  title: str, x_label: str, runs: dict[str, dict[Any, tuple]], **options
) -> svg_chart.Panel:
  """A chart of several methods, each with its seeds.

  Args:
    title: of the chart.
    x_label: of its axis.
    runs: label -> run -> (x, values). A point is drawn where all runs of a
      label have one.
    **options: more of the panel.
  """
  curves = []
  for label, by_run in runs.items():
    tables = [dict(zip(x, y, strict=True)) for x, y in by_run.values()]
    if not tables:
      continue
    common = sorted(set.intersection(*(set(t) for t in tables)))
    if common:
      values = [[t[x] for x in common] for t in tables]
      curves.append(banded(label, common, values))
  return svg_chart.Panel(title, x_label, curves, **options)


def _lare(folder: pathlib.Path) -> dict[str, Any]:
  """Curves of `experiments.lare`: one a method, name and seed."""
  rows = _rows(
    folder / 'curves.csv',
    {'method': str, 'seed': str, 'iteration': int, 'name': str, 'value': float},
  )
  by_seed: dict[str, dict[str, dict[str, tuple]]] = {}
  for row in rows:
    x, y = (
      by_seed.setdefault(row['method'], {})
      .setdefault(row['name'], {})
      .setdefault(row['seed'], ([], []))
    )
    x.append(row['iteration'])
    y.append(row['value'])
  main, others = seed_panels(by_seed)
  return {
    'panels': main,
    'others': others,
    'by_seed': by_seed,
    'band': 'A curve is the interquartile mean over seeds, its band the 95 per '
    'cent bootstrap interval of that.',
  }


def seed_panels(
  by_seed: dict[str, dict[str, dict[str, tuple]]],
) -> tuple[list[svg_chart.Panel], list[svg_chart.Panel]]:
  """Charts of `Study.by_seed`: the main ones, and the others."""
  names = _unique(name for curves in by_seed.values() for name in curves)

  def panel(name):
    return seed_panel(
      _MAIN.get(name, name.replace('_', ' ')),
      'iterations',
      {method: c[name] for method, c in by_seed.items() if name in c},
    )

  return (
    [panel(name) for name in _MAIN if name in names],
    [panel(name) for name in names if name not in _MAIN],
  )


def _dynlin(folder: pathlib.Path) -> dict[str, Any]:
  """Curves of `experiments.dynlin_ucb`: means and standard errors."""
  kinds = {
    'offline': 'cumulative regret, steady state',
    'reward': 'cumulative regret of rewards',
  }
  numbers = {
    f'{kind}_regret_{part}': float
    for kind in kinds
    for part in ('mean', 'standard_error')
  }
  rows = _rows(
    folder / 'curves.csv',
    {'panel': str, 'algorithm': str, 'round': int, **numbers},
  )
  panels = []
  for title in _unique(row['panel'] for row in rows):
    for kind, words in kinds.items():
      curves = []
      for name in _unique(r['algorithm'] for r in rows if r['panel'] == title):
        some = [
          r for r in rows if (r['panel'], r['algorithm']) == (title, name)
        ]
        mean = np.array([r[f'{kind}_regret_mean'] for r in some])
        error = np.array([r[f'{kind}_regret_standard_error'] for r in some])
        curves.append(
          svg_chart.Curve(
            name,
            [r['round'] for r in some],
            mean.tolist(),
            (mean - error).tolist(),
            (mean + error).tolist(),
          )
        )
      panels.append(
        svg_chart.Panel(f'{title}: {words}', 'rounds', curves, floor=0)
      )
  return {
    'panels': panels,
    'band': 'A curve is the mean over runs, its band one standard error.',
  }


def _scaling(folder: pathlib.Path) -> dict[str, Any]:
  """Regret of random systems against horizon and spectral radius."""
  rows = _rows(
    folder / 'scaling.csv',
    {'rho': float, 'horizon': int, 'offline_regret': float},
  )
  curves = []
  for rho in _unique(row['rho'] for row in rows):
    some = [row for row in rows if row['rho'] == rho]
    horizons = _unique(row['horizon'] for row in some)
    logs = [
      np.log([r['offline_regret'] for r in some if r['horizon'] == h])
      for h in horizons
    ]
    low, high = np.exp([np.quantile(x, (0.25, 0.75)) for x in logs]).T.tolist()
    middle = np.exp([np.mean(x) for x in logs]).tolist()
    label = f'spectral radius {rho:g}'
    curves.append(svg_chart.Curve(label, horizons, middle, low, high))
  return {
    'panels': [
      svg_chart.Panel(
        'steady-state regret of random systems', 'horizon', curves,
        logarithmic=True,
      )
    ],
    'band': 'A curve is the geometric mean over systems, its band runs between '
    'the quartiles.',
  }  # fmt: skip


def _pictures(folder: pathlib.Path) -> dict[str, str]:
  """PNG files of the folder as data URIs."""
  found = {}
  for path in sorted(folder.glob('*.png')):
    if path.name in _DRAWN or path.stat().st_size > _LARGEST:
      continue
    data = path.read_bytes()
    if data[:8] == b'\x89PNG\r\n\x1a\n':
      text = base64.b64encode(data).decode('ascii')
      found[path.stem] = f'data:image/png;base64,{text}'
  return found


def read(folder: str | pathlib.Path) -> Study:
  """Reads an experiment.

  Raises:
    FileNotFoundError: there is none in the folder.
    ValueError: one of its files is damaged; names the file.
  """
  folder = pathlib.Path(folder).expanduser()
  path = folder / 'config.json'
  if not path.exists():
    raise FileNotFoundError(f'{folder} holds no run: config.json is missing')
  try:
    config = json.loads(path.read_text(encoding='utf-8'))
  except json.JSONDecodeError as error:
    raise ValueError(f'{path}:{error.lineno}: not JSON: {error.msg}') from None
  parts: dict[str, Any] = {}
  curves = folder / 'curves.csv'
  if curves.exists():
    with open(curves, encoding='utf-8') as file:
      header = file.readline()
    parts = (_lare if header.startswith('method,') else _dynlin)(folder)
  elif (folder / 'scaling.csv').exists():
    parts = _scaling(folder)
  table = folder / 'table.md'
  if table.exists():
    parts['blocks'] = markdown_blocks.read(table.read_text(encoding='utf-8'))
  return Study(folder, config, pictures=_pictures(folder), **parts)
