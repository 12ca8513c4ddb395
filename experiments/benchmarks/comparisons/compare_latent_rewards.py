"""Compares LaRe, RRD, IRCR, the episodic and the dense reward on five tasks.

  python -m experiments.benchmarks.comparisons.compare_latent_rewards \
      --output=runs/latent

Runs `experiments.lare` with the flagfile of each task, which says methods,
seeds and budget, and goes on where it was stopped. It prints a Markdown table
and writes it to OUTPUT/comparison.md, with the curves of all tasks in
OUTPUT/curves.png; OUTPUT/TASK has every number. Over tasks it takes scores: 0
is the return of random actions, 1 the mean return at the end with the dense
reward, as in rliable (Agarwal et al. 2021, arXiv 2108.13264) with their
interquartile mean and stratified bootstrap. Needs the extra control.
"""

import csv
import dataclasses
import pathlib
import time
from collections.abc import Sequence

import numpy as np
from absl import app, flags
from matplotlib import figure

from experiments.benchmarks.comparisons import comparison
from experiments.benchmarks.speed import side_by_side
from experiments.control import tasks as lare_tasks
from experiments.run import folder as run_folder
from jaxcredit import files
from jaxcredit.reports import seed_statistics

TASKS = {
  'navigation': 'cooperative navigation, 3 agents',
  'navigation6': 'cooperative navigation, 6 agents',
  'predators': 'predator-prey, 3 predators',
  'reacher': 'Reacher',
  'half_cheetah': 'HalfCheetah',
}
REFERENCE = 'dense'

