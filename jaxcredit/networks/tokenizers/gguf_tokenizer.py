"""The tokenizer inside a GGUF file."""

import pathlib
from typing import Any

import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from jaxcredit.networks.tokenizers import sentencepiece_bpe
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
# Those of which llama.cpp starts a text with a token unless told not to.
_STARTED = ('llama-bpe', 'llama3')
# Kinds of tokens (tokenizer.ggml.token_type).
_NORMAL, _CONTROL, _USER = 1, 3, 4
# Lists with one entry a token.
_PER_TOKEN = {'scores': (int, float), 'token_type': int}
_IDS = {
  'bos_token': 'bos_token_id',
  'eos_token': 'eos_token_id',
  'unk_token': 'unknown_token_id',
  'pad_token': 'padding_token_id',
}
_STOPS = ('eos_token_id', 'eot_token_id', 'eom_token_id')


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
  try:
    return _read(fields)
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from None


def _read(fields: dict[str, Any]):
  _check(fields)
  # As llama.cpp names those that are empty, of which there may be several.
  fields['tokens'] = tokens = [
    token or f'[EMPTY_{number}]'
    for number, token in enumerate(fields['tokens'])
  ]
  backend = _backend(fields)
  backend.add_tokens(
    [
      tokenizers.AddedToken(token, special=kind == _CONTROL, normalized=False)
      for token, kind in zip(tokens, _kinds(fields), strict=True)
      if kind in (_CONTROL, _USER)
    ]
  )
  named = {
    name: tokens[fields[key]]
    for name, key in _IDS.items()
    if fields.get(key) is not None
  }
  starts = fields['model'] == 'llama' or (
    fields['pre'] in _STARTED and 'bos_token' in named
  )
  if fields.get('add_bos_token', starts):
    bos = named.get('bos_token')
    if bos is None:
      raise ValueError(
        'tokenizer.ggml.bos_token_id is missing, but a text is to start with '
        'that token'
      )
    backend.post_processor = processors.TemplateProcessing(
      single=[bos, '$A'], special_tokens=[(bos, fields['bos_token_id'])]
    )
  stops = [fields[key] for key in _STOPS if fields.get(key) is not None]
  tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=backend, **named
  )
  tokenizer.chat_template = fields.get('tokenizer.chat_template')
  return tokenizer, tuple(dict.fromkeys(stops))


def _check(fields: dict[str, Any]) -> None:
  """Raises unless the entries are there and fit each other."""
  needed = {'llama': 'scores', 'gpt2': 'merges'}
  for key in ('model', 'tokens', needed.get(str(fields.get('model')), 'model')):
    if key not in fields:
      raise ValueError(
        f'the file has no tokenizer (tokenizer.ggml.{key} is missing): give '
        "the Hugging Face folder of the model's tokenizer"
      )
  for key in ('tokens', 'merges'):
    if not _all_are(fields.get(key, []), str):
      raise ValueError(f'tokenizer.ggml.{key} is no list of texts')
  tokens = fields['tokens']
  for key, kind in _PER_TOKEN.items():
    values = fields.get(key)
    if values is None:
      continue
    if not _all_are(values, kind):
      raise ValueError(f'tokenizer.ggml.{key} is no list of numbers')
    if len(values) != len(tokens):
      raise ValueError(
        f'tokenizer.ggml.{key} has {len(values)} entries, but there are '
        f'{len(tokens)} tokens'
      )
  for key in (*_IDS.values(), *_STOPS):
    number = fields.get(key)
    if number is not None and not (
      type(number) is int and 0 <= number < len(tokens)
    ):
      raise ValueError(
        f'tokenizer.ggml.{key} is {number!r}, but there are {len(tokens)} '
        'tokens'
      )
  template = fields.get('tokenizer.chat_template')
  if not isinstance(template, str | None):
    raise ValueError('tokenizer.chat_template is no text')
  numbers: dict[str, int] = {}
  for number, token in enumerate(tokens):
    if token and numbers.setdefault(token, number) != number:
      raise ValueError(
        f'tokenizer.ggml.tokens: {numbers[token]} and {number} are both '
        f'{token!r}'
      )


def _all_are(values: Any, kind) -> bool:
  return isinstance(values, list) and all(isinstance(v, kind) for v in values)


def _kinds(fields: dict[str, Any]) -> list[int]:
  return fields.get('token_type', [_NORMAL] * len(fields['tokens']))


def _backend(fields: dict[str, Any]) -> tokenizers.Tokenizer:
  model = fields['model']
  if model == 'llama':
    return sentencepiece_bpe.build(
      fields['tokens'],
      fields['scores'],
      unknown=fields['tokens'][fields.get('unknown_token_id', 0)],
      leading_space=fields.get('add_space_prefix', True),
      reserved={
        *(fields[key] for key in _IDS.values() if key in fields),
        *(n for n, kind in enumerate(_kinds(fields)) if kind != _NORMAL),
      },
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
  vocabulary = {token: number for number, token in enumerate(fields['tokens'])}
  merges = [tuple(merge.split(' ', 1)) for merge in fields['merges']]
  for number, merge in enumerate(merges):
    if len(merge) != 2 or not vocabulary.keys() >= {*merge, ''.join(merge)}:
      raise ValueError(
        f'tokenizer.ggml.merges: {fields["merges"][number]!r} (number '
        f'{number}) is not two tokens that make one'
      )
  backend = tokenizers.Tokenizer(
    models.BPE(
      vocab=vocabulary,
      merges=merges,
      # Llama 3 takes a piece that is a token as it is, whatever the merges.
      ignore_merges=fields['pre'] in _STARTED,
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
