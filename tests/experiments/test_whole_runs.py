"""Each script from its command line to its report, in this process.

What needs a process of its own (signals, faults, resumption, help) is tested in
the system tier, with the script in question.
"""

import json
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from tests import distribution
from tests.experiments import imported_script, odd_answers, small_run

# What every text policy has here: hardly anything.
POLICY = (
  '--layers=1', '--width=16', '--heads=2', '--kv_heads=1', '--head_dim=8',
  '--hidden=24', '--notensorboard', '--iterations=1',
  '--learning_rate=0.01', '--entropy_coefficient=0.01', '--checkpoint_every=1',
  '--save_episodes_every=1', '--warm_start_steps=3',
)  # fmt: skip
GIGPO = (
  *POLICY, '--vocabulary=400', '--warm_start_games=16', '--warm_start_batch=2',
  '--groups=2', '--group_size=2', '--max_steps=8', '--row_tokens=256',
  '--chunk=256', '--max_new_tokens=4', '--generated_games=2',
  '--evaluation_count=2', '--micro_batch_tokens=1024',
)  # fmt: skip
TEMPO = (
  *POLICY, '--tasks=gsm8k', '--instruction=', '--format=message',
  '--vocabulary=257', '--warm_start_questions=8', '--warm_start_batch=8',
  '--groups=2', '--group_size=3', '--max_steps=1', '--row_tokens=40',
  '--chunk=40', '--max_new_tokens=6', '--evaluation_count=4',
  '--micro_batch_tokens=320', '--reward_scale=1',
)  # fmt: skip
SPA = (
  *POLICY, '--format=message', '--vocabulary=260', '--warm_start_batch=4',
  '--groups=2', '--group_size=2', '--max_steps=3', '--row_tokens=48',
  '--chunk=48', '--max_new_tokens=4', '--micro_batch_tokens=256',
  '--exploration_rollouts=2', '--estimator_steps=2', '--estimator_batch=4',
  '--estimator_evaluate_every=2', '--estimator_held_out=0.25',
  '--reward_scale=1',
)  # fmt: skip
LARE = (
  '--method=lare', '--seed=0', '--iterations=2',
  '--record_every=1', '--episodes=2', '--buffer=4', '--minibatch=50',
  '--epochs=1', '--hidden=4', '--decoder_hidden=4', '--decoder_updates=1',
  '--decoder_batch=2', '--evaluation_episodes=2', '--checkpoint_every=1',
)  # fmt: skip
BANDITS = (
  '--horizon=100', '--seeds=2', '--sigma=0.1', '--algorithm=dynlin_log',
  '--algorithm=optimum', '--record_every=50',
)  # fmt: skip
ACCURACY = (
  '--environment=two_armed', '--method=rloo', '--group_size=4', '--length=4',
  '--delay=0', '--colours=1', '--noise=0', '--groups=2', '--resamples=2',
  '--earlier=1', '--seed=0', '--competence=0.5',
)  # fmt: skip


def run(name, folder, *given, begin=lambda module: None) -> None:
  with imported_script.imported(f'experiments.{name}') as module:
    begin(module)
    with flagsaver.flagsaver():
      rest = flags.FLAGS([name, *given, f'--run={folder}'])
      assert module.main(rest) == 0


def training(folder):
  records = small_run.json_lines(folder / 'metrics.jsonl')
  return [record for record in records if record['stage'] == 'train']


@pytest.mark.system
def test_gigpo(tmp_path):
  run('gigpo', tmp_path / 'run', *GIGPO)
  records = training(tmp_path / 'run')
  assert [record['iteration'] for record in records] == [1]
  for record in records:
    assert record['gradient_norm'] > 0
    assert record['failed_episodes'] == record['skipped_updates'] == 0
  episodes = small_run.json_lines(tmp_path / 'run' / 'episodes.jsonl')
  assert len(episodes) == 2 * 2
  page = (tmp_path / 'run' / 'report.html').read_text('utf-8')
  assert 'GiGPO' in page and '<svg' in page


@pytest.mark.system
def test_tempo(tmp_path):
  for name, count in (('train', 8), ('test', 4)):
    lines = (
      json.dumps({'question': f'{i}+1?', 'answer': f'#### {i + 1}'}) + '\n'
      for i in range(count)
    )
    (tmp_path / f'{name}.jsonl').write_text(''.join(lines), 'utf-8')
  run(
    'tempo', tmp_path / 'run', *TEMPO, '--sampler=tree',
    f'--questions={tmp_path / "train.jsonl"}',
    f'--evaluate_on={tmp_path / "test.jsonl"}',
  )  # fmt: skip
  records = training(tmp_path / 'run')
  assert [record['iteration'] for record in records] == [1]
  for record in records:
    assert 0 <= record['branch_share'] <= 1
    assert 0 < record['drawn_tokens'] <= 2 * 3 * 6
  for name in ('report.html', 'prefix_trees.html'):
    assert (tmp_path / 'run' / name).exists()


@pytest.mark.system
def test_spa(tmp_path, monkeypatch):
  def begin(module):
    # The domain is made in one place. This one is played in no time.
    place = sys.modules['experiments.domains.flags']
    monkeypatch.setattr(
      place, 'domain', lambda *unused: odd_answers.OddAnswersDomain()
    )

  run('spa', tmp_path / 'run', *SPA, begin=begin)
  metrics = small_run.json_lines(tmp_path / 'run' / 'metrics.jsonl')
  assert {'warm_start', 'exploration', 'estimator', 'train'} <= {
    record['stage'] for record in metrics
  }
  for record in training(tmp_path / 'run'):
    assert {'step_reward', 'predicted_outcome'} < record.keys()
  assert 'Progress estimator' in (tmp_path / 'run' / 'report.html').read_text()


@pytest.mark.skipif(
  not distribution.has_control(), reason="jaxmarl is missing (extra 'control')"
)
@pytest.mark.system
def test_lare(tmp_path, capsys):
  run('lare', tmp_path / 'run', *LARE)
  table = (tmp_path / 'run' / 'table.md').read_text('utf-8')
  assert table in capsys.readouterr().out
  for name in ('curves.png', 'episode_lare.png'):
    assert (tmp_path / 'run' / name).read_bytes().startswith(b'\x89PNG')
  assert '<svg' in (tmp_path / 'run' / 'report.html').read_text('utf-8')


def test_dynlin_ucb(tmp_path, capsys):
  run('dynlin_ucb', tmp_path / 'run', *BANDITS)
  table = (tmp_path / 'run' / 'table.md').read_text('utf-8')
  assert table in capsys.readouterr().out
  lines = (tmp_path / 'run' / 'finals.csv').read_text('utf-8').splitlines()
  # A head, and two algorithms with two runs each.
  assert len(lines) == 1 + 2 * 2
  assert '<svg' in (tmp_path / 'run' / 'report.html').read_text('utf-8')


def test_credit_accuracy(tmp_path, capsys):
  run('credit_accuracy', tmp_path / 'run', *ACCURACY)
  table = (tmp_path / 'run' / 'table.md').read_text('utf-8')
  assert table in capsys.readouterr().out
  assert (tmp_path / 'run' / 'scores.csv').stat().st_size > 100
