"""Byte-pair vocabularies of the SentencePiece kind, as Llama 2 has one.

Such a vocabulary lists pieces with scores and no merges: of all neighbours
whose union is a piece, the pair with the best score merges first. The
`tokenizers` library wants the merges in order, which the scores imply.
"""

import os
import pathlib
import struct
from collections.abc import Sequence

import tokenizers
from tokenizers import decoders, models, normalizers

_SPACE = '▁'


def build(
  pieces: Sequence[str],
  scores: Sequence[float],
  *,
  unknown: str = '<unk>',
  leading_space: bool = True,
) -> tokenizers.Tokenizer:
  """A tokenizer that falls back on bytes ('<0x0A>').

  Args:
    pieces: by id, with '▁' for a space.
    scores: of the pieces; higher merges earlier.
    unknown: the piece for what has neither piece nor bytes.
    leading_space: whether a text is read as if a space stood before it.
  """
  vocabulary = {piece: number for number, piece in enumerate(pieces)}
  merges = []
  for piece, score in zip(pieces, scores, strict=True):
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
  pieces, scores = [], []
  place = 4
  try:
    while place < len(raw):
      score, length = struct.unpack_from('<fi', raw, place)
      place += 8
      piece = raw[place : place + length]
      if length < 0 or len(piece) < length:
        raise struct.error('a piece ends behind the file')
      pieces.append(piece.decode('utf-8').replace(' ', _SPACE))
      scores.append(score)
      place += length
  except (struct.error, UnicodeDecodeError) as error:
    raise ValueError(
      f'{path} is truncated, or no tokenizer of llama2.c: {error}'
    ) from None
  if len(pieces) < 3:
    raise ValueError(f'{path} is no tokenizer of llama2.c')
  pieces[0:3] = ['<unk>', '<s>', '</s>']
  backend = build(pieces, scores)
  backend.add_special_tokens(
    [
      tokenizers.AddedToken(name, special=True, normalized=False)
      for name in pieces[0:3]
    ]
  )
  return backend
