"""The comparison of methods: its commands, its numbers, its cores."""

import concurrent.futures
import json
import os
import pathlib
import queue
import subprocess
import sys

import numpy as np
import pytest
from absl.testing import flagsaver

from experiments.benchmarks.speed import side_by_side
from jaxcredit.environments import household
from tests.experiments import imported_script
from tests.reports import run_files

HEAT, LOOK = 'pick_heat_then_place_in_recep', 'look_at_obj_in_light'
GAMES = '8 games of valid_seen.jsonl'
WARM = 'warm_start'


@pytest.fixture(scope='module')
def compare():
  with imported_script.imported(
    'experiments.benchmarks.comparisons.compare_methods'
  ) as module:
    yield module


def folders(path, won, *, iterations=3, **evaluation) -> pathlib.Path:
  """A run that won `won` of five games of a kind, and none of three."""
  seconds = [100.0, 20.0, 40.0][:iterations]
  return run_files.write_run(
    path,
    evaluations=[
      run_files.evaluation('after the warm start', 0, 0),
      {**run_files.evaluation('after training', 3, won), **evaluation},
    ],
    metrics=[
      {'stage': 'warm_start', 'iteration': 20, 'seconds_total': 9000.0},
      *(
        run_files.training_record(i, seconds_total=s, seconds_credit=0.01 * i)
        for i, s in enumerate(seconds, start=1)
      ),
      {'stage': 'evaluation', 'iteration': 3, 'success_rate': 0.5},
    ],
  )


@pytest.fixture
def results(compare, tmp_path):
  """Three seeds of three runs, read back."""
  won = {0: (1, 2, 5), 1: (1, 1, 3), 2: (0, 3, 4)}
  names = (WARM, 'grpo', 'gigpo')
  return {
    seed: {
      name: compare.outcome(
        folders(
          tmp_path / str(seed) / name,
          count,
          iterations=0 if name == WARM else 3,
        )
      )
      for name, count in zip(names, counts, strict=True)
    }
    for seed, counts in won.items()
  }


def rows(text: str) -> dict[str, list[str]]:
  lines = [line for line in text.splitlines() if line.startswith('|')]
  cells = [[c.strip() for c in line.strip('|').split('|')] for line in lines]
  return {name: values for name, *values in cells}


def test_the_outcome_is_the_last_evaluation_and_the_time(compare, tmp_path):
  outcome = compare.outcome(folders(tmp_path / 'run', 4))
  assert outcome['stage'] == 'after training'
  assert (outcome['successes'], outcome['episodes']) == (4, 8)
  # Of training alone; the first iteration compiles.
  assert outcome['seconds'] == 160.0
  assert outcome['credit_share'] == pytest.approx((0.02 + 0.03) / 60)


@pytest.mark.parametrize('iterations', [0, 1])
def test_too_few_iterations_have_no_share(compare, tmp_path, iterations):
  folder = folders(tmp_path / 'run', 4, iterations=iterations)
  outcome = compare.outcome(folder)
  assert outcome['credit_share'] is None
  assert outcome['seconds'] == 100.0 * iterations


def test_a_run_without_an_evaluation(compare, tmp_path):
  folder = run_files.write_run(tmp_path / 'run')
  with pytest.raises(ValueError, match='run holds no evaluation'):
    compare.outcome(folder)


def test_the_table_by_hand(compare, results):
  text = compare.table(results)
  assert text.startswith(
    f'Success in per cent on {GAMES}: mean ± standard deviation over seeds '
    '0, 1, 2.\n'
  )
  cells = rows(text)
  assert cells[''] == ['warm start', 'grpo', 'gigpo']
  # Of five games: GRPO won 2, 1 and 3, so 40 ± 20 with n - 1 in the deviation.
  assert cells[HEAT][1:] == ['40.0 ± 20.0', '80.0 ± 20.0']
  assert cells[HEAT][0] == f'13.3 ± {np.std([20, 20, 0], ddof=1):.1f}'
  assert cells[LOOK] == ['0.0 ± 0.0'] * 3
  assert cells['**all**'] == ['8.3 ± 7.2', '25.0 ± 12.5', '50.0 ± 12.5']
  assert cells['won, seed 0'] == ['1/8', '2/8', '5/8']
  assert cells['won, seed 2'] == ['0/8', '3/8', '4/8']
  assert cells['steps of an episode'] == ['12.0 ± 0.0'] * 3
  assert cells['minutes of training'] == ['-', '2.7 ± 0.0', '2.7 ± 0.0']
  assert cells["credit's share of them"] == ['-', '0.083 %', '0.083 %']


