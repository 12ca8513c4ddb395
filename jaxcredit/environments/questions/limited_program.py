"""The program of a limited process: judges texts with libraries of others.

Run by path, so that it imports neither jaxcredit nor JAX:

    python -P limited_program.py SERVICE MEMORY

It reads a request a line as JSON and answers likewise. Libraries that judge
mathematics and puzzles evaluate text: SymPy reads even a plain number by
`eval`, some scorers of reasoning-gym `eval` the whole answer. So, from the
operating system's side, the process has a bound on its memory, may write no
file, and is killed by a timer, which ends a huge power too. From Python's
side, an audit hook refuses, while an answer is judged, to execute text that
names anything but arithmetic and the functions of school mathematics, to
write files, to start processes and to use the network.
"""

import json
import os
import re
import signal
import sys
import time
import types

# What compiled text may name: SymPy's way to write numbers and symbols, and
# functions. Single letters are variables. No attribute is among them, without
# which no text reaches anything else; strings given to these functions are
# evaluated, if at all, under the same rule.
ARITHMETIC = frozenset(
  'Symbol Integer Float Rational Function Add Mul Pow '
  'pi oo abs Abs sqrt cbrt exp log ln sign factorial binomial '
  'sin cos tan cot sec csc asin acos atan acot asec acsc '
  'sinh cosh tanh coth sech csch asinh acosh atanh acoth asech acsch '
  'alpha beta gamma delta epsilon theta phi psi omega sigma tau rho mu nu xi '
  'erf erfi erfc Si Ci Ei li'.split()
)
# Modules that execute text which they made themselves, from nothing that was
# read: the caller of `exec` is one of these.
_TEMPLATES = frozenset({'collections', 'dataclasses', 'sympy.polys.monomials'})
_REFUSED = (
  'ctypes.',
  'ftplib.',
  'os.exec',
  'os.fork',
  'os.kill',
  'os.posix_spawn',
  'os.putenv',
  'os.remove',
  'os.rename',
  'os.rmdir',
  'os.spawn',
  'os.startfile',
  'os.symlink',
  'os.system',
  'os.truncate',
  'pty.',
  'shutil.',
  'socket.',
  'subprocess.',
  'urllib.',
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Refused(Exception):
  """What was asked for is not allowed while an answer is judged."""


class Guard:
  """An audit hook; once added it stays, and watches while it is `on`."""

  def __init__(self):
    self.on = False
    self.refused: list[str] = []

  def __call__(self, event, arguments):
    if not self.on:
      return
    reason = None
    if event == 'exec':
      caller = sys._getframe(1).f_globals.get('__name__')
      if caller not in _TEMPLATES:
        reason = _objection(arguments[0])
    elif event == 'open':
      if (arguments[2] or 0) & _WRITES:
        reason = 'writing a file'
    elif event.startswith(_REFUSED):
      reason = event
    if reason is not None:
      self.refused.append(reason)
      raise Refused(reason)


def _objection(code) -> str | None:
  """Why code is not executed; None for modules and for arithmetic."""
  if not isinstance(code, types.CodeType):
    return 'executing what is not code'
  name = code.co_filename
  if os.path.isabs(name) or name.startswith('<frozen '):
    return None  # a module, imported late
  if code.co_names == ('sympy',):
    return None  # SymPy's own 'from sympy import *', before it reads a number
  strange = [n for n in code.co_names if len(n) > 1 and n not in ARITHMETIC]
  if strange:
    return f'executing text that names {strange[0][:40]!r}'
  if any(isinstance(c, types.CodeType) for c in code.co_consts):
    return 'executing text that defines functions'
  return None


def limit_resource(kind: str, amount: int) -> None:
  """Sets a limit of the operating system, where there is one."""
  try:
    import resource

    resource.setrlimit(getattr(resource, kind), (amount, amount))
  except (AttributeError, ImportError, OSError, ValueError):
    pass


# Digits to which constants without an exact form are compared.
_PRECISION = 30


class Mathematics:
  """Compares formulas in LaTeX by math-verify, numbers exactly."""

  def __init__(self):
    import logging

    import math_verify
    import sympy
    from math_verify import grader

    # It warns that its own timers are off: the process has one.
    logging.getLogger('math_verify').setLevel(logging.CRITICAL)
    self._library = math_verify
    self._sympy = sympy
    self._rounded_symbolic_equality = grader.sympy_symbolic_eq
    self._tolerance = sympy.Integer(0)
    # The library rounds to six places, which makes 0.333333 of 1/3, and 0 of
    # all that is small.
    grader.sympy_numeric_eq = self._equal
    grader.sympy_symbolic_eq = self._equal_symbolically
    self._target = [math_verify.LatexExtractionConfig(boxed_match_priority=0)]
    self.score({'reference': r'\frac{1}{2}+x^2', 'answer': '0.5+x^{2}'})

  def _parse(self, formula: str):
    # LaTeX alone: its reader of plain expressions hands them to `eval`.
    return self._library.parse(
      rf'$\boxed{{{formula}}}$',
      extraction_config=self._target,
      parsing_timeout=None,
    )

  def _exact(self, value):
    """A value whose decimals are the fractions that were written."""
    floats = value.atoms(self._sympy.Float)
    exact = {f: self._sympy.Rational(str(f)) for f in floats if f.is_finite}
    return value.xreplace(exact).doit()

  def _equal(self, left, right, rounding=None, precision=None) -> bool:
    """Whether two values are equal; decides for numbers alone."""
    del rounding, precision
    sympy = self._sympy
    if isinstance(left, sympy.MatrixBase) or isinstance(
      right, sympy.MatrixBase
    ):
      return (
        isinstance(left, sympy.MatrixBase)
        and isinstance(right, sympy.MatrixBase)
        and left.shape == right.shape
        and all(
          self._equal(a, b) or self._equal_symbolically(a, b)
          for a, b in zip(left.flat(), right.flat(), strict=True)
        )
      )
    if not isinstance(left, sympy.Expr) or not isinstance(right, sympy.Expr):
      return False
    per_cent = _of_per_cent(left), _of_per_cent(right)
    left, right = self._exact(left), self._exact(right)
    if self._same(left, right):
      return True
    # 9% is 9, where one of them alone has the sign.
    if per_cent[0] is not per_cent[1] and None in per_cent:
      if per_cent[0] is not None:
        return self._same(self._exact(per_cent[0]), right)
      return self._same(left, self._exact(per_cent[1]))
    return False

  def _same(self, left, right) -> bool:
    if left == right:
      return True
    difference = left - right
    if difference.free_symbols:
      return False
    if left.is_Rational and right.is_Rational:
      return bool(abs(difference) <= self._tolerance * abs(left))
    size = abs(left.evalf(_PRECISION))
    # What vanishes has no digits: evalf gives up where it cannot tell.
    away = abs(difference.evalf(_PRECISION, maxn=400))
    if not (size.is_number and away.is_number and size.is_finite):
      return False
    least = self._sympy.Float(10) ** (5 - _PRECISION)
    allowed = max(self._tolerance, least) * max(size, least)
    return bool(away.is_finite and away <= allowed)

  def _equal_symbolically(self, left, right) -> bool:
    sympy = self._sympy
    if not isinstance(left, sympy.Expr) or not isinstance(right, sympy.Expr):
      return self._rounded_symbolic_equality(left, right)
    left, right = self._exact(left), self._exact(right)
    if not (left - right).free_symbols:
      return self._same(left, right)
    return self._rounded_symbolic_equality(left, right)

  def score(self, request):
    self._tolerance = self._sympy.Rational(str(request.get('tolerance', 0)))
    reference = self._parse(request['reference'])
    answer = self._parse(request['answer'])
    equal = self._library.verify(reference, answer, timeout_seconds=None)
    return {'score': float(equal)}


def _of_per_cent(value):
  """What stands before the sign in '9\\%'; None for other values."""
  arguments = getattr(value, 'args', ())
  if len(arguments) == 2 and str(arguments[1]) == '1/100':
    if type(arguments[1]).__name__ == 'UnevaluatedExpr':
      return arguments[0]
  return None


class Procedural:
  """Generates and scores the tasks of reasoning-gym."""

  def __init__(self):
    import warnings

    warnings.simplefilter('ignore')
    import reasoning_gym
    from reasoning_gym import factory

    self._library = reasoning_gym
    self._known = sorted(factory.DATASETS)
    self._datasets = {}
    self._entries = {}

  def names(self, request):
    del request
    return {'names': self._known}

  def _dataset(self, request):
    key = json.dumps([request['task'], request['config']], sort_keys=True)
    if key not in self._datasets:
      if len(self._datasets) >= 64:
        self._datasets.pop(next(iter(self._datasets)))
      self._datasets[key] = self._library.create_dataset(
        request['task'], **request['config']
      )
    return key, self._datasets[key]

  def _entry(self, request):
    key, dataset = self._dataset(request)
    place = key, request['index']
    if place not in self._entries:
      if len(self._entries) >= 256:
        self._entries.pop(next(iter(self._entries)))
      self._entries[place] = dataset[request['index']]
    return dataset, self._entries[place]

  def generate(self, request):
    """Returns the question, its reference answer, and a fault or ''."""
    dataset, entry = self._entry(request)
    known = entry['answer']
    # Some kinds have many answers and name one elsewhere, or none.
    examples = [known] if known is not None else _examples(entry)
    reference = next(
      (e for e in examples if dataset.score_answer(e, entry) > 1 - 1e-9), None
    )
    fault = ''
    if known is not None and reference is None:
      fault = 'its scorer refuses its own reference answer'
    elif _accepts(dataset, entry, 'Neither is this an answer.'):
      fault = 'its scorer accepts any answer'
    return {
      'prompt': entry['question'],
      'reference': reference,
      'fault': fault,
    }

  def load(self, request):
    """Generates the question, so that scoring finds it."""
    self._entry(request)
    return {}

  def guesses(self, request):
    """Counts the questions that each of some constant answers solves."""
    ends = time.monotonic() + request['seconds']
    solved = dict.fromkeys(CONSTANTS, 0)
    count = 0
    while count < request['count'] and time.monotonic() < ends:
      dataset, entry = self._entry({**request, 'index': count})
      count += 1
      # A right answer that is among them is counted like the others.
      for constant in CONSTANTS:
        solved[constant] += _accepts(dataset, entry, constant)
    return {'count': count, 'solved': solved}

  def score(self, request):
    dataset, entry = self._entry(request)
    if request['prompt'] != entry['question']:
      raise ValueError('the question generated now is another one')
    answer = request['answer']
    # All comparisons with NaN are false, those that refuse an answer too.
    if not_finite(answer) and not not_finite(str(entry['answer'])):
      return {'score': 0.0}
    try:
      score = dataset.score_answer(answer, entry)
    # A scorer accepted the reference when the question was made: what it
    # cannot parse is the answer.
    except PARSING as error:
      reason = f'{type(error).__name__}: {str(error)[:300]}'
      return {'error': reason, 'kind': 'error', 'by_answer': True}
    return {'score': float(score)}


# Answers that are tried on every kind, to see what guessing is worth.
CONSTANTS = (
  '0', '1', '-1', '2', '3', '4', '5', '10', '0.0', '0/1', 'yes', 'no', 'Yes',
  'No', 'YES', 'NO', 'True', 'False', 'true', 'false', 'A', 'B', 'a', 'x',
  'None', 'none', 'N/A', 'impossible', 'infeasible', 'undetermined', '-', '.',
  '*', '[]', '[[]]', '[0]', '{}', '()', '""', '0 0', 'North', 'fool', 'knight',
)  # fmt: skip
PARSING = (
  ArithmeticError,
  AttributeError,
  LookupError,
  RecursionError,
  SyntaxError,
  TypeError,
  ValueError,
)
_NOT_FINITE = re.compile(
  r'(?<![A-Za-z])(?:nan|inf(?:inity)?)[ij]?(?![A-Za-z])', re.IGNORECASE
)
_EXPONENT = re.compile(r'[0-9][eE]\+?([0-9]{1,9})')


def not_finite(text: str) -> bool:
  """Whether a text has a number that is none, or more than any."""
  return _NOT_FINITE.search(text) is not None or any(
    int(exponent) > 300 for exponent in _EXPONENT.findall(text)
  )


def _examples(entry) -> list[str]:
  metadata = entry.get('metadata', {})
  names = ('possible_answer', 'example_correct_answer', 'example_answer')
  found = [metadata[name] for name in names if name in metadata]
  return [e if isinstance(e, str) else json.dumps(e) for e in found]


def _accepts(dataset, entry, text) -> bool:
  if not_finite(text) and not not_finite(str(entry['answer'])):
    return False
  try:
    return dataset.score_answer(text, entry) > 1 - 1e-9
  except Exception:  # as a scorer may, on what is no answer
    return False


SERVICES = {'mathematics': Mathematics, 'procedural': Procedural}
# Operations that work on what a model wrote.
_WATCHED = frozenset({'score', 'verify'})
GUARD = Guard()


def serve(service, lines, write) -> None:
  """Answers requests until there are no more."""
  for line in lines:
    request = json.loads(line)
    signal.setitimer(signal.ITIMER_REAL, request['limit'])
    GUARD.refused.clear()
    GUARD.on = request['operation'] in _WATCHED
    try:
      answer = getattr(service, request['operation'])(request)
    except MemoryError:
      answer = {'error': 'needs more memory than allowed', 'kind': 'memory'}
      # The process and its limit do for other answers.
      answer['by_answer'] = GUARD.on
    # Whatever a library raises is told, not suffered.
    except BaseException as error:
      reason = f'{type(error).__name__}: {str(error)[:300]}'
      answer = {'error': reason, 'kind': 'error'}
    GUARD.on = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    if GUARD.refused:
      answer = {'error': f'refused {GUARD.refused[0]}', 'kind': 'refused'}
      answer['by_answer'] = True
    write(answer)


def main(services=SERVICES) -> None:
  """Serves one of the services, which the first argument names."""
  name, memory = sys.argv[1], int(sys.argv[2])
  # Libraries print; what they print must not mix with the answers.
  answers = os.fdopen(os.dup(1), 'w', encoding='ascii')
  sink = os.open(os.devnull, os.O_WRONLY)
  os.dup2(sink, 1)
  # The terminal's Ctrl-C is for the parent to handle.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  # The default action: the process ends, whatever it is in the middle of.
  signal.signal(signal.SIGALRM, signal.SIG_DFL)

  def write(answer):
    answers.write(json.dumps(answer) + '\n')
    answers.flush()

  limit_resource('RLIMIT_AS', memory)
  limit_resource('RLIMIT_CORE', 0)
  try:
    service = services[name]()
  except Exception as error:
    write({'error': f'{type(error).__name__}: {error}', 'kind': 'start'})
    return
  # From here on: what was imported may have been compiled and kept, what is
  # imported late may not.
  sys.dont_write_bytecode = True
  signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  limit_resource('RLIMIT_FSIZE', 0)
  sys.addaudithook(GUARD)
  write({'ready': True})
  serve(service, sys.stdin, write)


if __name__ == '__main__':
  main()
