"""The script that trains with credit of tokens, as a user runs it."""

import json

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from jaxcredit.reports import prefix_tree_records
from jaxcredit.training import checkpoints
from tests.experiments import imported_script, script

MODULE = 'experiments.tempo'
FLAGFILES = script.REPOSITORY / 'experiments/flagfiles/tempo'


@pytest.fixture(scope='module')
def tempo():
  with imported_script.imported(MODULE) as module:
    yield module


def test_trees_are_asked_for(tempo):
  assert tempo.script.build().settings.loop.tree is None
  with flagsaver.as_parsed(sampler='tree', max_steps='1'):
    assert tempo.script.build().settings.loop.tree.first == 1


def test_the_released_settings(tempo):
  # The paper's released scripts, November 2025.
  with flagsaver.flagsaver():
    flags.FLAGS(['tempo', f'--flagfile={FLAGFILES / "math_qwen3_1_7b.cfg"}'])
    built = tempo.script.build()
  training = built.settings
  assert built.domain._options.tasks == ('math',)
  assert built.method.name == 'tempo'
  assert built.method_options.scale == 'std'
  assert built.method_options.td_weight == 1
  assert training.loop.group_size == 7
  assert training.loop.groups == 512
  assert training.loop.minibatch_rows == 64 * 7
  assert training.loop.epochs == 1
  assert training.loop.temperature == 1
  assert training.loss.clip == 0.2
  assert training.loss.clip_high == 0.28
  assert training.loss.dual_clip == 3
  assert training.loss.aggregation == 'token-mean'
  assert training.loss.kl_coefficient == 0
  assert training.loss.entropy_coefficient == 0
  assert training.learner.learning_rate == 1e-6
  assert training.learner.weight_decay == 0.01
  assert training.learner.clip_norm == 1
  assert training.limits.new_tokens == 8192
  assert training.limits.row_tokens == 1024 + 8192


def write(path, count, start=0):
  lines = [
    json.dumps({'question': f'{i} and {i}?', 'answer': f'So.\n#### {2 * i}'})
    for i in range(start, start + count)
  ]
  path.write_text('\n'.join(lines))
  return str(path)


TINY = (
  '--tasks=gsm8k', '--instruction=', '--format=message', '--layers=1',
  '--width=32', '--heads=2', '--kv_heads=1', '--head_dim=16', '--hidden=48',
  '--vocabulary=257', '--warm_start_questions=64', '--warm_start_steps=30',
  '--warm_start_batch=16', '--warm_start_learning_rate=0.01', '--groups=3',
  '--group_size=4', '--max_steps=1', '--row_tokens=40', '--chunk=40',
  '--max_new_tokens=10', '--evaluation_count=6', '--notensorboard',
  '--micro_batch_tokens=320', '--iterations=2', '--reward_scale=1',
  '--learning_rate=0.01', '--entropy_coefficient=0.01',
  '--save_episodes_every=1', '--checkpoint_every=1',
)  # fmt: skip


@pytest.fixture(scope='module')
def files(tmp_path_factory):
  folder = tmp_path_factory.mktemp('questions')
  return (
    f'--questions={write(folder / "train.jsonl", 64)}',
    f'--evaluate_on={write(folder / "test.jsonl", 20, 30)}',
  )


@pytest.fixture(scope='module')
def start(tmp_path_factory, files):
  folder = tmp_path_factory.mktemp('runs') / 'start'
  done = script.run(
    *TINY, *files, f'--run={folder}', '--iterations=0', module=MODULE
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return folder


@pytest.mark.system
@pytest.mark.parametrize(
  ('method', 'sampler'), [('tempo', 'tree'), ('ppo', 'independent')]
)
def test_a_run(tmp_path, files, start, method, sampler):
  folder = tmp_path / 'run'
  arguments = (
    *TINY, *files, f'--run={folder}', f'--start_from={start}',
    f'--method={method}', f'--sampler={sampler}',
  )  # fmt: skip
  # Interrupted after an iteration, it goes on.
  first = script.run(*arguments, '--iterations=1', module=MODULE)
  assert first.returncode == 0, first.stdout + first.stderr
  one = checkpoints.read_params(folder / 'checkpoints' / 'train')
  done = script.run(*arguments, module=MODULE)
  assert done.returncode == 0, done.stdout + done.stderr
  assert 'holds this run: going on' in done.stdout
  assert ('branch tokens' in done.stdout) == (method == 'tempo')
  assert 'questions answered' in done.stdout
  two = checkpoints.read_params(folder / 'checkpoints' / 'train')
  assert not np.array_equal(
    one['embedder']['embedding'], two['embedder']['embedding']
  )
  records = [
    json.loads(line)
    for line in (folder / 'metrics.jsonl').read_text().splitlines()
  ]
  train = [r for r in records if r['stage'] == 'train']
  assert [r['iteration'] for r in train] == [1, 2]
  for record in train:
    assert ('branch_share' in record) == (method == 'tempo')
    assert ('value_error' in record) == (method == 'ppo')
    assert record['failed_episodes'] == 0
    assert 0 < record['sampled_tokens'] <= 3 * 4 * 10
  assert (folder / 'report.html').exists()
  groups = prefix_tree_records.read(folder / 'prefix_trees.jsonl')
  assert [group.title for group in groups] == (
    ['iteration 1'] * 2 + ['iteration 2'] * 2
  )
  assert 'iteration 2' in (folder / 'prefix_trees.html').read_text()


@pytest.mark.system
@pytest.mark.parametrize(
  ('flag', 'words'),
  [
    ('--tasks=gsm8k', 'needs a file: give --questions=PATH'),
    ('--task_settings={', '--task_settings is not JSON'),
    ('--sampler=tree', '--sampler=tree needs --max_steps=1'),
    ('--methd=ppo', "Unknown command line flag 'methd'"),
  ],
)
def test_as_a_user_errors_are_short(tmp_path, flag, words):
  done = script.run(f'--run={tmp_path / "run"}', flag, module=MODULE)
  assert done.returncode == 1
  assert words in done.stderr
  assert 'Traceback' not in done.stderr
  assert not (tmp_path / 'run').exists() or not any(
    (tmp_path / 'run').iterdir()
  )
