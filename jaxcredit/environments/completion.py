"""What a completion says: without thoughts, and what stands between tags.

Formats and checkers read model output through this module alone, by one rule.
Thoughts are not said to anybody: what counts stands behind the last
`</think>`, whether the opening tag is in the completion or the template has
written it. A thought that is not closed was cut off, or is not over: what
follows its tag does not count either. `<thinking>` is read like `<think>`, in
any case of letters.

What a model wrote is data: it is searched for tags, no more. All searches take
time in proportion to the text.
"""

import functools
import re
from typing import NamedTuple

_TAG = re.compile(r'<(/?)think(?:ing)?\s{0,8}>', re.IGNORECASE)
# What people write where they speak of an answer without giving one.
_PLACEHOLDERS = frozenset(
  'a above action an and answer below box boxed command expression final '
  'formula here in inside is it letter my number option put result solution '
  'text the value your'.split()
)
_WORDS = re.compile(r'[^\W_]+')


class Said(NamedTuple):
  """What a completion says.

  Attributes:
    text: what is said.
    begins, ends: where it stands in the completion.
    thought: whether thoughts that were closed stand before it.
  """

  text: str
  begins: int
  ends: int
  thought: bool


def said(completion: str, *, opened: bool = False) -> Said:
  """What a completion says behind its thoughts.

  Args:
    completion: of a model, without its prompt.
    opened: whether the prompt ends inside a thought that the template opened.
      A completion that does not close it was cut off inside, and says nothing.

  Returns:
    What follows the last closing tag, up to an opening tag behind it.
  """
  begins, closed, cut = 0, False, None
  for tag in _TAG.finditer(completion):
    if tag[1]:
      begins, closed, cut = tag.end(), True, None
    elif cut is None:
      cut = tag.start()
  if opened and not closed:
    return Said('', 0, 0, False)
  ends = len(completion) if cut is None else cut
  return Said(completion[begins:ends], begins, ends, closed)


def ending(completion: str, length: int) -> str:
  """The last characters of a completion, with the thought that they are in.

  Args:
    completion: of a model.
    length: characters that are kept.

  Returns:
    The end; behind an opening tag where the cut goes through a thought, so
    that what is left of it is not taken for what was said.
  """
  if len(completion) <= length:
    return completion
  cut = len(completion) - length
  thinking = False
  for tag in _TAG.finditer(completion):
    if tag.start() >= cut:
      break
    thinking = not tag[1]
  kept = completion[cut:]
  return f'<think>{kept}' if thinking else kept


@functools.cache
def _pair(tag: str) -> re.Pattern:
  # The innermost pair: an opening tag that is not closed begins nothing.
  return re.compile(
    rf'<{tag}>((?:(?!</?{tag}>).)*+)</{tag}>', re.DOTALL | re.IGNORECASE
  )


def tagged(text: str, tag: str) -> list[str]:
  """What complete pairs of a tag hold, in the order of the text.

  Args:
    text: what is said.
    tag: such as 'answer'.

  Returns:
    The contents without spaces around them; of pairs that hold something, and
    of placeholders ('<answer>...</answer>') where there is nothing else.
  """
  found = [content.strip() for content in _pair(tag).findall(text)]
  found = [content for content in found if content]
  return [c for c in found if not is_placeholder(c)] or found


def is_placeholder(content: str) -> bool:
  """Whether a text speaks of an answer and gives none: '...', 'your answer'."""
  # \{\} is the empty set.
  if not content.strip(' \t\n.\u2026?_{}$') and '\\' not in content:
    return True
  if any(character.isdigit() for character in content):
    return False
  commands = re.compile(r'\\(?:[lc]?dots(?![A-Za-z])|[A-Za-z]+(?=\s?\{))')
  rest = commands.sub(' ', content)
  words = _WORDS.findall(rest.casefold())
  if not words:
    return 'dots' in content and not rest.strip(' .{}$')
  # 'a' alone is a letter to choose.
  if len(words) == 1 and len(words[0]) == 1:
    return False
  return all(word in _PLACEHOLDERS for word in words)
