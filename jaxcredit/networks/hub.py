"""Where a model lies: a path, or a name on the Hugging Face hub."""

import os
import pathlib
import re

# Never *.bin: those are pickles.
_MODEL_FILES = ('*.json', '*.safetensors', '*.jinja', '*.txt', '*.model')
_TOKENIZER_FILES = ('*.json', '*.jinja', '*.txt', '*.model')
_FILE_ENDINGS = ('.gguf', '.bin', '.json', '.safetensors', '.model', '.pt')
# As the hub defines them: a name begins and ends with a letter or digit.
_WORD = r'[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?'
_NAME = re.compile(f'{_WORD}/{_WORD}', re.ASCII)


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
  # An empty text would be the current folder.
  if str(path_or_name) and path.exists():
    return path
  name = str(path_or_name)
  # A path, even if the working directory is not what its writer thought.
  if (
    isinstance(path_or_name, os.PathLike)
    or not _NAME.fullmatch(name)
    or name.endswith(_FILE_ENDINGS)
  ):
    raise FileNotFoundError(
      f'{name or "(an empty path)"} does not exist: give the folder of a model '
      "in Hugging Face form, a .gguf file, or a name on the hub ('owner/model')"
      f'{_where(path)}'
    )
  patterns = list(_TOKENIZER_FILES if tokenizer_only else _MODEL_FILES)
  try:
    # Imported here: reading a folder must not need it.
    import huggingface_hub

    folder = huggingface_hub.snapshot_download(name, allow_patterns=patterns)
  except ImportError as error:
    raise FileNotFoundError(
      f'{name} is no folder here, and asking the hub for it needs '
      "huggingface_hub (pip install 'jaxcredit[train]')"
    ) from error
  # A machine without a network shows it in many types, depending on the HTTP
  # library beneath; a wrong name or a gated model in others.
  except Exception as error:
    raise FileNotFoundError(
      f'{name} is no folder here, and the hub does not give it: '
      f'{_reason(name, error)}'
    ) from error
  return pathlib.Path(folder)


def _where(path: pathlib.Path) -> str:
  """What a path that does not exist may have meant."""
  if str(path).startswith('~') and path.expanduser().exists():
    return f'. {path.expanduser()} exists: write it so'
  return '' if path.is_absolute() else f'. Looked in {pathlib.Path.cwd()}'


def _reason(name: str, error: Exception) -> str:
  """Why a download failed, and what to do."""
  kinds = {kind.__name__ for kind in type(error).__mro__}
  status = getattr(getattr(error, 'response', None), 'status_code', None)
  page = f'https://huggingface.co/{name}'
  log_in = "log in with 'hf auth login', or set HF_TOKEN"
  # A gated model's error is one of an unknown name, too.
  if 'GatedRepoError' in kinds or (
    status in (401, 403) and 'RepositoryNotFoundError' not in kinds
  ):
    return (
      f'access to it is restricted. Ask for access on {page}, then {log_in}'
    )
  if 'RepositoryNotFoundError' in kinds:
    return (
      f'it knows no model of this name, or a private one. Look at {page}; if '
      f'the model is private, {log_in}; if a folder was meant, there is none '
      f'of this name in {pathlib.Path.cwd()}'
    )
  lines = str(error).strip().splitlines() or [type(error).__name__]
  return (
    f'({lines[0]}). Without a network, copy the folder (config.json, '
    '*.safetensors, tokenizer files) from a machine that has one and give its '
    'path in place of the name'
  )
