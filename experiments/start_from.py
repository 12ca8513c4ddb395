"""The warm start of another run, to compare methods from one policy."""

import os
import pathlib
from collections.abc import Iterable

from experiments import run_folder
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, weights
from jaxcredit.networks import tokenizer as tokenizer_lib
from jaxcredit.training import checkpoints as checkpoints_lib


def chat_tokenizer(folder: str) -> tokenizer_lib.Tokenizer:
  """The tokenizer of a Qwen2.5 folder."""
  return tokenizer_lib.Tokenizer.load(folder, '<|im_end|>', chat=True)


def load(
  source: pathlib.Path, model: Iterable[str]
) -> tuple[decoder.Params, config_lib.DecoderConfig, tokenizer_lib.Tokenizer]:
  """Reads what a run had learned by imitation.

  Args:
    source: folder of that run.
    model: names of the flags that give the sizes of its policy.

  Returns:
    Parameters, configuration and tokenizer.

  Raises:
    FileNotFoundError: there is no run, or its warm start is not complete.
  """
  flags = run_folder.read_config(source)
  steps = flags['warm_start_steps']
  folder = source / 'checkpoints' / 'warm_start'
  if not steps or not (folder / str(steps)).is_dir():
    raise FileNotFoundError(
      f'{source} holds no complete warm start'
      + (f' ({folder / str(steps)} is missing)' if steps else '')
      + ': finish that run, or take another'
    )
  if flags['pretrained']:
    pretrained = os.path.expanduser(flags['pretrained'])
    tokenizer = chat_tokenizer(pretrained)
    config = weights.read_config(pretrained)
  else:
    tokenizer = tokenizer_lib.Tokenizer.load(source / 'tokenizer')
    config = config_lib.DecoderConfig(
      vocab_size=tokenizer.vocab_size, **{name: flags[name] for name in model}
    )
  return checkpoints_lib.read_params(folder), config, tokenizer
