"""A method in one file is trained with, drawn and scored."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.experiments import script

METHOD = '''
"""Credit of steps: how far an episode is above its group's best half."""

import dataclasses

import jax.numpy as jnp

from jaxcredit import methods, options


@dataclasses.dataclass(frozen=True)
class Options:
  """Of the method."""

  boost: float = options.option(1.0, 'Factor on the credit.', 0.0, 9.0)

  __post_init__ = options.check


def credit(batch, options):
  t = batch.trajectories
  scores = jnp.where(t.mask, t.rewards, 0).sum(-1, keepdims=True)
  relative = options.boost * (scores - jnp.median(scores, 1, keepdims=True))
  total = jnp.where(t.mask, relative, 0)
  return methods.Credit(total, metrics={'largest': abs(total).max()})


methods.register(
  methods.Method('mine', 'My own', '0000.00000', 'step', Options, credit)
)
'''

# What a user has who writes a method: an import before the script's own.
TRAIN = """
import mine
from absl import app
from experiments import gigpo
from experiments.domains import flags as domain_flags
from tests.experiments import odd_answers

class Domain(odd_answers.OddAnswersDomain):
  answers = False

# Environments run in processes, which import this file too.
if __name__ == '__main__':
  # A domain that is played in no time.
  domain_flags.domain = lambda *unused: Domain()
  app.run(gigpo.main)
"""
SCORE = """
import mine
from absl import app
from experiments import credit_accuracy
app.run(credit_accuracy.main)
"""


def run(folder: pathlib.Path, program: str, *arguments: str):
  environment = script.environment()
  paths = [str(folder), str(script.REPOSITORY), os.environ.get('PYTHONPATH')]
  environment['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
  (folder / 'program.py').write_text(program, encoding='utf-8')
  result = subprocess.run(
    [sys.executable, 'program.py', *arguments],
    cwd=folder,
    env=environment,
    capture_output=True,
    text=True,
    timeout=600,
  )
  assert result.returncode == 0, result.stderr + result.stdout
  return result.stdout


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'mine.py').write_text(METHOD, encoding='utf-8')
  return tmp_path


@pytest.mark.system
def test_trained_with_and_drawn(folder):
  run(
    folder, TRAIN, '--run=run', '--method=mine', '--boost=3', '--iterations=2',
    '--layers=1', '--width=16', '--heads=1', '--kv_heads=1', '--head_dim=16',
    '--hidden=16', '--vocabulary=300', '--warm_start_steps=8',
    '--warm_start_batch=4', '--groups=2', '--group_size=3', '--max_steps=4',
    '--row_tokens=96', '--max_new_tokens=4', '--chunk=16', '--chunk=96',
    '--micro_batch_tokens=512', '--checkpoint_every=2', '--evaluate_every=2',
    '--save_episodes_every=1', '--notensorboard',
    '--compilation_cache=',
  )  # fmt: skip
  record = json.loads((folder / 'run' / 'method.json').read_text())
  assert record == {
    'name': 'mine', 'label': 'My own', 'unit': 'step', 'standardised': False,
    'options': {'boost': 3.0},
  }  # fmt: skip
  lines = (folder / 'run' / 'metrics.jsonl').read_text().splitlines()
  train = [r for r in map(json.loads, lines) if r['stage'] == 'train']
  assert [r['iteration'] for r in train] == [1, 2]
  assert all('largest' in r for r in train)
  # Its credit is on the page, beside that of the baseline.
  page = (folder / 'run' / 'report.html').read_text(encoding='utf-8')
  assert 'data-method="mine"' in page and 'data-method="grpo"' in page
  assert 'but for My own, in units of its own' in page


@pytest.mark.system
def test_scored(folder):
  table = run(
    folder, SCORE, '--run=scores', '--environment=two_armed', '--method=mine',
    '--method=rloo', '--group_size=4', '--length=4', '--delay=0', '--colours=1',
    '--noise=0', '--groups=2', '--resamples=2', '--earlier=2', '--seed=0',
    '--seed=1',
  )  # fmt: skip
  (row,) = [line for line in table.splitlines() if '| My own |' in line]
  assert row.count('±') == 6
  assert 'nan' not in row
