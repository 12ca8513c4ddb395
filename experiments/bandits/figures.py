"""Figures, CSV files and tables of the bandit experiments.

A band or a number in parentheses is a standard error of the mean; standard
deviations over seeds are given beside it and called so. (The paper's captions
say standard deviation, but its script divides by the root of the runs.)
"""

import dataclasses
import pathlib

import numpy as np
from matplotlib import figure

from experiments.bandits import runs as bandit_runs
from jaxcredit import files
from jaxcredit.distributed import processes


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
  """One curve with its runs.

  Attributes:
    panel: title of the panel that it belongs to.
    name: in files.
    label: in figures.
    line: style of the line.
    rounds: [R].
    offline: [N, R], steady-state regret of N seeds.
    reward: [N, R], reward regret.
    plays: [K], mean number of plays of each action.
    paper: the paper's value at the end, as text.
  """

  panel: str
  name: str
  label: str
  line: str
  rounds: np.ndarray
  offline: np.ndarray
  reward: np.ndarray
  plays: np.ndarray
  paper: str


def series_of(curves: bandit_runs.Curves, setting: int, **words: str) -> Series:
  """The curve of one setting."""
  return Series(
    rounds=curves.rounds,
    offline=curves.offline[setting],
    reward=curves.reward[setting],
    plays=curves.plays[setting].mean(axis=0),
    **words,
  )


def mean_and_spread(runs: np.ndarray) -> tuple[np.ndarray, ...]:
  """Mean, standard error of the mean and standard deviation over axis 0."""
  count = len(runs)
  deviation = runs.std(axis=0, ddof=1) if count > 1 else 0 * runs[0]
  return runs.mean(axis=0), deviation / np.sqrt(count), deviation


def write_csv(all_series: list[Series], folder: pathlib.Path) -> None:
  """Writes curves.csv (every record) and finals.csv (every seed)."""
  header = ['panel', 'algorithm', 'round', 'runs']
  for kind in ('offline', 'reward'):
    header += [
      f'{kind}_regret_mean',
      f'{kind}_regret_standard_error',
      f'{kind}_regret_standard_deviation',
    ]
  rows = []
  for s in all_series:
    columns = (*mean_and_spread(s.offline), *mean_and_spread(s.reward))
    for r, now in enumerate(s.rounds):
      values = [f'{column[r]:.6g}' for column in columns]
      rows.append([s.panel, s.name, int(now), len(s.offline), *values])
  files.write_csv(folder / 'curves.csv', header, rows)
  header = ['panel', 'algorithm', 'run', 'round']
  rows = [
    [s.panel, s.name, run, int(s.rounds[-1]), f'{offline:.6g}', f'{reward:.6g}']
    for s in all_series
    for run, (offline, reward) in enumerate(
      zip(s.offline[:, -1], s.reward[:, -1], strict=True)
    )
  ]
  header += ['offline_regret', 'reward_regret']
  files.write_csv(folder / 'finals.csv', header, rows)


def table(all_series: list[Series]) -> str:
  """Final regrets as Markdown."""
  lines = []
  for panel in dict.fromkeys(s.panel for s in all_series):
    members = [s for s in all_series if s.panel == panel]
    first = members[0]
    lines += [
      f'{panel}: {len(first.offline)} runs, {int(first.rounds[-1]):,} rounds. '
      'Cumulative regret, mean (standard error) and standard deviation.',
      '',
      '| algorithm | steady-state regret | sd | reward regret | sd | paper |',
      '| --- | ---: | ---: | ---: | ---: | ---: |',
    ]
    for s in members:
      cells = []
      for runs in (s.offline, s.reward):
        mean, error, deviation = mean_and_spread(runs[:, -1])
        cells += [f'{mean:,.0f} ({error:,.0f})', f'{deviation:,.0f}']
      lines.append(f'| {s.label} | ' + ' | '.join(cells) + f' | {s.paper} |')
    lines.append('')
  return '\n'.join(lines)


def draw(all_series: list[Series], cut: bool) -> figure.Figure:
  """Regret against rounds, and below it the final regret of every seed.

  Args:
    all_series: of one or several panels.
    cut: whether to cut the regret at three times that of the first curve, as
      in the paper's figures.
  """
  panels = list(dict.fromkeys(s.panel for s in all_series))
  picture = figure.Figure(
    figsize=(5.6 * len(panels) + 1.6, 7.6), layout='constrained'
  )
  axes = picture.subplots(2, len(panels), squeeze=False, height_ratios=(3, 2))
  for column, panel in enumerate(panels):
    curves, dots = axes[:, column]
    members = [s for s in all_series if s.panel == panel]
    # Regrets of 0, the optimum's, have no place on a logarithmic axis.
    shown = [s for s in members if s.offline[:, -1].max() > 0]
    for i, s in enumerate(members):
      mean, error, _ = mean_and_spread(s.offline)
      color = f'C{i}' if i < 10 else '0.3'
      curves.plot(s.rounds, mean, s.line, color=color, label=s.label)
      curves.fill_between(
        s.rounds, mean - error, mean + error, color=color, alpha=0.2, lw=0
      )
      if s in shown:
        finals = s.offline[:, -1]
        height = np.full(len(finals), -shown.index(s))
        dots.plot(finals, height, '|', color=color, markersize=9, alpha=0.7)
    curves.set_title(panel)
    curves.set_xlim(0, members[0].rounds[-1])
    highest = max(s.offline[:, -1].mean() for s in members)
    first = members[0].offline[:, -1].mean()
    curves.set_ylim(0, 3 * first if cut and first > 0 else 1.05 * highest)
    curves.set_xlabel('rounds')
    curves.ticklabel_format(style='sci', scilimits=(0, 4))
    curves.grid(alpha=0.3)
    dots.set_xscale('log')
    dots.set_yticks([-i for i in range(len(shown))])
    dots.set_yticklabels([s.label for s in shown], fontsize=8)
    dots.set_xlabel('cumulative regret at the end, every run')
    dots.grid(alpha=0.3, axis='x')
  axes[0, 0].set_ylabel('cumulative regret, mean ± standard error')
  handles, labels = axes[0, 0].get_legend_handles_labels()
  picture.legend(
    handles, labels, loc='outside upper center', ncols=2 + 2 * len(panels),
    fontsize=8, frameon=False,
  )  # fmt: skip
  return picture


def write(all_series: list[Series], folder: pathlib.Path, cut: bool) -> None:
  """Writes regret.png and .pdf, both CSV files and table.md.

  Of several processes, the first does.
  """
  if not processes.is_first():
    return
  write_csv(all_series, folder)
  picture = draw(all_series, cut)
  files.save_figure(picture, folder / 'regret.png', dpi=150)
  # Without the date, equal numbers give equal files.
  metadata = {'CreationDate': None}
  files.save_figure(picture, folder / 'regret.pdf', metadata=metadata)
  files.write_text(folder / 'table.md', table(all_series))
