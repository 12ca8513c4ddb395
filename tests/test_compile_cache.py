"""Where the tests' compiled programs lie, and what becomes of damaged ones."""

import os
import pathlib
import uuid
import zlib

import jax
import numpy as np
import pytest

from tests import compile_cache

ENTRY = zlib.compress(bytes(range(256)) * 40)


@pytest.fixture
def variable(monkeypatch):
  return lambda value: monkeypatch.setenv('JAXCREDIT_TEST_CACHE', value)


def test_one_folder_for_a_version_and_a_processor(monkeypatch, tmp_path):
  monkeypatch.delenv('JAXCREDIT_TEST_CACHE', raising=False)
  monkeypatch.setenv('HOME', str(tmp_path))
  folder = compile_cache.default_folder()
  assert folder.parent == tmp_path / '.cache' / 'jaxcredit'
  assert jax.lib.__version__ in folder.name
  assert compile_cache.processor() in folder.name
  assert ' ' not in folder.name and '/' not in compile_cache.processor()
  assert compile_cache.variables()[compile_cache.FOLDER] == str(folder)
  assert folder.is_dir() and not list(folder.iterdir())


def test_another_folder_or_none(variable, tmp_path):
  variable(str(tmp_path / 'mine'))
  chosen = compile_cache.variables()
  assert chosen[compile_cache.FOLDER] == str(tmp_path / 'mine')
  variable('')
  assert compile_cache.variables()[compile_cache.FOLDER] == ''


def test_a_folder_that_cannot_be_written_to_is_not_used(
  variable, tmp_path, monkeypatch
):
  (tmp_path / 'file').touch()
  variable(str(tmp_path / 'file' / 'below'))
  assert compile_cache.variables()[compile_cache.FOLDER] == ''

  def full(path, data):
    path.touch()
    raise OSError(28, 'No space left on device')

  variable(str(tmp_path / 'full'))
  monkeypatch.setattr('pathlib.Path.write_bytes', full)
  assert compile_cache.variables()[compile_cache.FOLDER] == ''
  assert not list((tmp_path / 'full').iterdir())


def write(folder, name, data, age=0.0):
  path = folder / f'{name}-cache'
  path.write_bytes(data)
  then = path.stat().st_mtime - age
  os.utime(path, (then, then))
  return path


def test_what_a_killed_process_left_is_removed(tmp_path):
  whole = write(tmp_path, 'whole', ENTRY)
  of_zstandard = write(tmp_path, 'zstandard', b'\x28\xb5\x2f\xfd1234')
  halves = [
    write(tmp_path, 'half', ENTRY[:-9]),
    write(tmp_path, 'empty', b''),
    write(tmp_path, 'else', b'something else'),
  ]
  assert compile_cache.sweep(tmp_path) == 3
  assert whole.exists() and of_zstandard.exists()
  assert not any(path.exists() for path in halves)
  # What was looked at is not read again.
  old = write(tmp_path, 'old', ENTRY[:-9], age=100)
  write(tmp_path, 'new', ENTRY[:-9])
  assert compile_cache.sweep(tmp_path) == 1
  assert old.exists()


def test_the_oldest_go_where_there_are_too_many(tmp_path):
  for age in range(4):
    write(tmp_path, str(age), ENTRY, age=100 * age)
  assert compile_cache.sweep(tmp_path, largest=2 * len(ENTRY)) == 2
  assert sorted(p.name for p in tmp_path.glob('*-cache')) == [
    '0-cache',
    '1-cache',
  ]


def test_quick_and_real_programs_are_two():
  folder = pathlib.Path(jax.config.jax_compilation_cache_dir or '')
  if not folder.name:
    pytest.skip('compiled programs are kept nowhere')

  # Of this run alone: nobody compiled it before.
  name = f'made_up_{uuid.uuid4().hex}'

  def double(x):
    return 2 * x

  double.__name__ = name
  double = jax.jit(double)
  counts = []

  def call():
    double(np.ones(3, np.float32))
    counts.append(len(list(folder.glob(f'jit_{name}*-cache'))))

  # However small and quick to compile, a program is kept.
  assert jax.config.read('jax_disable_most_optimizations')
  call()
  with compile_cache.real_code():
    assert compile_cache.QUICK not in os.environ
    call()
  call()
  assert counts == [1, 2, 2]
  assert jax.config.read('jax_disable_most_optimizations')
  assert os.environ[compile_cache.QUICK] == '1'
  for path in folder.glob(f'jit_{name}*'):
    path.unlink()


@pytest.mark.optimised
def test_a_marked_test_gets_what_users_get():
  assert not jax.config.read('jax_disable_most_optimizations')
  assert compile_cache.QUICK not in os.environ
