"""Compares methods from one warm start and budget, over several seeds.

  python -m experiments.benchmarks.comparisons.compare_methods \
      --output=runs/comparison --evaluate_on=valid_unseen.jsonl.xz

For each seed there is one warm start, and from it one run a method with the
flags of experiments/flagfiles/gigpo/household_comparison.cfg. The command goes
on where it was stopped. It prints a Markdown table of success by method (mean
and standard deviation over seeds) and writes it to OUTPUT/comparison.md, with
the success of every run. With --evaluation_rollouts there are two more tables,
of several episodes a game: on these games, and on as many generated ones as
--held_out says, which are of the kind that the policies were trained on.
"""

import json
import pathlib

import numpy as np
from absl import app, flags

from experiments.benchmarks.comparisons import comparison
from experiments.benchmarks.speed import side_by_side
from jaxcredit import methods as methods_lib
from jaxcredit.environments.household import games as games_lib
from jaxcredit.reports import run_data

_RUNS = comparison.Runs(
  'experiments.gigpo',
  'runs/comparison',
  'experiments/flagfiles/gigpo/household_comparison.cfg',
)
_METHODS = flags.DEFINE_multi_enum(
  'method', ['grpo', 'gigpo'], list(methods_lib.TABLE), 'Methods.'
)
_EVALUATE_ON = flags.DEFINE_string(
  'evaluate_on', None, 'Real games to evaluate on; else generated ones.'
)
_ROLLOUTS = flags.DEFINE_integer(
  'evaluation_rollouts',
  0,
  'Episodes a game in further evaluations, which tell apart policies that lie '
  'close; 0 for none.',
  0,
)
_HELD_OUT = flags.DEFINE_integer(
  'held_out', 400, 'Generated games of a further evaluation.', 1
)
WARM_START = 'warm_start'


def run_all() -> dict[int, dict[str, pathlib.Path]]:
  """All warm starts, then all methods; returns seed -> name -> folder."""
  shared = []
  if _EVALUATE_ON.value:
    shared = [f'--evaluate_on={_EVALUATE_ON.value}']
  folders = _RUNS.run_all(
    WARM_START,
    shared,
    _METHODS.value,
    lambda name, source: (f'--method={name}', *shared),
  )
  names = (WARM_START, *_METHODS.value)
  return {s: {n: folders[s, n] for n in names} for s in _RUNS.seeds}


def evaluate_again(
  folders: dict[int, dict[str, pathlib.Path]], label: str, games: list[str]
) -> dict[int, dict[str, dict]]:
  """Plays `games` with each policy; returns seed -> name -> evaluation.

  Args:
    folders: seed -> name -> folder of the run.
    label: of these games, for the files that keep the results.
    games: flags of `tools.evaluate` that choose them.
  """

  def evaluate(pair):
    seed, name = pair
    path = _RUNS.output / f'seed{seed}/{name}_{label}.json'
    if not path.exists():
      stage = WARM_START if name == WARM_START else 'train'
      command = ['experiments.tools.evaluate', *games]
      command += [f'--run={folders[seed][name]}', f'--stage={stage}']
      command += [f'--seed={seed}', f'--rollouts={_ROLLOUTS.value}']
      side_by_side.execute(
        _RUNS.output,
        f'seed{seed}/{name}_{label}',
        [*command, f'--output={path}'],
      )
    return json.loads(path.read_text(encoding='utf-8'))[0]

  pairs = [(seed, name) for seed in folders for name in folders[seed]]
  with _RUNS.workers() as pool:
    results = dict(zip(pairs, pool.map(evaluate, pairs), strict=True))
  return {s: {n: results[s, n] for n in folders[s]} for s in folders}


def outcome(folder: pathlib.Path) -> dict:
  """The last evaluation of a run, with the time its iterations took."""
  run = run_data.read(folder)
  if not run.evaluations:
    raise ValueError(f'{folder} holds no evaluation: the run is not complete')
  seconds = [record['seconds_total'] for record in run.training]
  credit = [record['seconds_credit'] for record in run.training]
  # The first iteration compiles.
  return {
    **run.evaluations[-1],
    'seconds': float(np.sum(seconds)),
    'credit_share': float(np.sum(credit[1:]) / np.sum(seconds[1:]))
    if len(seconds) > 1
    else None,
  }


def table(results: dict[int, dict[str, dict]]) -> str:
  """The comparison as Markdown.

  Args:
    results: seed -> method -> outcome.
  """
  methods = [WARM_START, *_METHODS.value]

  def share(part):
    return 100 * part['success_rate'] if part and part['episodes'] else None

  def percent(values):
    known = [value for value in values if value is not None]
    return f'{100 * np.mean(known):.3f} %' if known else '-'

  seeds = sorted(results)
  games = {results[s][m]['games'] for s in seeds for m in methods}
  made = comparison.Table(
    f'Success in per cent on {"; ".join(sorted(games))}: mean ± standard '
    f'deviation over seeds {", ".join(map(str, seeds))}.',
    [m.replace('_', ' ') for m in methods],
  )

  def line(title, cell):
    made.line(title, [cell([results[s][m] for s in seeds]) for m in methods])

  def spread_of(value):
    return lambda runs: comparison.spread([value(run) for run in runs])

  for kind in games_lib.TASK_TYPES:
    line(
      kind, spread_of(lambda r, kind=kind: share(r['by_task_type'].get(kind)))
    )
  line('**all**', spread_of(share))
  for seed in seeds:
    made.line(
      f'won, seed {seed}',
      ['{successes}/{episodes}'.format(**results[seed][m]) for m in methods],
    )
  line('steps of an episode', spread_of(lambda r: r['mean_length']))
  made.line(
    'minutes of training',
    [
      '-'
      if m == WARM_START
      else comparison.spread([results[s][m]['seconds'] / 60 for s in seeds])
      for m in methods
    ],
  )
  line(
    "credit's share of them",
    lambda runs: percent([run['credit_share'] for run in runs]),
  )
  return made.text()


def further_games() -> dict[str, list[str]]:
  """Label -> flags of the evaluations with several episodes a game."""
  if not _ROLLOUTS.value:
    return {}
  games = {'held_out': [f'--evaluation_count={_HELD_OUT.value}']}
  if _EVALUATE_ON.value:
    games = {'real': [f'--evaluate_on={_EVALUATE_ON.value}'], **games}
  return games


def compare(output: pathlib.Path) -> str:
  """Runs all and returns the tables."""
  del output  # `run` knows it.
  folders = run_all()
  results = {
    seed: {name: outcome(folder) for name, folder in runs.items()}
    for seed, runs in folders.items()
  }
  text = table(results)
  for label, games in further_games().items():
    again = evaluate_again(folders, label, games)
    text += '\n' + table(
      {
        seed: {
          name: {**results[seed][name], **part} for name, part in r.items()
        }
        for seed, r in again.items()
      }
    )
  return text


def main(argv):
  return comparison.command(argv, _RUNS.output, compare)


if __name__ == '__main__':
  app.run(main)
