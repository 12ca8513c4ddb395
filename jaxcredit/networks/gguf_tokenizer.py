"""The tokenizer inside a GGUF file."""

import pathlib
from typing import Any

import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from jaxcredit.networks import sentencepiece_bpe
from jaxcredit.networks.weights import gguf_file

_GPT2 = (
  r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)
_WORDS = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,%d}|"
  r' ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+'
)
# tokenizer.ggml.pre -> splits made one after the other, before bytes merge.
_SPLITS = {
  'gpt-2': (_GPT2,),
  'smollm': (r'\p{N}', _GPT2),
  'llama-bpe': (_WORDS % 3,),
  'llama3': (_WORDS % 3,),
  'qwen2': (_WORDS % 1,),
}
# Kinds of tokens (tokenizer.ggml.token_type).
_CONTROL, _USER = 3, 4


def read(
  path: pathlib.Path,
) -> tuple[transformers.PreTrainedTokenizerFast, tuple[int, ...]]:
  """Reads the tokenizer of a GGUF file, and the tokens that end an answer.

  Raises:
    ValueError: the file has none, or one of an unknown kind.
  """
  file = gguf_file.GgufFile(path)
  fields = {
    key.removeprefix('tokenizer.ggml.'): value
    for key, value in file.metadata.items()
  }
  needed = {'llama': 'scores', 'gpt2': 'merges'}
  for key in ('model', 'tokens', needed.get(fields.get('model'), 'model')):
    if key not in fields:
      raise ValueError(f'{path} has no tokenizer (tokenizer.ggml.{key})')
  tokens = fields['tokens']
  try:
    backend = _backend(fields)
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from None
  kinds = fields.get('token_type', [])
  backend.add_tokens(
    [
      tokenizers.AddedToken(token, special=kind == _CONTROL, normalized=False)
      for token, kind in zip(tokens, kinds, strict=False)
      if kind in (_CONTROL, _USER)
    ]
  )
  named = {
    name: tokens[fields[key]]
    for name, key in (
      ('bos_token', 'bos_token_id'),
      ('eos_token', 'eos_token_id'),
      ('unk_token', 'unknown_token_id'),
      ('pad_token', 'padding_token_id'),
    )
    if fields.get(key) is not None
  }
  # Llama 2's vocabulary starts a text with its first token unless told not to.
  if fields.get('add_bos_token', fields['model'] == 'llama'):
    bos = named.get('bos_token')
    if bos is None:
      raise ValueError(f'{path}: tokenizer.ggml.bos_token_id is missing')
    backend.post_processor = processors.TemplateProcessing(
      single=f'{bos}:0 $A:0',
      special_tokens=[(bos, fields['bos_token_id'])],
    )
  stops = tuple(
    dict.fromkeys(
      fields[key]
      for key in ('eos_token_id', 'eot_token_id', 'eom_token_id')
      if fields.get(key) is not None
    )
  )
  tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=backend, **named
  )
  tokenizer.chat_template = fields.get('tokenizer.chat_template')
  return tokenizer, stops


def _backend(fields: dict[str, Any]) -> tokenizers.Tokenizer:
  model = fields['model']
  if model == 'llama':
    return sentencepiece_bpe.build(
      fields['tokens'],
      fields['scores'],
      unknown=fields['tokens'][fields.get('unknown_token_id', 0)],
      leading_space=fields.get('add_space_prefix', True),
    )
  if model != 'gpt2':
    raise ValueError(
      f'tokenizer.ggml.model is {model!r}; gpt2 and llama are read'
    )
  splits = _SPLITS.get(fields.get('pre'))
  if splits is None:
    raise ValueError(
      f'tokenizer.ggml.pre is {fields.get("pre")!r}; '
      f'{", ".join(_SPLITS)} are read. Give the Hugging Face folder of the '
      "model's tokenizer instead"
    )
  backend = tokenizers.Tokenizer(
    models.BPE(
      vocab={token: number for number, token in enumerate(fields['tokens'])},
      merges=[tuple(merge.split(' ', 1)) for merge in fields['merges']],
      # Llama 3 takes a piece that is a token as it is, whatever the merges.
      ignore_merges=fields['pre'] in ('llama-bpe', 'llama3'),
    )
  )
  if fields['pre'] == 'qwen2':
    backend.normalizer = normalizers.NFC()
  backend.pre_tokenizer = pre_tokenizers.Sequence(
    [
      *(
        pre_tokenizers.Split(tokenizers.Regex(split), 'isolated')
        for split in splits
      ),
      pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
  )
  backend.decoder = decoders.ByteLevel()
  return backend
