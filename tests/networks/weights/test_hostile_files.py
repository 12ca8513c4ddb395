"""Files that are damaged, or were made to do harm, are refused at once."""

import json
import os
import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('safetensors', reason='an extra')
import safetensors

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import weights
from jaxcredit.networks.weights import (
  families,
  json_object,
  load,
  safetensors_file,
)
from tests.networks import tiny_models

JSON = st.recursive(
  st.none()
  | st.booleans()
  | st.integers(-(2**70), 2**70)
  | st.floats()
  | st.sampled_from([-1, 0, 1, 2, 10**12, 10**400, 'F32', 'F64', 'llama', ''])
  | st.text(max_size=5),
  lambda inner: (
    st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3)
  ),
  max_leaves=6,
)


def attempt(function, *arguments):
  """What a function gives, or the ValueError that it raises."""
  try:
    return function(*arguments)
  except ValueError as error:
    return error


def safetensors_bytes(header, data: bytes) -> bytes:
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  return len(text).to_bytes(8, 'little') + text + data


def entry(shape, start, stop, dtype='F32'):
  return {'dtype': dtype, 'shape': shape, 'data_offsets': [start, stop]}


def refused(tmp_path, header, data=bytes(32)):
  path = tmp_path / 'model.safetensors'
  path.write_bytes(safetensors_bytes(header, data))
  with pytest.raises(ValueError, match=f'^{re.escape(str(path))}') as raised:
    safetensors_file.read(path)
  assert len(str(raised.value)) < len(str(path)) + 500
  return str(raised.value)


def test_a_header_that_is_sound(tmp_path):
  path = tmp_path / 'model.safetensors'
  header = {'b': entry([2, 2], 16, 32), 'a': entry([4], 0, 16),
            'none': entry([0, 3], 16, 16)}  # fmt: skip
  path.write_bytes(safetensors_bytes(header, bytes(32)))
  found = safetensors_file.read(path)
  front = path.stat().st_size - 32
  assert {name: place.offset - front for name, place in found.items()} == {
    'a': 0, 'b': 16, 'none': 16,
  }  # fmt: skip


@pytest.mark.parametrize(
  ('header', 'words'),
  [
    ({'a': entry([4], -16, 0), 'b': entry([8], 0, 32)}, 'whole numbers from 0'),
    ({'a': entry([8], 0, 32), 'b': entry([4], 8, 24)}, 'b begins at byte 8 of'),
    ({'a': entry([8], 0, 32), 'b': entry([8], 0, 32)}, 'one before it ends'),
    ({'a': entry([4], 16, 32)}, 'begins at byte 16 of the data'),
    ({'a': entry([4], 0, 16)}, '16 of its [0-9,]+ bytes belong to no tensor'),
    ({'a': entry([9], 0, 36)}, 'truncated: it has'),
    ({'a': entry([2**62], 0, 2**64)}, 'must be whole numbers'),
    ({'a': entry([7], 0, 32)}, r'shape \[7\] and dtype F32 make 28 bytes'),
    ({'a': entry([8], 32, 0)}, 'make 32 bytes, but its offsets'),
    ({'a': entry([-2, -4], 0, 32)}, r'has shape \[-2, -4\]'),
    ({'a': entry([8.0], 0, 32)}, r'has shape \[8.0\]'),
    ({'a': entry([True] * 3, 0, 4)}, r'has shape \[True'),
    ({'a': entry([1] * 9, 0, 4)}, 'has 9 axes'),
    ({'a': entry([1] * 10**5, 0, 4)}, 'has 100000 axes'),
    ({'a': entry('8', 0, 32)}, "has shape '8'"),
    ({'a': entry([8], 0, 32, None)}, 'has dtype None; F64'),
    ({'a': entry([8], 0, 32, ['F32'])}, r"has dtype \['F32'\]"),
    ({'a': {'dtype': 'F32', 'shape': [8]}}, 'has data_offsets None'),
    ({'a': {**entry([8], 0, 32), 'data_offsets': [32]}}, '1 offsets'),
    ({'a': 3}, 'is no object with dtype'),
    ([1], 'its header holds no JSON object'),
    (b'{"a": {}, "a": {}}', 'its header names a twice'),
    (b'{"a": {"shape": [1], "shape": [2]}}', 'its header names shape twice'),
    (b'{"a": NaN}', 'not valid JSON: NaN is no number'),
    (b'[' * 10**5, 'nested too deeply'),
    (b'{"\xff": 1}', 'not valid JSON'),
    ({'\x1b[2J' + 'x' * 999: 3}, r"tensor '\\x1b\[2Jx+\.\.\.' is no object"),
  ],
)  # fmt: skip
def test_damaged_headers(tmp_path, header, words):
  assert re.search(words, refused(tmp_path, header))


