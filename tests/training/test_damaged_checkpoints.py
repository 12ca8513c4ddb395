"""Checkpoints that were damaged, half written, or found no room."""

import pathlib
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip('orbax.checkpoint', reason='an extra')
from jaxcredit.training import checkpoints as checkpoints_lib
from jaxcredit.training import checksums
from tests import small_disk

# Written after all else, and read by nobody who restores.
LATER = {'_CHECKPOINT_METADATA', 'commit_success.txt'}


def make_state(value):
  # Large enough to stand in a file of its own.
  table = np.random.default_rng(int(value)).random((64, 64), np.float32)
  return {'params': {'table': jnp.asarray(table)}, 'n': jnp.float32(value)}


def check_equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def write(folder, steps, **options):
  with checkpoints_lib.Checkpoints(folder, **options) as checkpoints:
    for step in steps:
      checkpoints.save(step, make_state(step))


def write_into(checkpoints, step):
  checkpoints.save(step, make_state(step))
  checkpoints.wait()


@pytest.fixture(scope='module')
def two(tmp_path_factory):
  """A folder with checkpoints 1 and 2, to copy."""
  folder = tmp_path_factory.mktemp('two') / 'whole'
  write(folder, (1, 2))
  return folder


def flip(path: pathlib.Path) -> None:
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 16
  path.write_bytes(data)


def shorten(path: pathlib.Path) -> None:
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: pathlib.Path) -> None:
  path.write_bytes(b'')


FAULTS = (flip, shorten, empty, pathlib.Path.unlink)


def files(two):
  """Names, within a checkpoint, of all files that matter."""
  return [
    path.relative_to(two / '2')
    for path in sorted((two / '2').rglob('*'))
    if path.is_file() and path.name not in LATER
  ]


def copy(two, tmp_path):
  folder = tmp_path / 'copy'
  shutil.rmtree(folder, ignore_errors=True)
  shutil.copytree(two, folder)
  return folder


@pytest.mark.parametrize('fault', FAULTS, ids=lambda fault: fault.__name__)
def test_damage_to_any_file_is_noticed(two, tmp_path, fault):
  assert len(files(two)) > 8
  for name in files(two):
    folder = copy(two, tmp_path)
    fault(folder / '2' / name)
    if name.name == checksums.FILE_NAME and fault is pathlib.Path.unlink:
      # As an earlier version left it.
      assert checkpoints_lib.newest_whole(folder) == (2, {})
      continue
    whole, damaged = checkpoints_lib.newest_whole(folder)
    assert whole == 1, name
    assert name.name in damaged[2] or name.as_posix() in damaged[2]


def array_file(folder: pathlib.Path) -> pathlib.Path:
  """The file with the numbers of the newest checkpoint."""
  found = (folder / '2').rglob('*')
  return max((p for p in found if p.is_file()), key=lambda p: p.stat().st_size)


def test_a_flipped_bit_that_orbax_reads_as_a_number_is_not_believed(
  two, tmp_path
):
  folder = copy(two, tmp_path)
  flip(array_file(folder))
  said = []
  with checkpoints_lib.Checkpoints(folder, report=said.append) as checkpoints:
    assert checkpoints.latest == 1
    check_equal(checkpoints.restore(make_state(0)), make_state(1))
    (words,) = said
    assert '2: default/ocdbt.process_0' in words
    assert 'holds other bytes than were written' in words
    assert 'going on from 1' in words
    assert '1 before the newest' in words
    assert '.damaged' in words
    # The same step again, as a resumed run comes to it.
    checkpoints.save(2, make_state(2))
    checkpoints.wait()
    check_equal(checkpoints.restore(make_state(0)), make_state(2))
  # For somebody to look at.
  assert sorted(p.name for p in folder.iterdir()) == ['1', '2', '2.damaged']
  assert checkpoints_lib.newest_whole(folder) == (2, {})
  # A second accident has a place too.
  flip(array_file(folder))
  with checkpoints_lib.Checkpoints(folder, report=said.append) as checkpoints:
    assert checkpoints.latest == 1
  assert (folder / '2.damaged-2').is_dir()


