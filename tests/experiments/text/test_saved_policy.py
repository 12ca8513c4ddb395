"""The policy of a run comes back as it was."""

import json
import pathlib
import types

import jax
import numpy as np
import pytest

from experiments.text import policy_options, saved_policy, warm_start
from experiments.text import training as training_lib
from jaxcredit import methods
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, lora, weights
from jaxcredit.networks.tokenizers import pretrained_tokenizer
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.training import checkpoints as checkpoints_lib
from jaxcredit.training import evaluation
from jaxcredit.training import learner as learner_lib
from tests.experiments import imported_script, tiny_qwen
from tests.experiments.text import test_training
from tests.reports import run_files

SIZES = {
  'width': 16, 'layers': 1, 'heads': 2, 'kv_heads': 1, 'head_dim': 8,
  'hidden': 24,
}  # fmt: skip


def write_source(
  folder, params, steps=4, at=(4,), stage='warm_start', **flags
) -> pathlib.Path:
  """A run one of whose stages has checkpoints `at` these steps."""
  folder.mkdir(parents=True, exist_ok=True)
  config = {
    'warm_start_steps': steps, 'pretrained': None, 'start_from': None, **SIZES,
    **flags,
  }  # fmt: skip
  (folder / 'config.json').write_text(json.dumps(config))
  # A rate that changes is part of the state; a warm start's does.
  optimizer = learner_lib.make_optimizer(
    learning_rate=0.01, warmup=2, decay_steps=4
  )
  with checkpoints_lib.Checkpoints(
    folder / 'checkpoints' / stage
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
  policy = saved_policy.load(source, 'warm_start')
  assert policy.config == config
  assert policy.tokenizer.encode('take mug 1') == tokenizer.encode('take mug 1')
  assert_equal(policy.params, params)


def test_a_pretrained_policy(tmp_path):
  model = tiny_qwen.write(tmp_path / 'qwen')
  params, config = weights.from_pretrained(model)
  trained = jax.tree.map(lambda x: x + 0.5, params)
  source = write_source(tmp_path / 'run', trained, pretrained=str(model))
  policy = saved_policy.load(source, 'warm_start')
  assert policy.config == config
  words = policy.tokenizer
  assert words.decode(words.encode_prompt('hi')) == (
    '<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n'
  )
  assert_equal(policy.params, trained)
  # Without a warm start the policy begins as it was read.
  source = write_source(
    tmp_path / 'other', trained, steps=0, at=(7,), stage='train',
    pretrained=str(model), compute_dtype='float32', remat=False,
  )  # fmt: skip
  assert_equal(saved_policy.load(source, 'warm_start').params, params)
  after = saved_policy.load(source)
  assert_equal(after.params, trained)
  assert (after.config.compute_dtype, after.config.remat) == ('float32', False)


def test_a_policy_with_adapters(tmp_path, small):
  params, config, tokenizer = small
  options = policy_options.PolicyOptions(
    lora_rank=2, lora_alpha=3.0, lora_targets=('q|v', 'down')
  )
  adapters = lora.init(jax.random.key(1), params, options.lora)
  adapters = jax.tree.map(lambda x: x + 0.1, adapters)
  flags = {'lora_rank': 2, 'lora_alpha': 3.0, 'lora_targets': ['q|v', 'down']}
  first = write_source(tmp_path / 'first', params)
  tokenizer.save(first / 'tokenizer')
  run = write_source(
    tmp_path / 'run', adapters, stage='train', start_from=str(first), **flags
  )
  tokenizer.save(run / 'tokenizer')
  policy = saved_policy.load(run)
  assert policy.config == config
  expected = lora.merge(params, adapters, options.lora)
  assert_equal(policy.params, expected)
  for name in lora.PROJECTIONS:
    changed = not np.array_equal(
      expected['layers'][name]['kernel'], params['layers'][name]['kernel']
    )
    assert changed == (name in {'q', 'v', 'down'})
  # The policy before training has none.
  assert_equal(saved_policy.load(run, 'warm_start').params, params)


@pytest.mark.parametrize(
  ('flags', 'words'),
  [
    ({'layers': 10**12}, 'layers must be at most 8,192'),
    ({'width': '16'}, "width must be a whole number, not '16'"),
    ({'pretrained': [1]}, r'pretrained is \[1\]'),
    ({'heads': ...}, 'lacks heads: it is damaged'),
  ],
)
def test_a_configuration_that_is_damaged(tmp_path, flags, words):
  config = {'warm_start_steps': 4, 'pretrained': None, **SIZES, **flags}
  config = {name: value for name, value in config.items() if value != ...}
  (tmp_path / 'config.json').write_text(json.dumps(config))
  with pytest.raises(ValueError, match=rf'config\.json:? {words}'):
    saved_policy.load(tmp_path)


@pytest.fixture
def export_policy():
  with imported_script.imported('experiments.tools.export_policy') as module:
    yield module


def test_export(tmp_path, small, export_policy):
  params, config, tokenizer = small
  run = write_source(tmp_path / 'run', params, stage='train')
  tokenizer.save(run / 'tokenizer')
  output = tmp_path / 'exported'
  count = export_policy.export(run, output, 'train')
  assert count == decoder.count_parameters(params)
  again, read = weights.from_pretrained(
    output, compute_dtype='float32', remat=False
  )
  assert_equal(again, params)
  assert (read.width, read.layers) == (config.width, config.layers)
  words = pretrained_tokenizer.load(output)
  text = 'take mug 1'
  assert words.encode(text) == tokenizer.encode(text)
  assert words.eos_id == tokenizer.eos_id
  with pytest.raises(FileExistsError, match='not an empty folder'):
    export_policy.export(run, output, 'train')
  with pytest.raises(FileNotFoundError, match='holds no complete warm start'):
    export_policy.export(run, tmp_path / 'other', 'warm_start')


def test_export_of_adapters(tmp_path, small, export_policy):
  params, config, tokenizer = small
  options = lora.LoraOptions(2, 3.0, ('q', 'down'))
  adapters = lora.init(jax.random.key(1), params, options)
  run = write_source(
    tmp_path / 'run', adapters, stage='train', lora_rank=2, lora_alpha=3.0,
    lora_targets=['q', 'down'],
  )  # fmt: skip
  tokenizer.save(run / 'tokenizer')
  output = tmp_path / 'exported'
  count = export_policy.export(run, output, 'train', adapters=True)
  assert count == decoder.count_parameters(adapters)
  again, read = weights.load_adapters(output, config)
  assert_equal(again, adapters)
  assert read == options
  text = 'take mug 1'
  words = pretrained_tokenizer.load(output)
  assert words.encode(text) == tokenizer.encode(text)
  with pytest.raises(ValueError, match='before training has no adapters'):
    export_policy.export(run, tmp_path / 'other', 'warm_start', adapters=True)
  plain = write_source(tmp_path / 'plain', params, stage='train')
  with pytest.raises(ValueError, match='plain learned no adapters'):
    export_policy.export(plain, tmp_path / 'other', 'train', adapters=True)
  assert not (tmp_path / 'other').exists()


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
    saved_policy.load(source, 'warm_start')
  assert f'{source} holds no ' in str(error.value)
  assert missing in str(error.value)


@pytest.fixture
def training(tmp_path, monkeypatch, small):
  """A run whose policy is read at once and which never plays."""
  folder = tmp_path / 'run'
  folder.mkdir()
  domain = types.SimpleNamespace(test_from='8 games of valid_seen.jsonl')
  method = methods.TABLE['gigpo']
  run = training_lib.TextTraining(
    test_training.make_settings(),
    domain,
    method,
    method.options(),
    (),
    None,
    folder,
  )
  monkeypatch.setattr(
    saved_policy,
    'load',
    lambda source, stage: saved_policy.SavedPolicy(*small),
  )
  monkeypatch.setattr(run, 'prepare_policy', lambda tokenizer, config: None)
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
    assert warm_start.take_over(training, source) is small[0]
  assert evaluation.read(training.folder) == [before]
  assert (training.folder / 'tokenizer' / 'tokenizer.json').exists()


def test_on_other_games_it_is_evaluated_anew(
  tmp_path, training, small, monkeypatch
):
  source = run_files.write_run(
    tmp_path / 'source',
    evaluations=[run_files.evaluation('after the warm start', 0, 3)],
  )
  training.domain.test_from = '9 games of valid_seen.jsonl'
  played = []
  monkeypatch.setattr(
    training.evaluations, 'once', lambda *arguments: played.append(arguments)
  )
  warm_start.take_over(training, source)
  assert played == [(small[0], 'after the warm start', 0)]
  assert evaluation.read(training.folder) == []
