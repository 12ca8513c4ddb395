"""The comparison of credit for tokens: its table and its curves."""

import csv
import subprocess

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.benchmarks.comparisons import comparison
from experiments.benchmarks.speed import side_by_side
from jaxcredit.reports import run_data
from tests.experiments import imported_script
from tests.reports import run_files


@pytest.fixture
def compare():
  with imported_script.imported(
    'experiments.benchmarks.comparisons.compare_token_credit'
  ) as module:
    yield module


def write(folder, successes, seconds):
  """A run of two iterations, evaluated before, between and after."""
  training = [
    {
      'stage': 'train',
      'iteration': number,
      'seconds_total': seconds,
      'seconds_credit': 0.5,
      'seconds_values': 0.25,
      'generated_episodes': 16,
      'sampled_tokens': 16 * (6 + number),
      'branch_share': 0.25,
      'branch_points': 3.0 * number,
    }
    for number in (1, 2)
  ]
  evaluations = [
    run_files.evaluation(stage, iteration, count)
    for stage, iteration, count in zip(
      ('after the warm start', 'after 1 iterations', 'after training'),
      (0, 1, 2),
      successes,
      strict=True,
    )
  ]
  return run_data.read(
    run_files.write_run(folder, evaluations=evaluations, metrics=training)
  )


@pytest.fixture
def runs(tmp_path):
  wins = {'grpo': (2, 2, 4), 'ppo': (2, 4, 4), 'tempo': (2, 4, 6)}
  return {
    (seed, method): write(
      tmp_path / f'{seed}{method}',
      tuple(count + seed % 2 for count in counts),
      # A method that takes twice as long has come half as far.
      20.0 if method == 'ppo' else 10.0,
    )
    for seed in (0, 1, 2)
    for method, counts in wins.items()
  }


def cells(text):
  lines = [line for line in text.splitlines() if line.startswith('| ')]
  return {
    name: rest
    for name, *rest in (
      [cell.strip() for cell in line.strip('|').split('|')] for line in lines
    )
  }


def test_a_curve_counts_samples_and_seconds(compare, runs):
  curve = compare.curve(runs[0, 'ppo'])
  assert [(i, n, s) for i, n, s, _ in curve] == [
    (0, 0, 0.0), (1, 16, 20.0), (2, 32, 40.0),
  ]  # fmt: skip
  shares = [e['success_rate'] for e in runs[0, 'ppo'].evaluations]
  assert [share for *_, share in curve] == shares


@flagsaver.flagsaver
def test_the_table(compare, runs):
  flags.FLAGS.method = ['grpo', 'ppo', 'tempo']
  found = cells(compare.table(runs))
  count = runs[0, 'grpo'].evaluations[0]['episodes']

  def share(*wins):
    return comparison.spread([100 * win / count for win in wins])

  assert found['warm start'] == [share(2, 3, 2)] * 3
  assert found['after 16 samples'] == [
    share(2, 3, 2), share(4, 5, 4), share(4, 5, 4),
  ]  # fmt: skip
  assert found['after 32 samples'][2] == share(6, 7, 6)
  # When the faster ones are through, PPO is at its first evaluation.
  assert found['after 20 s of training'] == [
    share(4, 5, 4), share(4, 5, 4), share(6, 7, 6),
  ]  # fmt: skip
  assert found['right, seed 1'] == [f'{n}/{count}' for n in (5, 5, 7)]
  assert found['seconds of an iteration'] == [
    '10.00 ± 0.00', '20.00 ± 0.00', '10.00 ± 0.00',
  ]  # fmt: skip
  assert found['tokens drawn for a sample'] == ['7.5 ± 0.0'] * 3
  assert found['branch tokens, %'] == ['25.0 ± 0.0'] * 3
  assert found['branch points of a group'] == ['4.5 ± 0.0'] * 3
  assert found["credit's share of the time, %"][0] == '5.00 ± 0.00'
  assert found["the critic's values' share, %"][1] == '1.25 ± 0.00'


def test_curves_as_a_file(compare, runs, tmp_path):
  compare.write_curves(tmp_path / 'curves.csv', runs)
  with open(tmp_path / 'curves.csv', encoding='utf-8') as file:
    lines = list(csv.DictReader(file))
  assert len(lines) == 27
  assert lines[1]['method'] == 'grpo' and lines[1]['samples'] == '16'


def test_methods_are_those_of_the_script():
  name = 'experiments.benchmarks.comparisons.compare_token_credit'
  with imported_script.imported(name) as compare:
    methods = dict(compare.METHODS)
    path = flags.FLAGS.settings
  with (
    imported_script.imported('experiments.tempo'),
    flagsaver.flagsaver(),
  ):
    from experiments.text import flags as text_flags
    from experiments.text import method_flags

    for name, arguments in methods.items():
      flags.FLAGS(['tempo', f'--flagfile={path}', *arguments])
      method, _ = method_flags.read()
      assert method.name == name.removesuffix('_tree')
      assert (text_flags.read().loop.tree is None) == ('tree' not in name)
      flags.FLAGS.sampler = 'independent'


def test_a_run_that_fails_ends_it_with_a_word(
  compare, monkeypatch, tmp_path, capsys
):
  monkeypatch.setattr(side_by_side, 'take_cores', lambda numbers, jobs: None)
  monkeypatch.setattr(
    subprocess,
    'run',
    lambda *unused, **options: subprocess.CompletedProcess([], 1),
  )
  monkeypatch.chdir(tmp_path)
  assert compare.main(['compare']) == 1
  assert 'error: seed0/warm_start ended with status 1: see' in (
    capsys.readouterr().err
  )