def test_few_games_lack_task_types(compare, results):
  cells = rows(compare.table(results))
  assert set(household.TASK_TYPES) < cells.keys()
  for kind in set(household.TASK_TYPES) - {HEAT, LOOK}:
    assert cells[kind] == ['-'] * 3


def test_a_type_that_one_seed_lacks(compare, results):
  del results[1]['gigpo']['by_task_type'][HEAT]
  results[2]['gigpo']['by_task_type'][HEAT] = {
    'episodes': 0, 'successes': 0, 'success_rate': None, 'mean_length': 0.0,
  }  # fmt: skip
  cells = rows(compare.table(results))
  assert cells[HEAT][1:] == ['40.0 ± 20.0', '100.0']


def test_one_seed_has_no_deviation(compare, results):
  cells = rows(compare.table({0: results[0]}))
  assert cells['**all**'] == ['12.5', '25.0', '62.5']


def test_methods_of_the_flag_are_the_columns(compare, results):
  with flagsaver.as_parsed(method=['gigpo']):
    cells = rows(compare.table(results))
  assert cells[''] == ['warm start', 'gigpo']
  assert cells['won, seed 0'] == ['1/8', '5/8']


@pytest.mark.parametrize(('cores', 'jobs'), [(8, 2), (8, 3), (5, 5), (1, 1)])
def test_jobs_have_cores_of_their_own(compare, monkeypatch, cores, jobs):
  taken = []
  monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(cores)))
  monkeypatch.setattr(
    os, 'sched_setaffinity', lambda pid, given: taken.append(set(given))
  )
  numbers = queue.SimpleQueue()
  for job in range(jobs):
    numbers.put(job)
  for _ in range(jobs):
    side_by_side.take_cores(numbers, jobs)
  assert len(taken) == jobs
  assert sum(map(len, taken)) == cores
  assert set.union(*taken) == set(range(cores))
  assert max(map(len, taken)) - min(map(len, taken)) <= 1


def test_more_jobs_than_cores_share(compare, monkeypatch):
  taken = []
  monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {4, 6})
  monkeypatch.setattr(
    os, 'sched_setaffinity', lambda pid, given: taken.append(set(given))
  )
  numbers = queue.SimpleQueue()
  for job in range(5):
    numbers.put(job)
    side_by_side.take_cores(numbers, 5)
  assert taken == [{4}, {6}, {4}, {6}, {4}]


def test_a_job_keeps_its_cores_to_itself(compare):
  before = os.sched_getaffinity(0)
  numbers = queue.SimpleQueue()
  numbers.put(0)
  with concurrent.futures.ThreadPoolExecutor(
    1, initializer=side_by_side.take_cores, initargs=(numbers, 2)
  ) as pool:
    inside = pool.submit(os.sched_getaffinity, 0).result()
  assert inside == set(sorted(before)[::2])
  assert os.sched_getaffinity(0) == before


@pytest.fixture
def started(compare, monkeypatch, tmp_path):
  """Commands of the runs, which end at once; `status` is what they return."""
  commands = []

  class Script:
    status = 0

  def run(command, *, stdout, stderr, check):
    commands.append([str(part) for part in command])
    if not Script.status:
      folder = next(c for c in command if c.startswith('--run='))
      won = 1 + ('grpo' in folder) + 2 * ('gigpo' in folder)
      folders(pathlib.Path(folder.removeprefix('--run=')), won)
    return subprocess.CompletedProcess(command, Script.status)

  monkeypatch.setattr(subprocess, 'run', run)
  monkeypatch.setattr(side_by_side, 'take_cores', lambda numbers, jobs: None)
  Script.commands = commands
  with flagsaver.as_parsed(
    output=str(tmp_path / 'out'),
    seed=['3', '5'],
    evaluate_on='real.jsonl',
    settings='some.cfg',
  ):
    yield Script


