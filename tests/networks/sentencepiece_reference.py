"""SentencePiece's byte-pair rule, word for word and slowly.

The pair of neighbours whose union has the best score merges, the leftmost of
equals, until no union is a piece. What is no piece then becomes its bytes.
(Kudo and Richardson 2018; Sennrich et al. 2016 for the merges.)
"""

from collections.abc import Sequence


def encode(
  pieces: Sequence[str],
  scores: Sequence[float],
  text: str,
  *,
  first_text_id: int,
  leading_space: bool = True,
) -> list[int]:
  """Ids of a text.

  Args:
    pieces: by id, with '▁' for a space; '<0x00>' and so on are bytes.
    scores: of the pieces.
    text: any.
    first_text_id: ids below it are no text: special pieces and bytes.
    leading_space: whether a space is put in front.
  """
  numbers = {
    piece: number
    for number, piece in enumerate(pieces)
    if number >= first_text_id
  }
  if not text:
    return []
  symbols = list((' ' * leading_space + text).replace(' ', '▁'))
  while True:
    best = None
    for place in range(len(symbols) - 1):
      number = numbers.get(symbols[place] + symbols[place + 1])
      if number is not None and (
        best is None or scores[number] > scores[best[1]]
      ):
        best = place, number
    if best is None:
      break
    place, number = best
    symbols[place : place + 2] = [pieces[number]]
  ids: list[int] = []
  for symbol in symbols:
    if symbol in numbers:
      ids.append(numbers[symbol])
    else:
      ids += [pieces.index(f'<0x{b:02X}>') for b in symbol.encode('utf-8')]
  return ids
