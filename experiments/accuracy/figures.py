"""Table, CSV file and figures of how right credit is.

A number is the interquartile mean over seeds; its band a 95 per cent bootstrap
interval of that, and +- half its width.
"""

import dataclasses
import pathlib

import numpy as np
from matplotlib import figure

from experiments.accuracy import settings as credit_settings
from experiments.accuracy import variants
from jaxcredit import files
from jaxcredit.reports import seed_statistics

# Scores -> what a table calls them, and whether more is better.
SCORES = {
  'rank': 'rank correlation',
  'within': 'within episodes',
  'sign': 'sign agreement',
  'error': 'squared error',
  'gradient': 'gradient cosine',
  'variance': 'variance',
}
_AXES = {
  'group_size': 'rollouts of a group',
  'length': 'steps at most',
  'delay': 'delay of the reward',
  'colours': 'colours (fewer repeated states)',
  'noise': 'random rewards',
}
_CURVES_AT_MOST = 10
_CURVES = ('rank', 'gradient', 'variance')


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
  """What was found in one setting.

  Attributes:
    axis: what differs from the base setting; '' for nothing.
    setting: the task.
    scores: method -> score -> float [seeds].
    about: numbers of the episodes.
  """

  axis: str
  setting: credit_settings.Setting
  scores: dict[str, dict[str, np.ndarray]]
  about: dict[str, float]


def label(method: str) -> str:
  """What a method is called."""
  return variants.find(method).label


def write_csv(results: list[Result], seeds: list[int], path) -> None:
  """Every score of every seed."""
  names = [f.name for f in dataclasses.fields(credit_settings.Setting)]
  header = ['axis', *names, 'method', 'seed', 'score', 'value']
  rows = [
    [
      result.axis, *dataclasses.astuple(result.setting), method, seed, name,
      f'{value:.6g}',
    ]
    for result in results
    for method, scores in result.scores.items()
    for name, values in scores.items()
    for seed, value in zip(seeds, values, strict=True)
  ]  # fmt: skip
  files.write_csv(path, header, rows)


def _summary(values: np.ndarray) -> tuple[float, float, float]:
  values = np.asarray(values, np.float64)
  low, high = seed_statistics.bootstrap_interval(values)
  return float(seed_statistics.interquartile_mean(values)), low, high


def _rows(first, columns, cells) -> list[str]:
  """A table: a header, and cells [name][column] of text."""
  return [
    f'| {first} | ' + ' | '.join(columns) + ' |',
    '| --- |' + ' ---: |' * len(columns),
    *(f'| {name} | ' + ' | '.join(row) + ' |' for name, row in cells),
    '',
  ]


def _pair(result: Result, method: str) -> str:
  """Rank correlation and gradient cosine."""
  scores = result.scores[method]
  return ', '.join(
    f'{_summary(scores[s])[0]:.2f}' for s in ('rank', 'gradient')
  )


def _about(result: Result) -> str:
  setting, about = result.setting, result.about
  noise = (
    f', by branching with standard error {about["error"]:.3f}'
    if about['error']
    else ''
  )
  return (
    f'{setting.environment}: groups of {setting.group_size}, at most '
    f'{setting.length + setting.delay} steps ({about["steps"]:.1f} on '
    f'average), return {about["return"]:.2f}; {about["repeated"]:.0%} of the '
    f'steps look like another of their group; {about["decisive"]:.0%} have '
    f'an advantage, root mean square of all {about["deviation"]:.3f}{noise}.'
  )


def _full(result: Result) -> list[str]:
  """All scores of one setting."""
  cells = []
  for method, scores in result.scores.items():
    found = [_summary(scores[name]) for name in SCORES]
    row = [f'{mid:.2f} ± {(high - low) / 2:.2f}' for mid, low, high in found]
    cells.append((label(method), row))
  return [_about(result), '', *_rows('method', SCORES.values(), cells)]


def table(results: list[Result]) -> str:
  """All environments, each with all scores, and what was varied: Markdown."""
  bases = [r for r in results if not r.axis]
  lines = []
  if len(bases) > 1:
    lines += ['Rank correlation, gradient cosine.', '']
    lines += _rows(
      'method',
      [r.setting.environment for r in bases],
      [(label(m), [_pair(r, m) for r in bases]) for m in bases[0].scores],
    )
  for base in bases:
    lines += _full(base)
  for axis in dict.fromkeys(r.axis for r in results if r.axis):
    members = along(results, axis)
    cells = [
      (label(m), [_pair(r, m) for r in members]) for m in members[0].scores
    ]
    if axis == 'colours':
      shares = [f'{r.about["repeated"]:.0%}' for r in members]
      cells.insert(0, ('repeated steps', shares))
    lines += [
      f'{members[0].setting.environment}, {axis}: rank correlation, gradient '
      'cosine.',
      '',
      *_rows(
        'method', [f'{getattr(r.setting, axis):g}' for r in members], cells
      ),
    ]
  return '\n'.join(lines)


