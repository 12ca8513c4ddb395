"""Text that stands inside a longer one and in which no special token is meant.

Many tokenizers put a space in front of a text, and some only where it starts.
A part of a text that is encoded alone must not get a second one.
"""

import functools
import json
from typing import Any, Literal

import tokenizers

Place = Literal['start', 'behind special', 'middle']


class PlainText:
  """Encodes parts of a text.

  Args:
    description: of a tokenizer, as tokenizer.json holds it.
  """

  def __init__(self, description: str):
    self._description = description
    self._backend = functools.cache(self._make)
    # Most tokenizers read the same at every place: one copy of them is enough.
    self._read = functools.cache(tokenizers.Tokenizer.from_str)

  def encode(self, text: str, place: Place) -> list[int]:
    """Tokens of a part; whatever it spells out is text.

    Args:
      text: of the part.
      place: where it stands: at the start, behind a special token, or behind
        other text.
    """
    return self._backend(place).encode(text, add_special_tokens=False).ids

  def _make(self, place: Place) -> tokenizers.Tokenizer:
    # No special tokens, so none is found.
    fields = {**json.loads(self._description), 'added_tokens': []}
    for part in ('normalizer', 'pre_tokenizer'):
      fields[part] = _placed(fields[part], place)
    return self._read(json.dumps(fields))


def _placed(value: Any, place: Place) -> Any:
  """A normalizer or pre-tokenizer without the space in front, if need be."""
  if isinstance(value, list):
    return [_placed(inner, place) for inner in value]
  if not isinstance(value, dict):
    return value
  kind = value.get('type')
  if kind == 'Metaspace' and (
    place == 'middle'
    or (place == 'behind special' and value['prepend_scheme'] == 'first')
  ):
    return {**value, 'prepend_scheme': 'never'}
  if place == 'middle' and kind == 'ByteLevel':
    return {**value, 'add_prefix_space': False}
  if place == 'middle' and kind == 'Prepend':
    return {'type': 'Sequence', 'normalizers': []}
  return {key: _placed(inner, place) for key, inner in value.items()}
