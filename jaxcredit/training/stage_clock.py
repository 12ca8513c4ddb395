"""Where the time of an iteration goes: seconds by stage, which add up."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax

# Name in the metrics, after `seconds_`: what is done. What none of them claims
# is `other`; together they are `total`.
STAGES = {
  'rollout': 'rollout',
  'packing': 'rows for the learner',
  'values': "the critic's values, the reference's scores",
  'credit': 'credit',
  'update': 'update of the policy',
  'checkpoint': 'checkpoint',
  'evaluation': 'evaluation',
  'records': 'records',
  'other': 'the rest',
}


class StageClock:
  """Measures stages, from one `split` to the next.

  Args:
    *stages: that take 0 seconds where they are not measured.
  """

  def __init__(self, *stages: str):
    self._stages = stages
    self._begin()

  def _begin(self) -> None:
    self._start = time.perf_counter()
    self._seconds = dict.fromkeys(self._stages, 0.0)

  @contextlib.contextmanager
  def measure(self, stage: str) -> Iterator[None]:
    """Adds what happens inside to a stage; names it in a profile, too."""
    start = time.perf_counter()
    try:
      with jax.profiler.TraceAnnotation(stage):
        yield
    finally:
      seconds = time.perf_counter() - start
      self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

  def measured(self) -> dict[str, float]:
    """Seconds of each stage so far, as metrics."""
    return {f'seconds_{name}': s for name, s in self._seconds.items()}

  def split(self, inside: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Seconds since the last split, by stage; begins anew.

    Args:
      inside: metrics; stages that somebody else measured in the same time are
        taken from them.

    Returns:
      `seconds_STAGE` of this clock's stages and of those in `inside`, with
      `seconds_other`, which is what is left of `seconds_total`.
    """
    total = time.perf_counter() - self._start
    names = [f'seconds_{name}' for name in STAGES if name != 'other']
    seconds = {n: inside[n] for n in names if n in (inside or {})}
    for name, value in self.measured().items():
      seconds[name] = seconds.get(name, 0.0) + value
    seconds['seconds_other'] = total - sum(seconds.values())
    seconds['seconds_total'] = total
    self._begin()
    return seconds
