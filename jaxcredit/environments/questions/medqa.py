"""MedQA: questions of medical exams to choose from (Jin et al. 2021).

A line has the fields question, options (letter -> text), answer_idx (the
letter) and answer (the text), as the public repository jind11/MedQA has them.
For evaluation, not for medical advice.
"""

import os

from jaxcredit.environments.questions import checkers, question, records

INSTRUCTION = 'End with "The answer is " and the letter.'


def load(
  path: str | os.PathLike, *, instruction: str = INSTRUCTION
) -> list[question.Question]:
  """Reads questions from a .jsonl or .jsonl.xz file.

  Args:
    path: of the file.
    instruction: how to answer; it follows the options, on a line of its own.

  Returns:
    The questions, in the order of the file.

  Raises:
    FileNotFoundError: there is no file at `path`, or nothing in it.
    records.RecordError: a line is malformed; names file, line and fault.
  """
  return [_question(record, instruction) for record in records.read(path)]


def _question(record: records.Record, instruction: str) -> question.Question:
  options = _options(record)
  right = record.text('answer_idx')
  if right not in options:
    raise record.error(
      f"'answer_idx' must be one of {', '.join(options)}, not {right!r}"
    )
  stated = record.fields.get('answer', options[right])
  if not isinstance(stated, str) or stated.strip() != options[right]:
    raise record.error(
      f"'answer' is {stated!r}, but option {right} is {options[right]!r}"
    )
  lines = [record.text('question').strip()]
  lines += [f'{letter}) {option}' for letter, option in options.items()]
  if instruction:
    lines.append(instruction)
  return question.Question(
    prompt='\n'.join(lines),
    reference=f'The answer is {right}.',
    checker=checkers.ChoiceChecker(right, tuple(options.values())),
    choices=tuple(options),
    name=record.name,
  )


def _options(record: records.Record) -> dict[str, str]:
  """Letter -> option, in the order of the letters."""
  options = record.fields.get('options')
  if not isinstance(options, dict) or not 2 <= len(options) <= 26:
    raise record.error("'options' must map 2 to 26 letters to texts")
  letters = [chr(ord('A') + i) for i in range(len(options))]
  if sorted(options) != letters:
    raise record.error(
      f"the letters of 'options' must be {', '.join(letters)}, not "
      f'{", ".join(options)}'
    )
  for letter in letters:
    if not isinstance(options[letter], str) or not options[letter].strip():
      raise record.error(f'option {letter} has no text')
  return {letter: options[letter].strip() for letter in letters}
