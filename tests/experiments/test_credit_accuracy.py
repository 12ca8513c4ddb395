"""experiments.credit_accuracy: run, wrong flags, and every flag's effect."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from experiments.accuracy import batches as credit_batches
from experiments.accuracy import figures as credit_figures
from experiments.accuracy import settings as credit_settings
from tests.experiments import script

MODULE = 'experiments.credit_accuracy'
FLAGS = (
  '--environment=two_armed', '--environment=grid', '--method=rloo',
  '--method=td_exact', '--group_size=4', '--group_size=2', '--length=8',
  '--delay=0', '--colours=1', '--noise=0', '--groups=3', '--resamples=2',
  '--earlier=2', '--seed=0', '--seed=4', '--competence=0.5',
)  # fmt: skip


def rows(path):
  with open(path, newline='', encoding='utf-8') as file:
    return list(csv.DictReader(file))


@pytest.mark.system
def test_end_to_end(tmp_path):
  folder = tmp_path / 'run'
  result = script.run(f'--run={folder}', *FLAGS, module=MODULE)
  assert result.returncode == 0, result.stderr
  table = (folder / 'table.md').read_text()
  assert table in result.stdout
  for name in ('environments.png', 'axes.png'):
    assert (folder / name).read_bytes().startswith(b'\x89PNG')
  values = rows(folder / 'scores.csv')
  # Two bases and one variation, two methods, two seeds, six scores.
  assert len(values) == 3 * 2 * 2 * 6
  assert {(r['axis'], r['environment'], r['group_size']) for r in values} == {
    ('', 'two_armed', '4'), ('', 'grid', '4'), ('group_size', 'two_armed', '2'),
  }  # fmt: skip
  rank = {
    (r['environment'], r['method'], r['seed']): float(r['value'])
    for r in values
    if r['score'] == 'rank' and not r['axis']
  }
  # In the grid nothing is left to chance, and differences of values are right.
  assert rank['grid', 'td_exact', '0'] == pytest.approx(1, abs=1e-3)
  assert 0 < rank['grid', 'rloo', '0'] < 0.95
  assert rank['grid', 'rloo', '0'] != rank['grid', 'rloo', '4']

  refused = script.run(f'--run={folder}', *FLAGS[:-1], module=MODULE)
  assert refused.returncode == 1
  assert '--competence: 0.5 then, None now' in refused.stderr


@pytest.mark.system
def test_help_and_errors_for_people(tmp_path):
  told = script.run('--helpshort', module=MODULE)
  assert 'python -m experiments.credit_accuracy' in told.stdout
  assert '--[no]' not in told.stdout.split('absl')[0]
  wrong = script.run('--method=magic', module=MODULE)
  assert wrong.returncode != 0 and 'Traceback' not in wrong.stderr
  assert 'magic' in wrong.stderr
  folder = tmp_path / 'run'
  twice = script.run(f'--run={folder}', '--seed=1', '--seed=1', module=MODULE)
  assert twice.returncode == 1 and 'give it once' in twice.stderr
  assert not (folder / 'config.json').exists()


_TELL = """
import json, sys
from absl import flags
from absl.testing import flagsaver
from experiments import credit_accuracy

flags.FLAGS(['test'])

def told(values):
  with flagsaver.flagsaver(**values):
    return repr(credit_accuracy.plan())

base = {'length': [3], 'environment': ['grid']}
result = {
  name: told({**base, name: value}) != told(base)
  for name, value in json.loads(sys.argv[1]).items()
}
own = flags.FLAGS.flags_by_module_dict()['experiments.credit_accuracy']
print(json.dumps([result, sorted(flag.name for flag in own)]))
"""


@pytest.mark.system
def test_every_flag_has_an_effect():
  changes = {
    'environment': ['two_armed'], 'method': ['grpo'], 'group_size': [3],
    'length': [4], 'delay': [2], 'colours': [2], 'noise': [0.5], 'groups': 3,
    'resamples': 3, 'earlier': 3, 'seed': [7], 'competence': 0.1,
    'roughness': 0.9, 'truth': 'branched',
  }  # fmt: skip
  process = subprocess.run(
    [sys.executable, '-c', _TELL, json.dumps(changes)],
    cwd=script.REPOSITORY,
    env=script.environment(),
    capture_output=True,
    text=True,
    timeout=500,
  )
  assert process.returncode == 0, process.stderr
  effects, names = json.loads(process.stdout.splitlines()[-1])
  assert [name for name, effect in effects.items() if not effect] == []
  # --branches counts with --truth=branched only.
  assert sorted([*changes, 'branches']) == names


def test_policies_and_lengths_have_effects():
  base = credit_settings.Setting('grid', 2, 3, 0, 1, 0.0)
  sizes = credit_settings.sizes_of([base], 2, 2, 2)
  tables = [
    np.asarray(
      credit_batches.Source(
        base, sizes, credit_settings.Policy(*numbers), seed
      ).policies
    )
    for numbers, seed in (
      ((1.0, 0.5), 0), ((2.0, 0.5), 0), ((1.0, 0.1), 0), ((1.0, 0.5), 1),
    )
  ]  # fmt: skip
  for other in tables[1:]:
    assert abs(tables[0] - other).max() > 0.01
  spread = [t[0, :15].std(axis=-1).mean() for t in tables]
  assert spread[1] > spread[0] > spread[2]


def result(axis, size, value):
  setting = credit_settings.Setting('grid', size, 3, 0, 1, 0.0)
  scores = {name: np.full(3, value) for name in credit_figures.SCORES}
  about = dict.fromkeys(
    ('return', 'steps', 'repeated', 'deviation', 'decisive', 'error'), 0.25
  )
  return credit_figures.Result(axis, setting, {'grpo': scores}, about)


def test_the_table_by_hand():
  text = credit_figures.table(
    [result('', 8, 0.5), result('group_size', 2, 0.125)]
  )
  assert '| GRPO |' + ' 0.50 ± 0.00 |' * 6 in text
  assert '| method | 2 | 8 |' in text
  assert '| GRPO | 0.12, 0.12 | 0.50, 0.50 |' in text
  assert 'by branching with standard error 0.250' in text
