"""The warm start of another run comes back as it was."""

import json
import pathlib
import types

import jax
import numpy as np
import pytest

from experiments import household_training, start_from
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, weights
from jaxcredit.networks import tokenizer as tokenizer_lib
from jaxcredit.training import checkpoints as checkpoints_lib
from jaxcredit.training import evaluation
from jaxcredit.training import learner as learner_lib
from tests.experiments import tiny_qwen
from tests.reports import run_files

SIZES = {
  'width': 16, 'layers': 1, 'heads': 2, 'kv_heads': 1, 'head_dim': 8,
  'hidden': 24,
}  # fmt: skip


def write_source(folder, params, steps=4, at=(4,), **flags) -> pathlib.Path:
  """A run whose warm start has checkpoints `at` these steps."""
  folder.mkdir(parents=True, exist_ok=True)
  config = {'warm_start_steps': steps, 'pretrained': None, **SIZES, **flags}
  (folder / 'config.json').write_text(json.dumps(config))
  # A rate that changes is part of the state; a warm start's does.
  optimizer = learner_lib.make_optimizer(
    learning_rate=0.01, warmup=2, decay_steps=4
  )
  with checkpoints_lib.Checkpoints(
    folder / 'checkpoints' / 'warm_start'
  ) as checkpoints:
    for step in at:
      checkpoints.save(step, learner_lib.init_state(params, optimizer))
  return folder


def assert_equal(ours, theirs) -> None:
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.fixture(scope='module')
def small():
  tokenizer = tokenizer_lib.train_tokenizer(['take mug 1 from desk 2'], 300)
  config = config_lib.DecoderConfig(vocab_size=tokenizer.vocab_size, **SIZES)
  return decoder.init(jax.random.key(3), config), config, tokenizer


def test_a_small_policy(tmp_path, small):
  params, config, tokenizer = small
  source = write_source(tmp_path / 'source', params)
  tokenizer.save(source / 'tokenizer')
  loaded, read, words = start_from.load(source, SIZES)
  assert read == config
  assert words.encode('take mug 1') == tokenizer.encode('take mug 1')
  assert_equal(loaded, params)


def test_a_pretrained_policy(tmp_path):
  model = tiny_qwen.write(tmp_path / 'qwen')
  params, config = weights.from_pretrained(model)
  params = jax.tree.map(lambda x: x + 0.5, params)
  source = write_source(tmp_path / 'run', params, pretrained=str(model))
  loaded, read, words = start_from.load(source, SIZES)
  assert read == config
  assert words.decode(words.encode_prompt('hi')) == (
    '<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n'
  )
  assert_equal(loaded, params)


@pytest.mark.parametrize(
  ('steps', 'at', 'missing'),
  [
    (300, (4,), '/warm_start/300 is missing'),
    (4, (), '/4 is mis'),
    (0, (), ''),
  ],
  ids=['halfway', 'not begun', 'none'],
)
def test_a_warm_start_that_is_not_complete(tmp_path, small, steps, at, missing):
  params, _, tokenizer = small
  source = write_source(tmp_path / 'source', params, steps, at)
  tokenizer.save(source / 'tokenizer')
  with pytest.raises(FileNotFoundError) as error:
    start_from.load(source, SIZES)
  assert f'{source} holds no complete warm start' in str(error.value)
  assert missing in str(error.value)


@pytest.fixture
def training(tmp_path, monkeypatch, small):
  """A run whose policy is read at once and which never plays."""
  settings = types.SimpleNamespace(run=tmp_path / 'run', model=SIZES)
  settings.run.mkdir()
  run = household_training.HouseholdTraining(settings, None)
  run.test_from = '8 games of valid_seen.jsonl'
  monkeypatch.setattr(start_from, 'load', lambda source, model: small)
  monkeypatch.setattr(run, '_prepare_policy', lambda tokenizer, config: None)
  return run


@pytest.mark.parametrize('again', [False, True])
def test_its_evaluation_on_the_same_games_is_taken_over(
  tmp_path, training, small, again
):
  before = run_files.evaluation('after the warm start', 0, 3)
  source = run_files.write_run(
    tmp_path / 'source',
    evaluations=[before, run_files.evaluation('after training', 40, 5)],
  )
  small[2].save(source / 'tokenizer')
  for _ in range(1 + again):
    assert training._copy_start(source) is small[0]
  assert evaluation.read(training.folder) == [before]
  assert (training.folder / 'tokenizer' / 'tokenizer.json').exists()


def test_on_other_games_it_is_evaluated_anew(
  tmp_path, training, small, monkeypatch
):
  source = run_files.write_run(
    tmp_path / 'source',
    evaluations=[run_files.evaluation('after the warm start', 0, 3)],
  )
  training.test_from = '9 games of valid_seen.jsonl'
  played = []
  monkeypatch.setattr(
    training, '_evaluate_once', lambda *arguments: played.append(arguments)
  )
  training._copy_start(source)
  assert played == [(small[0], 'after the warm start', 0)]
  assert evaluation.read(training.folder) == []
