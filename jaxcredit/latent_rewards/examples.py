"""Latent reward functions that were recorded for each task of the paper.

They were written for this library, by no model of the paper (whose functions
were not published), so that everything runs without a model. Of three
qualities: 'good' has what decides about the task, 'partial' a part of it,
'poor' what hardly matters.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from jaxcredit.latent_rewards import language_model, tasks

QUALITIES = ('good', 'partial', 'poor')
_FOLDER = pathlib.Path(__file__).with_name('recorded')


def read(task: str, quality: str) -> dict[str, Any]:
  """An example: 'about', 'understand', 'analyze', 'source', 'sha256'.

  Raises:
    ValueError: there is no such task or quality.
  """
  tasks.named(task)
  if quality not in QUALITIES:
    raise ValueError(f'no quality {quality!r}: {", ".join(QUALITIES)}')
  path = _FOLDER / f'{task}_{quality}.json'
  record = json.loads(path.read_text(encoding='utf-8'))
  record['source'] = '\n'.join(record.pop('lines'))
  return record


def source(task: str, quality: str = 'good') -> str:
  """The text of an example, for `language.check` or `verification.verify`."""
  return read(task, quality)['source']


class ExampleModel:
  """Answers with the examples of a task, in the form the prompt asks for.

  The candidates are those of all qualities in turn; what is merged or mended
  is that of the quality asked for.

  Args:
    task: name of the task.
    quality: of the function in the end.
  """

  def __init__(self, task: str, quality: str = 'good'):
    self.name = f'example ({quality})'
    self._last = _answer(read(task, quality))
    self._first = [_answer(read(task, q)) for q in QUALITIES]

  def complete(
    self,
    messages: Sequence[language_model.Message],
    n: int,
    temperature: float,
    seed: int,
  ) -> list[str]:
    """See `language_model.LanguageModel`."""
    del temperature, seed
    if n == 1:
      return [self._last]
    return [self._first[i % len(self._first)] for i in range(n)]


def _answer(record: dict[str, Any]) -> str:
  return json.dumps(
    {
      'Understand': record['understand'],
      'Analyze': record['analyze'],
      'Functions': record['source'],
    }
  )
