"""Fingerprints: content, not identity; and the same in any process."""

import subprocess
import sys

import numpy as np
import pytest

from jaxcredit import fingerprints


def test_texts():
  first, second, third = fingerprints.text_fingerprints(['a', 'b', 'a'])
  assert first.tolist() == third.tolist() != second.tolist()
  assert first.dtype == np.uint32
  assert fingerprints.text_fingerprints([]).shape == (0, 2)
  surrogate = fingerprints.text_fingerprints(['\ud800', ''])
  assert surrogate[0].tolist() != surrogate[1].tolist()


@pytest.mark.system
def test_another_process_agrees():
  code = (
    'from jaxcredit import fingerprints as f; '
    "print(f.text_fingerprints(['You see a mug 1.']).tolist())"
  )
  out = subprocess.run(
    [sys.executable, '-c', code],
    capture_output=True,
    text=True,
    check=True,
    env={'PYTHONHASHSEED': '77', 'JAX_PLATFORMS': 'cpu', 'PATH': ''},
  )
  here = fingerprints.text_fingerprints(['You see a mug 1.']).tolist()
  assert out.stdout.strip() == str(here)
  # And so will tomorrow's.
  assert here == [[1576593985, 1879244970]]


def test_images():
  image = np.arange(12, dtype=np.uint8).reshape(3, 4)
  different = [
    image,
    image.reshape(4, 3),  # other shape, same bytes
    image.astype(np.int8),  # other dtype, same bytes
    image + 1,
  ]
  marks = fingerprints.image_fingerprints(different)
  assert len({tuple(m) for m in marks.tolist()}) == 4
  strided = np.repeat(image, 2, axis=1)[:, ::2]
  big_endian = np.arange(3, dtype='>i4')
  same = fingerprints.image_fingerprints([image, strided])
  assert same[0].tolist() == same[1].tolist()
  same = fingerprints.image_fingerprints([big_endian, big_endian.astype('<i4')])
  assert same[0].tolist() == same[1].tolist()


def test_wrong_arguments():
  with pytest.raises(ValueError, match='not one text'):
    fingerprints.text_fingerprints('abc')
  with pytest.raises(ValueError, match=r'texts\[1\] is NoneType'):
    fingerprints.text_fingerprints(['a', None])
  with pytest.raises(ValueError, match=r'images\[0\] holds objects'):
    fingerprints.image_fingerprints([np.array([None])])
  with pytest.raises(ValueError, match='threshold'):
    fingerprints.near_duplicate_groups(['a'], threshold=0.0)


def test_near_duplicates_without_autojunk():
  grid = '.#' * 100  # difflib's heuristic calls both characters junk
  changed = '#' + grid[1:]
  groups = fingerprints.near_duplicate_groups(
    [grid, changed, 'x' * 200, grid], threshold=0.95
  )
  assert groups.tolist() == [0, 0, 2, 0]


def test_near_duplicates_compare_with_the_first_member():
  texts = ['aaaaaaaaaa', 'aaaaaaaaab', 'aaaaaaaabb']
  groups = fingerprints.near_duplicate_groups(texts, threshold=0.9)
  assert groups.tolist() == [0, 0, 2]
  exact = fingerprints.near_duplicate_groups(texts, threshold=1.0)
  assert exact.tolist() == [0, 1, 2]


def test_near_duplicates_of_each_task_apart():
  task = [['room 1', 'room 2', 'a hall'], ['a hall', 'room 1', None]]
  given = fingerprints.near_duplicate_groups([task, task], threshold=0.8)
  assert given.shape == (2, 2, 3) and given.dtype == np.int32
  np.testing.assert_array_equal(given[0], [[0, 0, 2], [2, 0, 5]])
  np.testing.assert_array_equal(given[0], given[1])
  with pytest.raises(ValueError, match='equal lengths'):
    fingerprints.near_duplicate_groups([['a'], ['a', 'b']])
  with pytest.raises(ValueError, match='texts must be texts'):
    fingerprints.near_duplicate_groups([1, 2])
  with pytest.raises(ValueError, match='not one text'):
    fingerprints.near_duplicate_groups('a hall')
  assert fingerprints.near_duplicate_groups([]).shape == (0,)
