"""The script of stepwise progress attribution, as a user runs it."""

import contextlib
import json
import pathlib
import shutil

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.run import interruption
from experiments.text import saved_estimator
from jaxcredit.rollouts import stored_rollouts
from jaxcredit.training import checkpoints
from tests.experiments import (
  imported_script,
  odd_answers,
  script,
  small_run,
)

MODULE = 'experiments.spa'
FLAGFILES = script.REPOSITORY / 'experiments/flagfiles/spa'


@pytest.fixture(scope='module')
def spa():
  with imported_script.imported(MODULE) as module:
    with pytest.MonkeyPatch.context() as patch:
      # The domain is made in one place. This one is played in no time.
      patch.setattr(
        module.script.domain_flags,
        'domain',
        lambda max_steps, seed: odd_answers.OddAnswersDomain(),
      )
      yield module


def test_the_settings_of_paper_and_release(spa):
  # The paper and its released code, 2025.
  with flagsaver.flagsaver():
    flags.FLAGS(['spa', f'--flagfile={FLAGFILES / "alfworld_llama3_2_3b.cfg"}'])
    built = spa.script.build()
  settings, credit = built.settings, built.method_options
  stage = next(s for s in built.stages if s.name == 'fit_progress')
  progress, estimator = stage._options, stage._estimator_options
  assert settings.limits.steps == settings.loop.max_steps == 40
  assert settings.limits.row_tokens == 4096
  assert settings.warm_start.learning_rate == 2e-5
  assert settings.warm_start.batch == 16
  # Three epochs of the games.
  assert settings.warm_start.steps == 3 * -(-3321 // 16) - 1 or (
    settings.warm_start.steps == round(3 * 3321 / 16)
  )
  assert progress.exploration_rollouts == 10
  assert progress.exploration_temperature == 1
  assert (estimator.train, estimator.head) == ('full', 'mlp')
  assert estimator.learning_rate == 3e-6
  assert (estimator.warmup, estimator.batch) == (500, 16)
  assert estimator.weight_decay == 0.01
  assert estimator.steps == round(0.9 * 3321 * 10 / 16)
  assert (credit.progress_weight, credit.grounding_weight) == (1, 0.5)
  assert (credit.redistribution, credit.placement) == ('none', 'unit')
  assert (credit.discount, credit.gae_lambda) == (0.99, 0.95)
  assert (credit.kl_reward, credit.kl_reward_target) == (0.3, 6)
  assert credit.kl_reward_horizon == 10_000
  assert settings.policy.lora.rank == 8
  assert settings.policy.lora.alpha == 16
  assert settings.policy.lora.targets == ('q', 'v')
  assert settings.learner.learning_rate == 1e-5
  assert settings.loss.clip == settings.critic.clip == 0.2
  assert settings.loop.groups * settings.loop.group_size == 32
  assert settings.loop.epochs == settings.loop.minibatches == 4
  # The weights are in units of the rewards.
  assert settings.loop.reward_scale == 1
  assert settings.evaluation_temperature == 0
  assert settings.seed == 2024


TINY = (
  '--format=message', '--layers=1', '--width=16', '--heads=2', '--kv_heads=1',
  '--head_dim=8', '--hidden=24', '--vocabulary=260', '--warm_start_steps=8',
  '--warm_start_batch=4', '--groups=2', '--group_size=3', '--max_steps=5',
  '--row_tokens=48', '--chunk=48', '--max_new_tokens=4',
  '--micro_batch_tokens=256', '--checkpoint_every=1',
  '--save_episodes_every=1', '--notensorboard', '--iterations=2',
  '--warm_start_learning_rate=0.03', '--learning_rate=0.01',
  '--exploration_rollouts=3', '--estimator_steps=7',
  '--estimator_evaluate_every=3', '--estimator_batch=4',
  '--estimator_held_out=0.25', '--estimator_learning_rate=0.0003',
  '--reward_scale=1', '--kl_reward=0.1', '--kl_reward_target=6',
  '--compilation_cache=',
)  # fmt: skip


def run(spa, folder: pathlib.Path, *more: str) -> int:
  """Runs the script in this process; returns its exit status."""
  with flagsaver.flagsaver():
    flags.FLAGS(['spa', *TINY, f'--run={folder}', *more])
    return spa.main(['spa'])


@pytest.fixture(scope='module')
def whole(spa, tmp_path_factory):
  """A run through all stages."""
  folder = tmp_path_factory.mktemp('runs') / 'whole'
  assert run(spa, folder) == 0
  return folder


