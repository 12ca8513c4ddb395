"""Finished runs can be evaluated again, on other games and more episodes."""

import json

import jax
import numpy as np
import pytest

from jaxcredit.training import checkpoints
from tests.experiments import script

pytestmark = pytest.mark.system

MODULE = 'experiments.tools.evaluate'
TINY = (
  '--layers=1', '--width=32', '--heads=2', '--kv_heads=1', '--head_dim=16',
  '--hidden=48', '--vocabulary=700', '--warm_start_games=24',
  '--warm_start_steps=2', '--warm_start_batch=4', '--groups=2',
  '--group_size=2', '--max_steps=8', '--row_tokens=320', '--max_new_tokens=6',
  '--generated_games=4', '--evaluation_count=4', '--notensorboard',
  '--micro_batch_tokens=1024', '--iterations=1', '--learning_rate=0.01',
  '--entropy_coefficient=0.1',
)  # fmt: skip


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs') / 'finished'
  result = script.run(*TINY, f'--run={folder}')
  assert result.returncode == 0, result.stdout + result.stderr
  return folder


def test_both_policies_of_a_run_play_all_rollouts(finished, tmp_path):
  for stage in ('train', 'warm_start'):
    output = tmp_path / f'{stage}.json'
    result = script.run(
      f'--run={finished}', f'--stage={stage}', '--evaluation_count=3',
      '--rollouts=4', '--at_once=8', '--temperature=0.9', f'--output={output}',
      module=MODULE,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert 'Success on 3 generated games' in result.stdout
    (entry,) = json.loads(output.read_text())
    assert entry['episodes'] == 12
    assert entry['policy'] == stage
    assert entry['temperature'] == 0.9
    assert sum(p['episodes'] for p in entry['by_task_type'].values()) == 12
  stages = [
    checkpoints.read_params(finished / 'checkpoints' / stage)
    for stage in ('train', 'warm_start')
  ]
  same = jax.tree.map(lambda a, b: np.array_equal(a, b), *stages)
  assert not all(jax.tree.leaves(same)), 'training changed nothing'


def test_the_format_and_the_domain_are_those_of_the_run(finished, tmp_path):
  # A run of another format is asked in that one, and its steps differ.
  other = tmp_path / 'other'
  result = script.run(*TINY, '--format=message', f'--run={other}')
  assert result.returncode == 0, result.stdout + result.stderr
  outputs = []
  for run in (finished, other):
    output = tmp_path / f'{run.name}.json'
    result = script.run(
      f'--run={run}', '--temperature=0', f'--output={output}', module=MODULE
    )
    assert result.returncode == 0, result.stderr
    (entry,) = json.loads(output.read_text())
    outputs.append(entry)
    # What the run found after training, but for the random keys.
    recorded = json.loads((run / 'evaluations.json').read_text())[-1]
    assert entry['episodes'] == recorded['episodes'] == 4
    assert entry['by_task_type'].keys() == recorded['by_task_type'].keys()


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    (('--run=nowhere',), 'nowhere holds no run'),
    (('--run={run}', '--evaluate_on=missing.jsonl'), 'missing.jsonl'),
    (('--run={run}', 'more'), 'unknown arguments: more'),
    (('--run={run}', '--domain=shop'), 'evaluated on the domain of its run'),
    (('--run={run}', '--questions=x'), '--questions: no option of the domain'),
    ((), 'flag --run'),
  ],
)
def test_what_is_missing_is_named(finished, arguments, words):
  filled = [a.format(run=finished) for a in arguments]
  result = script.run(*filled, module=MODULE)
  assert result.returncode != 0
  assert words in result.stdout + result.stderr
  assert 'Traceback' not in result.stderr


def test_a_stage_without_checkpoint_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='holds no checkpoint'):
    checkpoints.read_params(tmp_path)
