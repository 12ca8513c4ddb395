"""Sequences of tasks that are made when they are asked for.

A run names many tasks and meets few of them: of a sequence with ten thousand
million places nothing is kept but the latest tasks. A task is a function of its
place, so that one that was forgotten is made again as it was.
"""

import abc
import bisect
import collections
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

Task = TypeVar('Task')
# Of the largest tasks, household games of about 20 kB, these are 80 MB.
KEPT = 4096


class _Lazy(Sequence[Task]):
  """What lists of tasks do, without a list."""

  @overload
  def __getitem__(self, place: int) -> Task: ...

  @overload
  def __getitem__(self, place: slice) -> Sequence[Task]: ...

  def __getitem__(self, place):
    if isinstance(place, slice):
      return Mixed((self,), range(len(self))[place])
    size = len(self)
    index = place.__index__()
    if not -size <= index < size:
      raise IndexError(f'there are {size} tasks, none at {index}')
    return self._at(index % size)

  @abc.abstractmethod
  def _at(self, place: int) -> Task:
    """The task at a place from 0 on."""

  def __iter__(self) -> Iterator[Task]:
    return (self._at(place) for place in range(len(self)))

  def __add__(self, other: Sequence[Task]) -> list[Task]:
    return [*self, *other]

  def __radd__(self, other: Sequence[Task]) -> list[Task]:
    return [*other, *self]

  def __eq__(self, other: Any) -> bool:
    if not isinstance(other, Sequence) or isinstance(other, str):
      return NotImplemented
    return len(self) == len(other) and all(
      mine == theirs for mine, theirs in zip(self, other, strict=True)
    )

  __hash__ = None

  def __repr__(self) -> str:
    return f'<{len(self)} tasks, made when they are asked for>'


class Tasks(_Lazy[Task]):
  """Tasks that a function makes from their place.

  Args:
    count: how many there are.
    make: place, from 0 -> task, always the same; it must be picklable where the
      sequence is to travel between processes.
    kept: tasks that stay in memory, the latest ones.

  Raises:
    ValueError: there would be none.
  """

  def __init__(self, count: int, make: Callable[[int], Task], kept: int = KEPT):
    if count < 1:
      raise ValueError(f'count must be positive, not {count}')
    self._count = count
    self._make = make
    self._kept = kept
    self._cache: collections.OrderedDict[int, Task] = collections.OrderedDict()

  def __len__(self) -> int:
    return self._count

  def _at(self, place: int) -> Task:
    if place in self._cache:
      self._cache.move_to_end(place)
      return self._cache[place]
    task = self._make(place)
    self._cache[place] = task
    if len(self._cache) > self._kept:
      self._cache.popitem(last=False)
    return task

  def __getstate__(self) -> dict[str, Any]:
    return {**self.__dict__, '_cache': collections.OrderedDict()}


class Mixed(_Lazy[Task]):
  """Tasks of several sequences in turn, until all are used up.

  Args:
    parts: the sequences.
    places: which of their tasks are taken, by their place in the turns; None
      for all.
  """

  def __init__(
    self, parts: Sequence[Sequence[Task]], places: range | None = None
  ):
    self._parts = tuple(part for part in parts if len(part))
    # After so many turns another part is used up; until then so many take part.
    self._lengths = sorted({len(part) for part in self._parts})
    self._ends = [0]
    for before, length in itertools.pairwise([0, *self._lengths]):
      taking_part = sum(len(part) > before for part in self._parts)
      self._ends.append(self._ends[-1] + (length - before) * taking_part)
    self._places = range(self._ends[-1]) if places is None else places

  def __len__(self) -> int:
    return len(self._places)

  def _at(self, place: int) -> Task:
    place = self._places[place]
    era = bisect.bisect_right(self._ends, place) - 1
    before = self._lengths[era - 1] if era else 0
    playing = [part for part in self._parts if len(part) > before]
    turn, which = divmod(place - self._ends[era], len(playing))
    return playing[which][before + turn]
