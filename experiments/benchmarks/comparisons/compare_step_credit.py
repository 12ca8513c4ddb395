"""Compares SPA, its parts, PPO, GRPO and GiGPO from one start, over seeds.

  python -m experiments.benchmarks.comparisons.compare_step_credit \
      --output=runs/steps

For each seed there is one warm start with one progress estimator, and from them
one run a variant with the flags of --settings; with --share_start all seeds go
from those of the first. The command goes on where it was stopped. It prints a
Markdown table of success, reward and grounding accuracy (mean and standard
deviation over seeds), and writes it to OUTPUT/comparison.md; OUTPUT/results.csv
has every evaluation of every run. SPA's exploration is not a part of the budget
that all share: the table says how many episodes it took.
"""

import csv
import pathlib
from collections.abc import Callable

import numpy as np
from absl import app, flags

from experiments.benchmarks.comparisons import comparison
from experiments.benchmarks.speed import side_by_side
from jaxcredit.reports import run_data

# Name -> what makes the variant.
VARIANTS = {
  'spa': ('--method=spa',),
  'spa_prefixes': ('--method=spa', '--estimator_prefix_weight=1'),
  'spa_without_progress': ('--method=spa', '--progress_weight=0'),
  'spa_without_grounding': ('--method=spa', '--grounding_weight=0'),
  'spa_as_released': (
    '--method=spa',
    '--redistribution=leave_one_out',
    '--placement=remaining',
    '--gae_positions=all',
  ),
  'ppo': ('--method=ppo',),
  'grpo': ('--method=grpo',),
  'gigpo': ('--method=gigpo',),
  # All steps of an episode together weigh less than its outcome.
  'spa_light_grounding': ('--method=spa', '--grounding_weight=0.02'),
}
ON_DEMAND = ('spa_as_released', 'spa_light_grounding')
_SHOWN = [name for name in VARIANTS if name not in ON_DEMAND]

_OUTPUT = flags.DEFINE_string('output', 'runs/steps', 'Folder of the runs.')
_SETTINGS = flags.DEFINE_string(
  'settings',
  'experiments/flagfiles/spa/comparison.cfg',
  'Flagfile that all runs share.',
)
_SEEDS = flags.DEFINE_multi_integer('seed', [0, 1, 2], 'Seeds.')
_VARIANTS = flags.DEFINE_multi_enum(
  'variant', _SHOWN, list(VARIANTS), 'What is compared.'
)
_SHARE_START = flags.DEFINE_bool(
  'share_start',
  False,
  "All seeds go from the first one's warm start and estimator.",
)
_JOBS = flags.DEFINE_integer(
  'jobs', 2, 'Runs side by side; the cores are shared out among them.', 1
)

START = 'start'
PREFIXES = 'spa_prefixes'


def run(name: str, *arguments: str) -> pathlib.Path:
  """Starts or resumes a run and waits for it; returns its folder.

  Raises:
    RuntimeError: it failed; names the log.
  """
  output = pathlib.Path(_OUTPUT.value)
  flags_of_run = [f'--flagfile={_SETTINGS.value}', f'--run={output / name}']
  side_by_side.execute(
    output, name, ['experiments.spa', *flags_of_run, *arguments]
  )
  return output / name


def run_all() -> dict[tuple[int, str], pathlib.Path]:
  """All starts, then all variants; returns (seed, name) -> folder."""
  seeds = _SEEDS.value
  with side_by_side.workers(_JOBS.value) as pool:

    def start(seed):
      return run(
        f'seed{seed}/{START}',
        f'--seed={seed}',
        '--method=spa',
        '--iterations=0',
      )

    begun = seeds[:1] if _SHARE_START.value else seeds
    starts = dict(zip(begun, pool.map(start, begun), strict=True))
    pairs = [(seed, name) for seed in seeds for name in _VARIANTS.value]

    def train(pair):
      seed, name = pair
      source = starts[begun[0] if _SHARE_START.value else seed]
      return run(
        f'seed{seed}/{name}',
        f'--seed={seed}',
        f'--start_from={source}',
        # An estimator of another kind learns from the same rollouts.
        f'--{"rollouts" if name == PREFIXES else "estimator"}_from={source}',
        *VARIANTS[name],
      )

    trained = dict(zip(pairs, pool.map(train, pairs), strict=True))
  return {**{(s, START): f for s, f in starts.items()}, **trained}


