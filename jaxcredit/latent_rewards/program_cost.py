"""What the compiled form of a latent reward function needs, from its shapes.

The syntax tree is traced for one row, and nothing is computed. The equations
of the trace are counted, with the longest chain of each kind of operation,
the bytes of all temporary arrays, and the multiplications of matrix products.

Long chains are refused for the compiler's sake: XLA for CPUs merges a chain of
gathers into one loop by recursion, which overflows the stack of its thread, and
its time grows faster than the length of a chain of reductions.
`experiments.benchmarks.cost.compiler_limits` measures where that happens; the
limits here lie well below.
"""

import dataclasses
import math
import re
from typing import Any

import numpy as np
from jax.extend import core

from jaxcredit.latent_rewards import refusal

Refused = refusal.Refused

MAX_EQUATIONS = 4_000
# Operations that follow on each other, by kind; `docs/latent_rewards.md` says
# what the compiler stands.
MAX_CHAIN = {
  'any kind': 400,
  'gathers': 32,
  'choices': 64,
  'concatenations': 48,
  'matrix products': 32,
  'sorts': 32,
  'reductions': 24,
  'singular values': 4,
}
MAX_BYTES = 2**20
MAX_MULTIPLICATIONS = 2**20
# Of all rows of one call.
MAX_BATCH_MULTIPLICATIONS = 2**36

_KIND = {
  'gather': 'gathers',
  'dynamic_slice': 'gathers',
  'dynamic_update_slice': 'gathers',
  'scatter': 'gathers',
  'scatter-add': 'gathers',
  'select_n': 'choices',
  'concatenate': 'concatenations',
  'pad': 'concatenations',
  'stack': 'concatenations',
  'tile': 'concatenations',
  'dot_general': 'matrix products',
  'sort': 'sorts',
  'svd': 'singular values',
}
_KINDS = tuple(MAX_CHAIN)
# They change a shape or a type, and cost the compiler next to nothing.
_FREE = frozenset(
  'broadcast_in_dim convert_element_type copy reshape squeeze transpose'.split()
)
_CALLS = frozenset(
  'jit pjit closed_call core_call custom_jvp_call custom_vjp_call remat '
  'checkpoint'.split()
)
_LOOPS = frozenset('while scan cond'.split())
_LINE = re.compile(r'line_(\d+)')


def scope(line: int) -> str:
  """Name of the scope in which a line of the text is traced."""
  return f'line_{line}'


@dataclasses.dataclass(frozen=True)
class Cost:
  """What one row needs.

  Attributes:
    equations: of the trace.
    chains: the longest of each kind in MAX_CHAIN.
    bytes: of all temporary arrays together.
    multiplications: of matrix products and singular values.
    line: of the text, which adds most to the multiplications; None: no line.
  """

  equations: int
  chains: dict[str, int]
  bytes: int
  multiplications: int
  line: int | None

  def check_batch(self, rows: int) -> None:
    """Raises Refused where the multiplications of all rows are too many."""
    total = self.multiplications * rows
    if total > MAX_BATCH_MULTIPLICATIONS:
      raise Refused(
        f'{self.multiplications:,} multiplications a row, {total:,} for the '
        f'{rows:,} rows of a batch',
        f'at most {MAX_BATCH_MULTIPLICATIONS:,}: multiply smaller matrices, or '
        'train on smaller batches',
        self.line,
      )


def of(trace: core.ClosedJaxpr) -> Cost:
  """The cost of a function that was traced for one row.

  Args:
    trace: from `jax.make_jaxpr`, with each line in its `scope`.

  Raises:
    refusal.Refused: a limit of this module is passed; with the line.
  """
  count = _Count()
  start = np.zeros(len(_KINDS), np.int64)
  count.walk(trace.jaxpr, [start] * len(trace.jaxpr.invars), None)
  lines = count.multiplications_by_line
  return Cost(
    equations=count.equations,
    chains=dict(zip(_KINDS, map(int, count.chains), strict=True)),
    bytes=count.bytes,
    multiplications=sum(lines.values()),
    line=max(lines, key=lines.get) if lines else None,
  )


