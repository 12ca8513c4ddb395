"""Paths, names on the hub, and what to do when neither is there."""

import os
import pathlib
import sys
import types

import pytest

from jaxcredit.networks import hub

NAME = 'Some-Owner/model_1.5B'


@pytest.fixture
def download(monkeypatch):
  """Stands for huggingface_hub; set `answer` to a folder or an error."""
  fake = types.ModuleType('huggingface_hub')
  fake.asked = []
  fake.answer = OSError('no route to host')

  def snapshot_download(name, *, allow_patterns):
    fake.asked.append((name, allow_patterns))
    if isinstance(fake.answer, Exception):
      raise fake.answer
    return str(fake.answer)

  fake.snapshot_download = snapshot_download
  monkeypatch.setitem(sys.modules, 'huggingface_hub', fake)
  return fake


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)


def error(path_or_name):
  with pytest.raises(FileNotFoundError) as info:
    hub.locate(path_or_name)
  return str(info.value)


def http_error(kind, status, *kinds):
  """An error of huggingface_hub, which are told apart by type and status."""
  bases = tuple(type(name, (OSError,), {}) for name in kinds) or (OSError,)
  made = type(kind, bases, {})(
    f'{status} Client Error. (Request ID: Root=1-2)\n\nLong words.'
  )
  made.response = types.SimpleNamespace(status_code=status)
  return made


def test_what_exists_is_never_looked_for(download, tmp_path):
  file = tmp_path / 'model.gguf'
  file.touch()
  folder = tmp_path / 'Some-Owner' / 'model_1.5B'
  folder.mkdir(parents=True)
  assert hub.locate(file) == file
  assert hub.locate(str(folder)) == folder
  # Relative, and in the form of a name.
  assert hub.locate(NAME) == pathlib.Path(NAME)
  assert download.asked == []


def test_a_name_is_downloaded(download, tmp_path):
  download.answer = tmp_path
  assert hub.locate(NAME) == tmp_path
  assert hub.locate(NAME, tokenizer_only=True) == tmp_path
  (name, files), (_, tokenizer_files) = download.asked
  assert name == NAME
  for wanted in ('*.json', '*.jinja', '*.txt', '*.model'):
    assert wanted in files and wanted in tokenizer_files
  assert '*.safetensors' in files and '*.safetensors' not in tokenizer_files
  # No pickles.
  assert not any(end in str(files) for end in ('bin', 'pt', 'pth', 'pkl'))


@pytest.mark.parametrize(
  'path',
  [
    '/models/nowhere',
    'nowhere',
    './nowhere/model',
    '../model',
    './model',
    'model/',
    '~/model',
    'a/b/c',
    'models/tiny.gguf',
    'models/tok512.bin',
    'owner/mo del',
    '-owner/model',
    'owner/model.',
    'ownér/model',
    '',
    pathlib.Path('runs/model'),
  ],
)
def test_paths_that_do_not_exist_are_not_asked_for(download, path):
  words = error(path)
  assert 'does not exist: give the folder of a model' in words
  assert str(path) in words
  assert "a name on the hub ('owner/model')" in words
  if not os.path.isabs(path):
    assert f'Looked in {pathlib.Path.cwd()}' in words
  assert download.asked == []


def test_a_home_folder_that_nothing_expanded(download, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  (tmp_path / 'model').mkdir()
  assert f'{tmp_path / "model"} exists: write it so' in error('~/model')


def test_without_a_network(download):
  words = error(NAME)
  assert words.startswith(f'{NAME} is no folder here, and the hub does not')
  assert '(no route to host)' in words
  assert 'copy the folder (config.json, *.safetensors, tokenizer' in words
  # An error without words is named.
  download.answer = TimeoutError()
  assert '(TimeoutError)' in error(NAME)


def test_a_name_that_the_hub_does_not_know(download):
  for status in (401, 404):
    download.answer = http_error(
      'RepositoryNotFoundError', status, 'HfHubHTTPError'
    )
    words = error(NAME)
    assert 'no model of this name, or a private one' in words
    assert f'https://huggingface.co/{NAME}' in words
    assert f'there is none of this name in {os.getcwd()}' in words
    assert 'Request ID' not in words and 'restricted' not in words


def test_a_model_that_must_be_asked_for(download):
  for problem in (
    http_error('GatedRepoError', 401, 'RepositoryNotFoundError'),
    http_error('GatedRepoError', 403, 'RepositoryNotFoundError'),
    http_error('HfHubHTTPError', 403),
  ):
    download.answer = problem
    words = error(NAME)
    assert 'access to it is restricted' in words
    assert f'Ask for access on https://huggingface.co/{NAME}' in words
    assert "'hf auth login', or set HF_TOKEN" in words
  # A busy hub is another matter.
  download.answer = http_error('HfHubHTTPError', 503)
  assert '(503 Client Error.' in error(NAME)
  assert 'restricted' not in error(NAME)


def test_its_errors_are_those_of_the_library():
  errors = pytest.importorskip('huggingface_hub.errors', reason='an extra')
  parents = {kind.__name__ for kind in errors.GatedRepoError.__mro__}
  assert {'RepositoryNotFoundError', 'HfHubHTTPError'} <= parents


def test_without_the_library(monkeypatch):
  monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
  assert r"pip install 'jaxcredit[train]'" in error(NAME)


def test_the_real_library_offline(monkeypatch, tmp_path):
  constants = pytest.importorskip(
    'huggingface_hub.constants', reason='an extra'
  )
  monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
  monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'cache'))
  words = error(NAME)
  assert 'HF_HUB_OFFLINE' in words and 'copy the folder' in words


@pytest.mark.network
def test_the_real_hub():
  words = error('jaxcredit-no-such-owner/no-such-model')
  assert 'no model of this name, or a private one' in words
