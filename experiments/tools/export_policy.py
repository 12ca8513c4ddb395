"""Writes the policy of a run as a folder in Hugging Face form.

  python -m experiments.tools.export_policy --run=runs/quick --output=exported

The folder holds config.json, model.safetensors and the tokenizer.
`transformers` loads it, and so does --pretrained=exported here. Adapters (LoRA)
are merged; with --adapters they are written alone, as the peft library and
inference servers read them (adapter_config.json, adapter_model.safetensors).
"""

import pathlib

from absl import app, flags

from experiments.run import command, console
from experiments.text import saved_policy
from jaxcredit.networks import decoder, weights

_RUN = flags.DEFINE_string('run', None, 'Folder of the run.', required=True)
_OUTPUT = flags.DEFINE_string(
  'output', None, 'Folder to write, new or empty.', required=True
)
_STAGE = flags.DEFINE_enum(
  'stage',
  'train',
  saved_policy.STAGES,
  'Which policy of the run: after training, or after the warm start.',
)
_ADAPTERS = flags.DEFINE_bool(
  'adapters',
  False,
  'Writes the adapters that training learned, and not the model. Their base is '
  'the policy before training (--stage=warm_start).',
)


def export(
  run: pathlib.Path,
  output: pathlib.Path,
  stage: str,
  *,
  adapters: bool = False,
) -> int:
  """Writes the folder; returns the number of parameters.

  Raises:
    FileExistsError: the folder holds something.
    FileNotFoundError: there is no run, or it has not come so far.
    ValueError: its configuration is damaged, or there are no adapters.
  """
  if adapters and stage != 'train':
    raise ValueError(
      'the policy before training has no adapters: leave out --stage'
    )
  if output.exists() and (not output.is_dir() or any(output.iterdir())):
    raise FileExistsError(
      f'{output} is not an empty folder: choose another --output'
    )
  if adapters:
    return saved_policy.save_adapters(run, output)
  policy = saved_policy.load(run, stage)
  weights.save_pretrained(output, policy.params, policy.config)
  policy.tokenizer.save(output)
  return decoder.count_parameters(policy.params)


def write() -> None:
  """Exports the run that the flags name."""
  output = pathlib.Path(_OUTPUT.value).expanduser()
  count = export(
    pathlib.Path(_RUN.value).expanduser(),
    output,
    _STAGE.value,
    adapters=_ADAPTERS.value,
  )
  console.console.print(f'{output}: {count:,} parameters', soft_wrap=True)


def main(argv):
  return command.run(argv, write)


if __name__ == '__main__':
  app.run(main)
