"""The function in a language model's answer.

The paper's prompt asks for JSON with the keys Understand, Analyze and
Functions (Qu et al. 2025, arXiv 2412.11120). Models put it between fences or
sentences, and code between fences inside it; all of that is only text here.
"""

import json
from collections.abc import Sequence
from typing import Any

from jaxcredit.latent_rewards import advice, refusal

Refused = refusal.Refused

MAX_CHARACTERS = 100_000
KEY = 'Functions'
_FENCE = '```'
_FORM = (
  f'answer with one JSON object with the keys Understand, Analyze and {KEY}; '
  f'{KEY} holds the text of def {advice.NAME}(...)'
)


def source_of(answer: str) -> str:
  """The source of the function in an answer.

  Args:
    answer: JSON, with or without text and fences around it, or the function
      alone, between fences or not.

  Returns:
    The source. It was not looked into yet: `language.check` does.

  Raises:
    refusal.Refused: there is none, or more than one.
  """
  if len(answer) > MAX_CHARACTERS:
    raise Refused(f'an answer of {len(answer)} characters', 'write less')
  found = _json(answer)
  if found is None:
    blocks = _fenced(answer)
    if len(blocks) > 1:
      raise Refused(f'{len(blocks)} blocks of code', _FORM)
    text = blocks[0] if blocks else answer.strip()
    if not text.lstrip().startswith(f'def {advice.NAME}'):
      raise Refused('an answer without JSON', _FORM)
    return text
  text = found.get(KEY, found.get(KEY.lower()))
  if isinstance(text, dict) and len(text) == 1:
    (text,) = text.values()
  if (
    isinstance(text, list)
    and text
    and all(isinstance(part, str) for part in text)
  ):
    text = '\n'.join(text)
  if not isinstance(text, str) or not text.strip():
    raise Refused(f'an answer without a text under {KEY}', _FORM)
  blocks = _fenced(text)
  if len(blocks) > 1:
    raise Refused(f'{len(blocks)} blocks of code', _FORM)
  return blocks[0] if blocks else text.strip('\n')


def _json(answer: str) -> dict[str, Any] | None:
  """The object in an answer; None where there is none."""
  start, end = answer.find('{'), answer.rfind('}')
  if start < 0 or end < start:
    return None
  try:
    # Line breaks inside of strings are no JSON, and common.
    found = json.loads(
      answer[start : end + 1], strict=False, object_pairs_hook=_object
    )
  except Refused:
    raise
  except (RecursionError, ValueError) as error:
    if _FENCE in answer or advice.NAME not in answer:
      return None
    if answer.strip().startswith(f'def {advice.NAME}'):
      return None
    raise Refused(f'broken JSON ({error})', _FORM) from None
  return found


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
  """A dict; JSON leaves open which of two equal keys counts."""
  found = dict(pairs)
  if len(found) < len(pairs):
    raise Refused('a JSON object with a key twice', _FORM)
  return found


def _fenced(text: str) -> list[str]:
  """What stands between fences, without the name of the language."""
  parts = text.split(_FENCE)[1::2]
  blocks = []
  for part in parts:
    first, line_end, rest = part.partition('\n')
    blocks.append(rest if line_end and ' ' not in first.strip() else part)
  return [block.strip('\n') for block in blocks if block.strip()]