def test_a_header_that_is_longer_than_any(tmp_path):
  path = tmp_path / 'model.safetensors'
  with open(path, 'wb') as stream:
    stream.write((200_000_000).to_bytes(8, 'little'))
    # A hole: takes no room.
    stream.truncate(300_000_000)
  with pytest.raises(ValueError, match='header has 200,000,000 bytes'):
    safetensors_file.read(path)


def in_library(path):
  """Names and shapes as the library of the format reads them, None if not."""
  try:
    with safetensors.safe_open(str(path), 'numpy') as file:
      return {
        name: tuple(file.get_slice(name).get_shape()) for name in file.keys()
      }
  except safetensors.SafetensorError:
    return None


VALID = {'__metadata__': {'format': 'pt'}, 'a': entry([4], 0, 16),
         'b': entry([2, 2], 16, 32)}  # fmt: skip
_PLACE = st.sampled_from(['dtype', 'shape', 'data_offsets', 'other', None])


@given(
  name=st.sampled_from(['a', 'b', 'c']),
  field=_PLACE,
  value=JSON | st.lists(st.integers(-4, 40), max_size=3),
  flips=st.lists(
    st.tuples(st.integers(0, 170), st.integers(0, 255)), max_size=2
  ),
)
def test_what_is_read_is_what_the_library_of_the_format_reads(
  tmp_path_factory, name, field, value, flips
):
  header = json.loads(json.dumps(VALID))
  if field is None:
    header[name] = value
  elif name in header:
    header[name][field] = value
  data = bytearray(safetensors_bytes(header, bytes(32)))
  for place, byte in flips:
    data[place % len(data)] = byte
  path = tmp_path_factory.getbasetemp() / 'fuzz.safetensors'
  path.write_bytes(data)
  found = attempt(safetensors_file.read, path)
  if isinstance(found, ValueError):
    assert str(found).startswith(str(path))
    return
  assert {name: tensor.shape for name, tensor in found.items()} == (
    in_library(path)
  )


@pytest.mark.parametrize(
  'name',
  [
    '../base/model.safetensors', '/etc/model.safetensors', '..', '.', '',
    'sub/model.safetensors', '..\\base\\model.safetensors',
    'C:\\model.safetensors', 'model.bin', 'a\n.safetensors', None, 3, ['x'],
  ],
)  # fmt: skip
def test_an_index_stays_in_its_folder(tmp_path, name):
  base = tiny_models.write(tmp_path / 'base', 'llama2')
  folder = tiny_models.write(tmp_path / 'model', 'llama2')
  (folder / 'model.safetensors').unlink()
  tensors = tiny_models.tensors('llama2')
  index = folder / 'model.safetensors.index.json'
  index.write_text(json.dumps({'weight_map': dict.fromkeys(tensors, name)}))
  with pytest.raises(ValueError, match='safetensors files of the same folder'):
    weights.from_pretrained(folder)
  # The very files are read where they belong.
  (base / 'model.safetensors').rename(folder / 'model.safetensors')
  files = dict.fromkeys(tensors, 'model.safetensors')
  index.write_text(json.dumps({'weight_map': files}))
  assert load.open_source(folder).shapes


@pytest.mark.parametrize('text', ['[]', '{}', '{"weight_map": []}', '', '{"a"'])
def test_damaged_indices(tmp_path, text):
  tiny_models.write(tmp_path, 'llama2')
  index = tmp_path / 'model.safetensors.index.json'
  index.write_text(text)
  with pytest.raises(ValueError, match=f'^{re.escape(str(index))}'):
    weights.from_pretrained(tmp_path)


def test_folders_in_the_place_of_files(tmp_path):
  (tmp_path / 'config.json').mkdir()
  with pytest.raises(FileNotFoundError, match=r'holds no config\.json'):
    weights.from_pretrained(tmp_path)
  (tmp_path / 'config.json').rmdir()
  tiny_models.write(tmp_path, 'llama2')
  (tmp_path / 'model.safetensors').unlink()
  (tmp_path / 'model.safetensors').mkdir()
  with pytest.raises(FileNotFoundError, match=r'holds no \.safetensors file'):
    weights.from_pretrained(tmp_path)
  os.mkfifo(tmp_path / 'model.gguf')
  with pytest.raises(ValueError, match='is neither a file nor a folder'):
    weights.from_pretrained(tmp_path / 'model.gguf')


