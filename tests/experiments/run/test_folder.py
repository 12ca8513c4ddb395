"""A run's folder: resumed with the same flags only, never mixed up."""

import json
import os
import pathlib
import time

import pytest

from experiments.run import folder as run_folder
from experiments.run import lock

CONFIG = {
  'script': 'gigpo', 'method': 'gigpo', 'seed': 0, 'chunk': [16, 64],
  'evaluate_every': 0,
}  # fmt: skip
MAY_CHANGE = {'evaluate_every', 'run'}


def open_run(folder, defaults=None, **changes):
  """Opens a run that leaves something, and closes it; returns what it was."""
  config = {**CONFIG, **changes}
  with run_folder.opened(folder, config, MAY_CHANGE, defaults) as going_on:
    (folder / 'metrics.jsonl').write_text('{}')
  return going_on


def test_a_new_folder_is_made_with_its_parents(tmp_path):
  folder = tmp_path / 'runs' / 'mine'
  assert open_run(folder) is False
  assert json.loads((folder / 'config.json').read_text()) == CONFIG
  assert run_folder.read_config(folder) == CONFIG
  names = sorted(p.name for p in folder.iterdir())
  assert names == ['config.json', 'metrics.jsonl']


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


def test_of_many_differences_five_are_shown(tmp_path):
  open_run(tmp_path, **{f'flag_{i}': 0 for i in range(9)})
  with pytest.raises(run_folder.DifferentRunError) as error:
    open_run(tmp_path, **{f'flag_{i}': 1 for i in range(9)})
  lines = str(error.value).splitlines()
  assert lines[5:7] == ['  --flag_4: 0 then, 1 now', '  and 4 more']
  assert len(lines) == 8


@pytest.mark.parametrize(
  ('changes', 'words'),
  [
    ({'script': 'spa', 'seed': 1}, 'a run of gigpo, not of spa. Choose'),
    ({'method': 'grpo', 'seed': 1}, 'with --method=gigpo, not grpo. Choose'),
    ({'domain': 'shop', 'seed': 1}, 'with --domain=None, not shop. Choose'),
  ],
)
def test_a_run_of_another_kind_is_told_in_one_line(tmp_path, changes, words):
  open_run(tmp_path)
  with pytest.raises(run_folder.DifferentRunError) as error:
    open_run(tmp_path, **changes)
  assert words in str(error.value)
  assert len(str(error.value).splitlines()) == 1


def test_a_run_of_a_version_without_a_flag_goes_on(tmp_path):
  # What it did is what the flag's default does.
  open_run(tmp_path)
  defaults = {'sampler': 'independent', 'seed': 7}
  assert open_run(tmp_path, defaults, sampler='independent')
  with pytest.raises(
    run_folder.DifferentRunError, match="'independent' then, 'tree' now"
  ):
    open_run(tmp_path, defaults, sampler='tree')


@pytest.mark.parametrize(
  ('old', 'words'),
  [
    ({'method': 'gigpo', 'seed': 0}, 'of an earlier version, which this'),
    ({**CONFIG, 'gone': 1}, 'which had the flag --gone. This version cannot'),
  ],
)
def test_a_run_of_an_earlier_version_does_not_go_on(tmp_path, old, words):
  (tmp_path / 'config.json').write_text(json.dumps(old))
  with pytest.raises(run_folder.DifferentRunError, match=words) as error:
    open_run(tmp_path)
  assert len(str(error.value).splitlines()) == 1


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


PREPARED = (
  'tokenizer/tokenizer.json', 'tensorboard/events', 'checkpoints/train/tmp',
)  # fmt: skip


def open_and_fail(folder: pathlib.Path, *names: str) -> None:
  """A run that ends with an error after it has written some files."""
  with run_folder.opened(folder, CONFIG, MAY_CHANGE):
    for name in names:
      path = folder / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text('x')
    (folder / 'metrics.jsonl').touch()
    raise RuntimeError


def test_what_has_not_begun_is_forgotten(tmp_path):
  with pytest.raises(RuntimeError):
    open_and_fail(tmp_path, *PREPARED)
  assert list(tmp_path.iterdir()) == []
  assert open_run(tmp_path, seed=1) is False


@pytest.mark.parametrize(
  'result',
  ['table.md', 'evaluations.json', 'checkpoints/warm_start/75/default/d',
   'checkpoints/lare/3/default/d', 'runs/lin.npz'],
)  # fmt: skip
def test_results_are_never_removed(tmp_path, result):
  with pytest.raises(RuntimeError):
    open_and_fail(tmp_path, *PREPARED, result)
  for name in (*PREPARED, result, 'config.json'):
    assert (tmp_path / name).exists()
  with pytest.raises(run_folder.DifferentRunError):
    open_run(tmp_path, seed=1)


def test_a_run_that_went_on_is_never_removed(tmp_path):
  open_run(tmp_path)
  (tmp_path / 'metrics.jsonl').write_text('')
  with pytest.raises(RuntimeError):
    open_and_fail(tmp_path)
  assert (tmp_path / 'config.json').exists()


def test_no_second_run_is_in_a_folder(tmp_path):
  config = {**CONFIG, 'seed': 1}
  with run_folder.opened(tmp_path, CONFIG, MAY_CHANGE):
    start = time.monotonic()
    with (
      pytest.raises(lock.FolderInUseError, match=f'process {os.getpid()} on '),
      run_folder.opened(tmp_path, config, MAY_CHANGE),
    ):
      pass
    assert time.monotonic() - start < 2 * lock.PATIENCE
    # The first goes on undisturbed.
    assert run_folder.read_config(tmp_path) == CONFIG
  assert open_run(tmp_path) is False