def test_every_method_starts_from_the_warm_start_of_its_seed(
  compare, started, tmp_path, capsys
):
  assert compare.main(['compare_methods']) == 0
  output = tmp_path / 'out'
  assert len(started.commands) == 6
  for command in started.commands:
    assert command[1:4] == ['-m', 'experiments.gigpo', '--flagfile=some.cfg']
    assert command[-1] == '--evaluate_on=real.jsonl'
  given = {c[4]: set(c[5:-1]) for c in started.commands}
  for seed in (3, 5):
    start = output / f'seed{seed}' / WARM
    assert given[f'--run={start}'] == {f'--seed={seed}', '--iterations=0'}
    for method in ('grpo', 'gigpo'):
      assert given[f'--run={output}/seed{seed}/{method}'] == {
        f'--seed={seed}', f'--method={method}', f'--start_from={start}',
      }  # fmt: skip
  written = (output / 'comparison.md').read_text(encoding='utf-8')
  assert rows(written)['won, seed 5'] == ['1/8', '2/8', '3/8']
  assert written in capsys.readouterr().out


def test_further_evaluations_have_tables_of_their_own(
  compare, started, tmp_path, monkeypatch
):
  play = subprocess.run

  def run(command, **options):
    if command[2] != 'experiments.tools.evaluate':
      return play(command, **options)
    started.commands.append([str(part) for part in command])
    flag = dict(c[2:].split('=', 1) for c in command[3:])
    real = 'evaluate_on' in flag
    entry = run_files.evaluation('x', 0, 4 if real else 2)
    entry['games'] = 'real ones' if real else 'generated ones'
    pathlib.Path(flag['output']).write_text(json.dumps([entry]))
    return subprocess.CompletedProcess(command, 0)

  monkeypatch.setattr(subprocess, 'run', run)
  with flagsaver.as_parsed(evaluation_rollouts='4', held_out='50'):
    assert compare.main(['compare_methods']) == 0
    evaluated = started.commands[6:]
    assert len(evaluated) == 12
    output = tmp_path / 'out'
    assert [
      sys.executable, '-m', 'experiments.tools.evaluate',
      '--evaluation_count=50', f'--run={output}/seed5/warm_start',
      '--stage=warm_start', '--seed=5', '--rollouts=4',
      f'--output={output}/seed5/warm_start_held_out.json',
    ] in evaluated  # fmt: skip
    assert sum('--stage=train' in c for c in evaluated) == 8
    assert sum('--evaluate_on=real.jsonl' in c for c in evaluated) == 6
    text = (output / 'comparison.md').read_text(encoding='utf-8')
    first, real, generated = text.split('\n\nSuccess in per cent on ')
    assert 'real ones' in real and 'generated ones' in generated
    assert rows(real)['won, seed 3'] == ['4/8'] * 3
    assert rows(generated)['won, seed 3'] == ['2/8'] * 3
    # What was evaluated need not be again.
    assert compare.main(['compare_methods']) == 0
    assert len(started.commands) == 6 + 12 + 6


def test_a_run_that_fails_is_named_with_its_log(
  compare, started, tmp_path, capsys
):
  started.status = 1
  assert compare.main(['compare_methods']) == 1
  log = tmp_path / 'out' / f'seed3_{WARM}.log'
  assert (
    f'error: seed3/{WARM} ended with status 1: see {log}'
    in capsys.readouterr().err
  )
  assert log.exists()
  assert not (tmp_path / 'out' / 'comparison.md').exists()


def test_a_place_where_nothing_can_be(compare, tmp_path, capsys):
  (tmp_path / 'file').write_text('mine')
  with flagsaver.as_parsed(output=str(tmp_path / 'file')):
    assert compare.main(['compare_methods']) == 1
  assert capsys.readouterr().err.startswith('error: ')
