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
    finite_gradient: whether the derivatives by the arguments were finite.
  """

  mean: float
  std: float
  minimum: float
  maximum: float
  finite_gradient: bool


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
  require_gradients: bool = False,
) -> Report:
  """Tries a function.

  Args:
    program: from `language.check`.
    recorded: transitions of the task; `MAX_ROWS` of them are used.
    require_gradients: whether derivatives that are not finite are a failure.

  Returns:
    The report.

  Raises:
    refusal.Refused: shapes do not fit.
    Rejected: a factor is not finite, constant, depends on other rows, or is
      another one when computed again.
  """
  recorded = recorded.take(MAX_ROWS)
  arrays = [jnp.asarray(array) for array in recorded.arrays]
  # Shapes and bounds, before anything is computed.
  jax.eval_shape(lambda *x: interpreter.run(program, *x), *arrays)
  batch = np.asarray(interpreter.run(program, *arrays), np.float64)
  reasons = _values(batch)
  if not reasons:
    reasons = _rows(program, arrays, batch)
  if reasons:
    raise Rejected(reasons)
  finite = _gradients(program, arrays)
  reports = [
    FactorReport(
      *(float(f(column)) for f in (np.mean, np.std, np.min, np.max)), bool(good)
    )
    for column, good in zip(batch.T, finite, strict=True)
  ]
  sharp = [str(n) for n, good in enumerate(finite, 1) if not good]
  warnings = []
  if sharp:
    warnings.append(
      f'the derivatives of factor {", ".join(sharp)} are not finite on some '
      'transitions (the root of 0, for example)'
    )
    if require_gradients:
      raise Rejected(warnings)
  deviations = batch.std(0)
  if deviations.max() > _SCALES * deviations.min():
    warnings.append(
      f'scales of the factors differ much: deviations {deviations.min():.3g} '
      f'to {deviations.max():.3g}'
    )
  return Report(batch.shape[0], tuple(reports), tuple(warnings))


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


def _rows(program, arrays, batch: np.ndarray) -> list[str]:
  """Compares the batch with each row alone, and with itself."""
  reasons = []
  alone = np.asarray(interpreter.encode(program, *arrays), np.float64)
  turned = interpreter.run(program, *(array[::-1] for array in arrays))
  again = np.asarray(interpreter.run(program, *arrays), np.float64)
  scale = np.maximum(np.abs(batch).max(0), np.ptp(batch, axis=0)) + 1e-6
  others = {
    'of a row depends on the other rows (axis 0 is the batch: reduce over '
    'axis=1)': alone,
    'of a row depends on where the row stands': np.asarray(turned)[::-1],
    'is another one when computed again': again,
  }
  for words, other in others.items():
    wrong = ~(np.abs(other - batch) <= _TOLERANCE * scale).all(0)
    reasons += [
      f'factor {number} {words}'
      for number in np.flatnonzero(wrong) + 1
      if not any(f'factor {number} ' in reason for reason in reasons)
    ]
  return reasons


def _gradients(program, arrays) -> np.ndarray:
  """Whether the derivatives of each factor are finite, bool [d]."""

  def one(*row):
    return interpreter.encode(program, *row)

  count = tuple(range(len(arrays)))
  jacobians = jax.jit(jax.vmap(jax.jacrev(one, count)))(*arrays)
  finite = [np.isfinite(np.asarray(j)).all(axis=(0, 2)) for j in jacobians]
  return np.logical_and.reduce(finite)
