"""Where a model lies: a path, or a name on the Hugging Face hub."""

import os
import pathlib
import re

# Never *.bin: those are pickles.
_MODEL_FILES = ('*.json', '*.safetensors', '*.jinja', '*.txt', '*.model')
_TOKENIZER_FILES = ('*.json', '*.jinja', '*.txt', '*.model')
_NAME = re.compile(r'[\w.-]+/[\w.-]+')


def locate(
  path_or_name: str | os.PathLike, *, tokenizer_only: bool = False
) -> pathlib.Path:
  """Returns the path of a model; one that is a hub's name is downloaded.

  Args:
    path_or_name: a folder or file, or a name such as 'Qwen/Qwen2.5-0.5B'. What
      exists on the disk is never looked for on the hub.
    tokenizer_only: whether weights are left out of a download.

  Raises:
    FileNotFoundError: it is no path, and cannot be had from the hub.
  """
  path = pathlib.Path(path_or_name)
  if path.exists():
    return path
  if not _NAME.fullmatch(str(path_or_name)):
    raise FileNotFoundError(
      f'{path_or_name} does not exist: give the folder of a model in Hugging '
      "Face form, a .gguf file, or a name on the hub ('owner/model')"
    )
  # Imported here: reading a folder must not need it.
  import huggingface_hub

  try:
    return pathlib.Path(
      huggingface_hub.snapshot_download(
        str(path_or_name),
        allow_patterns=list(
          _TOKENIZER_FILES if tokenizer_only else _MODEL_FILES
        ),
      )
    )
  # A machine without a network shows it in many types, depending on the HTTP
  # library beneath; a wrong name or a gated model in others.
  except Exception as error:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    raise FileNotFoundError(
      f'{path_or_name} is no folder here, and the hub does not give it '
      f'({reason[0]}). Without a network, copy the folder (config.json, '
      '*.safetensors, tokenizer files) from a machine that has one and give '
      'its path in place of the name'
    ) from error
