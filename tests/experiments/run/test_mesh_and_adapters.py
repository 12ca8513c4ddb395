"""Runs on several devices, and runs that learn adapters."""

import json

import numpy as np
import pytest

from experiments.text import policy_options, saved_policy
from jaxcredit.networks import weights
from jaxcredit.training import checkpoints
from tests.experiments import script

TINY = (
  '--layers=1', '--width=32', '--heads=2', '--kv_heads=2', '--head_dim=16',
  '--hidden=48', '--vocabulary=400', '--warm_start_games=24',
  '--warm_start_steps=2', '--warm_start_batch=4', '--groups=2',
  '--group_size=2', '--max_steps=8', '--row_tokens=256', '--max_new_tokens=6',
  '--chunk=256', '--generated_games=4', '--evaluation_count=2',
  '--notensorboard', '--micro_batch_tokens=2048', '--iterations=1',
  '--learning_rate=0.01', '--entropy_coefficient=0.1', '--kl_coefficient=0.1',
)  # fmt: skip


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """Plays runs that differ in some flags, each once."""
  folder = tmp_path_factory.mktemp('runs')

  def run(name, *flags, devices=1):
    result = script.run(
      *TINY, f'--run={folder / name}', *flags, devices=devices
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / name

  return run


@pytest.fixture(scope='module')
def plain(runs):
  return runs('plain')


def training(folder):
  lines = (folder / 'metrics.jsonl').read_text().splitlines()
  (record,) = [r for r in map(json.loads, lines) if r['stage'] == 'train']
  return record


@pytest.mark.system
def test_a_mesh_gives_the_numbers_of_one_device(runs, plain):
  mesh = runs(
    'mesh', '--mesh_data=2', '--mesh_fsdp=2', '--mesh_tensor=2', devices=8
  )
  assert saved_policy.load(plain).config.vocab_size == 400
  one, many = training(plain), training(mesh)
  assert one['gradient_norm'] > 0
  for name in ('loss', 'gradient_norm', 'entropy', 'steps', 'tokens'):
    np.testing.assert_allclose(many[name], one[name], rtol=1e-3, err_msg=name)


@pytest.mark.system
def test_adapters_are_learned_and_merged(runs, plain, tmp_path):
  flags = ('--lora_rank=2', '--lora_targets=q|v', f'--start_from={plain}')
  run = runs('adapters', *flags)
  learned = checkpoints.read_params(run / 'checkpoints' / 'train')
  assert learned.keys() == {'layers'}
  assert learned['layers'].keys() == {'q', 'v'}
  assert np.abs(learned['layers']['q']['lora_b']).max() > 0
  before = saved_policy.load(run, 'warm_start').params
  after = saved_policy.load(run).params
  for name in ('q', 'k', 'v', 'down'):
    same = np.array_equal(
      before['layers'][name]['kernel'], after['layers'][name]['kernel']
    )
    assert same == (name in {'k', 'down'})
  np.testing.assert_array_equal(
    before['embedder']['embedding'], after['embedder']['embedding']
  )
  # The same command goes on with the adapters that were saved.
  assert runs('adapters', *flags, '--iterations=2') == run
  again = checkpoints.read_params(run / 'checkpoints' / 'train')
  assert not np.array_equal(
    again['layers']['q']['lora_b'], learned['layers']['q']['lora_b']
  )
  output = tmp_path / 'exported'
  result = script.run(
    f'--run={run}',
    f'--output={output}',
    module='experiments.tools.export_policy',
  )
  assert result.returncode == 0, result.stderr
  exported, _ = weights.from_pretrained(output)
  np.testing.assert_array_equal(
    exported['layers']['q']['kernel'],
    saved_policy.load(run).params['layers']['q']['kernel'],
  )
  # And what was exported is a model to start from.
  more = (
    f'--pretrained={output}', '--warm_start_steps=0', '--iterations=0',
    '--compute_dtype=float32',
  )  # fmt: skip
  assert runs('pretrained', *more)


def test_a_new_policy_has_a_vocabulary_that_the_mesh_divides():
  options = policy_options.PolicyOptions(mesh_tensor=4)
  assert [options.vocabulary(n) for n in (400, 401, 403)] == [400, 404, 404]
  assert policy_options.PolicyOptions().vocabulary(407) == 407


@pytest.mark.system
@pytest.mark.parametrize(
  ('flags', 'words'),
  [
    (('--mesh_fsdp=3',), 'a mesh of 1 x 3 x 1 needs 3 devices, but there are'),
    (('--lora_rank=2', '--lora_targets=qq'), "'qq' of targets matches none"),
  ],
)
def test_what_cannot_be_is_said_at_once(tmp_path, flags, words):
  result = script.run(*TINY, f'--run={tmp_path / "run"}', *flags)
  assert result.returncode == 1
  assert words in result.stderr
  assert 'Traceback' not in result.stderr
  assert not (tmp_path / 'run' / 'config.json').exists()


@pytest.mark.system
def test_export_says_what_is_missing(tmp_path):
  result = script.run(
    f'--run={tmp_path / "nowhere"}', f'--output={tmp_path / "out"}',
    module='experiments.tools.export_policy',
  )  # fmt: skip
  assert result.returncode == 1
  assert 'nowhere holds no run' in result.stderr
  assert not (tmp_path / 'out').exists()