def test_who_only_reads_takes_the_one_before_and_changes_nothing(two, tmp_path):
  folder = copy(two, tmp_path)
  flip(array_file(folder))
  before = sorted(folder.rglob('*'))
  said = []
  params = checkpoints_lib.read_params(folder, said.append)
  check_equal(params, make_state(1)['params'])
  assert 'going on from 1' in said[0]
  assert sorted(folder.rglob('*')) == before
  check_equal(checkpoints_lib.read_params(two), make_state(2)['params'])


def test_where_none_is_whole_that_is_said_and_none_is_moved(two, tmp_path):
  folder = copy(two, tmp_path)
  flip(array_file(folder))
  empty(folder / '1' / 'default' / '_METADATA')
  before = sorted(folder.rglob('*'))
  for read in (checkpoints_lib.Checkpoints, checkpoints_lib.read_params):
    with pytest.raises(
      checkpoints_lib.DamagedCheckpointError,
      match=r'is whole \(2: .*; 1: default/_METADATA is empty\): delete',
    ):
      read(folder)
  assert sorted(folder.rglob('*')) == before


def test_what_an_interrupted_save_left_is_removed_and_said(two, tmp_path):
  folder = copy(two, tmp_path)
  shutil.copytree(folder / '2', folder / '3.orbax-checkpoint-tmp')
  said = []
  with checkpoints_lib.Checkpoints(folder, report=said.append) as checkpoints:
    assert checkpoints.latest == 2
  assert '3.orbax-checkpoint-tmp' in said[0]
  assert sorted(p.name for p in folder.iterdir()) == ['1', '2']
  check_equal(checkpoints_lib.read_params(folder), make_state(2)['params'])


@pytest.mark.system
def test_a_full_disk_leaves_the_one_before_and_says_so(tmp_path):
  with small_disk.small_disk(tmp_path / 'disk', '2m') as disk:
    checkpoints = checkpoints_lib.Checkpoints(disk / 'stage')
    checkpoints.save(1, make_state(1))
    checkpoints.wait()
    filling = small_disk.fill(disk, leave=8192)
    with pytest.raises(checkpoints_lib.CheckpointWriteError) as caught:
      write_into(checkpoints, 2)
    words = str(caught.value)
    assert 'checkpoint 2 could not be written' in words
    assert f'into {disk / "stage"}: the disk is full' in words
    assert 'Checkpoint 1 is whole' in words
    assert '\n' not in words
    checkpoints.close()
    # Half a checkpoint is neither kept nor taken for a whole one.
    assert sorted(p.name for p in (disk / 'stage').iterdir()) == ['1']
    check_equal(
      checkpoints_lib.read_params(disk / 'stage'), make_state(1)['params']
    )
    filling.unlink()
    write(disk / 'stage', (2,))
    check_equal(
      checkpoints_lib.read_params(disk / 'stage'), make_state(2)['params']
    )


PROGRAM = """
import resource, signal, sys
import jax, jax.numpy as jnp, numpy as np
from jaxcredit.training import checkpoints as checkpoints_lib
checkpoints = checkpoints_lib.Checkpoints(sys.argv[1])
small = {'params': jnp.ones(8)}
checkpoints.save(1, small)
checkpoints.wait()
# A write beyond this many bytes fails, as on a disk that has no more.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
large = np.random.default_rng(0).random(500_000, np.float32)
try:
  with checkpoints:
    checkpoints.save(2, {'params': jnp.asarray(large)})
except checkpoints_lib.CheckpointWriteError as error:
  print(error)
  sys.exit(7)
"""


@pytest.mark.system
def test_a_write_that_fails_leaves_the_one_before(tmp_path):
  done = subprocess.run(
    [sys.executable, '-c', PROGRAM, str(tmp_path / 'stage')],
    capture_output=True,
    text=True,
    cwd=pathlib.Path(__file__).parents[2],
  )
  assert done.returncode == 7, done.stderr
  assert 'checkpoint 2 could not be written' in done.stdout
  assert 'Checkpoint 1 is whole' in done.stdout
  assert [p.name for p in (tmp_path / 'stage').iterdir()] == ['1']
