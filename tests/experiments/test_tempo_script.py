"""The script that trains with credit of tokens, as a user runs it."""

import dataclasses
import json

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.run import script as run_script
from jaxcredit.reports import prefix_tree_records
from jaxcredit.training import checkpoints
from tests.experiments import imported_script, script, test_gigpo_script

MODULE = 'experiments.tempo'
FLAGFILES = sorted(
  (script.REPOSITORY / 'experiments/flagfiles/tempo').glob('*.cfg')
)


@pytest.fixture(scope='module')
def tempo():
  with imported_script.imported(MODULE) as module:
    yield module


def settings_of(tempo):
  """All settings by path."""
  run = tempo.read_flags()
  return {
    f'{part}.{name}': value
    for part in ('training', 'questions', 'credit')
    for name, value in test_gigpo_script.fields(getattr(run, part)).items()
  }


# Flags of the script that set other fields than those of their own name.
FIELDS = {
  'questions': {'questions.questions', 'questions.training_count'},
  'evaluate_on': {'questions.evaluate_on', 'questions.evaluation_count'},
  'critic_learning_rate': {'training.critic.learning_rate'},
  'value_clip': {'training.critic.clip'},
  'tree_first': {'training.loop.tree.first'},
  'tree_branches': {'training.loop.tree.branches'},
  'tree_exclude_parent': {'training.loop.tree.exclude_parent'},
  'tree_skip_last': {'training.loop.tree.skip_last'},
  'tree_tokens': {'training.loop.learn_taken_over'},
}


def test_every_flag_sets_its_fields_and_no_other(tempo):
  by_module = flags.FLAGS.flags_by_module_dict()
  module = [*by_module[MODULE], *by_module['experiments.text.critic_flags']]
  assert len(module) > 15
  for flag in module:
    if flag.name == 'sampler':
      continue
    # Some flags matter for trees alone.
    with flagsaver.as_parsed(sampler='tree', max_steps='1'):
      before = settings_of(tempo)
      with flagsaver.as_parsed(**{flag.name: test_gigpo_script.another(flag)}):
        after = settings_of(tempo)
    changed = {name for name in before if before[name] != after[name]}
    expected = FIELDS.get(flag.name) or {
      name
      for part in ('questions', 'credit')
      for name in before
      if name == f'{part}.{flag.name}'
    }
    assert expected, f'--{flag.name} is ignored'
    assert changed == expected, flag.name
    assert len(flag.help) >= 9


def test_trees_are_asked_for(tempo):
  assert tempo.read_flags().training.loop.tree is None
  with flagsaver.as_parsed(sampler='tree', max_steps='1'):
    assert tempo.read_flags().training.loop.tree.first == 1


@pytest.mark.parametrize('path', FLAGFILES, ids=lambda path: path.name)
def test_flagfiles_parse(tempo, path):
  with flagsaver.flagsaver():
    assert flags.FLAGS(['tempo', f'--flagfile={path}']) == ['tempo']
    run_script.check_finite(run_script.own_flags(tempo.__name__))
    run = tempo.read_flags()
    for task in run.questions.tasks:
      run.questions.settings_of(task)
  assert run != tempo.read_flags()


def test_the_released_settings(tempo):
  # The dossier of the paper's released scripts, November 2025.
  (path,) = (p for p in FLAGFILES if p.name == 'math_qwen3_1_7b.cfg')
  with flagsaver.flagsaver():
    flags.FLAGS(['tempo', f'--flagfile={path}'])
    run = tempo.read_flags()
  training = run.training
  assert run.questions.tasks == ('math',)
  assert run.credit.method == 'tempo'
  assert run.credit.scale == 'std'
  assert run.credit.td_weight == 1
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
  assert training.learning_rate == 1e-6
  assert training.weight_decay == 0.01
  assert training.clip_norm == 1
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
  assert 'branch tokens' in done.stdout
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
    assert 0 <= record['branch_share'] <= 1
    assert ('value_error' in record) == (method == 'ppo')
    assert record['failed_episodes'] == 0
    assert 0 < record['drawn_tokens'] <= 3 * 4 * 10
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


def test_fields_of_settings_are_used(tempo):
  from experiments.domains import questions as question_tasks

  source = (script.REPOSITORY / 'experiments' / 'question_tasks.py').read_text()
  for field in dataclasses.fields(question_tasks.QuestionOptions):
    used = source.count(f'ptions.{field.name}') + source.count(
      f'self.{field.name}'
    )
    assert used, field.name
