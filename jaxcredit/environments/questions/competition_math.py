r"""MATH-style problems: a formula in \boxed{...}, compared as mathematics.

The files have the form of MATH (Hendrycks et al., NeurIPS 2021), one problem a
line as JSON: problem, and solution, whose last box holds the answer, or answer.
Equality is that of the library math-verify (Apache 2.0), which parses LaTeX by
an ANTLR grammar and compares by SymPy. Neither is safe to run on the text of a
model in the trainer's process: SymPy reads numbers by `eval`, and simplifying
an adversarial formula takes time and memory without bound. Both run in a
limited process (`limited_program`).
"""

import dataclasses
import os

from jaxcredit.environments.questions import (
  answers,
  limited_process,
  question,
  records,
)

INSTRUCTION = r'Think step by step. End with the answer in \boxed{}.'
# Formulas longer than that are no answers, and slow to parse.
_LONGEST = 1_000


@dataclasses.dataclass(frozen=True)
class FormulaChecker:
  r"""Scores 1 where the formula answered equals the reference.

  The answer is what the last `\boxed{...}` holds, else what follows the last
  mark ('answer is', '####') in its line.

  Attributes:
    reference: a formula in LaTeX, without dollar signs.
  """

  reference: str
  limits_itself = True

  def __post_init__(self):
    if not self.reference.strip() or len(self.reference) > _LONGEST:
      raise ValueError(
        f'the reference answer must have 1 to {_LONGEST} characters, not '
        f'{len(self.reference)}'
      )

  def read(self, text: str) -> str:
    found = answers.boxed(text)
    if found is None:
      marked = answers.marked_part(text)
      lines = marked.strip().splitlines() if marked is not None else []
      found = lines[0] if lines else ''
    return found.strip().strip('$').strip()

  def prepare(self) -> None:
    limited_process.shared('mathematics').start()

  def __call__(self, text: str, limit: float = 5.0) -> float:
    found = self.read(text)
    if not found or len(found) > _LONGEST:
      return 0.0
    if ''.join(found.split()) == ''.join(self.reference.split()):
      return 1.0
    reply = limited_process.shared('mathematics').ask(
      'score', limit, reference=self.reference, answer=found
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
  if 'answer' in record.fields:
    reference = record.text('answer').strip().strip('$').strip()
  else:
    reference = answers.boxed(record.text('solution'))
    if not reference:
      raise record.error('the solution has no answer in \\boxed{...}')
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
