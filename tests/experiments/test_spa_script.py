"""The script of stepwise progress attribution, as a user runs it."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.run import interruption
from experiments.run import script as run_script
from experiments.text import saved_estimator
from jaxcredit.rollouts import stored_rollouts
from jaxcredit.training import checkpoints
from tests.experiments import (
  imported_script,
  odd_answers,
  script,
  small_run,
  test_gigpo_script,
)

MODULE = 'experiments.spa'
FLAGFILES = sorted(
  (script.REPOSITORY / 'experiments/flagfiles/spa').glob('*.cfg')
)


@pytest.fixture(scope='module')
def spa():
  with imported_script.imported(MODULE) as module:
    with pytest.MonkeyPatch.context() as patch:
      # The domain is made in one place. This one is played in no time.
      patch.setattr(module.domain_flags, 'domain', odd_answers.OddAnswersDomain)
      yield module


def settings_of(spa):
  """All settings by path."""
  run = spa.read_flags()
  parts = {
    'training': run.training, 'progress': run.progress, 'credit': run.credit,
    'shown': run.shown,
  }  # fmt: skip
  return {
    f'{part}.{name}': value
    for part, options in parts.items()
    for name, value in test_gigpo_script.fields(options).items()
  }


# Flags that set other fields than the one of their own name.
FIELDS = {
  'critic_learning_rate': {'training.critic.learning_rate'},
  'value_clip': {'training.critic.clip'},
  'gigpo_discount': {'shown.discount'},
  'step_weight': {'shown.step_weight'},
  'scale': {'shown.scale'},
  'estimator_from': {'progress.estimator_from'},
}
# Flags that are right only beside another.
BESIDE = {'kl_reward_target': {'kl_reward': '0.1'}}


def test_every_flag_sets_its_field_and_no_other(spa):
  by_module = flags.FLAGS.flags_by_module_dict()
  own = [
    *by_module[MODULE],
    *by_module['experiments.text.progress_flags'],
    *by_module['experiments.text.critic_flags'],
  ]
  assert len(own) > 35
  for flag in own:
    assert len(flag.help) >= 9
    if flag.name == 'method':
      continue
    with flagsaver.as_parsed(**BESIDE.get(flag.name, {})):
      before = settings_of(spa)
      with flagsaver.as_parsed(**{flag.name: test_gigpo_script.another(flag)}):
        after = settings_of(spa)
    changed = {name for name in before if before[name] != after[name]}
    plain = flag.name.removeprefix('estimator_')
    expected = FIELDS.get(flag.name) or {
      name
      for name in before
      if name
      in (
        f'credit.{flag.name}',
        f'progress.{flag.name}',
        f'progress.estimator.{plain}' if plain != flag.name else '',
      )
    }
    assert expected, f'--{flag.name} is ignored'
    assert changed == expected, flag.name


def test_every_field_has_a_flag(spa):
  names = {flag.name for flag in imported_script.own_flags(spa)}
  for path in settings_of(spa):
    part, _, name = path.partition('.')
    if part == 'credit':
      assert name in names, path
    if path.startswith('progress.estimator.'):
      assert f'estimator_{path.rpartition(".")[2]}' in names, path


def test_methods(spa):
  kinds = {}
  for method in ('spa', 'ppo', 'grpo', 'gigpo'):
    with flagsaver.as_parsed(method=method):
      run = spa.read_flags()
      assert run.credit.method == method
      kinds[method] = type(run.credit).__name__
      assert run.shown.method in ('grpo', 'gigpo')
      _, domain, made = spa.build()
      assert made.needs_critic == (method in ('spa', 'ppo'))
      assert domain.won == 'games won'
  assert len(set(kinds.values())) == 2


@pytest.mark.parametrize('path', FLAGFILES, ids=lambda path: path.name)
def test_flagfiles_parse(spa, path):
  with flagsaver.flagsaver():
    assert flags.FLAGS(['spa', f'--flagfile={path}']) == ['spa']
    run_script.check_finite(run_script.own_flags(spa.__name__))
    run = spa.read_flags()
    # What credit has as its scale is what the loop multiplies rewards by.
    assert run.credit.reward_scale == run.training.loop.reward_scale == 1
  assert run != spa.read_flags()


def test_the_settings_of_paper_and_release(spa):
  # The dossier of the paper and its released code, 2025.
  (path,) = (p for p in FLAGFILES if 'alfworld' in p.name)
  with flagsaver.flagsaver():
    flags.FLAGS(['spa', f'--flagfile={path}'])
    run = spa.read_flags()
  training, progress, credit = run.training, run.progress, run.credit
  assert training.limits.steps == training.loop.max_steps == 40
  assert training.limits.row_tokens == 4096
  assert training.warm_start_learning_rate == 2e-5
  assert training.warm_start_batch == 16
  # Three epochs of the games.
  assert training.warm_start_steps == 3 * -(-3321 // 16) - 1 or (
    training.warm_start_steps == round(3 * 3321 / 16)
  )
  assert progress.exploration_rollouts == 10
  assert progress.exploration_temperature == 1
  assert progress.estimator.train == 'full'
  assert progress.estimator.head == 'mlp'
  assert progress.estimator.learning_rate == 3e-6
  assert progress.estimator.warmup == 500
  assert progress.estimator.batch == 16
  assert progress.estimator.weight_decay == 0.01
  assert progress.estimator.steps == round(0.9 * 3321 * 10 / 16)
  assert (credit.progress_weight, credit.grounding_weight) == (1, 0.5)
  assert (credit.redistribution, credit.placement) == ('none', 'unit')
  assert (credit.discount, credit.gae_lambda) == (0.99, 0.95)
  assert (credit.kl_reward, credit.kl_reward_target) == (0.3, 6)
  assert credit.kl_reward_horizon == 10_000
  assert training.policy.lora.rank == 8
  assert training.policy.lora.alpha == 16
  assert training.policy.lora.targets == ('q', 'v')
  assert training.learning_rate == 1e-5
  assert training.loss.clip == training.critic.clip == 0.2
  assert training.loop.groups * training.loop.group_size == 32
  assert training.loop.epochs == training.loop.minibatches == 4
  assert training.evaluation_temperature == 0
  assert training.seed == 2024


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
  assert 'Progress estimator' in page and 'SPA&#39;s reward' in page
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

  @property
  def requested(self):
    metrics = small_run.json_lines(self.folder / 'metrics.jsonl')
    return any(record['stage'] == self.stage for record in metrics)


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


def test_what_needs_no_estimator_fits_none(spa, whole):
  folder = whole.parent / 'ablated'
  more = (f'--start_from={whole}', '--iterations=1', '--progress_weight=0')
  assert run(spa, folder, *more) == 0
  assert not (folder / 'rollouts').exists()
  record = first_iteration(folder)
  assert record['kl_of_episode'] == first_iteration(whole)['kl_of_episode']
  assert 'predicted_outcome' not in record
  assert 'Progress estimator' not in (folder / 'report.html').read_text()


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
  ],
)
def test_errors_are_short_and_early(spa, tmp_path, capsys, more, words):
  assert run(spa, tmp_path / 'run', *more) == 1
  assert words in capsys.readouterr().err
  assert not list(tmp_path.glob('run/*'))


@pytest.mark.parametrize(
  ('more', 'words'),
  [
    (('--kl_reward=0',), 'adapts --kl_reward'),
    (('--estimator_held_out=1',), 'flag --estimator_held_out=1'),
  ],
)
def test_flags_that_cannot_be(spa, tmp_path, more, words):
  with pytest.raises(flags.IllegalFlagValueError, match=words):
    run(spa, tmp_path / 'run', *more)


@pytest.mark.system
def test_as_a_user():
  done = script.run('--methd=ppo', module=MODULE)
  assert done.returncode == 1
  assert "Unknown command line flag 'methd'" in done.stderr
  assert 'Traceback' not in done.stderr
