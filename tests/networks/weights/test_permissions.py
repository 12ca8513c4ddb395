"""What is written may be read by whom the user's umask allows."""

import os
import stat

import jax
import pytest

pytest.importorskip('safetensors', reason='an extra')
pytest.importorskip('transformers', reason='an extra')
pytest.importorskip('orbax.checkpoint', reason='an extra')
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, lora, weights
from jaxcredit.networks.tokenizers import pretrained_tokenizer
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.training import checkpoints, learner

CONFIG = config_lib.DecoderConfig.tiny(
  300, layers=1, width=16, heads=2, kv_heads=1, head_dim=8, hidden=24
)


@pytest.fixture(params=[0o022, 0o077, 0o027], ids=oct)
def umask(request):
  before = os.umask(request.param)
  yield request.param
  os.umask(before)


def modes(folder):
  """Path -> permissions, of files and folders."""
  return {
    str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
    for path in folder.rglob('*')
  }


def test_files_and_folders_are_as_the_umask_says(tmp_path, umask):
  params = decoder.init(jax.random.key(0), CONFIG)
  options = lora.LoraOptions(2)
  adapters = lora.init(jax.random.key(1), params, options)
  words = tokenizer_lib.train_tokenizer(['take mug 1 from desk 2'], 300)
  weights.save_pretrained(tmp_path / 'model', params, CONFIG)
  weights.save_pretrained(tmp_path / 'parts', params, CONFIG, file_bytes=9000)
  weights.save_adapters(tmp_path / 'adapters', adapters, options, CONFIG)
  words.save(tmp_path / 'model')
  pretrained_tokenizer.load(tmp_path / 'model').save(tmp_path / 'tokenizer')
  with checkpoints.Checkpoints(tmp_path / 'checkpoints') as saved:
    optimizer = learner.make_optimizer(learning_rate=0.1)
    saved.save(1, learner.init_state(params, optimizer))
  found = modes(tmp_path)
  assert len(found) > 30
  expected = {
    path: (0o777 if (tmp_path / path).is_dir() else 0o666) & ~umask
    for path in found
  }
  assert found == expected
  # Written again, over files of another umask.
  os.umask(0o022)
  weights.save_pretrained(tmp_path / 'model', params, CONFIG)
  assert modes(tmp_path)['model/model.safetensors'] == 0o644


def test_a_link_in_the_place_of_a_file_is_replaced(tmp_path):
  params = decoder.init(jax.random.key(0), CONFIG)
  options = lora.LoraOptions(2)
  adapters = lora.init(jax.random.key(1), params, options)
  other = tmp_path / 'other'
  other.write_text('mine')
  for name in ('adapter_model.safetensors', 'adapter_model.safetensors.tmp'):
    (tmp_path / name).symlink_to(other)
  weights.save_adapters(tmp_path, adapters, options, CONFIG)
  assert other.read_text() == 'mine'
  assert not (tmp_path / 'adapter_model.safetensors').is_symlink()
  assert weights.load_adapters(tmp_path, CONFIG)
