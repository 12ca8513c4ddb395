"""Conditions on states that are bit sets.

A state is a Python integer: bit i says whether the i-th changing fact holds.
A formula over given objects becomes a tree of a few integers: most conditions
are one mask, and are decided by one comparison.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Condition(NamedTuple):
  """All of some conditions, or any of them.

  Attributes:
    all_of: whether all must hold, or any.
    positive: bits that must be set.
    negative: bits that must be clear.
    parts: further conditions.
  """

  all_of: bool
  positive: int
  negative: int
  parts: tuple['Condition', ...]


ALWAYS = Condition(True, 0, 0, ())
NEVER = Condition(False, 0, 0, ())


def literal(bit: int, wanted: bool) -> Condition:
  """A fact that must hold, or must not."""
  mask = 1 << bit
  return Condition(True, mask if wanted else 0, 0 if wanted else mask, ())


def combine(
  all_of: bool, parts: Iterable[Condition], keep_constants: bool = False
) -> Condition:
  """All of the parts, or any of them, as flat as can be.

  Args:
    all_of: which of the two.
    parts: the parts.
    keep_constants: keeps parts that always or never hold, where they are to be
      counted.
  """
  positive = negative = 0
  others: list[Condition] = []
  for part in parts:
    if part in (ALWAYS, NEVER):
      if keep_constants:
        others.append(part)
      elif (part == ALWAYS) != all_of:
        return part
      continue
    size = _literals(part) + len(part.parts)
    if part.all_of == all_of or (size == 1 and not part.parts):
      positive |= part.positive
      negative |= part.negative
      others += [p for p in part.parts if p not in others or keep_constants]
    elif part not in others:
      others.append(part)
  if positive & negative and not keep_constants:
    return NEVER if all_of else ALWAYS
  if len(others) == 1 and not positive | negative:
    return others[0]
  return Condition(all_of, positive, negative, tuple(others))


def _literals(condition: Condition) -> int:
  return condition.positive.bit_count() + condition.negative.bit_count()


def holds(condition: Condition, state: int) -> bool:
  """Whether a condition holds."""
  all_of, positive, negative, parts = condition
  if all_of:
    if state & positive != positive or state & negative:
      return False
    return not parts or all(holds(part, state) for part in parts)
  if state & positive or ~state & negative:
    return True
  return any(holds(part, state) for part in parts)


def progress(condition: Condition, state: int) -> float:
  """The share of a condition that holds: 1 where, and only where, it does.

  Of all-conditions it is the mean over the parts, of any-conditions the
  greatest share of a part; facts count 0 or 1. It never falls when one more
  fact is as the condition wants it.
  """
  all_of, positive, negative, parts = condition
  right = (state & positive).bit_count() + (~state & negative).bit_count()
  if not all_of:
    return max(
      float(right > 0), max((progress(p, state) for p in parts), default=0.0)
    )
  size = _literals(condition) + len(parts)
  if not size:
    return 1.0
  return (right + sum(progress(part, state) for part in parts)) / size
