"""Group-relative credit of steps, and what a run writes down of it."""

from typing import Any

import numpy as np

from experiments.text import episode_records, group_relative_credit
from jaxcredit.training import loop as loop_lib


class GroupRelativeMethod:
  """A method of credit for steps; see `method.Method`.

  Whatever the method, GiGPO's parts are what is shown: they tell how the groups
  of anchors look.
  """

  credit_of = 'steps'
  token_credit = None
  needs_critic = False
  carried: dict[str, Any] = {}
  record_files = (episode_records.FILE_NAME,)

  def __init__(self, options: group_relative_credit.CreditOptions):
    self._options = options
    self.credit = group_relative_credit.make_credit(options)

  def metrics(self, batch: loop_lib.Batch) -> dict[str, Any]:
    parts = group_relative_credit.gigpo_parts(batch.trajectories, self._options)
    return loop_lib.anchor_statistics(
      np.asarray(parts.anchor_group), np.asarray(batch.trajectories.mask)
    )

  def records(self, iteration, batch, tokenizer, group_size):
    del tokenizer
    records = episode_records.episode_records(
      iteration,
      batch,
      group_relative_credit.gigpo_parts(batch.trajectories, self._options),
      group_relative_credit.grpo_credit(batch.trajectories, self._options),
      group_size,
    )
    return {episode_records.FILE_NAME: records}
