"""Metrics of a run: JSON lines and TensorBoard."""

import contextlib
import json
import math
import os
import pathlib
import time
from typing import Any

from jaxcredit.distributed import processes

FILE_NAME = 'metrics.jsonl'


def finite(value: Any) -> Any:
  """What JSON can say: a number that is not finite becomes null."""
  if isinstance(value, dict):
    return {k: finite(v) for k, v in value.items()}
  if isinstance(value, (list, tuple)):
    return [finite(v) for v in value]
  if isinstance(value, (bool, str, int)) or value is None:
    return value
  value = float(value)
  return value if math.isfinite(value) else None


def append_json_lines(path: pathlib.Path, records) -> None:
  """Appends records, one a line, and hands them to the system at once.

  Of several processes, the first does.
  """
  if not processes.is_first():
    return
  with open(path, 'a', encoding='utf-8') as file:
    for record in records:
      file.write(json.dumps(finite(record)) + '\n')
    file.flush()
    os.fsync(file.fileno())


def drop_from(path: pathlib.Path, keep) -> None:
  """Removes the records that a resumed run is about to write again.

  Of several processes, the first does.

  Args:
    path: a file of JSON lines; nothing happens where there is none.
    keep: `record -> bool`. Lines that do not parse (cut off by a crash) go.
  """
  if not path.exists() or not processes.is_first():
    return
  lines = []
  for line in path.read_text(encoding='utf-8').splitlines():
    try:
      record = json.loads(line)
    except json.JSONDecodeError:
      continue
    if keep(record):
      lines.append(line + '\n')
  temporary = path.with_suffix('.tmp')
  temporary.write_text(''.join(lines), encoding='utf-8')
  temporary.replace(path)


class _Board:
  """Scalars as TensorBoard reads them, on the disk when `write` returns.

  tensorboardX writes through a queue and a thread of its own. On a full disk
  the thread ends, and whoever puts more into the queue waits for ever.

  Args:
    folder: made if it is not there.
  """

  def __init__(self, folder: pathlib.Path):
    # An extra, imported where it is needed.
    from tensorboardX import event_file_writer
    from tensorboardX.proto import event_pb2

    self._event = event_pb2.Event
    folder.mkdir(parents=True, exist_ok=True)
    self._writer = event_file_writer.EventsWriter(
      str(folder / 'events'), f'.{os.getpid()}'
    )

  def write(self, scalars: dict[str, float], step: int) -> None:
    event = self._event(wall_time=time.time(), step=step)
    for tag, number in scalars.items():
      event.summary.value.add(tag=tag, simple_value=number)
    self._writer.write_event(event)
    self._writer.flush()

  def close(self) -> None:
    # All is written already, unless the disk was full, which `write` has said.
    with contextlib.suppress(OSError):
      self._writer.close()


class MetricsWriter:
  """Writes each record to `metrics.jsonl` and to TensorBoard.

  Of several processes, the first does.

  Args:
    folder: the run's folder.
    tensorboard: whether to write TensorBoard events as well.
  """

  def __init__(self, folder: pathlib.Path, *, tensorboard: bool = True):
    self._path = pathlib.Path(folder) / FILE_NAME
    self._board = None
    if tensorboard and processes.is_first():
      self._board = _Board(pathlib.Path(folder) / 'tensorboard')

  def write(self, stage: str, iteration: int, metrics: dict[str, Any]) -> None:
    """Writes one record.

    Args:
      stage: 'warm_start', 'train' or 'evaluation'.
      iteration: index in the stage.
      metrics: numbers, or dicts of numbers (histograms).
    """
    record = {
      'stage': stage,
      'iteration': iteration,
      'time': time.time(),
      **metrics,
    }
    append_json_lines(self._path, [record])
    if self._board is None:
      return
    scalars = {}
    for name, value in metrics.items():
      parts = value if isinstance(value, dict) else {'': value}
      for part, number in parts.items():
        number = finite(number)
        if isinstance(number, (int, float)):
          tag = f'{stage}/{name}' + (f'/{part}' if part else '')
          scalars[tag] = number
    self._board.write(scalars, iteration)

  def close(self) -> None:
    if self._board is not None:
      self._board.close()
