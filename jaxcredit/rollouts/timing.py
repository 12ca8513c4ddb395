"""What a training iteration spends its seconds on."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence


@dataclasses.dataclass
class Timing:
  """Seconds that a collection spent, by what it waited for.

  Attributes:
    policy: seconds in which the engine read and drew.
    environment: seconds in which environments were asked.
    busy: begin and end, by `time.perf_counter`, of the stretches in which the
      accelerator was given work and waited for. Stretches of several threads
      may overlap.
  """

  policy: float = 0.0
  environment: float = 0.0
  busy: list[tuple[float, float]] = dataclasses.field(default_factory=list)

  @contextlib.contextmanager
  def working(self) -> Iterator[None]:
    """Notes that the accelerator works while the block runs."""
    start = time.perf_counter()
    try:
      yield
    finally:
      self.busy.append((start, time.perf_counter()))


def idle_share(
  busy: Sequence[tuple[float, float]], begin: float, end: float
) -> float:
  """Share of the time from `begin` to `end` that no stretch covers.

  Args:
    busy: begin and end of stretches, in any order; they may overlap, and reach
      beyond the time that is looked at.
    begin: seconds.
    end: seconds, not before `begin`.

  Returns:
    0 to 1; 0 where there is no time between the two.
  """
  covered, reached = 0.0, begin
  for start, stop in sorted(busy):
    start, stop = max(start, reached), min(stop, end)
    if stop > start:
      covered += stop - start
      reached = stop
  return 1 - covered / (end - begin) if end > begin else 0.0
