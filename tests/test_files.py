"""Files are written whole or not at all, and never through a link."""

import os
import stat

import matplotlib.figure
import pytest

from jaxcredit import files


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
  path = tmp_path / 'file'
  files.write_text(path, 'old')

  def full(file):
    file.write(b'n')
    raise OSError('no space left')

  with pytest.raises(OSError, match='no space left'):
    files.write_bytes(path, full)
  assert [p.name for p in tmp_path.iterdir()] == ['file']
  assert path.read_text() == 'old'
  files.write_text(path, 'new')
  assert [p.name for p in tmp_path.iterdir()] == ['file']
  assert path.read_text() == 'new'


@pytest.mark.parametrize('name', ['file', 'file.tmp'])
def test_what_a_link_points_to_is_left_alone(tmp_path, name):
  target = tmp_path / 'target'
  target.write_text('mine')
  (tmp_path / name).symlink_to(target)
  files.write_text(tmp_path / 'file', 'new')
  assert target.read_text() == 'mine'
  assert (tmp_path / 'file').read_text() == 'new'
  assert not (tmp_path / 'file').is_symlink()


def test_permissions_follow_the_umask(tmp_path):
  before = os.umask(0o027)
  try:
    files.write_text(tmp_path / 'file', 'x')
  finally:
    os.umask(before)
  assert stat.S_IMODE((tmp_path / 'file').stat().st_mode) == 0o640


def test_what_a_killed_process_left_is_no_hindrance(tmp_path):
  (tmp_path / 'file.tmp').write_text('ha')
  files.write_text(tmp_path / 'file', 'whole')
  assert [p.name for p in tmp_path.iterdir()] == ['file']


@pytest.mark.parametrize(
  ('name', 'head'), [('a.png', b'\x89PNG'), ('a.pdf', b'%PDF')]
)
def test_a_figure(tmp_path, name, head):
  figure = matplotlib.figure.Figure((1, 1))
  files.save_figure(figure, tmp_path / name, dpi=50)
  assert (tmp_path / name).read_bytes().startswith(head)
