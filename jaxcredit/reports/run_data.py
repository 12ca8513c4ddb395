"""What a run has written, read back."""

import dataclasses
import json
import pathlib
from typing import Any

from jaxcredit.reports import prefix_tree_records


@dataclasses.dataclass(frozen=True)
class RunData:
  """The records of a run.

  Attributes:
    folder: of the run.
    config: its flags.
    method: of the run: name, label, unit, standardised, options; empty where
      it did not come to training.
    evaluations: oldest first; see `training.evaluation`.
    training: metrics of each iteration, in order.
    warm_start: metrics of warm-start steps, in order.
    episodes: episodes that were kept, with the credit of their steps.
    estimator: what is known of a progress estimator; None where there is none.
    fit: metrics of its measurements, in order.
    trees: groups of answers that were kept, with the credit of their tokens.
  """

  folder: pathlib.Path
  config: dict[str, Any]
  evaluations: list[dict[str, Any]]
  training: list[dict[str, Any]]
  warm_start: list[dict[str, Any]]
  episodes: list[dict[str, Any]]
  estimator: dict[str, Any] | None = None
  method: dict[str, Any] = dataclasses.field(default_factory=dict)
  fit: list[dict[str, Any]] = dataclasses.field(default_factory=list)
  trees: list[prefix_tree_records.Group] = dataclasses.field(
    default_factory=list
  )


def read(folder: str | pathlib.Path) -> RunData:
  """Reads a run.

  Raises:
    FileNotFoundError: there is no run in the folder.
    ValueError: one of its files is damaged; names the file and the line.
  """
  folder = pathlib.Path(folder).expanduser()
  config = folder / 'config.json'
  if not config.exists():
    raise FileNotFoundError(f'{folder} holds no run: config.json is missing')
  metrics = _lines(folder / 'metrics.jsonl')
  trees = folder / prefix_tree_records.NAME

  def stage(name):
    return [record for record in metrics if record.get('stage') == name]

  return RunData(
    folder=folder,
    config=_document(config),
    evaluations=_document(folder / 'evaluations.json', []),
    training=stage('train'),
    warm_start=stage('warm_start'),
    episodes=_lines(folder / 'episodes.jsonl'),
    estimator=_document(folder / 'estimator.json'),
    method=_method(folder / 'method.json'),
    fit=stage('estimator'),
    trees=prefix_tree_records.read(trees) if trees.exists() else [],
  )


# Of method.json: name -> what its value is.
_OF_METHOD = {
  'name': str, 'label': str, 'unit': str, 'standardised': bool, 'options': dict,
}  # fmt: skip


def _method(path: pathlib.Path) -> dict[str, Any]:
  """What a run wrote of its method; {} where it wrote nothing."""
  method = _document(path, {})
  if not path.exists():
    return method
  if not isinstance(method, dict):
    raise ValueError(f'{path}: not an object')
  for name, kind in _OF_METHOD.items():
    if not isinstance(method.get(name), kind):
      raise ValueError(f'{path}: {name} is missing, or no {kind.__name__}')
  return method


def _document(path: pathlib.Path, default=None):
  if not path.exists():
    return default
  try:
    return json.loads(path.read_text(encoding='utf-8'))
  except json.JSONDecodeError as error:
    raise ValueError(f'{path}:{error.lineno}: not JSON: {error.msg}') from None


def _lines(path: pathlib.Path) -> list[dict[str, Any]]:
  if not path.exists():
    return []
  records = []
  # Not splitlines: text inside a record may hold other line separators. After
  # the last newline stands nothing, or the line that a run is writing.
  *lines, _ = path.read_text(encoding='utf-8').split('\n')
  for number, line in enumerate(lines, start=1):
    try:
      records.append(json.loads(line))
    except json.JSONDecodeError as error:
      raise ValueError(f'{path}:{number}: not JSON: {error.msg}') from None
  return records