_OUTPUT = flags.DEFINE_string('output', 'runs/latent', 'Folder of the runs.')
_TASKS = flags.DEFINE_multi_enum(
  'compared_task', list(TASKS), list(TASKS), 'Tasks.'
)
_FLAGS = flags.DEFINE_multi_string(
  'also', [], 'A flag for all runs, such as --also=--iterations=20.'
)
_JOBS = flags.DEFINE_integer(
  'jobs', 2, 'Tasks side by side; the cores are shared out among them.', 1
)
_EPISODES = flags.DEFINE_integer(
  'random_episodes', 200, 'Of random actions, for the score 0.', 1
)


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What a task's runs gave.

  Attributes:
    iterations: int [R], of the records.
    curves: method -> float [N, R], evaluations of N seeds: the likeliest
      action of each step.
    drawn: method -> float [N, R], means over the episodes of training, whose
      actions are drawn (IPPO) or disturbed (TD3).
    random: mean return of random actions.
    settings: flags of the runs.
    seconds: that all of them took; None where they were there before.
  """

  iterations: np.ndarray
  curves: dict[str, np.ndarray]
  drawn: dict[str, np.ndarray]
  random: float
  settings: dict[str, object]
  seconds: float | None

  def scores(self) -> dict[str, np.ndarray]:
    """method -> float [N, R]: 0 as random actions, 1 as the dense reward.

    Raises:
      ValueError: the dense reward is missing, or taught nothing.
    """
    if REFERENCE not in self.curves:
      raise ValueError('scores need the runs with --method=dense')
    best = self.curves[REFERENCE][:, -1].mean()
    if best <= self.random:
      raise ValueError(
        f'the dense reward ends at {best:.2f}, no better than random actions '
        f'({self.random:.2f}): there is no scale for scores; train longer'
      )
    return {
      method: (curve - self.random) / (best - self.random)
      for method, curve in self.curves.items()
    }


def read_curves(
  path: pathlib.Path, name: str = 'evaluation'
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """A quantity from a curves.csv: int [R], method -> float [N, R].

  Raises:
    ValueError: the file does not have it.
  """
  values: dict[str, dict[str, dict[int, float]]] = {}
  with open(path, newline='', encoding='utf-8') as file:
    for row in csv.DictReader(file):
      if row['name'] == name:
        seeds = values.setdefault(row['method'], {})
        curve = seeds.setdefault(row['seed'], {})
        curve[int(row['iteration'])] = float(row['value'])
  if not values:
    raise ValueError(f'{path} has no {name}')
  curves = {
    method: np.array([list(curve.values()) for curve in seeds.values()])
    for method, seeds in values.items()
  }
  return np.array(
    list(next(iter(next(iter(values.values())).values())))
  ), curves


def random_return(settings: dict[str, object]) -> float:
  """Mean team return of actions drawn alike, of the task of a run."""
  environment = lare_tasks.environment(
    *(settings[name] for name in ('task', 'agents', 'reward', 'backend'))
  )
  played = lare_tasks.random_episodes(environment, _EPISODES.value)
  return float(played.team_return.mean())


def run(name: str) -> Outcome:
  """Runs a task, or goes on with it, and reads what it gave.

  Raises:
    ChildProcessError: a run failed; names the log.
  """
  output = pathlib.Path(_OUTPUT.value)
  folder = output / name
  seconds = output / f'{name}.seconds'
  begun = time.perf_counter()
  before = float(seconds.read_text()) if seconds.exists() else 0.0
  if not (folder / 'table.md').exists():
    side_by_side.execute(
      output,
      name,
      [
        'experiments.lare',
        f'--flagfile=experiments/flagfiles/lare/comparison_{name}.cfg',
        f'--run={folder}',
        *_FLAGS.value,
      ],
    )
    before += time.perf_counter() - begun
    seconds.write_text(f'{before:.1f}', encoding='utf-8')
  iterations, curves = read_curves(folder / 'curves.csv')
  _, drawn = read_curves(folder / 'curves.csv', 'team_return')
  settings = run_folder.read_config(folder)
  return Outcome(
    iterations,
    curves,
    drawn,
    random_return(settings),
    settings,
    before or None,
  )


def _cell(middle, low, high, digits) -> str:
  return f'{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]'


def _returns(
  rows: dict[str, dict[str, np.ndarray]],
  random: dict[str, float],
  methods: Sequence[str],
) -> list[str]:
  """A table of returns at the end.

  Args:
    rows: task -> method -> float [N, R].
    random: task -> return of random actions.
    methods: columns.
  """
  lines = [
    '| | ' + ' | '.join(lare_tasks.METHODS[m] for m in methods) + ' | random |',
    '| --- |' + ' ---: |' * (len(methods) + 1),
  ]
  for name, curves in rows.items():
    cells = []
    for method in methods:
      if method not in curves:
        cells.append('-')
        continue
      last = curves[method][:, -1]
      cells.append(
        _cell(
          seed_statistics.interquartile_mean(last),
          *seed_statistics.bootstrap_interval(last),
          1,
        )
      )
    lines.append(
      f'| {TASKS[name]} | ' + ' | '.join(cells) + f' | {random[name]:.1f} |'
    )
  return lines


def table(outcomes: dict[str, Outcome]) -> str:
  """Returns at the end, and scores over tasks, as Markdown."""
  methods = list(
    dict.fromkeys(m for outcome in outcomes.values() for m in outcome.curves)
  )
  random = {name: outcome.random for name, outcome in outcomes.items()}
  lines = [
    'Team return of the likeliest actions at the end: interquartile mean over '
    'seeds and its 95 per cent bootstrap interval.',
    '',
    *_returns({n: o.curves for n, o in outcomes.items()}, random, methods),
  ]
  scores = {name: outcome.scores() for name, outcome in outcomes.items()}
  cells = []
  for method in methods:
    last = [s[method][:, -1] for s in scores.values() if method in s]
    middle = seed_statistics.interquartile_mean(np.concatenate(last))
    low, high = seed_statistics.stratified_interval(last)
    note = '' if len(last) == len(outcomes) else f' ({len(last)} tasks)'
    cells.append(_cell(middle, low, high, 2) + note)
  lines += [
    '| score over tasks | ' + ' | '.join(cells) + ' | 0 |',
    '',
    'The same of the last episodes of training, whose actions are drawn '
    '(particles) or disturbed (robots):',
    '',
    *_returns({n: o.drawn for n, o in outcomes.items()}, random, methods),
    '',
  ]
  for name, outcome in outcomes.items():
    count = len(next(iter(outcome.curves.values())))
    took = (
      f'{outcome.seconds / (count * len(outcome.curves)):.0f} s a run'
      if outcome.seconds
      else 'taken before'
    )
    lines.append(
      f'{TASKS[name]}: {count} seeds, {int(outcome.iterations[-1])} '
      f'iterations, {took}.'
    )
  return '\n'.join(lines) + '\n'


def draw(outcomes: dict[str, Outcome]) -> figure.Figure:
  """Curves of all tasks, with their bands."""
  picture = figure.Figure(
    figsize=(3.4 * len(outcomes) + 0.6, 3.8), layout='constrained'
  )
  axes = picture.subplots(1, len(outcomes), squeeze=False)[0]
  names = list(lare_tasks.METHODS)
  for axis, (name, outcome) in zip(axes, outcomes.items(), strict=True):
    for method, curves in outcome.curves.items():
      colour = f'C{names.index(method)}'
      low, high = seed_statistics.bootstrap_interval(curves)
      axis.plot(
        outcome.iterations,
        seed_statistics.interquartile_mean(curves),
        color=colour,
        label=lare_tasks.METHODS[method],
      )
      axis.fill_between(
        outcome.iterations, low, high, color=colour, alpha=0.2, lw=0
      )
    axis.axhline(outcome.random, color='0.5', ls=':', label='random actions')
    axis.set_title(TASKS[name], fontsize='medium')
    axis.set_xlabel('iterations')
    axis.grid(alpha=0.3)
  axes[0].set_ylabel('team return')
  entries = {}
  for axis in axes:
    for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
      entries.setdefault(label, handle)
  picture.legend(
    entries.values(),
    entries.keys(),
    loc='outside lower center',
    ncols=7,
    frameon=False,
  )
  return picture


def compare(output: pathlib.Path) -> str:
  """Runs all, draws their curves and returns the table."""
  names = list(dict.fromkeys(_TASKS.value))
  with side_by_side.workers(_JOBS.value) as pool:
    outcomes = dict(zip(names, pool.map(run, names), strict=True))
  text = table(outcomes)
  files.save_figure(draw(outcomes), output / 'curves.png', dpi=100)
  return text


def main(argv):
  return comparison.command(argv, pathlib.Path(_OUTPUT.value), compare)


if __name__ == '__main__':
  app.run(main)
