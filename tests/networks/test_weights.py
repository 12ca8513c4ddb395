"""Models go into device arrays and back into folders unchanged."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

pytest.importorskip('safetensors', reason='an extra')
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, hub, sharding, weights
from jaxcredit.networks.weights import placement
from tests.networks import tiny_decoder, tiny_models


def assert_equal_trees(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize(
  ('variant', 'changes'),
  [
    ('plain', {}),
    ('qwen2', {}),
    ('qwen2', {'tie_embeddings': True}),
    ('qwen3', {}),
    ('qwen3', {'qkv_bias': True, 'o_bias': True}),
    ('llama3', {'qkv_bias': True}),
    ('linear', {}),
    ('windows', {'qkv_bias': True}),
    ('windows', {'qkv_bias': True, 'window_layers': ()}),
    ('windows', {'qk_norm': True, 'max_positions': 99}),
  ],
)
def test_round_trip(tmp_path, variant, changes):
  config, params = tiny_decoder.build(variant, **changes)
  weights.save_pretrained(tmp_path, params, config)
  again, read = weights.from_pretrained(
    tmp_path, compute_dtype=config.compute_dtype, remat=config.remat
  )
  assert read == config
  read = weights.read_config(
    tmp_path, compute_dtype=config.compute_dtype, remat=config.remat
  )
  assert read == config
  assert_equal_trees(again, params)


def test_compute_dtype_and_remat_are_options(tmp_path):
  tiny_models.write(tmp_path, 'qwen2')
  params, config = weights.from_pretrained(tmp_path)
  assert (config.compute_dtype, config.remat) == ('bfloat16', True)
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype('float32')}
  params, config = weights.from_pretrained(
    tmp_path, param_dtype='bfloat16', compute_dtype='float32', remat=False
  )
  assert (config.compute_dtype, config.remat) == ('float32', False)
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype('bfloat16')}


def test_windows_without_biases_are_written_as_zero_biases(tmp_path):
  config, params = tiny_decoder.build('windows')
  weights.save_pretrained(tmp_path, params, config)
  fields = json.loads((tmp_path / 'config.json').read_text())
  assert fields['model_type'] == 'qwen2'
  again, read = weights.from_pretrained(tmp_path)
  assert read.qkv_bias and read.windows == (None, 3)
  for part in ('q', 'k', 'v'):
    assert not np.asarray(again['layers'][part].pop('bias')).any()
  assert_equal_trees(again, params)


def test_many_files_and_dtypes(tmp_path):
  config, params = tiny_decoder.build('qwen2')
  weights.save_pretrained(tmp_path / 'one', params, config)
  weights.save_pretrained(tmp_path / 'many', params, config, file_bytes=6000)
  files = sorted((tmp_path / 'many').glob('*.safetensors'))
  assert len(files) > 2 and not list(tmp_path.glob('many/part-*'))
  # A file is above the size only if it holds one tensor.
  assert all(file.stat().st_size < 6000 + 4000 for file in files)
  index = json.loads(
    (tmp_path / 'many' / 'model.safetensors.index.json').read_text()
  )
  assert set(index['weight_map'].values()) == {file.name for file in files}
  again, _ = weights.from_pretrained(tmp_path / 'many')
  assert_equal_trees(again, params)
  # A second model replaces the first, whose files would spoil it.
  weights.save_pretrained(tmp_path / 'many', params, config, dtype='bfloat16')
  assert [f.name for f in (tmp_path / 'many').glob('model*')] == [
    'model.safetensors'
  ]
  again, _ = weights.from_pretrained(tmp_path / 'many')
  rounded = jax.tree.map(
    lambda x: np.asarray(x).astype(ml_dtypes.bfloat16).astype(np.float32),
    params,
  )
  assert_equal_trees(again, rounded)


def test_half_precision_files(tmp_path):
  values = tiny_models.tensors('smollm2')
  for dtype in (np.float16, np.float64, ml_dtypes.bfloat16):
    folder = tiny_models.write(tmp_path / np.dtype(dtype).name, 'smollm2')
    tiny_models.write_tensors(
      folder / 'model.safetensors',
      {name: value.astype(dtype) for name, value in values.items()},
    )
    params, _ = weights.from_pretrained(folder)
    np.testing.assert_array_equal(
      params['layers']['gate']['kernel'][1],
      values['model.layers.1.mlp.gate_proj.weight'].astype(dtype).T,
    )


@pytest.mark.parametrize('mesh_shape', [(2, 2, 2), (1, 4, 1), (8, 1, 1)])
def test_shards(tmp_path, monkeypatch, mesh_shape):
  # Parts of a few rows, so that buffers are filled in many writes.
  monkeypatch.setattr(placement, '_PART', 300)
  config, params = tiny_decoder.build('qwen2')
  weights.save_pretrained(tmp_path, params, config)
  mesh = sharding.make_mesh(*mesh_shape)
  placed, _ = weights.from_pretrained(tmp_path, mesh)
  expected = sharding.shardings(params, mesh)
  for array, place in zip(
    jax.tree.leaves(placed), jax.tree.leaves(expected), strict=True
  ):
    assert array.sharding.is_equivalent_to(place, array.ndim)
  assert_equal_trees(jax.device_get(placed), params)
  # Sharded arrays are written as well as others.
  weights.save_pretrained(tmp_path / 'again', placed, config)
  assert_equal_trees(weights.from_pretrained(tmp_path / 'again')[0], params)


def test_rules_and_meshes_that_do_not_divide(tmp_path):
  tiny_models.write(tmp_path, 'smollm2')
  mesh = sharding.make_mesh(1, 8, 1)
  with pytest.raises(
    ValueError,
    match=r"mesh axis 'fsdp' \(8 devices\) does not divide dimension 1 \(12\) "
    r"of the parameter 'embedder/embedding' \[24, 12\]",
  ):
    weights.from_pretrained(tmp_path, mesh)
  params, _ = weights.from_pretrained(
    tmp_path, mesh, rules=((r'embedding$', ('fsdp', None)), (r'.', ()))
  )
  spec = params['embedder']['embedding'].sharding.spec
  assert spec == jax.sharding.PartitionSpec('fsdp', None)


_MEMORY = """
import sys
from jaxcredit.networks import weights
from jaxcredit.networks.weights import placement

