"""Adapters in the form of peft, and models in the names of their wrappers."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip('safetensors', reason='an extra')
from safetensors import numpy as safetensors_numpy

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, lora, weights
from jaxcredit.networks.weights import names
from tests.networks import tiny_models

CONFIG = config_lib.DecoderConfig.tiny(
  50, layers=2, width=32, heads=2, kv_heads=1, head_dim=16, hidden=24
)
# Projection -> (name, inputs, outputs), typed out.
SIZES = {
  'q': ('self_attn.q_proj', 32, 32),
  'v': ('self_attn.v_proj', 32, 16),
  'o': ('self_attn.o_proj', 32, 32),
  'down': ('mlp.down_proj', 24, 32),
}
FIELDS = {
  'peft_type': 'LORA', 'r': 4, 'lora_alpha': 8,
  'target_modules': ['q_proj', 'down_proj'],
  'base_model_name_or_path': 'some/base', 'bias': 'none', 'use_dora': False,
  'modules_to_save': None, 'rank_pattern': {}, 'layers_to_transform': None,
}  # fmt: skip
PREFIX = 'base_model.model.model.'


def tensors(projections=('q', 'down'), prefix=PREFIX, ending='', rank=4):
  rng = np.random.default_rng(0)
  made = {}
  for projection in projections:
    name, fan_in, fan_out = SIZES[projection]
    for layer in range(2):
      front = f'{prefix}layers.{layer}.{name}'
      for factor, shape in (('A', (rank, fan_in)), ('B', (fan_out, rank))):
        made[f'{front}.lora_{factor}{ending}.weight'] = rng.normal(
          size=shape
        ).astype(np.float32)
  return made


def write(folder, values, **fields):
  folder.mkdir(exist_ok=True)
  (folder / 'adapter_config.json').write_text(json.dumps({**FIELDS, **fields}))
  safetensors_numpy.save_file(values, folder / 'adapter_model.safetensors')
  return folder


@pytest.mark.parametrize(
  ('prefix', 'ending'),
  [
    (PREFIX, ''), ('model.', ''), ('base_model.model.', ''), ('', ''),
    (PREFIX, '.default'),
  ],
)  # fmt: skip
def test_a_folder_that_peft_wrote(tmp_path, prefix, ending):
  values = tensors(prefix=prefix, ending=ending)
  folder = write(tmp_path / 'adapter', values)
  adapters, options = weights.load_adapters(folder, CONFIG)
  assert options == lora.LoraOptions(4, 8.0, ('q', 'down'))
  params = decoder.init(jax.random.key(0), CONFIG)
  merged = lora.merge(params, adapters, options)
  for projection in ('q', 'down'):
    name, _, _ = SIZES[projection]
    for layer in range(2):
      front = f'{prefix}layers.{layer}.{name}'
      a, b = (values[f'{front}.lora_{x}{ending}.weight'] for x in 'AB')
      # As peft merges: W + alpha / r x B A, of [out, in].
      kernel = params['layers'][projection]['kernel'][layer].T
      np.testing.assert_allclose(
        merged['layers'][projection]['kernel'][layer].T,
        kernel + 8 / 4 * b @ a,
        rtol=1e-5,
        atol=1e-5,
      )
  assert merged['layers']['v'] is params['layers']['v']


def test_rank_stabilised_adapters_are_scaled_by_the_root(tmp_path):
  folder = write(tmp_path / 'adapter', tensors(), use_rslora=True)
  _, options = weights.load_adapters(folder, CONFIG)
  assert options.scale == 8 / 4**0.5


@pytest.mark.parametrize('targets', [('.*',), ('q|v', 'down')])
def test_round_trip(tmp_path, targets):
  options = lora.LoraOptions(3, 5.0, targets)
  params = decoder.init(jax.random.key(0), CONFIG)
  adapters = lora.init(jax.random.key(1), params, options)
  adapters = jax.tree.map(lambda x: x + 0.5, adapters)
  weights.save_adapters(tmp_path, adapters, options, CONFIG, base='some/base')
  again, read = weights.load_adapters(tmp_path, CONFIG)
  jax.tree.map(np.testing.assert_array_equal, again, adapters)
  assert (read.rank, read.alpha, read.adapted) == (3, 5.0, options.adapted)
  fields = json.loads((tmp_path / 'adapter_config.json').read_text())
  assert fields['target_modules'] == [
    f'{name}_proj' for name in options.adapted
  ]
  assert fields['base_model_name_or_path'] == 'some/base'
  stored = safetensors_numpy.load_file(tmp_path / 'adapter_model.safetensors')
  name = f'{PREFIX}layers.1.mlp.down_proj.lora_B.weight'
  assert stored[name].shape == (32, 3)
  with pytest.raises(ValueError, match='but the options adapt'):
    weights.save_adapters(tmp_path, adapters, lora.LoraOptions(3, 5.0, ('k',)),
                          CONFIG)  # fmt: skip


def test_half_precision_becomes_float32(tmp_path):
  values = {n: x.astype(np.float16) for n, x in tensors().items()}
  adapters, _ = weights.load_adapters(write(tmp_path / 'a', values), CONFIG)
  assert {x.dtype for x in jax.tree.leaves(adapters)} == {jnp.dtype('float32')}


@pytest.mark.parametrize(
  ('fields', 'words'),
  [
    ({'peft_type': 'IA3'}, "peft_type is 'IA3'; only LORA"),
    ({'r': 0}, 'r must be a whole number from 1 on, not 0'),
    ({'r': '4'}, 'r must be a whole number'),
    ({'r': 10**12}, 'r must be a whole number'),
    ({'lora_alpha': -1}, 'lora_alpha must be a positive number'),
    ({'lora_alpha': None}, 'lora_alpha must be a positive number, not None'),
    ({'use_dora': True}, 'use_dora is True, which adapters here do not have'),
    ({'bias': 'all'}, "bias is 'all'"),
    ({'modules_to_save': ['lm_head']}, r"modules_to_save is \['lm_head'\]"),
    ({'rank_pattern': {'q_proj': 8}}, 'rank_pattern is'),
    ({'alpha_pattern': {'q_proj': 8}}, 'alpha_pattern is'),
    ({'layers_to_transform': [0]}, r'layers_to_transform is \[0\]'),
    ({'fan_in_fan_out': True}, 'fan_in_fan_out is True'),
    ({'use_rslora': 'yes'}, 'use_rslora must be true or false'),
  ],
)
def test_options_that_are_refused(tmp_path, fields, words):
  folder = write(tmp_path / 'adapter', tensors(), **fields)
  with pytest.raises(ValueError, match=rf'adapter_config\.json: {words}'):
    weights.load_adapters(folder, CONFIG)


def test_tensors_that_do_not_fit(tmp_path):
  folder = tmp_path / 'adapter'

  def error(values):
    write(folder, values)
    with pytest.raises(
      ValueError, match='adapters do not fit the base'
    ) as info:
      weights.load_adapters(folder, CONFIG)
    assert str(info.value).startswith(str(folder / 'adapter_model.safetensors'))
    return str(info.value)

  good = tensors()
  name = f'{PREFIX}layers.0.self_attn.q_proj.lora_A.weight'
  other = f'{PREFIX}embed_tokens.lora_embedding_A'
  assert f'1 unknown: {other}' in error({**good, other: good[name]})
  beyond = name.replace('layers.0', 'layers.2')
  assert f'1 unknown: {beyond}' in error({**good, beyond: good[name]})
  some = {n: x for n, x in good.items() if n != name}
  assert f'1 missing: {name} [4, 32]' in error(some)
  assert '4 of a wrong shape: ' in error({**tensors(('q',), rank=5)})
  assert 'it holds no adapters' in error({})
  write(folder, {**good, name.removeprefix('base_model.'): good[name]})
  with pytest.raises(ValueError, match='1 unknown'):
    weights.load_adapters(folder, CONFIG)
  write(folder, {**good, name.removeprefix('base_model.model.'): good[name]})
  with pytest.raises(ValueError, match='under two names'):
    weights.load_adapters(folder, CONFIG)


def test_files_that_are_absent_or_damaged(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'no adapter_config\.json'):
    weights.load_adapters(tmp_path, CONFIG)
  folder = write(tmp_path / 'adapter', tensors())
  path = folder / 'adapter_model.safetensors'
  whole = path.read_bytes()
  path.write_bytes(whole[:-1])
  with pytest.raises(ValueError, match='truncated'):
    weights.load_adapters(folder, CONFIG)
  path.unlink()
  (folder / 'adapter_model.bin').write_bytes(b'pickle')
  with pytest.raises(FileNotFoundError, match='are pickles and are not read'):
    weights.load_adapters(folder, CONFIG)
  (folder / 'adapter_config.json').write_text('[]')
  path.write_bytes(whole)
  with pytest.raises(ValueError, match=r'config\.json holds no JSON object'):
    weights.load_adapters(folder, CONFIG)


def test_an_adapter_in_the_place_of_a_model(tmp_path):
  folder = write(tmp_path / 'adapter', tensors())
  for read in (weights.from_pretrained, weights.read_config):
    with pytest.raises(
      ValueError, match='adapter is a LoRA adapter of some/base: read that'
    ):
      read(folder)
  write(tmp_path / 'adapter', tensors(), base_model_name_or_path=None)
  with pytest.raises(ValueError, match='of a model that it does not name'):
    weights.from_pretrained(folder)
  # Beside a model it is no part of it.
  tiny_models.write(folder, 'llama2')
  (folder / 'model.safetensors').rename(folder / 'weights.safetensors')
  assert weights.from_pretrained(folder)


def renamed(folder, rename):
  values = {rename(n): x for n, x in tiny_models.tensors('qwen2').items()}
  tiny_models.write(folder, 'qwen2')
  tiny_models.write_tensors(folder / 'model.safetensors', values)
  return folder


def _without_output(name):
  return name.removeprefix('model.')


@pytest.mark.parametrize(
  'rename',
  [
    lambda name: f'base_model.model.{name}',
    lambda name: f'module.{name}',
    lambda name: f'_orig_mod.{name}',
    lambda name: f'module._orig_mod.{name}',
    lambda name: f'model.{name}',
    _without_output,
  ],
  ids=['peft', 'parallel', 'compiled', 'both', 'twice', 'bare'],
)
def test_names_of_a_model_that_was_wrapped(tmp_path, rename):
  plain = tiny_models.write(tmp_path / 'plain', 'qwen2')
  expected, _ = weights.from_pretrained(plain)
  given, _ = weights.from_pretrained(renamed(tmp_path / 'wrapped', rename))
  jax.tree.map(np.testing.assert_array_equal, given, expected)


def test_names_that_are_unknown_are_listed_and_explained(tmp_path):
  def error(rename):
    with pytest.raises(ValueError, match='tensors do not fit') as info:
      weights.from_pretrained(renamed(tmp_path / 'model', rename))
    return str(info.value)

  text = error(lambda name: f'policy.{name}')
  assert len(re.findall('missing tensor', text)) == 3
  assert len(re.findall(r'unknown tensor policy\.', text)) == 3
  assert "are there with 'policy.' in front of their names" in text
  text = error(lambda name: f'{name}.base_layer.weight')
  assert 'Some are those of adapters (LoRA) inside the model: merge' in text
  text = error(lambda name: f'x{hash(name)}')
  assert 'in front of' not in text and 'adapters' not in text


def test_every_projection_has_a_name():
  for projection, (name, *_) in SIZES.items():
    assert names.PARTS[projection] == name
  assert set(lora.PROJECTIONS) <= set(names.PARTS)
