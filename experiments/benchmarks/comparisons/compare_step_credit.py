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

import pathlib
from collections.abc import Callable

import numpy as np
from absl import app, flags

from experiments.benchmarks.comparisons import comparison
from jaxcredit import files
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
  # With the returns of SPA's PPO.
  'ppo': ('--method=ppo', '--discount=0.99', '--gae_lambda=0.95'),
  'grpo': ('--method=grpo',),
  'gigpo': ('--method=gigpo',),
  # All steps of an episode together weigh less than its outcome.
  'spa_light_grounding': ('--method=spa', '--grounding_weight=0.02'),
}
ON_DEMAND = ('spa_as_released', 'spa_light_grounding')
_SHOWN = [name for name in VARIANTS if name not in ON_DEMAND]

_RUNS = comparison.Runs(
  'experiments.spa',
  'runs/steps',
  'experiments/flagfiles/spa/comparison.cfg',
)
_VARIANTS = flags.DEFINE_multi_enum(
  'variant', _SHOWN, list(VARIANTS), 'What is compared.'
)
_SHARE_START = flags.DEFINE_bool(
  'share_start',
  False,
  "All seeds go from the first one's warm start and estimator.",
)
START = 'start'
PREFIXES = 'spa_prefixes'


def run_all() -> dict[tuple[int, str], pathlib.Path]:
  """All starts, then all variants; returns (seed, name) -> folder."""

  def flags_of(name, source):
    # An estimator of another kind learns from the same rollouts.
    taken = 'rollouts' if name == PREFIXES else 'estimator'
    return (f'--{taken}_from={source}', *VARIANTS[name])

  return _RUNS.run_all(
    START, ('--method=spa',), _VARIANTS.value, flags_of, _SHARE_START.value
  )


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
  seeds, names = _RUNS.seeds, _VARIANTS.value
  games = sorted({run.evaluations[-1]['games'] for run in runs.values()})
  made = comparison.Table(
    f'On {"; ".join(games)}: mean ± standard deviation over seeds '
    f'{", ".join(map(str, seeds))}.',
    [name.replace('_', ' ') for name in names],
  )

  def line(title, cell):
    made.line(title, [cell([runs[s, n] for s in seeds]) for n in names])

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
    made.line(
      f'won, seed {seed}',
      [
        '{successes}/{episodes}'.format(**runs[seed, name].evaluations[-1])
        for name in names
      ],
    )
  line(
    'seconds of an iteration',
    lambda chosen: comparison.spread(
      [np.median([r['seconds_total'] for r in run.training]) for run in chosen],
      2,
    ),
  )
  return made.text() + '\n' + ''.join(f'{x}\n' for x in _estimators(runs))


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
  header = ['seed', 'variant', 'iteration', *(title for title, _, _ in FIGURES)]
  rows = [
    (seed, name, e['iteration'], *(value(e) for _, value, _ in FIGURES))
    for (seed, name), run in sorted(runs.items())
    for e in run.evaluations
  ]
  files.write_csv(path, header, rows)


def compare(output: pathlib.Path) -> str:
  """Runs all, writes their evaluations and returns the table."""
  runs = {pair: run_data.read(path) for pair, path in run_all().items()}
  write_results(output / 'results.csv', runs)
  return table(runs)


def main(argv):
  return comparison.command(argv, _RUNS.output, compare)


if __name__ == '__main__':
  app.run(main)
