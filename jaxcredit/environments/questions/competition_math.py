r"""MATH-style problems: a formula in \boxed{...}, compared as mathematics.

The files have the form of MATH (Hendrycks et al., NeurIPS 2021), one problem a
line as JSON: problem, and solution, whose last box holds the answer, or answer.
Equality is that of the library math-verify (Apache 2.0), which parses LaTeX by
an ANTLR grammar and compares by SymPy; its comparison of numbers is replaced by
an exact one (`limited_program`), and what its grammar does not know is put into
its words first: separators of thousands, powers of ten such as 1e-20, digits
with a base. Neither is safe to run on the text of a
model in the trainer's process: SymPy reads numbers by `eval`, and simplifying
an adversarial formula takes time and memory without bound. Both run in a
limited process (`limited_program`).
"""

import dataclasses
import os
import re

from jaxcredit.environments import completion
from jaxcredit.environments.questions import (
  answers,
  checkers,
  limited_process,
  question,
  records,
)

INSTRUCTION = r'Think step by step. End with the answer in \boxed{}.'
# Formulas longer than that are no answers, and slow to parse.
_LONGEST = 1_000


# Groups of exactly three digits behind LaTeX's spaces are one number; \, behind
# other things is a space.
_THOUSANDS = re.compile(
  r'(?<![\w.^\\])([1-9][0-9]{0,2})'
  r'((?:(?:\{,\}|,?\\[,;:! ]|~|\{\\,\})[0-9]{3}(?![0-9]))+)'
)
_EXPONENT = re.compile(
  r'(?<![\w.\\])([0-9]+(?:\.[0-9]+)?)[eE]([-+]?[0-9]{1,3})(?![\w.])'
)
_BASED = re.compile(
  r'\(?([0-9A-Za-z]+(?:\.[0-9A-Za-z]+)?)\)?(?:'
  r'_\s*\{?\s*(?:\\text\s*\{\s*)?\(?\s*(?:base\s*)?([0-9]{1,2}|[a-z]+)\)?\s*\}{0,2}'
  r'|\s*(?:\\text\s*\{)?[\s~]*\(?(?:in\s+)?base[\s~-]*\}?\s*([0-9]{1,2}|[a-z]+)'
  r'\)?\}?)'
)
_BASES = {
  'two': 2, 'three': 3, 'four': 4, 'five': 5, 'six': 6, 'seven': 7, 'eight': 8,
  'nine': 9, 'ten': 10, 'eleven': 11, 'twelve': 12, 'sixteen': 16,
}  # fmt: skip


def _normal(formula: str) -> str:
  """A formula in words that the grammar of math-verify knows."""
  formula = _THOUSANDS.sub(
    lambda found: found[1] + re.sub('[^0-9]', '', found[2]), formula
  )
  return _EXPONENT.sub(r'\1 \\times 10^{\2}', formula)


def _based(formula: str) -> tuple[str, int] | None:
  """Digits and base of a number such as 101_2; None for other formulas."""
  found = _BASED.fullmatch(formula.strip())
  if found is None:
    return None
  name = found[2] or found[3]
  base = int(name) if name.isdigit() else _BASES.get(name, 0)
  digits = found[1].upper()
  if not 2 <= base <= 36 or not any(c.isdigit() for c in digits):
    return None
  if not digits.replace('.', '').isdigit() and not all(
    int(c, 36) < base for c in digits.replace('.', '')
  ):
    return None  # a variable with an index
  return digits.lstrip('0') or '0', base


@dataclasses.dataclass(frozen=True)
class FormulaChecker:
  r"""Scores 1 where the formula answered equals the reference.

  The answer is what the last `\boxed{...}` holds, or the formula behind the
  last mark ('answer is', '####') where that stands later. What is exact is
  compared exactly: 0.333333 is not 1/3, and a base is part of a number. What
  has no exact form that can be compared (roots, logarithms) is equal where 25
  digits of both are.

  Attributes:
    reference: a formula in LaTeX, without dollar signs.
    tolerance: how far numbers may be apart, as a part of the reference; 0 for
      equal.
  """

  reference: str
  tolerance: float = 0.0
  limits_itself = True

  def __post_init__(self):
    if not self.reference.strip() or len(self.reference) > _LONGEST:
      raise ValueError(
        f'the reference answer must have 1 to {_LONGEST} characters, not '
        f'{len(self.reference)}'
      )
    checkers.check_tolerance(self.tolerance)

  def read(self, text: str) -> str:
    return answers.formula(completion.said(text).text)

  def prepare(self) -> None:
    limited_process.shared('mathematics').start()

  def __call__(self, text: str, limit: float = 5.0) -> float:
    found = self.read(text)
    if not found or len(found) > _LONGEST:
      return 0.0
    reference = answers.bare(self.reference)
    based, wanted = _based(found), _based(reference)
    if based is not None or wanted is not None:
      return float(based == wanted)
    found, reference = _normal(found), _normal(reference)
    if ''.join(found.split()) == ''.join(reference.split()):
      return 1.0
    reply = limited_process.shared('mathematics').ask(
      'score',
      limit,
      reference=reference,
      answer=found,
      tolerance=self.tolerance,
    )
    return reply['score']


def load(
  path: str | os.PathLike, *, instruction: str = INSTRUCTION
) -> list[question.Question]:
  """Reads problems from a .jsonl or .jsonl.xz file.

  Args:
    path: of the file.
    instruction: how to answer; it follows the problem, on a line of its own.

  Returns:
    The questions, in the order of the file.

  Raises:
    FileNotFoundError: there is no file at `path`, or nothing in it.
    records.RecordError: a line is malformed; names file, line and fault.
  """
  return [_question(record, instruction) for record in records.read(path)]


def _question(record: records.Record, instruction: str) -> question.Question:
  reference = _reference(record)
  try:
    checker = FormulaChecker(reference)
  except ValueError as error:
    raise record.error(str(error)) from None
  prompt = record.text('problem').strip()
  return question.Question(
    prompt=f'{prompt}\n{instruction}' if instruction else prompt,
    reference=rf'\boxed{{{reference}}}',
    checker=checker,
    name=record.name,
  )


def _reference(record: records.Record) -> str:
  """The answer of a record: a text, a whole number, or of its solution."""
  answer = record.fields.get('answer')
  # As sets of AIME problems have it.
  if isinstance(answer, int) and not isinstance(answer, bool):
    return str(answer)
  if answer is not None or 'solution' not in record.fields:
    text = record.text('answer')
    return (answers.boxed(text) or text).strip().strip('$').strip()
  reference = answers.boxed(record.text('solution'))
  if not reference:
    raise record.error('the solution has no answer in \\boxed{...}')
  return reference