def resident(key):
  with open('/proc/self/status') as status:
    return next(int(l.split()[1]) for l in status if l.startswith(key)) * 1024

tiny, folder = sys.argv[1:]
# Parts of a few bytes: what compiling needs the first time is there then.
placement._PART, part = 64, placement._PART
weights.from_pretrained(tiny)
placement._PART = part
before = resident('VmRSS')
assert resident('VmHWM') < before + (32 << 20), 'the peak is hidden'
params, config = weights.from_pretrained(folder)
size = sum(x.nbytes for x in __import__('jax').tree.leaves(params))
print(size, resident('VmHWM') - before)
"""


@pytest.mark.system
@pytest.mark.skipif(
  not sys.platform.startswith('linux'), reason='reads /proc/self/status'
)
def test_the_host_never_holds_a_second_copy(tmp_path):
  # 570 MB as float32, in several files of bfloat16.
  config = config_lib.DecoderConfig(
    vocab_size=20_000, width=512, layers=36, heads=8, kv_heads=4, head_dim=64,
    hidden=2048, tie_embeddings=True,
  )  # fmt: skip
  shapes = jax.eval_shape(lambda: decoder.init(jax.random.key(0), config))
  params = jax.tree.map(lambda x: np.ones(x.shape, np.float32), shapes)
  weights.save_pretrained(
    tmp_path / 'model', params, config, dtype='bfloat16', file_bytes=40 << 20
  )
  assert len(list((tmp_path / 'model').glob('*.safetensors'))) > 2
  tiny_models.write(tmp_path / 'tiny', 'llama3')
  done = subprocess.run(
    [sys.executable, '-c', _MEMORY, tmp_path / 'tiny', tmp_path / 'model'],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  size, growth = (int(word) for word in done.stdout.split())
  assert size > 400e6
  assert growth < 1.2 * size, (
    f'{growth / 1e6:.0f} MB for weights of {size / 1e6:.0f} MB'
  )


def edit(folder, **changes):
  path = folder / 'config.json'
  fields = {**json.loads(path.read_text()), **changes}
  path.write_text(json.dumps({k: v for k, v in fields.items() if v is not ...}))


@pytest.mark.parametrize(
  ('name', 'changes', 'message'),
  [
    ('qwen2', {'model_type': 'gpt2'}, "model_type is 'gpt2'; .* knows llama"),
    ('qwen2', {'hidden_act': 'gelu'}, "hidden_act is 'gelu'.* 'silu' alone"),
    ('llama2', {'mlp_bias': True}, 'mlp_bias is True'),
    ('llama2', {'rope_interleaved': True}, 'rope_interleaved is True'),
    ('llama2', {'quantization_config': {'bits': 4}}, 'quantization_config is'),
    ('llama2', {'hidden_size': ...}, 'hidden_size is missing'),
    ('llama2', {'vocab_size': '24'}, "vocab_size must be a whole .* '24'"),
    ('llama2', {'num_attention_heads': 3}, 'does not divide hidden_size'),
    ('llama2', {'num_key_value_heads': 3}, 'must divide heads'),
    ('llama2', {'num_hidden_layers': 0}, 'layers must be positive'),
    (
      'llama3',
      {'rope_scaling': {'rope_type': 'yarn', 'factor': 4.0}},
      "rope_type in rope_scaling is 'yarn'; .* default, linear and llama3",
    ),
    (
      'llama3',
      {'rope_scaling': {'type': 'linear'}},
      'factor in rope_scaling must be a number, not None',
    ),
    (
      'llama3',
      {'rope_scaling': {'rope_type': 'llama3', 'factor': 8.0}},
      'low_freq_factor in rope_scaling must be a number',
    ),
    (
      'qwen3',
      {'rope_parameters': {'full_attention': {'rope_type': 'default'}}},
      'rope_parameters differs by kind of layer',
    ),
    (
      'qwen3',
      {'rope_parameters': {'partial_rotary_factor': 0.5}},
      'partial_rotary_factor in rope_parameters is 0.5',
    ),
    ('qwen3', {'layer_types': ['linear_attention'] * 2}, 'linear_attention'),
    ('qwen3', {'layer_types': ['full_attention']}, 'layer_types has 1 entries'),
    (
      'qwen3',
      {'layer_types': ['sliding_attention'] * 2},
      'but use_sliding_window is False',
    ),
  ],
)
def test_configurations_that_are_refused(tmp_path, name, changes, message):
  tiny_models.write(tmp_path, name)
  edit(tmp_path, **changes)
  with pytest.raises(ValueError, match=message) as raised:
    weights.from_pretrained(tmp_path)
  assert str(raised.value).startswith(str(tmp_path / 'config.json'))


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (
      {'intermediate_size': 99},
      r'layers\.0\.mlp\.\w+_proj\.weight has shape \[.*\], expected \[.*99',
    ),
    ({'vocab_size': 25}, r'embed_tokens\.weight has shape \[24, 16\], .*\[25'),
    ({'num_hidden_layers': 1}, r'unknown tensor model\.layers\.1'),
    ({'num_hidden_layers': 3}, r'missing tensor model\.layers\.2'),
    ({'tie_word_embeddings': False}, r'missing tensor lm_head\.weight'),
    ({'model_type': 'qwen3'}, r'missing tensor .*q_norm\.weight'),
    ({'model_type': 'llama'}, r'unknown tensor .*q_proj\.bias'),
  ],
)
def test_configurations_that_contradict_the_weights(tmp_path, changes, message):
  tiny_models.write(tmp_path, 'qwen2')
  edit(tmp_path, head_dim=4, **changes)
  with pytest.raises(
    ValueError, match=r'tensors do not fit config\.json: .*' + message
  ) as raised:
    weights.from_pretrained(tmp_path)
  assert len(str(raised.value)) < 1500


def test_an_output_projection_beside_a_tied_embedding(tmp_path):
  tiny_models.write(tmp_path, 'smollm2')
  values = tiny_models.tensors('smollm2')
  # Some files repeat the embedding, and old ones hold what can be computed.
  values['lm_head.weight'] = values['model.embed_tokens.weight'].copy()
  values['model.layers.0.self_attn.rotary_emb.inv_freq'] = np.ones(
    2, np.float32
  )
  tiny_models.write_tensors(tmp_path / 'model.safetensors', values)
  params, _ = weights.from_pretrained(tmp_path)
  assert 'head' not in params
  values['lm_head.weight'][3, 4] += 1
  tiny_models.write_tensors(tmp_path / 'model.safetensors', values)
  with pytest.raises(ValueError, match='tie_word_embeddings is true'):
    weights.from_pretrained(tmp_path)


def test_files_that_are_absent(tmp_path):
  with pytest.raises(
    FileNotFoundError, match='does not exist: give the folder'
  ):
    weights.from_pretrained(tmp_path / 'nowhere')
  with pytest.raises(FileNotFoundError, match=r'holds no config\.json'):
    weights.from_pretrained(tmp_path)
  tiny_models.write(tmp_path, 'llama2')
  whole = (tmp_path / 'model.safetensors').read_bytes()
  (tmp_path / 'model.safetensors').unlink()
  with pytest.raises(FileNotFoundError, match=r'no \.safetensors file$'):
    weights.from_pretrained(tmp_path)
  (tmp_path / 'pytorch_model.bin').write_bytes(b'pickle')
  with pytest.raises(FileNotFoundError, match='are pickles'):
    weights.from_pretrained(tmp_path)
  (tmp_path / 'a.safetensors').write_bytes(whole)
  (tmp_path / 'b.safetensors').write_bytes(whole)
  with pytest.raises(ValueError, match=r'is in a\.safetensors and in b\.saf'):
    weights.from_pretrained(tmp_path)
  index = tmp_path / 'model.safetensors.index.json'
  index.write_text(
    '{"weight_map": {"x": "a.safetensors", "y": "c.safetensors"}}'
  )
  with pytest.raises(FileNotFoundError, match=r'not there: c\.saf'):
    weights.from_pretrained(tmp_path)
  index.write_text('{}')
  with pytest.raises(ValueError, match='index.json is damaged'):
    weights.from_pretrained(tmp_path)
  (tmp_path / 'config.json').write_text('{')
  with pytest.raises(ValueError, match='not valid JSON'):
    weights.from_pretrained(tmp_path)
  (tmp_path / 'x.txt').write_text('')
  with pytest.raises(ValueError, match='pickles are never read'):
    weights.from_pretrained(tmp_path / 'x.txt')


def test_damaged_safetensors(tmp_path):
  tiny_models.write(tmp_path, 'llama2')
  path = tmp_path / 'model.safetensors'
  whole = path.read_bytes()
  for size in (0, 7, 100, len(whole) // 2, len(whole) - 1):
    path.write_bytes(whole[:size])
    with pytest.raises(ValueError, match=rf'truncated: it has {size:,} of'):
      weights.from_pretrained(tmp_path)
  path.write_bytes(b'\x10' + bytes(7) + b'no json at all, no' + whole)
  with pytest.raises(ValueError, match='no safetensors file, or a damaged'):
    weights.from_pretrained(tmp_path)
  values = tiny_models.tensors('llama2')
  values['model.norm.weight'] = values['model.norm.weight'].astype(np.int8)
  tiny_models.write_tensors(path, values)
  with pytest.raises(ValueError, match=r'model\.norm\.weight has dtype I8'):
    weights.from_pretrained(tmp_path)


def test_names_on_the_hub(tmp_path, monkeypatch):
  huggingface_hub = pytest.importorskip('huggingface_hub', reason='an extra')
  tiny_models.write(tmp_path, 'llama2')
  asked = []

  def download(name, allow_patterns):
    asked.append((name, allow_patterns))
    return str(tmp_path)

  monkeypatch.setattr(huggingface_hub, 'snapshot_download', download)
  weights.from_pretrained('some/model')
  assert asked[0][0] == 'some/model' and '*.safetensors' in asked[0][1]
  assert not any(pattern.endswith('.bin') for pattern in asked[0][1])
  hub.locate('some/model', tokenizer_only=True)
  assert '*.safetensors' not in asked[1][1]

  def no_network(name, allow_patterns):
    raise OSError('no route to host')

  monkeypatch.setattr(huggingface_hub, 'snapshot_download', no_network)
  with pytest.raises(
    FileNotFoundError, match=r'no route to host\).* give its path in place'
  ):
    weights.from_pretrained('some/model')


def test_parameters_that_cannot_be_written(tmp_path):
  config, params = tiny_decoder.build('qwen3')
  with pytest.raises(ValueError, match='lack layers/k/bias'):
    weights.save_pretrained(
      tmp_path, params, config_lib.DecoderConfig(
        **{**config.__dict__, 'qkv_bias': True, 'o_bias': True}
      )
    )  # fmt: skip
  config, params = tiny_decoder.build('qwen3', qkv_bias=True)
  with pytest.raises(ValueError, match='set qkv_bias and o_bias alike'):
    weights.save_pretrained(tmp_path, params, config)
  config, params = tiny_decoder.build('llama3')
  with pytest.raises(ValueError, match='only family with o_bias is Llama'):
    weights.save_pretrained(tmp_path, params, config)
  config, params = tiny_decoder.build('plain')
  params['final_norm']['scale'] = np.ones(3)
  with pytest.raises(ValueError, match=r'final_norm/scale has shape \[3\]'):
    weights.save_pretrained(tmp_path, params, config)
  assert not list(tmp_path.iterdir())
