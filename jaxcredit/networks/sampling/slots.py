"""Which row sits in which row of the cache, and what is held there already.

Plain bookkeeping on the host. The tokens in a slot outlive the row that read
them: a new row that begins like them takes them over.
"""

import collections
import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np

# Fewer shared tokens than this are read again rather than copied.
_WORTH_COPYING = 8


def bucket(value: int, buckets: Sequence[int]) -> int:
  """The smallest bucket that holds `value`, else the largest of all."""
  return min((b for b in buckets if b >= value), default=max(buckets))


def capacities_for(row_tokens: int) -> tuple[int, ...]:
  """Sizes of a cache, two to the octave, up to that of a whole row."""
  sizes, size = [], 64
  while size < row_tokens:
    sizes += [size, size + size // 2]
    size *= 2
  return (*(s for s in sizes if s < row_tokens), row_tokens)


# Rows are told apart by identity: two may hold the same tokens.
@dataclasses.dataclass(eq=False)
class Row:
  """A row and its answer under way.

  Attributes:
    name: of the row.
    tokens: int32 [L], what came before the answer.
    key: the data of the answer's random key.
    budget: tokens of the answer at most.
    answering: whether the answer is still to be ended.
    stop_state: where the answer is in the stop strings' automaton.
    excluded: a token that cannot be the answer's first; -1: any can.
    generated: tokens of the answer so far.
    log_probs: theirs under the sampling distribution.
    policy_log_probs: theirs under the policy itself.
    entropies: of the policy itself where they were sampled.
    support: the tokens among which each was sampled, where that is reported.
    free_log_probs: those of the tokens, had none been excluded.
  """

  name: Hashable
  tokens: np.ndarray
  key: np.ndarray
  budget: int
  answering: bool = True
  stop_state: int = 0
  excluded: int = -1
  generated: list[int] = dataclasses.field(default_factory=list)
  log_probs: list[float] = dataclasses.field(default_factory=list)
  policy_log_probs: list[float] = dataclasses.field(default_factory=list)
  entropies: list[float] = dataclasses.field(default_factory=list)
  support: list[list[int]] = dataclasses.field(default_factory=list)
  free_log_probs: list[float] = dataclasses.field(default_factory=list)

  @property
  def length(self) -> int:
    return len(self.tokens) + len(self.generated)


def shared(text: np.ndarray, held: np.ndarray, tokens: np.ndarray):
  """Counts the tokens that rows hold and others begin with.

  Args:
    text: int32 [B, L].
    held: int32 [B], tokens of each text that count.
    tokens: int32 [N], of the row that begins. The last does not count: it is
      left to be read when the answer begins.

  Returns:
    int32 [B], tokens at the head of each text that begin `tokens`.
  """
  width = len(tokens) - 1
  equal = text[:, :width] == tokens[:width]
  first = np.logical_and.accumulate(equal, axis=1).sum(axis=1)
  return np.minimum(first, held).astype(np.int32)


class Slots:
  """The rows of a cache.

  Args:
    row_tokens: L, tokens of a row at most.
    share_prefixes: whether a row takes over what another has read.

  Attributes:
    rows: what sits in each slot; None: nothing.
    text: int32 [B, L], the tokens of each slot's last row.
    held: int32 [B], how many of them the cache holds.
    freed: int64 [B], when each was given back.
  """

  def __init__(self, row_tokens: int, share_prefixes: bool = True):
    self.rows: list[Row | None] = []
    self.text = np.zeros((0, row_tokens), np.int32)
    self.held = np.zeros((0,), np.int32)
    self.freed = np.zeros((0,), np.int64)
    self._share_prefixes = share_prefixes
    self._clock = 0

  def __len__(self) -> int:
    return len(self.rows)

  def free(self) -> list[int]:
    """Slots without a row, those that were given back first in front."""
    free = [slot for slot, row in enumerate(self.rows) if row is None]
    return sorted(free, key=lambda slot: self.freed[slot])

  def slot_of(self, row: Row) -> int:
    return next(slot for slot, other in enumerate(self.rows) if other is row)

  def give_back(self, row: Row) -> None:
    self._clock += 1
    slot = self.slot_of(row)
    self.rows[slot] = None
    self.freed[slot] = self._clock

  def resize(self, size: int) -> np.ndarray:
    """Makes room for `size` rows, or drops slots that have none.

    Returns:
      int32 [size], which old slot each new one was; 0 for those that are new.
    """
    used = [slot for slot, row in enumerate(self.rows) if row is not None]
    # What was given back last is the likeliest to be of use again.
    kept = (used + self.free()[::-1])[:size]
    self.rows = [self.rows[slot] for slot in kept]
    self.rows += [None] * (size - len(kept))

    def reorder(values):
      new = np.zeros((size, *values.shape[1:]), values.dtype)
      new[: len(kept)] = values[kept]
      return new

    self.text = reorder(self.text)
    self.held = reorder(self.held)
    self.freed = reorder(self.freed)
    return np.array(kept + [0] * (size - len(kept)), np.int32)

  def replace(self, old: Row, new: Row) -> None:
    """Goes on with a row: what both have in common need not be read again."""
    slot = self.slot_of(old)
    one = slice(slot, slot + 1)
    self.held[one] = shared(self.text[one], self.held[one], new.tokens)
    self.text[slot, : len(new.tokens)] = new.tokens
    self.rows[slot] = new

  def admit(
    self, queue: collections.deque[Row]
  ) -> tuple[list[tuple[int, int]], int]:
    """Gives free slots to rows that wait.

    A row that begins like another of the same round waits for the next round,
    when that one has been read.

    Args:
      queue: rows that wait; those admitted leave it.

    Returns:
      (source, target) slots to copy, all at once and before anything is read;
      and the number of tokens that need not be read.
    """
    free = self.free()
    text, held = self.text.copy(), self.held.copy()
    coming = np.zeros_like(held)
    copies, saved = [], 0
    for row in list(queue)[: len(free)]:
      source, common = 0, 0
      if self._share_prefixes:
        lengths = shared(text, held, row.tokens)
        source, common = int(lengths.argmax()), int(lengths.max())
        soon = int(shared(self.text, coming, row.tokens).max())
        if soon >= common + _WORTH_COPYING:
          continue
      slot = source if common and source in free else free[0]
      if slot != source:
        if common >= _WORTH_COPYING:
          copies.append((source, slot))
        else:
          common = 0
      free.remove(slot)
      queue.remove(row)
      self.rows[slot] = row
      self.held[slot] = common
      self.text[slot, : len(row.tokens)] = row.tokens
      coming[slot] = len(row.tokens) - 1
      saved += common
    return copies, saved

  def pending_tokens(self) -> dict[int, int]:
    """Tokens that rows must read before their last one, by slot."""
    left = {
      slot: row.length - 1 - int(self.held[slot])
      for slot, row in enumerate(self.rows)
      if row is not None and row.answering
    }
    return {slot: count for slot, count in left.items() if count}
