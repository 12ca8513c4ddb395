"""GGUF files: the same models as the folders, quantised or not."""

import subprocess
import sys

import jax
import numpy as np
import pytest

pytest.importorskip('gguf', reason='an extra')
pytest.importorskip('safetensors', reason='an extra')
import gguf

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import rope, sharding, weights
from jaxcredit.networks.weights import gguf_file, gguf_source, placement
from tests.networks import gguf_files, test_weights, tiny_models

Kind = gguf.GGMLQuantizationType


def load(path, **options):
  return weights.from_pretrained(
    path, compute_dtype='float32', remat=False, **options
  )


@pytest.mark.parametrize(
  'name', ['llama2', 'smollm2', 'llama_linear_biases', 'qwen2', 'qwen3']
)
def test_it_equals_the_folder(tmp_path, name):
  metadata = {}
  if name == 'llama_linear_biases':
    metadata = {'rope.scaling.type': 'linear', 'rope.scaling.factor': 2.0}
  if name == 'qwen3':
    metadata = {'rope.freq_base': 1e6}
  gguf_files.write(tmp_path / 'model.gguf', name, metadata=metadata)
  tiny_models.write(tmp_path / 'folder', name)
  params, config = load(tmp_path / 'folder')
  # A folder with one file is as good as the file.
  again, read = load(tmp_path)
  assert read == config
  test_weights.assert_equal_trees(again, params)