def along(results: list[Result], axis: str) -> list[Result]:
  """The settings that differ in one thing, the base setting among them."""
  members = [r for r in results if r.axis == axis]
  members.append(results[0])
  return sorted(members, key=lambda r: getattr(r.setting, axis))


def draw_environments(results: list[Result]) -> figure.Figure:
  """Scores of all methods in the base setting of each environment."""
  bases = [r for r in results if not r.axis]
  methods = list(bases[0].scores)
  picture = figure.Figure(
    figsize=(3 * len(SCORES) + 1, 1.5 + 0.27 * len(methods)),
    layout='constrained',
  )
  axes = picture.subplots(1, len(SCORES), sharey=True, squeeze=False)[0]
  height = -np.arange(len(methods), dtype=float)
  for axis, (name, words) in zip(axes, SCORES.items(), strict=True):
    for i, result in enumerate(bases):
      found = np.array([_summary(result.scores[m][name]) for m in methods])
      middle, low, high = found.T
      axis.errorbar(
        middle,
        height - 0.16 * (i - (len(bases) - 1) / 2),
        # A quantile may miss the mean by rounding.
        xerr=np.maximum([middle - low, high - middle], 0),
        fmt='o',
        markersize=3.5,
        lw=1,
        color=f'C{i}',
        label=result.setting.environment,
      )
    axis.set_title(words)
    axis.grid(alpha=0.3)
    if name == 'variance':
      axis.set_xscale('symlog', linthresh=0.1)
  axes[0].set_yticks(height, [label(m) for m in methods], fontsize=8)
  handles, labels = axes[0].get_legend_handles_labels()
  picture.legend(
    handles, labels, loc='outside lower center', ncols=4, frameon=False
  )
  return picture


def draw_axes(results: list[Result]) -> figure.Figure | None:
  """Scores against what was varied; None where nothing was."""
  axes_names = list(dict.fromkeys(r.axis for r in results if r.axis))
  if not axes_names:
    return None
  methods = list(results[0].scores)
  drawn = [m for m in methods if variants.find(m).drawn]
  # Curves of more methods cannot be told apart.
  if len(methods) > max(len(drawn), _CURVES_AT_MOST):
    methods = drawn or methods
  picture = figure.Figure(
    figsize=(3 * len(axes_names) + 1, 2.6 * len(_CURVES) + 1),
    layout='constrained',
  )
  axes = picture.subplots(
    len(_CURVES), len(axes_names), sharey='row', squeeze=False
  )
  for column, axis_name in enumerate(axes_names):
    members = along(results, axis_name)
    values = [getattr(r.setting, axis_name) for r in members]
    for row, name in enumerate(_CURVES):
      axis = axes[row, column]
      for i, method in enumerate(methods):
        found = [_summary(r.scores[method][name]) for r in members]
        middle, low, high = np.array(found).T
        line = '-' if i < 5 else '--'
        axis.plot(
          values, middle, line, color=f'C{i % 10}', marker='.', lw=1.2,
          label=label(method),
        )  # fmt: skip
        axis.fill_between(
          values, low, high, color=f'C{i % 10}', alpha=0.15, lw=0
        )
      axis.grid(alpha=0.3)
      if name == 'variance':
        axis.set_yscale('symlog', linthresh=0.1)
      if axis_name in ('group_size', 'colours'):
        axis.set_xscale('log', base=2)
      axis.set_xticks(values, [f'{v:g}' for v in values])
      axis.minorticks_off()
      if not column:
        axis.set_ylabel(SCORES[name])
    axes[-1, column].set_xlabel(_AXES[axis_name])
  handles, labels = axes[0, 0].get_legend_handles_labels()
  picture.legend(
    handles, labels, loc='outside lower center', ncols=5, frameon=False
  )
  picture.suptitle(results[0].setting.environment)
  return picture


def save(picture: figure.Figure, path: pathlib.Path) -> None:
  """Writes a PNG file."""
  files.save_figure(picture, path, dpi=80)


def write(results: list[Result], seeds: list[int], folder: pathlib.Path) -> str:
  """Writes scores.csv, the figures and table.md; returns that."""
  write_csv(results, seeds, folder / 'scores.csv')
  save(draw_environments(results), folder / 'environments.png')
  curves = draw_axes(results)
  if curves is not None:
    save(curves, folder / 'axes.png')
  text = table(results)
  files.write_text(folder / 'table.md', text)
  return text
