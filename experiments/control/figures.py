"""Figures, CSV files and the table of LaRe's experiments.

A curve is the interquartile mean over seeds, its band a 95 per cent bootstrap
interval of that; with few seeds a band says little.
"""

import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib import figure

from experiments.control import runs as lare_runs
from experiments.control import tasks as lare_tasks
from jaxcredit import files
from jaxcredit.reports import seed_statistics

# What a curve of training can show beside the evaluation.
_PANELS = (
  ('evaluation', 'team return of the likeliest actions'),
  ('team_return', 'team return in training'),
  ('reward_correlation', 'correlation with the reward of the step'),
)


def write_csv(results: dict[str, lare_runs.Result], seeds, path) -> None:
  """Every figure of every record of every seed."""
  rows = [
    [method, seed, int(now), name, f'{value:.6g}']
    for method, result in results.items()
    for name, curves in sorted(result.curves.items())
    for seed, curve in zip(seeds, curves, strict=True)
    for now, value in zip(result.iterations, curve, strict=True)
  ]
  files.write_csv(path, ['method', 'seed', 'iteration', 'name', 'value'], rows)


def table(results: dict[str, lare_runs.Result]) -> str:
  """Returns at the end as Markdown."""
  lines = [
    'Team return of the likeliest actions at the end: interquartile mean over '
    'seeds, 95 per cent bootstrap interval, mean and standard deviation.',
    '',
    '| method | seeds | return | interval | mean | sd | best record |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
  ]
  for method, result in results.items():
    curves = result.curves['evaluation'].astype(np.float64)
    last = curves[:, -1]
    low, high = seed_statistics.bootstrap_interval(last)
    deviation = last.std(ddof=1) if len(last) > 1 else 0.0
    best = seed_statistics.interquartile_mean(curves).max()
    lines.append(
      f'| {lare_tasks.METHODS[method]} | {len(last)} '
      f'| {seed_statistics.interquartile_mean(last):.2f} '
      f'| {low:.2f} to {high:.2f} | {last.mean():.2f} | {deviation:.2f} '
      f'| {best:.2f} |'
    )
  return '\n'.join(lines) + '\n'


def draw(results: dict[str, lare_runs.Result], title: str) -> figure.Figure:
  """Curves of all methods."""
  # TD3 draws single steps, whose rewards it does not compare.
  panels = [
    (name, words)
    for name, words in _PANELS
    if all(name in result.curves for result in results.values())
  ]
  picture = figure.Figure(figsize=(5 * len(panels), 4.6), layout='constrained')
  for axis, (name, words) in zip(
    picture.subplots(1, len(panels)), panels, strict=True
  ):
    for i, (method, result) in enumerate(results.items()):
      curves = result.curves[name].astype(np.float64)
      middle = seed_statistics.interquartile_mean(curves)
      low, high = seed_statistics.bootstrap_interval(curves)
      label = lare_tasks.METHODS[method]
      axis.plot(result.iterations, middle, color=f'C{i}', label=label)
      axis.fill_between(
        result.iterations, low, high, color=f'C{i}', alpha=0.2, lw=0
      )
    axis.set_title(words)
    axis.set_xlabel('iterations')
    axis.grid(alpha=0.3)
  handles, labels = axis.get_legend_handles_labels()
  picture.legend(
    handles, labels, loc='outside lower center', ncols=4, frameon=False
  )
  picture.suptitle(title)
  return picture


def draw_episode(
  factors: np.ndarray,
  decoded: np.ndarray,
  true: np.ndarray,
  title: str,
) -> figure.Figure:
  """Factors and rewards of one episode, agent by agent.

  Args:
    factors: float [N, S, d], what the network sees.
    decoded: float [N, S], rewards that it predicts.
    true: float [N, S], rewards of the steps, which it never saw.
    title: of the figure.
  """
  agents, size, count = factors.shape
  shown = min(agents, 3)
  picture = figure.Figure(figsize=(4.2 * shown + 1, 7), layout='constrained')
  axes = picture.subplots(3, shown, squeeze=False, sharex=True)
  steps = 1 + np.arange(size)
  for agent in range(shown):
    seen, said, was = axes[:, agent]
    for k in range(count):
      seen.plot(steps, factors[agent, :, k], label=f'factor {k + 1}')
    said.plot(steps, decoded[agent], color='C3')
    was.plot(steps, true[agent], color='0.3')
    seen.set_title(f'agent {agent + 1}')
    was.set_xlabel('step')
    for axis in (seen, said, was):
      axis.grid(alpha=0.3)
  axes[0, 0].set_ylabel('factors')
  axes[1, 0].set_ylabel('decoded reward')
  axes[2, 0].set_ylabel('reward of the step')
  handles, labels = axes[0, 0].get_legend_handles_labels()
  picture.legend(
    handles, labels, loc='outside lower center', ncols=6, frameon=False
  )
  picture.suptitle(title)
  return picture


def save(picture: figure.Figure, folder: pathlib.Path, name: str) -> None:
  """Writes PNG and PDF."""
  files.save_figure(picture, folder / f'{name}.png', dpi=130)
  # Without the date, equal numbers give equal files.
  files.save_figure(
    picture, folder / f'{name}.pdf', metadata={'CreationDate': None}
  )


def write(
  results: dict[str, lare_runs.Result],
  seeds: Sequence[int],
  folder: pathlib.Path,
  title: str,
) -> None:
  """Writes curves (PNG, PDF, CSV) and table.md."""
  write_csv(results, seeds, folder / 'curves.csv')
  save(draw(results, title), folder, 'curves')
  files.write_text(folder / 'table.md', table(results))
