"""A tokenizer trained on the text of an environment.

Byte-pair encoding (the `tokenizers` library) behind a split that suits text
with numbered things ("drawer 3"): the word for a kind of thing is always one
piece, its number another, and what stands between may merge into whole phrases.
So "You arrive at" is one token, and "mug" in the task is the same token as
"mug" in "take mug 3 from desk 1". Bytes are the fallback: any text can be
encoded and comes back unchanged.
"""

import json
import os
import pathlib
import re
from collections.abc import Iterable, Sequence

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

STOP = '<|end|>'
_THING = re.compile(r'(?<= )([A-Za-z]+)(?= \d)')


class Tokenizer:
  """Text to tokens and back.

  Args:
    backend: of the `tokenizers` library; must know the stop token.
    stop: text of the token that ends an answer.
  """

  # Whether prompts end inside a thought, which only chat templates open.
  opens_thoughts: bool = False

  def __init__(self, backend: tokenizers.Tokenizer, stop: str = STOP):
    eos_id = backend.token_to_id(stop)
    if eos_id is None:
      raise ValueError(f'the tokenizer has no token {stop!r}')
    self._backend = backend
    # Text that spells a special token out, an observation or a model's own
    # words, must not become that token.
    self._backend.encode_special_tokens = True
    self.eos_id: int = eos_id
    # Tokens that end an answer, and the one that a complete answer ends with.
    self.stop_ids: tuple[int, ...] = (eos_id,)
    self.turn_end_id: int = eos_id

  @property
  def vocab_size(self) -> int:
    """One more than the largest number of a token."""
    return 1 + max(self._backend.get_vocab().values())

  def encode(self, text: str) -> list[int]:
    """Tokens of a text; a stop token spelt out in it is not one."""
    return self._backend.encode(text, add_special_tokens=False).ids

  def encode_prompt(self, text: str) -> list[int]:
    """Tokens of what a policy is to answer."""
    return self.encode(text)

  def decode(self, tokens: Sequence[int]) -> str:
    """The text of tokens; bytes that are no UTF-8 become U+FFFD."""
    return self._backend.decode(list(tokens), skip_special_tokens=False)

  def token_bytes(self) -> list[bytes]:
    """The bytes that each token adds to a text; see `stop_strings`."""
    return token_bytes(self._backend)

  def save(self, folder: str | os.PathLike) -> None:
    """Writes what transformers and `load` read."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stop = self._backend.id_to_token(self.eos_id)
    kind = {'tokenizer_class': 'PreTrainedTokenizerFast', 'eos_token': stop}
    (folder / 'tokenizer_config.json').write_text(
      json.dumps(kind, indent=2) + '\n', encoding='utf-8'
    )
    # Last, and whole or not at all: where it is, the tokenizer is.
    temporary = folder / 'tokenizer.json.tmp'
    self._backend.save(str(temporary))
    temporary.replace(folder / 'tokenizer.json')

  @classmethod
  def load(cls, folder: str | os.PathLike, stop: str = STOP) -> 'Tokenizer':
    """Reads tokenizer.json; raises FileNotFoundError where there is none."""
    path = pathlib.Path(folder) / 'tokenizer.json'
    if not path.exists():
      raise FileNotFoundError(f'no tokenizer.json in {folder}')
    return cls(tokenizers.Tokenizer.from_file(str(path)), stop)


def _byte_of_letter() -> dict[str, int]:
  """How byte-level tokenizers spell bytes: GPT-2's table."""
  plain = [
    *range(ord('!'), ord('~') + 1),
    *range(ord('\xa1'), ord('\xac') + 1),
    *range(ord('\xae'), ord('\xff') + 1),
  ]
  others = [byte for byte in range(256) if byte not in plain]
  letters = {chr(byte): byte for byte in plain}
  return letters | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTE = re.compile('<0x([0-9A-F]{2})>')


def token_bytes(backend: tokenizers.Tokenizer) -> list[bytes]:
  """The bytes that each token adds to a text.

  Tokens of a byte-level tokenizer are spelt in its own letters; others are
  text, with a sign for the space and a name for each lone byte (SentencePiece).
  Where the decoder does more to a text, such as dropping the space in front,
  the bytes are those that a token adds in the middle.

  Args:
    backend: of the `tokenizers` library.

  Returns:
    One entry a token; b'' for numbers that are no token.
  """
  decoder = json.loads(backend.to_str())['decoder'] or {}
  kinds = {part['type'] for part in decoder.get('decoders', [decoder]) if part}
  added = backend.get_added_tokens_decoder()
  letters = _byte_of_letter()
  pieces = [b''] * (max(backend.get_vocab().values(), default=-1) + 1)
  for piece, token in backend.get_vocab().items():
    lone = _BYTE.fullmatch(piece)
    if token in added:
      pieces[token] = piece.encode()
    elif 'ByteLevel' in kinds:
      pieces[token] = bytes(letters[letter] for letter in piece)
    elif 'ByteFallback' in kinds and lone:
      pieces[token] = bytes([int(lone.group(1), 16)])
    else:
      pieces[token] = piece.replace('\u2581', ' ').encode()
  return pieces


def train_tokenizer(texts: Iterable[str], vocab_size: int = 1536) -> Tokenizer:
  """Trains a tokenizer; the same texts give the same tokenizer.

  Args:
    texts: what a policy reads and writes.
    vocab_size: tokens at most, at least 257 (all bytes and the stop token).
  """
  if vocab_size < 257:
    raise ValueError(
      'vocab_size must be at least 257 (the bytes and the stop token), not '
      f'{vocab_size}'
    )
  texts = list(texts)
  things = sorted(
    {word for text in texts for word in _THING.findall(text)},
    key=lambda word: (-len(word), word),
  )
  if things:
    words = '|'.join(re.escape(word) for word in things)
    pieces = rf' (?:{words})(?![A-Za-z])| \d+|\n'
  else:
    pieces = r' \d+|\n'
  backend = tokenizers.Tokenizer(models.BPE())
  backend.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.Split(tokenizers.Regex(pieces), 'isolated'),
      pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
  )
  backend.decoder = decoders.ByteLevel()
  backend.train_from_iterator(
    texts,
    trainers.BpeTrainer(
      vocab_size=vocab_size,
      # Rare phrases would be learned by heart, and used nowhere else.
      min_frequency=20,
      special_tokens=[STOP],
      initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
      show_progress=False,
    ),
  )
  return Tokenizer(backend)