SIZES = ('vocab_size', 'hidden_size', 'num_hidden_layers',
         'num_attention_heads', 'num_key_value_heads', 'intermediate_size',
         'head_dim', 'max_position_embeddings')  # fmt: skip


@pytest.mark.parametrize('field', SIZES)
@pytest.mark.parametrize('value', [10**12, 10**400, -1, 0, 2.5, True, 'x', [1]])
def test_absurd_sizes_are_refused_at_once(field, value):
  fields = {**tiny_models.golden()['qwen3']['config'], field: value,
            'use_sliding_window': True, 'layer_types': None}  # fmt: skip
  start = time.process_time()
  with pytest.raises(ValueError, match=r'whole number|positive|at most'):
    families.from_fields(fields)
  assert time.process_time() - start < 1


def test_sizes_that_the_file_does_not_hold_are_refused_at_once(tmp_path):
  folder = tiny_models.write(tmp_path, 'llama2', num_hidden_layers=8192)
  start = time.process_time()
  with pytest.raises(ValueError, match=r'missing tensor model\.layers\.2\.'):
    weights.from_pretrained(folder)
  tiny_models.write(
    tmp_path, 'llama2', hidden_size=2**16, intermediate_size=2**20, head_dim=64
  )
  with pytest.raises(ValueError, match=r'expected \[1048576, 65536\]|65536'):
    weights.from_pretrained(folder)
  assert time.process_time() - start < 10


@pytest.mark.parametrize(
  ('changes', 'words'),
  [
    ({'layers': 10**12}, 'layers must be at most 8,192'),
    ({'width': 2**31, 'hidden': 2**31}, r'make 4.*e\+19 parameters'),
    ({'hidden': '64'}, "hidden must be a whole number, not '64'"),
    ({'rope_base': float('nan')}, 'rope_base must be positive, not nan'),
    ({'norm_eps': float('inf')}, 'norm_eps must not be negative, not inf'),
  ],
)
def test_absurd_sizes_of_a_run(changes, words):
  with pytest.raises(ValueError, match=words):
    config_lib.DecoderConfig.tiny(100, **changes)


@given(
  name=st.sampled_from(['llama3', 'qwen2_windows', 'qwen3']),
  place=st.integers(0, 100),
  value=JSON,
  inside=st.sampled_from([None, 'rope_theta', 'rope_type', 'factor']),
)
def test_configurations_of_any_kind(name, place, value, inside):
  fields = dict(tiny_models.golden()[name]['config'])
  field = sorted(fields)[place % len(fields)]
  fields[field] = value if inside is None else {inside: value}
  config = attempt(families.from_fields, fields)
  if isinstance(config, ValueError):
    assert len(str(config)) < 500
  else:
    assert families.from_fields(families.to_fields(config)) == config


@pytest.mark.parametrize(
  ('fields', 'words'),
  [
    ({'tie_word_embeddings': 'false'}, "must be true or false, not 'false'"),
    ({'rms_norm_eps': 'tiny'}, "rms_norm_eps must be a number, not 'tiny'"),
    ({'rope_scaling': [1]}, r'rope_scaling must be an object or null'),
    ({'model_type': ['llama']}, r"model_type is \['llama'\]"),
  ],
)
def test_fields_of_a_wrong_kind(fields, words):
  raw = {**tiny_models.golden()['llama3']['config'], **fields}
  with pytest.raises(ValueError, match=words):
    families.from_fields(raw)


def test_texts_that_are_no_configuration(tmp_path):
  path = tmp_path / 'config.json'
  for text, words in (
    ('{"a": 1, "a": 2}', 'names a twice'),
    ('[' * 10**5, 'nested too deeply'),
    ('"text"', 'holds no JSON object'),
    ('', 'is not valid JSON'),
    ('{"a": Infinity}', 'Infinity is no number'),
  ):
    path.write_text(text)
    with pytest.raises(ValueError, match=f'{re.escape(str(path))} .*{words}'):
      json_object.read(path)
  path.write_text('\ufeff{"a": 1}', encoding='utf-8')
  assert json_object.read(path) == {'a': 1}


