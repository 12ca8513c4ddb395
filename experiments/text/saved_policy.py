"""The policy of a run, read back from its folder."""

import dataclasses
import os
import pathlib
from typing import Any

from experiments.run import console
from experiments.run import folder as run_folder
from experiments.text import policy_options
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, lora, weights
from jaxcredit.networks.tokenizers import pretrained_tokenizer
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.training import checkpoints

# Flags that give the sizes of a policy that is trained from nothing.
SIZES = ('width', 'layers', 'heads', 'kv_heads', 'head_dim', 'hidden')
STAGES = ('warm_start', 'train')


@dataclasses.dataclass(frozen=True)
class SavedPolicy:
  """A policy that can play, be trained further, or be exported.

  Attributes:
    params: adapters are merged.
    config: of the decoder.
    tokenizer: that it was trained with.
  """

  params: decoder.Params
  config: config_lib.DecoderConfig
  tokenizer: tokenizer_lib.Tokenizer


def options_of(flags: dict[str, Any]) -> policy_options.PolicyOptions:
  """The policy's options in the flags of a run.

  Flags that a run of an earlier version lacks have their default. The mesh is
  left out: a policy plays on any.
  """
  names = [f.name for f in dataclasses.fields(policy_options.PolicyOptions)]
  given = {
    name: flags[name]
    for name in names
    if name in flags and not name.startswith('mesh_')
  }
  if 'lora_targets' in given:
    given['lora_targets'] = tuple(given['lora_targets'])
  return policy_options.PolicyOptions(**given)


def load(folder: pathlib.Path, stage: str = 'train') -> SavedPolicy:
  """Reads the policy of a run.

  Args:
    folder: of the run.
    stage: 'train' for the policy after training, 'warm_start' for that before.

  Raises:
    FileNotFoundError: there is no run, or it has not come so far.
    ValueError: its configuration is damaged.
  """
  flags = run_folder.read_config(folder)
  _check(folder / run_folder.CONFIG, flags)
  options = options_of(flags)
  pretrained = flags['pretrained'] and os.path.expanduser(flags['pretrained'])
  if stage == 'warm_start':
    params = _start(folder, flags, options, pretrained)
  else:
    params = _trained(folder, flags, options, pretrained)
  config, tokenizer = _config_and_tokenizer(
    folder, flags, options, pretrained, params['embedder']['embedding'].shape[0]
  )
  config = config.for_tokenizer(tokenizer.vocab_size)
  return SavedPolicy(params, config, tokenizer)


def _check(path: pathlib.Path, flags: dict[str, Any]) -> None:
  """Raises where the flags are not those of a policy, before any is built."""
  needed = ('pretrained', 'warm_start_steps', *SIZES)
  missing = [name for name in needed if name not in flags]
  if missing:
    raise ValueError(
      f'{path} lacks {", ".join(missing)}: it is damaged, or of a run that '
      'trains no text policy'
    )
  for name, kind in (('pretrained', str), ('warm_start_steps', int)):
    if not isinstance(flags[name], kind | None):
      raise ValueError(f'{path}: {name} is {flags[name]!r:.100}')
  if not flags['pretrained']:
    try:
      config_lib.check_sizes({name: flags[name] for name in SIZES})
    except ValueError as error:
      raise ValueError(f'{path}: {error}') from None


def save_adapters(folder: pathlib.Path, output: pathlib.Path) -> int:
  """Writes what a run learned beside its policy, as adapters.

  Args:
    folder: of the run.
    output: folder to write.

  Returns:
    Number of parameters.

  Raises:
    FileNotFoundError: there is no run, or it has not come so far.
    ValueError: the run learned no adapters, or its configuration is damaged.
  """
  flags = run_folder.read_config(folder)
  _check(folder / run_folder.CONFIG, flags)
  options = options_of(flags)
  if options.lora is None:
    raise ValueError(
      f'{folder} learned no adapters (--lora_rank is 0): export the policy '
      'without --adapters'
    )
  pretrained = flags['pretrained'] and os.path.expanduser(flags['pretrained'])
  learned = checkpoints.read_params(
    folder / 'checkpoints' / 'train', console.console.print
  )
  # Adapters do not depend on the vocabulary.
  config, tokenizer = _config_and_tokenizer(
    folder, flags, options, pretrained, 1
  )
  # What was trained before the adapters is a model of its own.
  trained = flags['warm_start_steps'] or flags.get('start_from')
  weights.save_adapters(
    output,
    learned,
    options.lora,
    config,
    base='' if trained or not pretrained else flags['pretrained'],
  )
  tokenizer.save(output)
  return decoder.count_parameters(learned)


def _config_and_tokenizer(folder, flags, options, pretrained, vocabulary):
  """Of the policy of a run; a mesh may have asked for more tokens than its."""
  if pretrained:
    return (
      weights.read_config(pretrained, **options.computing(True)),
      pretrained_tokenizer.load(pretrained),
    )
  config = config_lib.DecoderConfig(
    vocab_size=vocabulary,
    **{name: flags[name] for name in SIZES},
    **options.computing(False),
  )
  return config, tokenizer_lib.Tokenizer.load(folder / 'tokenizer')


def _start(folder, flags, options, pretrained) -> decoder.Params:
  """Parameters that training began with."""
  if flags.get('start_from'):
    other = pathlib.Path(os.path.expanduser(flags['start_from']))
    return load(other, 'warm_start').params
  steps = flags['warm_start_steps']
  if not steps:
    if pretrained:
      return options.load(pretrained)[0]
    raise FileNotFoundError(f'{folder} holds no warm start: it had no steps')
  saved = folder / 'checkpoints' / 'warm_start'
  if not (saved / str(steps)).is_dir():
    raise FileNotFoundError(
      f'{folder} holds no complete warm start ({saved / str(steps)} is '
      'missing): finish that run, or take another'
    )
  return checkpoints.read_params(saved, console.console.print)


def _trained(folder, flags, options, pretrained) -> decoder.Params:
  """Parameters after training, adapters merged."""
  learned = checkpoints.read_params(
    folder / 'checkpoints' / 'train', console.console.print
  )
  if options.lora is None:
    return learned
  base = _start(folder, flags, options, pretrained)
  return lora.merge(base, learned, options.lora)
