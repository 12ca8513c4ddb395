"""The comparison of LaRe: runs by flagfiles, scores, its table and figure."""

import csv
import json
import pathlib

import numpy as np
import pytest
from absl.testing import flagsaver

from experiments.benchmarks.speed import side_by_side
from tests import distribution
from tests.experiments import imported_script

FLAGFILES = pathlib.Path(__file__).parents[3] / 'experiments' / 'flagfiles'
SETTINGS = {
  'task': 'cooperative_navigation', 'agents': 2, 'reward': 'released',
  'backend': 'spring',
}  # fmt: skip


@pytest.fixture(scope='module')
def compare():
  with imported_script.imported(
    'experiments.benchmarks.comparisons.compare_latent_rewards'
  ) as module:
    yield module


def outcome(compare, **curves):
  curves = {name: np.array(curve, float) for name, curve in curves.items()}
  return compare.Outcome(
    np.array([10, 20]),
    curves,
    {name: curve - 1 for name, curve in curves.items()},
    -10.0,
    SETTINGS,
    60.0,
  )


def test_scores(compare):
  one = outcome(
    compare, dense=[[-8, -6], [-8, -4]], lare=[[-10, -5], [-10, -15]]
  )
  scores = one.scores()
  # 0 at random actions, -10; 1 at the dense reward's mean end, -5.
  np.testing.assert_allclose(scores['lare'], [[0, 1], [0, -1]])
  np.testing.assert_allclose(scores['dense'], [[0.4, 0.8], [0.4, 1.2]])
  with pytest.raises(ValueError, match='no better than random'):
    outcome(compare, dense=[[-9, -11]]).scores()
  with pytest.raises(ValueError, match='--method=dense'):
    outcome(compare, lare=[[-9, -11]]).scores()


def test_table(compare):
  text = compare.table(
    {
      'navigation': outcome(
        compare, dense=[[-8, -5], [-8, -5]], lare=[[-9, -6], [-9, -6]]
      ),
      'reacher': outcome(compare, dense=[[-8, 0], [-8, 0]]),
    }
  )
  lines = text.splitlines()
  assert lines[2] == '| | dense reward (reference) | LaRe | random |'
  assert lines[4] == (
    '| cooperative navigation, 3 agents | -5.0 [-5.0, -5.0] | '
    '-6.0 [-6.0, -6.0] | -10.0 |'
  )
  assert lines[5] == '| Reacher | 0.0 [0.0, 0.0] | - | -10.0 |'
  assert lines[6] == (
    '| score over tasks | 1.00 [1.00, 1.00] | 0.80 [0.80, 0.80] (1 tasks) | 0 |'
  )
  assert lines[10:14:2] == [
    lines[2],
    '| cooperative navigation, 3 agents | -6.0 [-6.0, -6.0] | '
    '-7.0 [-7.0, -7.0] | -10.0 |',
  ]
  assert '3 agents: 2 seeds, 20 iterations, 15 s a run.' in text


@pytest.mark.system
@pytest.mark.skipif(
  not distribution.has_control(), reason="jaxmarl is missing (extra 'control')"
)
def test_runs(compare, tmp_path, monkeypatch, capsys):
  commands = []

  def execute(output, name, command):
    commands.append(command)
    folder = output / name
    folder.mkdir(parents=True)
    (folder / 'config.json').write_text(json.dumps(SETTINGS))
    with open(folder / 'curves.csv', 'w', newline='') as file:
      writer = csv.writer(file)
      writer.writerow(['method', 'seed', 'iteration', 'name', 'value'])
      for method, end in (('dense', 5.0), ('lare', 4.0)):
        for seed in (0, 1):
          writer.writerow([method, seed, 10, 'evaluation', 1.0])
          writer.writerow([method, seed, 20, 'evaluation', end + seed])
          writer.writerow([method, seed, 20, 'entropy', 99.0])
          writer.writerow([method, seed, 20, 'team_return', end - seed])
    (folder / 'table.md').touch()

  monkeypatch.setattr(side_by_side, 'execute', execute)
  with flagsaver.flagsaver(
    output=str(tmp_path / 'out'),
    compared_task=['navigation', 'reacher'],
    also=['--iterations=20'],
    random_episodes=3,
  ):
    assert compare.main(['x']) == 0
    assert len(commands) == 2
    assert compare.main(['x']) == 0
  # What is there is not run again.
  assert len(commands) == 2
  command = next(c for c in commands if f'--run={tmp_path}/out/reacher' in c)
  assert command[0] == 'experiments.lare'
  assert 'lare/comparison_reacher.cfg' in command[1]
  assert command[-1] == '--iterations=20'
  text = (tmp_path / 'out' / 'comparison.md').read_text()
  assert text in capsys.readouterr().out
  assert '| 5.5 [5.0, 6.0] | 4.5 [4.0, 5.0] |' in text
  assert '| 4.5 [4.0, 5.0] | 3.5 [3.0, 4.0] |' in text
  figure = (tmp_path / 'out' / 'curves.png').read_bytes()
  assert figure.startswith(b'\x89PNG')

  def fails(output, name, command):
    raise ChildProcessError(f'{name} ended with status 1')

  monkeypatch.setattr(side_by_side, 'execute', fails)
  with flagsaver.flagsaver(output=str(tmp_path / 'new')):
    assert compare.main(['x']) == 1
  assert 'ended with status 1' in capsys.readouterr().err


def test_missing_quantity(compare, tmp_path):
  (tmp_path / 'curves.csv').write_text('method,seed,iteration,name,value\n')
  with pytest.raises(ValueError, match='has no team_return'):
    compare.read_curves(tmp_path / 'curves.csv', 'team_return')


def test_every_task_has_its_flagfile(compare):
  for name in compare.TASKS:
    text = (FLAGFILES / 'lare' / f'comparison_{name}.cfg').read_text()
    assert text.count('--seed=') == 5
    for method in ('dense', 'episodic', 'ircr', 'rrd', 'lare'):
      assert f'--method={method}' in text


def test_unknown_arguments(compare, capsys):
  assert compare.main(['x', 'task=reacher']) == 1
  assert 'flags start with --' in capsys.readouterr().err
