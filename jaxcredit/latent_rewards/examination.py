"""What a latent reward function must do on recorded transitions.

The authors' code accepts functions that give NaN, or the same number whatever
happens, and lists of no factor at all, and it tries one observation. Here each
of these is refused with a reason that the language model can use.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.latent_rewards import interpreter, language, transitions

# More say no more, and the child process has bounds.
MAX_ROWS = 256
# Spread of a factor, relative to its size, below which it is constant.
_CONSTANT = 1e-5
# One batch of rows may be summed in another order than another.
_TOLERANCE = 1e-3
_SCALES = 1e4


@dataclasses.dataclass(frozen=True)
class FactorReport:
  """What a factor was on the transitions.

  Attributes:
    mean: over the rows.
    std: likewise.
    minimum: likewise.
    maximum: likewise.
  """

  mean: float
  std: float
  minimum: float
  maximum: float


@dataclasses.dataclass(frozen=True)
class Report:
  """What a function did on transitions that it passed.

  Attributes:
    rows: transitions that were tried.
    factors: one report each, in the order of the function.
    warnings: what is allowed, and may be meant otherwise.
  """

  rows: int
  factors: tuple[FactorReport, ...]
  warnings: tuple[str, ...]

  def to_json(self) -> dict[str, Any]:
    """What JSON can hold."""
    return dataclasses.asdict(self)


class Rejected(ValueError):
  """The function is in the language, and fails on the transitions.

  Attributes:
    reasons: each in one sentence.
  """

  def __init__(self, reasons: list[str]):
    super().__init__('; '.join(reasons))
    self.reasons = tuple(reasons)


def examine(
  program: language.Program,
  recorded: transitions.Transitions,
  *,
  whole_batch: bool = True,
  require_gradients: bool = False,
) -> Report:
  """Tries a function.

  Args:
    program: from `language.check`.
    recorded: transitions of the task; `MAX_ROWS` of them are used.
    whole_batch: whether it is also given all rows at once, as its writer means
      it, and compared with itself row by row: a function that mixes rows says
      something else than was meant.
    require_gradients: whether the derivatives by its arguments must be finite.
      The method needs none.

  Returns:
    The report.

  Raises:
    refusal.Refused: shapes do not fit.
    Rejected: a factor is not finite, constant, depends on other rows, or is
      another one when computed again.
  """
  recorded = recorded.take(MAX_ROWS)
  arrays = [jnp.asarray(array) for array in recorded.arrays]
  # Shapes and bounds, before anything is compiled.
  interpreter.cost(program, *arrays)
  if whole_batch:
    jax.eval_shape(lambda *x: interpreter.run(program, *x), *arrays)
  alone = np.asarray(interpreter.encode(program, *arrays), np.float64)
  again = np.asarray(interpreter.encode(program, *arrays), np.float64)
  reasons = _differences(
    alone, again, 'is another one when computed again', tolerance=0.0
  )
  # Before the values: those of single rows say less where rows are mixed.
  if whole_batch and not reasons:
    reasons = _rows(program, arrays, alone)
  reasons = reasons or _values(alone)
  if require_gradients and not reasons:
    reasons = _gradients(program, arrays)
  if reasons:
    raise Rejected(reasons)
  reports = tuple(
    FactorReport(*(float(f(column)) for f in (np.mean, np.std, np.min, np.max)))
    for column in alone.T
  )
  warnings = []
  deviations = alone.std(0)
  if deviations.max() > _SCALES * deviations.min():
    warnings.append(
      f'scales of the factors differ much: deviations {deviations.min():.3g} '
      f'to {deviations.max():.3g}'
    )
  return Report(alone.shape[0], reports, tuple(warnings))


def _values(batch: np.ndarray) -> list[str]:
  reasons = []
  for number, column in enumerate(batch.T, 1):
    bad = int((~np.isfinite(column)).sum())
    if bad:
      reasons.append(
        f'factor {number} is not finite on {bad} of {len(column)} transitions: '
        'guard divisions, logarithms and roots'
      )
    elif np.ptp(column) <= _CONSTANT * max(np.abs(column).max(), _CONSTANT):
      reasons.append(
        f'factor {number} is {column[0]:.4g} on all {len(column)} transitions: '
        'it says nothing about them; compute it from other elements'
      )
  return reasons


def _differences(
  first: np.ndarray, second: np.ndarray, words: str, tolerance: float
) -> list[str]:
  """A reason for each factor that is not the same in both."""
  scale = np.abs(np.where(np.isfinite(first), first, 0)).max(0) + 1e-6
  with np.errstate(invalid='ignore'):
    same = np.abs(second - first) <= tolerance * scale
  same |= np.isnan(first) & np.isnan(second)
  same |= first == second
  return [f'factor {n} {words}' for n in np.flatnonzero(~same.all(0)) + 1]


def _rows(program, arrays, alone: np.ndarray) -> list[str]:
  """Compares the batch with each row alone."""
  batch = np.asarray(interpreter.run(program, *arrays), np.float64)
  reasons = _differences(
    alone,
    batch,
    'of a row depends on the other rows (axis 0 is the batch: reduce over '
    'axis=1)',
    _TOLERANCE,
  )
  if reasons:
    return reasons
  turned = interpreter.run(program, *(array[::-1] for array in arrays))
  return _differences(
    alone,
    np.asarray(turned, np.float64)[::-1],
    'of a row depends on where the row stands',
    _TOLERANCE,
  )


def _gradients(program, arrays) -> list[str]:
  """A reason for each factor with derivatives that are not finite."""

  def one(*row):
    return interpreter.encode(program, *row)

  count = tuple(range(len(arrays)))
  jacobians = jax.jit(jax.vmap(jax.jacrev(one, count)))(*arrays)
  finite = np.logical_and.reduce(
    [np.isfinite(np.asarray(j)).all(axis=(0, 2)) for j in jacobians]
  )
  return [
    f'factor {n} has derivatives that are not finite (the root of 0, for '
    'example: write jnp.sqrt(x + 1e-8))'
    for n in np.flatnonzero(~finite) + 1
  ]