# What the table says of an evaluation: title, entry -> number, digits.
FIGURES: tuple[tuple[str, Callable, int], ...] = (
  ('success, %', lambda e: _per_cent(e.get('success_rate')), 1),
  ('mean reward', lambda e: e.get('mean_reward'), 3),
  (
    'grounding accuracy, %',
    lambda e: _per_cent(e.get('grounding_accuracy')),
    1,
  ),
  ('steps of an episode', lambda e: e.get('mean_length'), 1),
)


def _per_cent(share):
  return None if share is None else 100 * share


def table(runs: dict[tuple[int, str], run_data.RunData]) -> str:
  """The comparison as Markdown.

  Args:
    runs: (seed, name) -> run.
  """
  seeds, names = _SEEDS.value, _VARIANTS.value
  games = sorted({run.evaluations[-1]['games'] for run in runs.values()})
  lines = [
    f'On {"; ".join(games)}: mean ± standard deviation over seeds '
    f'{", ".join(map(str, seeds))}.',
    '',
    '| | ' + ' | '.join(name.replace('_', ' ') for name in names) + ' |',
    '| --- |' + ' ---: |' * len(names),
  ]

  def line(title, cell):
    lines.append(
      f'| {title} | '
      + ' | '.join(cell([runs[s, name] for s in seeds]) for name in names)
      + ' |'
    )

  def at(number, value, digits):
    return lambda chosen: comparison.spread(
      [value(run.evaluations[number]) for run in chosen], digits
    )

  for when, number in (('warm start', 0), ('at the end', -1)):
    for title, value, digits in FIGURES:
      line(f'{title}, {when}', at(number, value, digits))
  # The whole course, since the end alone is noisy.
  line(
    'success, mean of training, %',
    lambda chosen: comparison.spread(
      [
        100 * np.mean([r['success_rate'] for r in run.training])
        for run in chosen
      ]
    ),
  )
  for seed in seeds:
    lines.append(
      f'| won, seed {seed} | '
      + ' | '.join(
        '{successes}/{episodes}'.format(**runs[seed, name].evaluations[-1])
        for name in names
      )
      + ' |'
    )
  line(
    'seconds of an iteration',
    lambda chosen: comparison.spread(
      [np.median([r['seconds_total'] for r in run.training]) for run in chosen],
      2,
    ),
  )
  lines += ['', *_estimators(runs)]
  return '\n'.join(lines) + '\n'


def _estimators(runs) -> list[str]:
  """What the estimators that were fitted are like."""
  lines = []
  for (seed, name), run in sorted(runs.items()):
    if name not in (START, PREFIXES) or not run.estimator:
      continue
    found = {
      key: '-' if found is None else f'{found:.3f}'
      for key, found in run.estimator.items()
      if found is None or isinstance(found, float)
    }
    lines.append(
      f'Estimator of seed {seed}{", prefixes" * (name == PREFIXES)}: '
      f'{run.estimator["rollouts"]} rollouts of '
      f'{run.estimator["tasks"]} tasks; on held-out tasks squared error '
      f'{found["held_out_loss"]} (the mean outcome: '
      f'{found["constant_loss"]}), within 0.1 {found["within_tolerance"]}, '
      f'rank correlation with true progress {found["rank_correlation"]}, '
      f'within episodes {found["rank_correlation_within"]}.'
    )
  return lines


def write_results(path: pathlib.Path, runs) -> None:
  """Every evaluation of every run as CSV."""
  with open(path, 'w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file)
    writer.writerow(
      ['seed', 'variant', 'iteration', *(title for title, _, _ in FIGURES)]
    )
    for (seed, name), run in sorted(runs.items()):
      writer.writerows(
        (seed, name, e['iteration'], *(value(e) for _, value, _ in FIGURES))
        for e in run.evaluations
      )


def compare(output: pathlib.Path) -> str:
  """Runs all, writes their evaluations and returns the table."""
  runs = {pair: run_data.read(path) for pair, path in run_all().items()}
  write_results(output / 'results.csv', runs)
  return table(runs)


def main(argv):
  return comparison.command(argv, pathlib.Path(_OUTPUT.value), compare)


if __name__ == '__main__':
  app.run(main)