@pytest.mark.parametrize(
  'kind', ['F16', 'BF16', 'Q8_0', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1']
)
def test_quantised_tensors(tmp_path, monkeypatch, kind):
  # Blocks are of 32 numbers: a model with rows of 32 and 64.
  rng = np.random.default_rng(0)
  shapes = tiny_models.golden()['llama2']['tensors']
  sizes = {16: 32, 24: 64}
  values = {
    name: rng.normal(size=[sizes[x] for x in shape]).astype(np.float32)
    for name, shape in shapes.items()
  }
  kinds = {
    gguf_files.gguf_name(name): Kind[kind]
    for name in shapes
    if 'norm' not in name
  }
  written = gguf_files.write(
    tmp_path / 'model.gguf',
    'llama2',
    kinds=kinds,
    values=values,
    metadata={'embedding_length': 32, 'feed_forward_length': 64},
  )
  assert any((written[name] != value).any() for name, value in values.items())

  def check(params):
    for name, path in (
      ('self_attn.q_proj', 'q'),
      ('self_attn.k_proj', 'k'),
      ('mlp.down_proj', 'down'),
    ):
      np.testing.assert_array_equal(
        params['layers'][path]['kernel'][1],
        written[f'model.layers.1.{name}.weight'].T,
      )
    np.testing.assert_array_equal(
      params['embedder']['embedding'], written['model.embed_tokens.weight']
    )
    np.testing.assert_array_equal(
      params['head']['kernel'], written['lm_head.weight'].T
    )

  check(load(tmp_path)[0])
  # Shards cut through blocks and heads, and come in many parts.
  monkeypatch.setattr(placement, '_PART', 500)
  placed, _ = load(tmp_path, mesh=sharding.make_mesh(1, 4, 2))
  check(jax.device_get(placed))


def test_k_quants(tmp_path):
  # `gguf` does not write these; blocks of 256 are put together by hand from
  # llama.cpp's definition: Q6_K is 128 low and 64 high bytes of four-value
  # groups, 16 scales and one factor.
  rng = np.random.default_rng(0)
  values = rng.integers(-32, 32, 256)
  scales = rng.integers(-128, 128, 16).astype(np.int8)
  factor = np.float16(0.03)
  expected = np.float32(factor) * scales.repeat(16).astype(np.float32) * values
  low, high = np.zeros(128, np.uint8), np.zeros(64, np.uint8)
  for i, value in enumerate(values + 32):
    half, place = divmod(i, 128)
    quarter, lane = divmod(place, 32)
    byte = half * 64 + lane + 32 * (quarter % 2)
    low[byte] |= (value & 15) << (4 * (quarter // 2))
    high[half * 32 + lane] |= (value >> 4) << (2 * quarter)
  q6 = np.concatenate(
    [low, high, scales.view(np.uint8), factor[None].view(np.uint8)]
  )
  # Q4_K: factor and offset, 8 scales and 8 minima of 6 bits in 12 bytes, then
  # halves of bytes, 32 low before 32 high.
  values4 = rng.integers(0, 16, 256)
  scales4, minima = rng.integers(0, 64, (2, 8))
  offset = np.float16(0.5)
  expected4 = (
    np.float32(factor) * scales4.repeat(32) * values4
    - np.float32(offset) * minima.repeat(32)
  ).astype(np.float32)
  packed = np.zeros(12, np.uint8)
  for i in range(4):
    packed[i] = scales4[i] | (scales4[i + 4] >> 4) << 6
    packed[i + 4] = minima[i] | (minima[i + 4] >> 4) << 6
    packed[i + 8] = (scales4[i + 4] & 15) | (minima[i + 4] & 15) << 4
  nibbles = values4.reshape(4, 2, 32).astype(np.uint8)
  q4 = np.concatenate(
    [
      np.array([factor, offset]).view(np.uint8),
      packed,
      (nibbles[:, 0] | nibbles[:, 1] << 4).ravel(),
    ]
  )

  path = tmp_path / 'model.gguf'
  writer = gguf.GGUFWriter(path, 'llama')
  for name, row, kind in (('six', q6, Kind.Q6_K), ('four', q4, Kind.Q4_K)):
    writer.add_tensor(name, np.tile(row, (3, 2)), raw_dtype=kind)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  source = gguf_source.GgufSource.__new__(gguf_source.GgufSource)
  source.path = path
  file = gguf_file.GgufFile(path)
  for name, row in (('six', expected), ('four', expected4)):
    assert file.tensors[name].shape == (3, 512)
    part = source._dequantise(file.tensors[name], ((1, 3), (100, 400)))
    np.testing.assert_allclose(
      part, np.tile(np.tile(row, 2)[100:400], (2, 1)), rtol=1e-6
    )


def test_rope_factors_of_llama_3(tmp_path):
  config = config_lib.DecoderConfig(
    vocab_size=24, width=16, layers=2, heads=4, kv_heads=2, head_dim=8,
    hidden=24, rope_base=100.0,
  )  # fmt: skip
  plain = rope.frequencies(config)
  scaling = config_lib.RopeScaling('llama3', 32.0, original_positions=64)
  factors = rope.scaling_factors(plain, scaling).astype(np.float32)
  gguf_files.write(
    tmp_path / 'model.gguf',
    'llama3',
    metadata={'rope.freq_base': 100.0},
    extra={'rope_freqs.weight': factors},
  )
  assert weights.read_config(tmp_path).rope_scaling == scaling
  gguf_files.write(
    tmp_path / 'model.gguf', 'llama3', extra={'rope_freqs.weight': factors**2}
  )
  with pytest.raises(ValueError, match='no rope scaling of Llama 3'):
    load(tmp_path)


def test_truncated_and_damaged_files(tmp_path):
  path = tmp_path / 'model.gguf'
  gguf_files.write(path, 'smollm2')
  whole = path.read_bytes()
  size = len(whole)
  for kept in (3, 10, 30, 200, 1500):
    path.write_bytes(whole[:kept])
    with pytest.raises(ValueError, match='truncated: it ends in its header'):
      load(path)
  # The file ends in padding.
  for kept in (size // 2, size - 64):
    path.write_bytes(whole[:kept])
    with pytest.raises(ValueError, match=rf'truncated: it has {kept:,} of'):
      load(path)
  path.write_bytes(b'GGML' + whole[4:])
  with pytest.raises(ValueError, match='is no GGUF file'):
    load(path)
  path.write_bytes(whole[:4] + b'\x09' + whole[5:])
  with pytest.raises(ValueError, match='version 9 of GGUF'):
    load(path)
  path.write_bytes(whole[:24] + b'\xff' * 8 + whole[32:])
  with pytest.raises(ValueError, match='damaged GGUF file: an entry of'):
    load(path)


@pytest.mark.parametrize(
  ('metadata', 'message'),
  [
    ({'block_count': 3}, r'missing tensor model\.layers\.2'),
    ({'embedding_length': 24}, 'tensors do not fit metadata: '),
    ({'feed_forward_length': None}, r'llama\.feed_forward_length in the meta'),
    ({'expert_count': 4}, 'llama.expert_count is 4; mixtures'),
    ({'rope.scaling.type': 'yarn'}, "rope.scaling.type is 'yarn'; none and"),
    ({'rope.dimension_count': 2}, 'rope.dimension_count is 2, but'),
    ({'attention.sliding_window': 4}, 'sliding_window is set'),
    ({'attention.head_count_kv': 2}, 'must divide heads'),
  ],
)
def test_metadata_that_is_refused(tmp_path, metadata, message):
  path = tmp_path / 'model.gguf'
  gguf_files.write(path, 'smollm2', metadata=metadata)
  with pytest.raises(ValueError, match=message) as raised:
    load(path)
  assert str(raised.value).startswith(str(path))


def test_tensors_that_are_refused(tmp_path):
  path = tmp_path / 'model.gguf'
  gguf_files.write(
    path, 'smollm2', extra={'blk.0.odd.weight': np.ones(3, np.float32)}
  )
  with pytest.raises(ValueError, match=r'unknown tensor blk\.0\.odd\.weight'):
    load(path)
  gguf_files.write(path, 'smollm2', extra={'x': np.ones(3, np.int32)})
  with pytest.raises(ValueError, match='tensor x is of type I32; F32, F16'):
    load(path)
  writer = gguf.GGUFWriter(path, 'gpt2')
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  with pytest.raises(ValueError, match="architecture is 'gpt2'; .* llama"):
    load(path)
  (tmp_path / 'other.gguf').write_bytes(b'')
  with pytest.raises(ValueError, match=r'holds 2 \.gguf files'):
    load(tmp_path)


@pytest.mark.system
def test_folders_do_not_need_the_gguf_package(tmp_path):
  tiny_models.write(tmp_path, 'llama2')
  code = (
    'import sys; sys.modules["gguf"] = None\n'
    'from jaxcredit.networks import weights\n'
    'weights.read_config(sys.argv[1])'
  )
  subprocess.run([sys.executable, '-c', code, tmp_path], check=True)