@pytest.fixture(scope='module')
def gguf_model(tmp_path_factory):
  pytest.importorskip('gguf', reason='an extra')
  from tests.networks import gguf_files

  path = tmp_path_factory.mktemp('gguf') / 'model.gguf'
  gguf_files.write(path, 'smollm2')
  return path.read_bytes()


@given(
  flips=st.lists(
    st.tuples(st.integers(0, 2**16), st.binary(min_size=1, max_size=9)),
    min_size=1,
    max_size=3,
  ),
  cut=st.none() | st.integers(0, 2**16),
)
def test_gguf_files_of_any_kind(tmp_path_factory, gguf_model, flips, cut):
  data = bytearray(gguf_model)
  for place, some in flips:
    # Most often in the header, which is what says where the rest lies.
    place %= 2500
    data[place : place + len(some)] = some
  path = tmp_path_factory.getbasetemp() / 'fuzz.gguf'
  path.write_bytes(data[:cut])
  source = attempt(load.open_source, path)
  if isinstance(source, ValueError):
    assert str(source).startswith(str(path))
    return
  name = next(iter(source.shapes))
  bounds = tuple((0, size) for size in source.shapes[name])
  with np.errstate(all='ignore'):
    assert source.read(name, bounds).shape == source.shapes[name]


def gguf_header(entries: bytes = b'', tensors: bytes = b'', counts=None):
  counts = counts or (bool(tensors), bool(entries))
  head = b''.join(int(n).to_bytes(8, 'little') for n in counts)
  return b'GGUF' + (3).to_bytes(4, 'little') + head + entries + tensors


def _number(value, size=8):
  return value.to_bytes(size, 'little')


def _text(value: bytes):
  return _number(len(value)) + value


def _tensor(name: bytes, axes, offset, kind=0):
  sizes = b''.join(map(_number, axes))
  return (
    _text(name) + _number(len(axes), 4) + sizes + _number(kind, 4)
    + _number(offset)
  )  # fmt: skip


@pytest.mark.parametrize(
  ('data', 'words'),
  [
    (gguf_header(counts=(2**64 - 1, 2**64 - 1)), 'truncated'),
    (gguf_header(_text(b'k') + _number(8, 4) + _number(2**60)), 'an entry of'),
    (
      gguf_header(_text(b'k') + _number(9, 4)
                  + (_number(9, 4) + _number(1)) * 9999),
      'nested more than 2 deep',
    ),
    (gguf_header(_text(b'k') + _number(99, 4)), '99 is not a valid'),
    (
      gguf_header((_text(b'k') + _number(4, 4) + bytes(4)) * 2, counts=(0, 2)),
      'k is there twice',
    ),
    (
      gguf_header(_text(b'general.alignment') + _number(4, 4) + bytes(4)),
      'general.alignment is 0',
    ),
    (
      gguf_header(_text(b'general.alignment') + _number(8, 4) + _text(b'x')),
      "general.alignment is 'x'",
    ),
    (gguf_header(tensors=_tensor(b't', [4] * 99, 0)), 'has 99 axes'),
    (gguf_header(tensors=_tensor(b't', [4, 0], 0)), 'an axis of none'),
    (gguf_header(tensors=_tensor(b't', [33], 0, 2)), 'no blocks of 32'),
    (gguf_header(tensors=_tensor(b't', [2**60], 0)), 'truncated: it has'),
    (gguf_header(tensors=_tensor(b't', [4], 2**63)), 'truncated: it has'),
    (
      gguf_header(tensors=_tensor(b't', [4], 0) * 2, counts=(2, 0)),
      'tensor t is there twice',
    ),
    (
      gguf_header(
        tensors=_tensor(b't', [4], 0) + _tensor(b'u', [4], 8), counts=(2, 0)
      ),
      'tensors t and u overlap',
    ),
  ],
)  # fmt: skip
def test_damaged_gguf_files(tmp_path, data, words):
  gguf_file = pytest.importorskip(
    'jaxcredit.networks.weights.gguf_file', reason='an extra'
  )
  path = tmp_path / 'model.gguf'
  path.write_bytes(data + bytes(100))
  if words == 'truncated':
    path.write_bytes(data)
  with pytest.raises(ValueError, match=words) as raised:
    gguf_file.GgufFile(path)
  assert str(raised.value).startswith(str(path))