@pytest.mark.system
def test_all_stages(whole):
  metrics = small_run.json_lines(whole / 'metrics.jsonl')
  stages = [record['stage'] for record in metrics]
  assert set(stages) == {
    'warm_start', 'exploration', 'estimator', 'train', 'evaluation',
  }  # fmt: skip
  by_stage = {
    stage: [r for r in metrics if r['stage'] == stage] for stage in stages
  }
  # Eight tasks, three rollouts each, in pools of six environments.
  assert [r['iteration'] for r in by_stage['exploration']] == [1, 2, 3, 4]
  assert sum(r['episodes'] for r in by_stage['exploration']) == 24
  assert [r['iteration'] for r in by_stage['estimator']] == [0, 3, 6, 7]
  for record in by_stage['train']:
    assert record['kl_reward'] > 0
    assert {'step_reward', 'predicted_outcome', 'value_error'} < record.keys()
    assert 0 <= record['grounding_accuracy'] <= 1
  for record in by_stage['evaluation']:
    assert {'mean_reward', 'grounding_accuracy'} < record.keys()
  rollouts = stored_rollouts.read(whole / 'rollouts', row_tokens=48, steps=5)
  assert sorted(rollouts.task.tolist()) == sorted([*range(8)] * 3)
  estimator = json.loads((whole / 'estimator.json').read_text())
  assert estimator['rollouts'] == 24 and estimator['held_out_tasks'] == 2
  # Otherwise equal parameters would prove nothing.
  assert 0 < rollouts.outcome.mean() < 1
  assert by_stage['estimator'][-1]['gradient_norm'] > 0
  assert by_stage['train'][-1]['gradient_norm'] > 0
  # The environment knows the true progress, and it was carried along.
  taken = rollouts.progress[rollouts.mask]
  assert set(taken.tolist()) == {0, 0.5, 1}
  assert estimator['rank_correlation'] is not None
  assert len(estimator['episodes']) == 4
  page = (whole / 'report.html').read_text()
  assert (
    'Progress estimator' in page and 'SPA: the mean over its tokens' in page
  )
  assert (whole / 'progress.png').stat().st_size > 10_000


class Patience:
  """Stops a run once it has recorded something of a stage."""

  exit_status = 130
  terminated = False
  folder = None
  stage = None

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    pass

  def at_once(self, what):
    del what
    return contextlib.nullcontext()

  @property
  def requested(self):
    metrics = small_run.json_lines(self.folder / 'metrics.jsonl')
    return any(record['stage'] == self.stage for record in metrics)


@pytest.mark.system
def test_interrupted_in_every_stage_it_ends_as_if_it_had_not(
  spa, whole, monkeypatch, capsys
):
  folder = whole.parent / 'interrupted'
  monkeypatch.setattr(interruption, 'Interruption', Patience)
  reached = []
  monkeypatch.setattr(Patience, 'folder', folder)
  further = ('exploration', 'estimator', 'train')
  for stage in further:
    monkeypatch.setattr(Patience, 'stage', stage)
    assert run(spa, folder) == 130
    metrics = small_run.json_lines(folder / 'metrics.jsonl')
    reached.append({record['stage'] for record in metrics})
  assert [[stage in r for stage in further] for r in reached] == [
    [True, False, False], [True, True, False], [True, True, True],
  ]  # fmt: skip
  monkeypatch.setattr(Patience, 'stage', None)
  assert run(spa, folder) == 0
  assert 'holds this run: going on' in capsys.readouterr().out
  assert_same(folder, whole)


def assert_same(folder, expected):
  for name in ('evaluations.json', 'episodes.jsonl', 'estimator.json'):
    assert (folder / name).read_text() == (expected / name).read_text(), name
  ours, theirs = (
    small_run.timeless(small_run.json_lines(f / 'metrics.jsonl'))
    for f in (folder, expected)
  )
  assert ours == theirs
  for stage in ('estimator', 'train'):
    one, two = (
      checkpoints.read_params(f / 'checkpoints' / stage)
      for f in (folder, expected)
    )
    mine, other = (dict(small_run.leaves(tree)) for tree in (one, two))
    assert mine.keys() == other.keys()
    for name, array in mine.items():
      np.testing.assert_array_equal(array, other[name], err_msg=name)
  one, two = (
    stored_rollouts.read(f / 'rollouts', row_tokens=48, steps=5)
    for f in (folder, expected)
  )
  np.testing.assert_array_equal(one.rows.tokens, two.rows.tokens)
  assert one.actions == two.actions


