"""A run's folder: resumed with the same flags only, never mixed up."""

import json
import os
import pathlib

import pytest

from experiments.run import folder as run_folder

CONFIG = {'method': 'gigpo', 'seed': 0, 'chunk': [16, 64], 'evaluate_every': 0}
MAY_CHANGE = {'evaluate_every', 'run'}


def open_run(folder, **changes):
  return run_folder.open_run(folder, {**CONFIG, **changes}, MAY_CHANGE)


def test_a_new_folder_is_made_with_its_parents(tmp_path):
  folder = tmp_path / 'runs' / 'mine'
  assert open_run(folder) is False
  assert json.loads((folder / 'config.json').read_text()) == CONFIG
  assert run_folder.read_config(folder) == CONFIG
  assert [p.name for p in folder.iterdir()] == ['config.json']


def test_an_empty_folder_will_do(tmp_path):
  assert open_run(tmp_path) is False


def test_the_same_flags_go_on(tmp_path):
  open_run(tmp_path)
  assert open_run(tmp_path) is True
  # Flags that change no number may be others; what is on record stays.
  assert open_run(tmp_path, evaluate_every=5, run='elsewhere') is True
  assert run_folder.read_config(tmp_path) == CONFIG


def test_other_flags_are_named(tmp_path):
  open_run(tmp_path)
  with pytest.raises(run_folder.DifferentRunError) as error:
    open_run(tmp_path, seed=1, chunk=[16], evaluate_every=5, new=True)
  assert str(error.value).splitlines() == [
    f'{tmp_path} holds a run with other flags:',
    '  --seed: 0 then, 1 now',
    '  --chunk: [16, 64] then, [16] now',
    '  --new: None then, True now',
    'Give the same flags to resume it, or another --run to start anew.',
  ]
  assert run_folder.read_config(tmp_path) == CONFIG


def test_a_run_of_an_earlier_version_goes_on(tmp_path):
  # It did not know of a flag; what it did is what the flag's default does.
  open_run(tmp_path)
  known = {**CONFIG, 'sampler': 'independent'}
  defaults = {'sampler': 'independent', 'seed': 7}
  assert run_folder.open_run(tmp_path, known, MAY_CHANGE, defaults)
  with pytest.raises(
    run_folder.DifferentRunError, match="'independent' then, 'tree' now"
  ):
    run_folder.open_run(
      tmp_path, {**known, 'sampler': 'tree'}, MAY_CHANGE, defaults
    )


def test_a_folder_of_something_else_is_left_alone(tmp_path):
  (tmp_path / 'thesis.tex').write_text('mine')
  with pytest.raises(FileExistsError, match='is not empty, but holds no run'):
    open_run(tmp_path)
  assert [p.name for p in tmp_path.iterdir()] == ['thesis.tex']


@pytest.mark.parametrize(
  'text', [b'{"seed": 0', b'[1]', b'\xff\xfe'], ids=['cut', 'list', 'bytes']
)
def test_a_damaged_configuration(tmp_path, text):
  (tmp_path / 'config.json').write_bytes(text)
  with pytest.raises(FileExistsError, match='config.json is not readable'):
    open_run(tmp_path)
  with pytest.raises(ValueError, match='config.json is not readable'):
    run_folder.read_config(tmp_path)
  assert (tmp_path / 'config.json').read_bytes() == text


def test_a_file_is_no_folder(tmp_path):
  file = tmp_path / 'file'
  file.write_text('mine')
  with pytest.raises(FileExistsError, match=r'is no folder: choose another'):
    open_run(file)
  with pytest.raises(OSError, match='cannot be made or written to .Not a dir'):
    open_run(file / 'run')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_a_folder_that_may_not_be_written_to(tmp_path):
  tmp_path.chmod(0o500)
  try:
    with pytest.raises(PermissionError, match='Permission denied'):
      open_run(tmp_path / 'run')
  finally:
    tmp_path.chmod(0o700)


def test_a_folder_without_a_run_has_no_configuration(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'holds no run \(config.json'):
    run_folder.read_config(tmp_path)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
  path = tmp_path / 'file'
  run_folder.write_text(path, 'old')

  def full(file):
    file.write(b'n')
    raise OSError('no space left')

  with pytest.raises(OSError, match='no space left'):
    run_folder.write_bytes(path, full)
  assert path.read_text() == 'old'
  run_folder.write_text(path, 'new')
  assert [p.name for p in tmp_path.iterdir()] == ['file']
  assert path.read_text() == 'new'


def fill(folder: pathlib.Path, *names: str) -> None:
  for name in names:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('x')


PREPARED = (
  'tokenizer/tokenizer.json', 'tensorboard/events', 'checkpoints/train/tmp',
)  # fmt: skip


def test_what_has_not_begun_is_forgotten(tmp_path):
  open_run(tmp_path)
  fill(tmp_path, *PREPARED)
  run_folder.forget_unbegun(tmp_path)
  assert list(tmp_path.iterdir()) == []
  assert open_run(tmp_path, seed=1) is False


@pytest.mark.parametrize(
  'result',
  ['metrics.jsonl', 'evaluations.json', 'checkpoints/warm_start/75/default/d'],
)
def test_results_are_never_removed(tmp_path, result):
  open_run(tmp_path)
  fill(tmp_path, *PREPARED, result)
  before = sorted(tmp_path.rglob('*'))
  run_folder.forget_unbegun(tmp_path)
  assert sorted(tmp_path.rglob('*')) == before


def test_files_of_others_are_never_removed(tmp_path):
  open_run(tmp_path)
  fill(tmp_path, 'notes.txt')
  run_folder.forget_unbegun(tmp_path)
  assert [p.name for p in tmp_path.iterdir()] == ['notes.txt']
