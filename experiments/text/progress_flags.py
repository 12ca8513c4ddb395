"""Flags of exploration and of the progress estimator."""

import dataclasses

from experiments.run import option_flags
from experiments.text import flags as training_flags
from experiments.text import progress_stage
from jaxcredit.training import progress_estimator

_PROGRESS = option_flags.define(progress_stage.ProgressOptions)
_ESTIMATOR = option_flags.define(
  progress_estimator.EstimatorOptions, prefix='estimator_'
)


def stage() -> progress_stage.ProgressStage:
  """The stage that the flags describe."""
  options = _PROGRESS.read()
  return progress_stage.ProgressStage(
    dataclasses.replace(
      options,
      rollouts_from=training_flags.expanded(options.rollouts_from),
      estimator_from=training_flags.expanded(options.estimator_from),
    ),
    _ESTIMATOR.read(),
  )
