"""Compares TEMPO and others from one warm start and budget, over seeds.

  python -m experiments.benchmarks.comparisons.compare_token_credit \
      --output=runs/tokens

For each seed there is one warm start, and from it one run a method with the
flags of --settings. The command goes on where it was stopped. It prints a
Markdown table of answers that were right (mean and standard deviation over
seeds), and writes it to OUTPUT/comparison.md; OUTPUT/curves.csv has the
evaluations of every run against samples and seconds of training.
"""

import pathlib

import numpy as np
from absl import app, flags

from experiments.benchmarks.comparisons import comparison
from jaxcredit import files
from jaxcredit.reports import run_data

_RUNS = comparison.Runs(
  'experiments.tempo',
  'runs/tokens',
  'experiments/flagfiles/tempo/comparison.cfg',
)
# Flags by the name of the method: credit, and how answers are drawn.
METHODS = {
  'grpo': ('--method=grpo',),
  'hepo': ('--method=hepo',),
  'ppo': ('--method=ppo',),
  'tempo': ('--method=tempo',),
  'tempo_tree': ('--method=tempo', '--sampler=tree'),
}
_METHODS = flags.DEFINE_multi_enum(
  'method',
  list(METHODS),
  list(METHODS),
  'Methods; tempo_tree grows answers as a tree.',
)
WARM_START = 'warm_start'


def run_all() -> dict[tuple[int, str], pathlib.Path]:
  """All warm starts, then all methods; returns (seed, name) -> folder."""
  return _RUNS.run_all(
    WARM_START, (), _METHODS.value, lambda name, source: METHODS[name]
  )


def curve(run: run_data.RunData) -> list[tuple[int, int, float, float]]:
  """Evaluations: iteration, samples, seconds of training, success."""
  seconds = np.cumsum([0.0] + [r['seconds_total'] for r in run.training])
  samples = np.cumsum([0] + [r['generated_episodes'] for r in run.training])
  return [
    (
      entry['iteration'],
      int(samples[entry['iteration']]),
      float(seconds[entry['iteration']]),
      entry['success_rate'],
    )
    for entry in run.evaluations
  ]


def table(runs: dict[tuple[int, str], run_data.RunData]) -> str:
  """The comparison as Markdown.

  Args:
    runs: (seed, name) -> run.
  """
  seeds, methods = _RUNS.seeds, _METHODS.value
  curves = {pair: curve(run) for pair, run in runs.items()}
  games = sorted({run.evaluations[-1]['games'] for run in runs.values()})
  made = comparison.Table(
    f'Per cent of {"; ".join(games)} answered rightly: mean ± standard '
    f'deviation over seeds {", ".join(map(str, seeds))}.',
    methods,
  )

  def line(name, cell):
    made.line(name, [cell([(s, m) for s in seeds]) for m in methods])

  def share(pairs, number):
    return [100 * curves[pair][number][3] for pair in pairs]

  first = curves[seeds[0], methods[0]]
  for number, (iteration, samples, _, _) in enumerate(first):
    name = f'after {samples:,} samples' if iteration else 'warm start'
    line(name, lambda pairs, n=number: comparison.spread(share(pairs, n)))
  # At a time that every run has reached.
  shortest = min(curves[s, m][-1][2] for s in seeds for m in methods)

  def at_time(pairs):
    return comparison.spread(
      [
        100
        * np.interp(
          shortest,
          [c[2] for c in curves[pair]],
          [c[3] for c in curves[pair]],
        )
        for pair in pairs
      ]
    )

  line(f'after {shortest:.0f} s of training', at_time)
  for kind in sorted(
    runs[seeds[0], methods[0]].evaluations[-1]['by_task_type']
  ):
    line(
      f'{kind}, at the end',
      lambda pairs, kind=kind: comparison.spread(
        [
          100 * runs[p].evaluations[-1]['by_task_type'][kind]['success_rate']
          for p in pairs
        ]
      ),
    )
  for seed in seeds:
    line(
      f'right, seed {seed}',
      lambda pairs, seed=seed: '{successes}/{episodes}'.format(
        **runs[seed, pairs[0][1]].evaluations[-1]
      ),
    )

  def mean_of(name, factor=1.0, digits=2):
    return lambda pairs: comparison.spread(
      [factor * np.mean([r[name] for r in runs[p].training]) for p in pairs],
      digits,
    )

  line('tokens drawn for a sample', tokens_of_a_sample(runs))
  line('branch tokens, %', mean_of('branch_share', 100.0, 1))
  line('branch points of a group', mean_of('branch_points', digits=1))

  def part(name):
    # The first iteration compiles.
    return lambda pairs: comparison.spread(
      [
        100
        * sum(r[name] for r in runs[p].training[1:])
        / sum(r['seconds_total'] for r in runs[p].training[1:])
        for p in pairs
      ],
      2,
    )

  line(
    'seconds of an iteration',
    lambda pairs: comparison.spread(
      [
        np.median([r['seconds_total'] for r in runs[p].training]) for p in pairs
      ],
      2,
    ),
  )
  line("credit's share of the time, %", part('seconds_credit'))
  line("the critic's values' share, %", part('seconds_values'))
  return made.text()


def tokens_of_a_sample(runs):
  """Makes the cell of tokens that were drawn for each sample."""

  def cell(pairs):
    counts = []
    for pair in pairs:
      records = runs[pair].training
      samples = sum(r['generated_episodes'] for r in records)
      counts.append(sum(r['sampled_tokens'] for r in records) / samples)
    return comparison.spread(counts)

  return cell


def write_curves(path: pathlib.Path, runs) -> None:
  """Every evaluation of every run as CSV."""
  header = ['seed', 'method', 'iteration', 'samples', 'seconds', 'success_rate']
  rows = [
    (seed, method, *point)
    for (seed, method), run in sorted(runs.items())
    if method != WARM_START
    for point in curve(run)
  ]
  files.write_csv(path, header, rows)


def compare(output: pathlib.Path) -> str:
  """Runs all, writes their curves and returns the table."""
  runs = {pair: run_data.read(path) for pair, path in run_all().items()}
  write_curves(output / 'curves.csv', runs)
  return table(runs)


def main(argv):
  return comparison.command(argv, _RUNS.output, compare)


if __name__ == '__main__':
  app.run(main)
