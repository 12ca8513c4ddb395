"""Byte-pair vocabularies of the SentencePiece kind, as Llama 2 has one.

Such a vocabulary lists pieces with scores and no merges: of all neighbours
whose union is a piece, the pair with the best score merges first. The
`tokenizers` library wants the merges in order, which the scores imply.
"""

import math
import re
from collections.abc import Container, Sequence

import tokenizers
from tokenizers import decoders, models, normalizers

_SPACE = '▁'
_BYTE = re.compile('<0x[0-9A-F]{2}>')


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
