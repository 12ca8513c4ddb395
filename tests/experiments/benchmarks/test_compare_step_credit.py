"""The comparison of credit for steps: its runs, its table and its results."""

import csv
import json

import pytest
from absl.testing import flagsaver

from experiments.benchmarks.comparisons import comparison
from experiments.benchmarks.speed import side_by_side
from jaxcredit.reports import run_data
from tests.experiments import imported_script
from tests.reports import run_files


@pytest.fixture(scope='module')
def compare():
  with imported_script.imported(
    'experiments.benchmarks.comparisons.compare_step_credit'
  ) as module:
    yield module


ESTIMATOR = {
  'rollouts': 64, 'tasks': 8, 'held_out_loss': 0.0625, 'constant_loss': 0.25,
  'within_tolerance': 0.5, 'rank_correlation': 0.75,
  'rank_correlation_within': None,
}  # fmt: skip


def write(folder, won, *, estimator=False):
  """A run of two iterations, evaluated before and after."""
  evaluations = [
    {
      **run_files.evaluation(stage, iteration, count),
      'mean_reward': count / 8,
      'grounding_accuracy': 0.5 + iteration / 8,
    }
    for stage, iteration, count in (
      ('after the warm start', 0, 2), ('after training', 2, won),
    )
  ]  # fmt: skip
  metrics = [
    run_files.training_record(number, seconds_total=4.0, success_rate=0.25)
    for number in (1, 2)
  ]
  run_files.write_run(folder, evaluations=evaluations, metrics=metrics)
  if estimator:
    (folder / 'estimator.json').write_text(json.dumps(ESTIMATOR))
  return folder


@pytest.fixture
def runs(compare, tmp_path):
  made = {}
  for seed in (0, 1, 2):
    for number, name in enumerate(compare.VARIANTS):
      made[seed, name] = write(tmp_path / f'{seed}{name}', number + seed // 2)
    if seed == 1:
      made[seed, compare.PREFIXES] = write(
        tmp_path / 'prefixes', 1, estimator=True
      )
    made[seed, compare.START] = write(
      tmp_path / f'{seed}start', 2, estimator=seed == 0
    )
  return {pair: run_data.read(folder) for pair, folder in made.items()}


def cells(text):
  lines = [line for line in text.splitlines() if line.startswith('| ')]
  return {
    name: rest
    for name, *rest in (
      [cell.strip() for cell in line.strip('|').split('|')] for line in lines
    )
  }


def test_the_table(compare, runs):
  text = compare.table(runs)
  found = cells(text)
  assert found['success, %, warm start'] == ['25.0 ± 0.0'] * 7
  assert found['success, %, at the end'][1] == comparison.spread(
    [12.5, 12.5, 25]
  )
  assert found['mean reward, at the end'][0] == comparison.spread(
    [0, 0, 0.125], 3
  )
  assert found['grounding accuracy, %, at the end'][0] == '75.0 ± 0.0'
  assert found['won, seed 2'] == [f'{n}/8' for n in (1, 2, 3, 4, 6, 7, 8)]
  assert found['success, mean of training, %'][0] == '25.0 ± 0.0'
  assert found['seconds of an iteration'][0] == '4.00 ± 0.00'
  assert 'Estimator of seed 0: 64 rollouts of 8 tasks' in text
  assert 'true progress 0.750, within episodes -.' in text
  assert 'Estimator of seed 1, prefixes: 64 rollouts' in text
  assert 'seed 1:' not in text and 'seed 2' not in text.split('Estimator')[1]


def test_results_as_a_file(compare, runs, tmp_path):
  compare.write_results(tmp_path / 'results.csv', runs)
  with open(tmp_path / 'results.csv', encoding='utf-8') as file:
    lines = list(csv.DictReader(file))
  # Nine variants and the start, three seeds, two evaluations.
  assert len(lines) == 10 * 3 * 2
  assert lines[1]['variant'] == 'gigpo'
  assert float(lines[1]['success, %']) == 87.5


@pytest.mark.parametrize('shared', [False, True])
def test_all_go_from_the_start_of_their_seed(
  compare, monkeypatch, tmp_path, shared
):
  commands = {}
  monkeypatch.setattr(side_by_side, 'take_cores', lambda numbers, jobs: None)
  monkeypatch.setattr(
    side_by_side,
    'execute',
    lambda output, name, command: commands.update({name: command}),
  )
  given = {
    'output': str(tmp_path), 'share_start': 'true' if shared else 'false',
  }  # fmt: skip
  with flagsaver.as_parsed(**given):
    found = compare.run_all()
  starts = [name for name in commands if name.endswith('/start')]
  assert len(starts) == (1 if shared else 3)
  assert len(found) == len(commands) == 21 + len(starts)
  assert '--iterations=0' in commands['seed0/start']
  source = tmp_path / f'seed{0 if shared else 2}' / 'start'
  for name, own in compare.VARIANTS.items():
    if name in compare.ON_DEMAND:
      continue
    command = commands[f'seed2/{name}']
    assert command[0] == 'experiments.spa'
    other = 'rollouts' if name == 'spa_prefixes' else 'estimator'
    for flag in (
      '--seed=2', f'--start_from={source}', f'--{other}_from={source}', *own,
    ):  # fmt: skip
      assert flag in command
