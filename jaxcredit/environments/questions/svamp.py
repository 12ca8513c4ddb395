"""SVAMP: arithmetic of one or two steps (Patel et al., NAACL 2021).

The file has the fields Body, Question and Answer, one problem a line as JSON;
the 1,000 problems of the public repository arkilpatel/SVAMP (SVAMP.json) have
this form once its list is written a line each. TensorFlow Datasets has no
builder of it.
"""

import fractions
import math
import os

from jaxcredit.environments.questions import (
  answers,
  checkers,
  question,
  records,
)

INSTRUCTION = 'End with "#### " and the number.'


def load(
  path: str | os.PathLike,
  *,
  instruction: str = INSTRUCTION,
  strict: bool = False,
) -> list[question.Question]:
  """Reads problems from a .jsonl or .jsonl.xz file.

  Args:
    path: of the file.
    instruction: how to answer; it follows the problem, on a line of its own.
    strict: whether an answer needs a mark or a box.

  Returns:
    The questions, in the order of the file.

  Raises:
    FileNotFoundError: there is no file at `path`, or nothing in it.
    records.RecordError: a line is malformed; names file, line and fault.
  """
  return [
    _question(record, instruction, strict) for record in records.read(path)
  ]


def _question(record, instruction, strict) -> question.Question:
  reference = _answer(record)
  body = record.text('Body').strip()
  # Some bodies lack their full stop.
  if body[-1] not in '.?!,':
    body += '.'
  prompt = f'{body} {record.text("Question").strip()}'
  return question.Question(
    prompt=f'{prompt}\n{instruction}' if instruction else prompt,
    reference=f'#### {reference}',
    checker=checkers.NumberChecker(reference, strict),
    name=record.name,
  )


def _answer(record: records.Record) -> str:
  """The answer, without the '.0' that the file gives to integers."""
  value = record.fields.get('Answer')
  if isinstance(value, str):
    number = answers.number(value)
  elif isinstance(value, bool) or not isinstance(value, int | float):
    number = None
  elif not math.isfinite(value):
    number = None
  else:
    number = fractions.Fraction(str(value))
  if number is None:
    raise record.error(f"'Answer' must be a number, not {value!r}")
  return str(number)
