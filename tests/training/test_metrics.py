"""Metrics: JSON lines that parse, and TensorBoard events beside them."""

import json
import math
import struct

import numpy as np
import pytest

from jaxcredit.training import metrics as metrics_lib
from tests import small_disk


def read_lines(path):
  def refuse(name):
    raise ValueError(f'{name} is no JSON')

  return [
    json.loads(line, parse_constant=refuse)
    for line in path.read_text(encoding='utf-8').splitlines()
  ]


def write(folder, records, **options):
  writer = metrics_lib.MetricsWriter(folder, **options)
  for stage, iteration, metrics in records:
    writer.write(stage, iteration, metrics)
  writer.close()


def test_each_record_is_a_line_of_json(tmp_path):
  metrics = {
    'loss': 0.5,
    'nothing': float('nan'),
    'endless': -math.inf,
    'count': 3,
    'whether': True,
    'name': 'räume\u2028\n',
    'none': None,
    'sizes': {'1': 0.25, '2-4': math.nan},
    'list': [1, math.nan],
    'array': np.float32(0.25),
  }
  write(tmp_path, [('train', 7, metrics), ('train', 8, {})], tensorboard=False)
  first, second = read_lines(tmp_path / metrics_lib.FILE_NAME)
  assert first.pop('time') > 1e9
  assert first == {
    'stage': 'train',
    'iteration': 7,
    'loss': 0.5,
    'nothing': None,
    'endless': None,
    'count': 3,
    'whether': True,
    'name': 'räume\u2028\n',
    'none': None,
    'sizes': {'1': 0.25, '2-4': None},
    'list': [1, None],
    'array': 0.25,
  }
  assert (second['stage'], second['iteration']) == ('train', 8)


def test_a_second_writer_appends(tmp_path):
  for i in range(2):
    write(tmp_path, [('train', i, {})], tensorboard=False)
  lines = read_lines(tmp_path / metrics_lib.FILE_NAME)
  assert [r['iteration'] for r in lines] == [0, 1]


def test_a_resumed_run_drops_what_it_writes_again(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  metrics_lib.append_json_lines(
    path, [{'stage': 'train', 'iteration': i} for i in range(5)]
  )
  # A crash cuts the last line off.
  with open(path, 'a', encoding='utf-8') as file:
    file.write('{"stage": "train", "iter')
  metrics_lib.drop_from(path, lambda record: record['iteration'] < 3)
  assert [r['iteration'] for r in read_lines(path)] == [0, 1, 2]
  metrics_lib.append_json_lines(path, [{'iteration': 3}])
  assert [r['iteration'] for r in read_lines(path)] == [0, 1, 2, 3]
  assert [p.name for p in tmp_path.iterdir()] == ['metrics.jsonl']


def test_nothing_to_drop_from(tmp_path):
  metrics_lib.drop_from(tmp_path / 'metrics.jsonl', lambda record: True)
  assert not list(tmp_path.iterdir())


def read_scalars(folder):
  """(tag, step, value) of each scalar in the event files of a folder."""
  event_pb2 = pytest.importorskip('tensorboardX.proto.event_pb2')
  scalars = []
  for path in sorted(folder.iterdir()):
    data = path.read_bytes()
    while data:
      # A record: length, its checksum, the event, its checksum.
      (length,) = struct.unpack('<Q', data[:8])
      event = event_pb2.Event.FromString(data[12 : 12 + length])
      data = data[16 + length :]
      scalars += [
        (value.tag, event.step, value.simple_value)
        for value in event.summary.value
      ]
  return scalars


def test_tensorboard_shows_all_finite_numbers(tmp_path):
  pytest.importorskip('tensorboardX', reason='an extra')
  metrics = {
    'loss': 0.5,
    'count': 3,
    'array': np.float32(0.25),
    'nothing': math.nan,
    'endless': math.inf,
    'name': 'text',
    'sizes': {'1': 0.25, '2-4': 0.75, '50+': math.nan},
  }
  write(tmp_path, [('train', 7, metrics), ('evaluation', 8, {'loss': 0.125})])
  assert sorted(read_scalars(tmp_path / 'tensorboard')) == [
    ('evaluation/loss', 8, 0.125),
    ('train/array', 7, 0.25),
    ('train/count', 7, 3.0),
    ('train/loss', 7, 0.5),
    ('train/sizes/1', 7, 0.25),
    ('train/sizes/2-4', 7, 0.75),
  ]
  # Both are written.
  assert len(read_lines(tmp_path / metrics_lib.FILE_NAME)) == 2


def test_scalars_are_on_the_disk_before_the_writer_is_closed(tmp_path):
  pytest.importorskip('tensorboardX', reason='an extra')
  writer = metrics_lib.MetricsWriter(tmp_path)
  writer.write('train', 1, {'loss': 0.5})
  assert read_scalars(tmp_path / 'tensorboard') == [('train/loss', 1, 0.5)]
  writer.close()


def write_until_full(writer, metrics, written):
  for iteration in range(2, 100):
    writer.write('train', iteration, metrics)
    written.append(iteration)


@pytest.mark.parametrize('tensorboard', [False, True])
def test_a_full_disk_is_an_error_and_what_was_written_stays(
  tmp_path, tensorboard
):
  if tensorboard:
    pytest.importorskip('tensorboardX', reason='an extra')
  with small_disk.small_disk(tmp_path / 'disk', '1m') as disk:
    writer = metrics_lib.MetricsWriter(disk, tensorboard=tensorboard)
    # Numbers that TensorBoard takes; lines that soon need another page.
    metrics = {f'number_{i}': i for i in range(50)}
    writer.write('train', 1, metrics)
    filling = small_disk.fill(disk)
    written = []
    with pytest.raises(OSError, match='No space left'):
      write_until_full(writer, metrics, written)
    written = len(written) + 2
    writer.close()
    filling.unlink()
    path = disk / metrics_lib.FILE_NAME
    # The resumed run drops a line that was cut, and goes on.
    metrics_lib.drop_from(path, lambda record: record['iteration'] < written)
    assert [r['iteration'] for r in read_lines(path)] == list(range(1, written))
    write(disk, [('train', written, metrics)], tensorboard=tensorboard)
    assert read_lines(path)[-1]['iteration'] == written


def test_tensorboard_can_be_left_out(tmp_path):
  write(tmp_path, [('train', 7, {'loss': 0.5})], tensorboard=False)
  assert [p.name for p in tmp_path.iterdir()] == [metrics_lib.FILE_NAME]
