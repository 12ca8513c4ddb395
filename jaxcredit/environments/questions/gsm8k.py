"""GSM8K: word problems of grade school (Cobbe et al., arXiv 2110.14168).

The files are those of the public repository openai/grade-school-math
(`grade_school_math/data/{train,test}.jsonl`, fields question and answer), or
the data set `gsm8k` of TensorFlow Datasets. A worked answer ends in '#### '
and the number.
"""

import os
from collections.abc import Iterable

from jaxcredit.environments.questions import (
  answers,
  checkers,
  question,
  records,
  tensorflow_datasets_source,
)

INSTRUCTION = 'Think step by step. End with "#### " and the number.'


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
  return _questions(records.read(path), instruction, strict)


def from_tensorflow_datasets(
  split: str,
  *,
  data_dir: str | os.PathLike | None = None,
  instruction: str = INSTRUCTION,
  strict: bool = False,
) -> list[question.Question]:
  """Reads problems through TensorFlow Datasets; downloads them if needed.

  Args:
    split: 'train' or 'test', or a slice such as 'train[:100]'.
    data_dir: where data sets are kept; None for the library's own place.
    instruction: as in `load`.
    strict: as in `load`.

  Returns:
    The questions.
  """
  rows = tensorflow_datasets_source.read('gsm8k', split, data_dir)
  return _questions(rows, instruction, strict)


def final_answer(record: records.Record) -> str:
  """The number at the end of the worked answer."""
  _, mark, final = record.text('answer').rpartition('####')
  final = final.strip()
  if not mark:
    raise record.error("the answer has no '####' before the final number")
  if answers.number(final) is None:
    raise record.error(f'the final answer is not a number: {final[:60]!r}')
  return final


def _questions(
  rows: Iterable[records.Record], instruction: str, strict: bool
) -> list[question.Question]:
  return [_question(record, instruction, strict) for record in rows]


def _question(record, instruction, strict) -> question.Question:
  reference = final_answer(record)
  prompt = record.text('question').strip()
  return question.Question(
    prompt=f'{prompt}\n{instruction}' if instruction else prompt,
    # With its mark, so that a strict checker takes it too.
    reference=f'#### {reference}',
    checker=checkers.NumberChecker(reference, strict),
    name=record.name,
  )
