"""Byte-pair vocabularies of the SentencePiece kind, as Llama 2 has one.

Such a vocabulary lists pieces with scores and no merges: of all neighbours
whose union is a piece, the pair with the best score merges first. The
`tokenizers` library wants the merges in order, which the scores imply.
"""

import math
import os
import pathlib
import re
import struct
from collections.abc import Container, Sequence

import tokenizers
from tokenizers import decoders, models, normalizers, processors

_SPACE = '▁'
_BYTE = re.compile('<0x[0-9A-F]{2}>')
# Of llama2.c: three special pieces, then the bytes in order.
_SPECIAL = ['<unk>', '<s>', '</s>']
_BYTES = [f'<0x{byte:02X}>' for byte in range(256)]


def build(
  pieces: Sequence[str],
  scores: Sequence[float],
  *,
  unknown: str = '<unk>',
  leading_space: bool = True,
  reserved: Container[int] = (),
) -> tokenizers.Tokenizer:
  """A tokenizer that falls back on bytes ('<0x0A>').

  Args:
    pieces: by id, with '▁' for a space.
    scores: of the pieces; higher merges earlier. (Where different pieces score
      the same, SentencePiece takes the leftmost and this the smaller ids; no
      trained vocabulary has such pieces.)
    unknown: the piece for what has neither piece nor bytes.
    leading_space: whether a text is read as if a space stood before it.
    reserved: ids that no merge makes, such as that of '<s>'. Bytes are always
      reserved: '<0x0A>' spelt out is text.

  Raises:
    ValueError: pieces and scores do not belong together.
  """
  _check(pieces, scores)
  vocabulary = {piece: number for number, piece in enumerate(pieces)}
  merges = []
  for number, (piece, score) in enumerate(zip(pieces, scores, strict=True)):
    if number in reserved or _BYTE.fullmatch(piece):
      continue
    for cut in range(1, len(piece)):
      left, right = piece[:cut], piece[cut:]
      if left in vocabulary and right in vocabulary:
        order = (-score, vocabulary[left], vocabulary[right])
        merges.append((order, (left, right)))
  merges.sort()
  backend = tokenizers.Tokenizer(
    models.BPE(
      vocab=vocabulary,
      merges=[pair for _, pair in merges],
      unk_token=unknown,
      fuse_unk=True,
      byte_fallback=True,
    )
  )
  spaces = normalizers.Replace(' ', _SPACE)
  backend.normalizer = (
    normalizers.Sequence([normalizers.Prepend(_SPACE), spaces])
    if leading_space
    else spaces
  )
  steps = [
    decoders.Replace(_SPACE, ' '),
    decoders.ByteFallback(),
    decoders.Fuse(),
  ]
  if leading_space:
    steps.append(decoders.Strip(' ', 1, 0))
  backend.decoder = decoders.Sequence(steps)
  return backend


def read_llama2c(path: str | os.PathLike) -> tokenizers.Tokenizer:
  """Reads the tokenizer file of llama2.c.

  It holds the length of the longest piece, then for each piece its score
  (float32), length and bytes. Ids 1 and 2 start and end a text.

  Raises:
    ValueError: the file is truncated, or none of llama2.c.
  """
  raw = pathlib.Path(path).read_bytes()
  pieces, scores, longest = [], [], 0
  place = 4
  try:
    (promised,) = struct.unpack_from('<i', raw)
    while place < len(raw):
      score, length = struct.unpack_from('<fi', raw, place)
      place += 8
      piece = raw[place : place + length]
      if length < 0 or len(piece) < length:
        raise ValueError('a piece ends behind the file')
      pieces.append(piece.decode('utf-8').replace(' ', _SPACE))
      scores.append(score)
      longest = max(longest, length)
      place += length
    if pieces[3:259] != _BYTES:
      raise ValueError('ids 3 to 258 are not the bytes')
    if longest != promised:
      raise ValueError(
        f'the longest piece has {longest} bytes, not {promised} as the file '
        'says'
      )
    pieces[:3] = _SPECIAL
    backend = build(pieces, scores, reserved=range(3))
  # A text that is no UTF-8 is a ValueError, too.
  except (struct.error, ValueError) as error:
    raise ValueError(
      f'{path} is truncated, or no tokenizer of llama2.c: {error}'
    ) from None
  backend.add_special_tokens(
    [
      tokenizers.AddedToken(name, special=True, normalized=False)
      for name in _SPECIAL
    ]
  )
  backend.post_processor = processors.TemplateProcessing(
    single='<s> $A', special_tokens=[('<s>', 1)]
  )
  return backend


def _check(pieces: Sequence[str], scores: Sequence[float]) -> None:
  if len(scores) != len(pieces):
    raise ValueError(f'{len(pieces)} pieces have {len(scores)} scores')
  numbers: dict[str, int] = {}
  for number, (piece, score) in enumerate(zip(pieces, scores, strict=True)):
    other = numbers.setdefault(piece, number)
    if other != number:
      raise ValueError(f'pieces {other} and {number} are both {piece!r}')
    if math.isnan(score):
      raise ValueError(f'the score of piece {number} ({piece!r}) is no number')
