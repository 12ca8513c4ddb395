"""Latent reward functions as files: the text, where it came from, its hash.

A file is JSON, and is only read as data. What it holds is taken as new: the
hash must fit the text, and the text is checked and verified again.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from jaxcredit.latent_rewards import (
  examination,
  language,
  task,
  transitions,
  verification,
)

FORMAT = 'jaxcredit latent reward 1'


@dataclasses.dataclass(frozen=True)
class LatentReward:
  """A function that was accepted.

  Attributes:
    program: for `interpreter.encode`.
    report: what it did on the transitions.
    task: name of its task.
    provenance: how it came to be, as JSON can hold it: model, settings, date,
      messages.
  """

  program: language.Program
  report: examination.Report
  task: str
  provenance: Mapping[str, Any]


def save(reward: LatentReward, path: str | os.PathLike) -> None:
  """Writes a file, whole or not at all.

  Raises:
    OSError: it cannot be written, or exists.
  """
  path = pathlib.Path(path)
  if path.exists():
    raise FileExistsError(f'{path} exists: choose another name')
  record = {
    'format': FORMAT,
    'task': reward.task,
    'parameters': list(reward.program.parameters),
    'sha256': reward.program.sha256,
    'source': reward.program.source,
    'verification': reward.report.to_json(),
    'provenance': dict(reward.provenance),
  }
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(path.name + '.part')
  part.write_text(json.dumps(record, indent=1) + '\n', encoding='utf-8')
  part.replace(path)


def load(
  path: str | os.PathLike,
  task: task.Task,
  recorded: transitions.Transitions,
  *,
  approved: Collection[str] | None = None,
  **options: Any,
) -> LatentReward:
  """Reads a file, and verifies what it holds.

  Args:
    path: written by `save`.
    task: that it must be for.
    recorded: transitions of the task.
    approved: hashes that somebody looked at; None: any.
    **options: of `verification.verify`.

  Raises:
    OSError: it cannot be read.
    ValueError: it is no such file, its hash does not fit or is not approved, it
      is for another task, or the function is not accepted.
  """
  path = pathlib.Path(path)
  record = _read(path)
  source = record['source']
  found = language.sha256(source)
  if found != record['sha256']:
    raise ValueError(
      f'{path}: the function is not the one that was accepted (its sha256 is '
      f'{found}): restore the file, or write the function anew'
    )
  if approved is not None and found not in approved:
    raise ValueError(f'{path}: nobody approved the function {found}')
  if (record['task'], record['parameters']) != (
    task.name,
    list(task.parameters),
  ):
    raise ValueError(
      f'{path} is for {record["task"]} with {record["parameters"]}, not for '
      f'{task.name} with {list(task.parameters)}'
    )
  try:
    program, report = verification.verify(
      source, task.parameters, recorded, **options
    )
  except verification.Unverified as error:
    raise ValueError(f'{path}: {error}') from None
  return LatentReward(program, report, task.name, record['provenance'])


def _read(path: pathlib.Path) -> dict[str, Any]:
  try:
    record = json.loads(path.read_text(encoding='utf-8'))
  except (RecursionError, ValueError) as error:
    raise ValueError(f'{path} is no JSON: {error}') from None
  kinds: Sequence[tuple[str, type]] = (
    ('task', str),
    ('parameters', list),
    ('sha256', str),
    ('source', str),
    ('provenance', dict),
  )
  if not isinstance(record, dict) or record.get('format') != FORMAT:
    raise ValueError(f'{path} is no latent reward of the format {FORMAT!r}')
  for name, kind in kinds:
    if not isinstance(record.get(name), kind):
      raise ValueError(f'{path}: {name} is missing, or no {kind.__name__}')
  # Half a character, which JSON can write, has no hash.
  try:
    record['source'].encode()
  except UnicodeEncodeError:
    raise ValueError(f'{path}: source is no text') from None
  return record
