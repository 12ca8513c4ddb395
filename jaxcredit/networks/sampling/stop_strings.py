"""Text that ends an answer, wherever it lies among tokens.

A stop string may span tokens, begin within one and end within another. So the
strings become an automaton over bytes (Aho and Corasick 1975), and that one
over tokens: what a token does to each state is worked out beforehand, and while
tokens are drawn a state is one look-up away from the next, on the device,
without text.

Tokens are never cut. The one in which a stop string ends is drawn, scored and
kept whole, whatever follows the string in it; only the answer's text is cut.
"""

import collections
import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StopTable:
  """The automaton over tokens. State 0 begins an answer.

  Attributes:
    kinds: int32 [V], tokens that do the same to every state share a kind.
    transitions: int32 [S, K], the state behind a token of each kind; the last
      state, S - 1, is that of a string found, and is never left.
  """

  kinds: jax.Array
  transitions: jax.Array

  def next(self, state: jax.Array, token: jax.Array) -> jax.Array:
    """States [B] and tokens [B] -> the states behind the tokens."""
    return self.transitions[state, self.kinds[token]]

  def found(self, state: jax.Array) -> jax.Array:
    """Whether a string has been found, bool [B]."""
    return state == self.transitions.shape[0] - 1

  def behind(self, tokens: Sequence[int]) -> int:
    """The state behind the first tokens of an answer."""
    kinds, transitions = np.asarray(self.kinds), np.asarray(self.transitions)
    state = 0
    for token in tokens:
      state = int(transitions[state, kinds[token]])
    return state


def _check(strings: Sequence[str]) -> list[bytes]:
  if isinstance(strings, str):
    raise ValueError(
      f'stop strings must be a sequence of strings, not one: [{strings!r}]?'
    )
  for string in strings:
    if not isinstance(string, str) or not string:
      raise ValueError(f'a stop string must be a text, not {string!r}')
  return [string.encode() for string in strings]


def _byte_automaton(strings: Sequence[bytes]) -> np.ndarray:
  """int32 [S, 256], the state behind each byte; the last state is final."""
  children: list[dict[int, int]] = [{}]
  final = [False]
  for string in strings:
    node = 0
    for byte in string:
      if byte not in children[node]:
        children[node][byte] = len(children)
        children.append({})
        final.append(False)
      node = children[node][byte]
    final[node] = True
  table = np.zeros((len(children), 256), np.int32)
  fallback = [0] * len(children)
  queue = collections.deque([0])
  while queue:
    node = queue.popleft()
    # A shorter string may end where a longer one is still under way.
    final[node] = final[node] or final[fallback[node]]
    if node:
      table[node] = table[fallback[node]]
    for byte, child in children[node].items():
      fallback[child] = table[node, byte] if node else 0
      table[node, byte] = child
      queue.append(child)
  # The final nodes become one state, the last.
  going = [node for node, ends in enumerate(final) if not ends]
  number = np.full((len(children),), len(going), np.int32)
  number[going] = np.arange(len(going))
  table = number[table[going]]
  return np.concatenate([table, np.full((1, 256), len(going), np.int32)])


def compile_table(
  strings: Sequence[str], pieces: Sequence[bytes], vocab_size: int
) -> StopTable | None:
  """Builds the automaton of some stop strings.

  Args:
    strings: the stop strings; the first that is complete ends the answer.
    pieces: for each token, the bytes that it adds to a text (see
      `token_bytes`).
    vocab_size: V of the model; tokens beyond `pieces` add nothing.

  Returns:
    The table, or None where there are no strings.

  Raises:
    ValueError: an empty stop string, or more pieces than the vocabulary holds.
  """
  encoded = _check(strings)
  if not encoded:
    return None
  if len(pieces) > vocab_size:
    raise ValueError(
      f'the tokenizer has {len(pieces)} tokens, the model {vocab_size}'
    )
  table = _byte_automaton(encoded)
  length = np.zeros((vocab_size,), np.int32)
  length[: len(pieces)] = [len(piece) for piece in pieces]
  # Token by token, all states side by side, a byte at a time; the longest
  # tokens come last, so that those still under way stand together.
  order = np.argsort(length, kind='stable')
  columns = np.tile(np.arange(len(table), dtype=np.int32)[:, None], vocab_size)
  for position in range(length.max(initial=0)):
    longer = order[np.searchsorted(length[order], position, 'right') :]
    byte = [pieces[token][position] for token in longer]
    columns[:, longer] = table[columns[:, longer], byte]
  transitions, kinds = np.unique(columns, axis=1, return_inverse=True)
  return StopTable(
    jnp.asarray(kinds.reshape(-1), jnp.int32),
    jnp.asarray(transitions, jnp.int32),
  )


def token_bytes(tokenizer, vocab_size: int) -> list[bytes]:
  """The bytes that each token adds to a text.

  Args:
    tokenizer: its method `token_bytes()` gives them where it has one;
      otherwise tokens are decoded one by one, which is right where the text of
      tokens is the texts of each in a row.
    vocab_size: of the model.
  """
  if hasattr(tokenizer, 'token_bytes'):
    return list(tokenizer.token_bytes())
  size = min(vocab_size, getattr(tokenizer, 'vocab_size', vocab_size))
  return [tokenizer.decode([token]).encode() for token in range(size)]


def cut(text: str, strings: Sequence[str], *, keep: bool = False) -> str:
  """An answer's text up to the stop string that ended it.

  Args:
    text: of the answer.
    strings: the stop strings. The one that is complete first counts; among
      those that end together the longest.
    keep: whether the stop string itself stays.

  Returns:
    The text before the string (or up to its end); all of it where none is
    found.
  """
  found = [
    (text.index(string) + len(string), text.index(string))
    for string in strings
    if string in text
  ]
  if not found:
    return text
  end, start = min(found)
  return text[: end if keep else start]
