"""The progress estimator of a run, read back from its folder."""

import dataclasses
import os
import pathlib
from typing import Any

from experiments.run import console
from experiments.run import folder as run_folder
from experiments.text import saved_policy
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder
from jaxcredit.training import checkpoints, progress_estimator

# In the folder of a run: what is known of its estimator, once it is through.
FILE_NAME = 'estimator.json'
STAGE = 'estimator'


@dataclasses.dataclass(frozen=True)
class SavedEstimator:
  """The estimator of a run.

  Attributes:
    learned: for `ProgressEstimator.contributions`.
    options: it was fitted with.
    config: of its trunk.
    base: policy that it began with.
    folder: of the run that fitted it.
  """

  learned: Any
  options: progress_estimator.EstimatorOptions
  config: config_lib.DecoderConfig
  base: decoder.Params
  folder: pathlib.Path


def options_of(
  flags: dict[str, Any],
) -> progress_estimator.EstimatorOptions:
  """The estimator's options in the flags of a run, all `estimator_...`."""
  given = {
    field.name: flags[f'estimator_{field.name}']
    for field in dataclasses.fields(progress_estimator.EstimatorOptions)
    if f'estimator_{field.name}' in flags
  }
  if 'lora_targets' in given:
    given['lora_targets'] = tuple(given['lora_targets'])
  return progress_estimator.EstimatorOptions(**given)


def checkpoints_of(folder: pathlib.Path) -> pathlib.Path:
  return folder / 'checkpoints' / STAGE


def find(folder: pathlib.Path) -> pathlib.Path:
  """The run that fitted the estimator of a run: itself, or another.

  Raises:
    FileNotFoundError: there is no run, or its estimator is not through.
    ValueError: its configuration is damaged.
  """
  flags = run_folder.read_config(folder)
  if flags.get('estimator_from'):
    return find(pathlib.Path(os.path.expanduser(flags['estimator_from'])))
  if not (folder / FILE_NAME).exists():
    raise FileNotFoundError(
      f'{folder} holds no complete progress estimator ({FILE_NAME} is '
      'missing): finish that run with --method=spa, or take another'
    )
  return folder


def load(folder: pathlib.Path) -> SavedEstimator:
  """Reads the estimator of a run; see `find`."""
  folder = find(folder)
  flags = run_folder.read_config(folder)
  policy = saved_policy.load(folder, 'warm_start')
  return SavedEstimator(
    checkpoints.read_params(checkpoints_of(folder), console.console.print),
    options_of(flags),
    policy.config,
    policy.params,
    folder,
  )


def same_tokens(folder: pathlib.Path, other: pathlib.Path) -> bool:
  """Whether the policies of two runs read the same tokens."""

  def tokenizer(run):
    path = run / 'tokenizer' / 'tokenizer.json'
    if path.exists():
      return path.read_bytes()
    flags = run_folder.read_config(run)
    if flags.get('start_from'):
      return tokenizer(pathlib.Path(os.path.expanduser(flags['start_from'])))
    return flags['pretrained']

  return tokenizer(folder) == tokenizer(other)
