"""Lines of files, and what is refused before it is in memory."""

import lzma
import time

import pytest

from jaxcredit.environments import (
  household,
  packed_lines,
  questions,
  virtualhome,
)

LOADERS = (
  questions.gsm8k.load,
  questions.svamp.load,
  questions.medqa.load,
  questions.competition_math.load,
  household.load_games,
  virtualhome.load_problems,
)


def pack(path, piece: bytes, count: int):
  """Writes a packed file of a piece, many times."""
  packer = lzma.LZMACompressor(preset=0)
  with open(path, 'wb') as file:
    for _ in range(count):
      file.write(packer.compress(piece))
    file.write(packer.flush())
  return path


@pytest.mark.parametrize('load', LOADERS)
def test_a_small_file_that_unpacks_to_one_long_line(load, tmp_path):
  path = pack(tmp_path / 'some.jsonl.xz', b'a' * (1 << 20), 64)
  assert path.stat().st_size < 1 << 18
  start = time.monotonic()
  with pytest.raises(ValueError, match='more than 16,777,216 bytes') as caught:
    load(path)
  assert str(caught.value).startswith(f'{path}:1: ')
  assert time.monotonic() - start < 10


def test_a_line_of_a_plain_file_is_bounded_too(tmp_path, monkeypatch):
  monkeypatch.setattr(packed_lines, 'LONGEST_LINE', 100)
  path = tmp_path / 'some.jsonl'
  path.write_bytes(b'\n' + b'x' * 100 + b'\n' + b'y' * 101 + b'\n')
  lines = packed_lines.read(path)
  assert [next(lines), next(lines)] == [(1, b''), (2, b'x' * 100)]
  with pytest.raises(packed_lines.FileError, match='line 3: the line has'):
    next(lines)


def test_many_short_lines(tmp_path, monkeypatch):
  monkeypatch.setattr(packed_lines, 'MOST_LINES', 1000)
  path = pack(tmp_path / 'some.jsonl.xz', b'\n' * 500, 3)
  with pytest.raises(questions.RecordError, match='more than 1,000 lines'):
    questions.gsm8k.load(path)


def test_the_size_that_a_packed_file_may_have(tmp_path, monkeypatch):
  monkeypatch.setattr(packed_lines, '_ALWAYS_ALLOWED', 1000)
  monkeypatch.setattr(packed_lines, '_MOST_RATIO', 2)
  path = pack(tmp_path / 'some.jsonl.xz', b'x' * 99 + b'\n', 50)
  with pytest.raises(packed_lines.FileError, match='unpacks to more than'):
    list(packed_lines.read(path))
  # A plain file takes up what it shows.
  plain = tmp_path / 'some.jsonl'
  plain.write_bytes(lzma.decompress(path.read_bytes()))
  assert len(list(packed_lines.read(plain))) == 50


def test_what_stands_in_a_file(tmp_path):
  path = tmp_path / 'some.jsonl'
  path.write_bytes(b'\xef\xbb\xbfone\r\n\ntwo')
  expected = [(1, b'one'), (2, b''), (3, b'two')]
  assert list(packed_lines.read(path)) == expected
  packed = tmp_path / 'some.jsonl.xz'
  packed.write_bytes(lzma.compress(path.read_bytes()))
  assert list(packed_lines.read(packed)) == expected


def test_a_file_with_a_mark_of_the_byte_order(tmp_path):
  path = tmp_path / 'some.jsonl'
  path.write_text('{"question": "?", "answer": "#### 5"}', 'utf-8-sig')
  assert questions.gsm8k.load(path)[0].checker.reference == '5'