class _Count:
  """Sums over the equations of a trace, calls inside of it included."""

  def __init__(self):
    self.equations = 0
    self.chains = np.zeros(len(_KINDS), np.int64)
    self.bytes = 0
    self.multiplications_by_line: dict[int | None, int] = {}

  def walk(
    self, jaxpr: core.Jaxpr, inputs: list[np.ndarray], line: int | None
  ) -> list[np.ndarray]:
    """Counts, and returns the chains that lead to each output."""
    start = np.zeros(len(_KINDS), np.int64)
    chains: dict[Any, np.ndarray] = dict.fromkeys(jaxpr.constvars, start)
    chains |= zip(jaxpr.invars, inputs, strict=True)

    def of_atom(atom) -> np.ndarray:
      return start if isinstance(atom, core.Literal) else chains[atom]

    for equation in jaxpr.eqns:
      here = _line(equation) or line
      before = [of_atom(atom) for atom in equation.invars]
      name = equation.primitive.name
      if name in _CALLS:
        after = self.walk(_called(equation), before, here)
      elif name in _LOOPS:
        raise Refused(f'an operation with a loop ({name})', 'use others', here)
      else:
        after = self._equation(equation, before or [start], here)
      chains |= zip(equation.outvars, after, strict=True)
    return [of_atom(atom) for atom in jaxpr.outvars]

  def _equation(self, equation, before, line) -> list[np.ndarray]:
    self.equations += 1
    if self.equations > MAX_EQUATIONS:
      raise Refused(
        f'more than {MAX_EQUATIONS} array operations', 'loop less', line
      )
    self.bytes += sum(map(_bytes, equation.outvars))
    if self.bytes > MAX_BYTES:
      raise Refused(
        f'temporary arrays of {self.bytes:,} bytes a row up to here',
        f'at most {MAX_BYTES:,}: use smaller arrays',
        line,
      )
    self._multiply(_multiplications(equation), line)
    chain = np.max(before, axis=0)
    name = equation.primitive.name
    if name not in _FREE:
      chain = chain.copy()
      chain[0] += 1
      kind = 'reductions' if _is_reduction(name) else _KIND.get(name)
      if kind is not None:
        chain[_KINDS.index(kind)] += 1
      for kind, length in zip(_KINDS, chain, strict=True):
        if length > MAX_CHAIN[kind]:
          what = 'operations' if kind == 'any kind' else kind
          raise Refused(
            f'a chain of {length} {what}, each of which needs the one before',
            f'at most {MAX_CHAIN[kind]}: compute factors side by side',
            line,
          )
      self.chains = np.maximum(self.chains, chain)
    return [chain] * len(equation.outvars)

  def _multiply(self, number: int, line: int | None) -> None:
    if not number:
      return
    lines = self.multiplications_by_line
    lines[line] = lines.get(line, 0) + number
    total = sum(lines.values())
    if total > MAX_MULTIPLICATIONS:
      raise Refused(
        f'{total:,} multiplications of matrix products a row up to here',
        f'at most {MAX_MULTIPLICATIONS:,}: multiply smaller matrices',
        line,
      )


def _line(equation: core.JaxprEqn) -> int | None:
  found = _LINE.findall(str(equation.source_info.name_stack))
  return int(found[-1]) if found else None


def _called(equation: core.JaxprEqn) -> core.Jaxpr:
  """The function that an equation calls."""
  parameters = equation.params
  found = parameters['jaxpr' if 'jaxpr' in parameters else 'call_jaxpr']
  return found.jaxpr if isinstance(found, core.ClosedJaxpr) else found


def _bytes(variable) -> int:
  return variable.aval.size * variable.aval.dtype.itemsize


def _is_reduction(name: str) -> bool:
  return name.startswith(('reduce_', 'arg', 'cum'))


def _multiplications(equation: core.JaxprEqn) -> int:
  name = equation.primitive.name
  shape = equation.invars[0].aval.shape if equation.invars else ()
  if name == 'dot_general':
    (contracted, _), _ = equation.params['dimension_numbers']
    terms = math.prod(shape[axis] for axis in contracted)
    return equation.outvars[0].aval.size * terms
  if name == 'svd':
    # Golub and Van Loan, table 8.6.1: about 4 m n^2 for singular values alone;
    # iterations on small matrices cost more.
    return 20 * math.prod(shape) * min(shape[-2:])
  return 0
