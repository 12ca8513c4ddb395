"""Records of a run: its method, and episodes or completions."""

import dataclasses
import json

import numpy as np

from experiments.run import folder as run_folder
from experiments.text import answer_records, episode_records
from jaxcredit import methods
from jaxcredit.distributed import processes
from jaxcredit.training import loop as loop_lib
from jaxcredit.training import metrics as metrics_lib

# What a report needs to know of the run's method.
METHOD_FILE = 'method.json'


class Records:
  """Writes records of a run.

  Args:
    training: `training.TextTraining`, whose run it is.
  """

  def __init__(self, training):
    self._training = training
    self._file = training.folder / (
      answer_records.FILE_NAME
      if training.domain.answers
      else episode_records.FILE_NAME
    )
    if processes.is_first():
      self._write_method()

  def _write_method(self) -> None:
    method = self._training.method
    record = {
      'name': method.name,
      'label': method.label,
      'unit': method.unit,
      'standardised': method.standardised,
      'options': dataclasses.asdict(self._training.method_options),
    }
    run_folder.write_text(
      self._training.folder / METHOD_FILE, json.dumps(record, indent=2) + '\n'
    )

  def drop_after(self, iteration: int) -> None:
    """Drops records of later iterations, which are played again."""
    metrics_lib.drop_from(self._file, lambda r: r['iteration'] <= iteration)

  def write(
    self, iteration: int, batch: loop_lib.Batch, credit: methods.Credit
  ) -> None:
    """Appends records of an iteration.

    Args:
      iteration: its number.
      batch: what was played.
      credit: that the gradient used.
    """
    method = self._training.method
    if self._training.domain.answers:
      records = answer_records.answer_records(
        iteration, batch, credit, method, self._training.tokenizer
      )
    else:
      steps = batch.trajectories.mask.shape[-1]
      step_of_token = None
      if method.unit == 'token':
        step_of_token = _steps_of_tokens(batch, credit.total.shape)
      records = episode_records.episode_records(
        iteration,
        batch,
        episode_records.step_credit(credit, step_of_token, steps),
        method.name,
      )
    metrics_lib.append_json_lines(self._file, records)


def _steps_of_tokens(batch: loop_lib.Batch, shape) -> np.ndarray:
  """The step of each token, int [P, G, L]; -1 without one."""
  result = np.full((shape[0] * shape[1], shape[2]), -1)
  for row, episode in zip(result, batch.episodes, strict=True):
    if not episode.failure and episode.rows:
      steps = episode.rows[0].step_of_token
      row[: len(steps)] = steps
  return result.reshape(shape)