def first_iteration(folder):
  metrics = small_run.json_lines(folder / 'metrics.jsonl')
  return next(r for r in metrics if r['stage'] == 'train')


@pytest.mark.system
def test_from_the_start_and_the_estimator_of_another_run(spa, whole, capsys):
  folder = whole.parent / 'other'
  assert run(
    spa,
    folder,
    f'--start_from={whole}',
    f'--estimator_from={whole}',
    '--iterations=1',
  ) == 0  # fmt: skip
  output = capsys.readouterr().out
  assert f'starting from the warm start of {whole}' in output
  assert f'taking the progress estimator of {whole}' in output
  assert not (folder / 'rollouts').exists()
  assert not (folder / 'checkpoints' / 'estimator').exists()
  assert 'Progress estimator' in (folder / 'report.html').read_text()
  # From one warm start and with one estimator, a first iteration is the same.
  one, two = first_iteration(whole), first_iteration(folder)
  for name in ('predicted_outcome', 'step_reward', 'loss', 'kl_of_episode'):
    assert one[name] == two[name], name
  # A third run can take what the second one took.
  assert saved_estimator.find(folder) == whole
  assert saved_estimator.same_tokens(folder, whole)


@pytest.mark.system
def test_from_the_rollouts_of_another_run(spa, whole):
  folder = whole.parent / 'from_rollouts'
  more = (f'--start_from={whole}', f'--rollouts_from={whole}')
  assert run(spa, folder, *more, '--iterations=1') == 0
  assert not (folder / 'rollouts').exists()
  # The same rollouts and seed give the same estimator.
  one, two = first_iteration(whole), first_iteration(folder)
  for name in ('predicted_outcome', 'step_reward', 'loss', 'kl_of_episode'):
    assert one[name] == two[name], name
  assert saved_estimator.find(folder) == folder
  saved_estimator.load(folder)


@pytest.mark.system
def test_what_needs_no_estimator_fits_none(spa, whole):
  folder = whole.parent / 'ablated'
  more = (f'--start_from={whole}', '--iterations=1', '--progress_weight=0')
  assert run(spa, folder, *more) == 0
  assert not (folder / 'rollouts').exists()
  record = first_iteration(folder)
  assert record['kl_of_episode'] == first_iteration(whole)['kl_of_episode']
  assert 'predicted_outcome' not in record
  assert 'Progress estimator' not in (folder / 'report.html').read_text()


@pytest.mark.system
def test_a_copied_estimator_must_be_complete(spa, whole, capsys):
  broken = whole.parent / 'broken'
  shutil.copytree(whole, broken)
  (broken / 'estimator.json').unlink()
  folder = whole.parent / 'of_broken'
  more = (f'--start_from={whole}', f'--estimator_from={broken}')
  assert run(spa, folder, *more) == 1
  assert 'holds no complete progress estimator' in capsys.readouterr().err
  (broken / 'estimator.json').touch()
  (broken / 'tokenizer' / 'tokenizer.json').write_text('{}')
  assert not saved_estimator.same_tokens(whole, broken)


@pytest.mark.parametrize(
  ('more', 'words'),
  [
    (('--estimator_lora_targets=x', '--estimator_train=lora'), "pattern 'x'"),
    (('--format=think_action',), 'needs an episode as one text: take'),
    (('--estimator_from=/nowhere',), '/nowhere holds no run'),
    (('--rollouts_from=/nowhere',), '/nowhere holds no run'),
    (('--exploration_temperature=nan',), '--exploration_temperature=nan'),
    (('--kl_reward=0',), 'adapts kl_reward, which must then be above 0'),
  ],
)
def test_errors_are_short_and_early(spa, tmp_path, capsys, more, words):
  assert run(spa, tmp_path / 'run', *more) == 1
  assert words in capsys.readouterr().err
  assert not list(tmp_path.glob('run/*'))


def test_flags_that_cannot_be(spa, tmp_path):
  words = 'flag --estimator_held_out=1'
  with pytest.raises(flags.IllegalFlagValueError, match=words):
    run(spa, tmp_path / 'run', '--estimator_held_out=1')


@pytest.mark.system
def test_as_a_user():
  done = script.run('--methd=ppo', module=MODULE)
  assert done.returncode == 1
  assert "Unknown command line flag 'methd'" in done.stderr
  assert 'Traceback' not in done.stderr
