"""Answers that were recorded, for runs that need no model and repeat exactly.

A folder holds a file for each request, 000.json, 001.json and so on, with a
hash of what was asked and the answers. Where a run asks anything else than
what was recorded, it ends with an error and not with another run's answers.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Sequence

from jaxcredit.latent_rewards import language_model

LanguageModelError = language_model.LanguageModelError
Message = language_model.Message


def request_hash(
  messages: Sequence[Message], n: int, temperature: float, seed: int
) -> str:
  """Hash of a request, hexadecimal."""
  asked = [[dict(m) for m in messages], n, float(temperature), seed]
  text = json.dumps(asked, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


class Recorder:
  """Asks a model, and records what it answers.

  Args:
    model: that is asked.
    folder: new or empty.
  """

  def __init__(
    self, model: language_model.LanguageModel, folder: str | os.PathLike
  ):
    self._model = model
    self._folder = pathlib.Path(folder)
    self._count = 0
    if self._folder.exists() and any(self._folder.iterdir()):
      raise FileExistsError(
        f'{self._folder} is not an empty folder: choose another one to record'
      )
    self._folder.mkdir(parents=True, exist_ok=True)

  @property
  def name(self) -> str:
    return self._model.name

  def complete(
    self, messages: Sequence[Message], n: int, temperature: float, seed: int
  ) -> list[str]:
    answers = self._model.complete(messages, n, temperature, seed)
    record = {
      'model': self.name,
      'request': request_hash(messages, n, temperature, seed),
      'answers': answers,
    }
    path = self._folder / f'{self._count:03}.json'
    path.write_text(json.dumps(record, indent=1) + '\n', encoding='utf-8')
    self._count += 1
    return answers


class RecordedAnswers:
  """Gives the answers of a folder, in their order.

  Args:
    folder: written by `Recorder`.
  """

  def __init__(self, folder: str | os.PathLike):
    self._folder = pathlib.Path(folder)
    self._count = 0
    self.name = 'recorded'
    if not (self._folder / '000.json').exists():
      raise FileNotFoundError(
        f'{self._folder} holds no recorded answers (000.json)'
      )
    self.name = f'recorded: {self._read()["model"]}'

  def complete(
    self, messages: Sequence[Message], n: int, temperature: float, seed: int
  ) -> list[str]:
    record = self._read()
    path = self._folder / f'{self._count:03}.json'
    if record['request'] != request_hash(messages, n, temperature, seed):
      raise LanguageModelError(
        f'{path} answers another request: task, settings, seed, transitions '
        'or this library changed since; record it anew'
      )
    self._count += 1
    return record['answers']

  def _read(self) -> dict:
    path = self._folder / f'{self._count:03}.json'
    try:
      record = json.loads(path.read_text(encoding='utf-8'))
      answers = record['answers']
      if not answers or not all(isinstance(a, str) for a in answers):
        raise ValueError('its answers are no texts')
      if not all(isinstance(record[k], str) for k in ('model', 'request')):
        raise ValueError('its model or request is no text')
    except FileNotFoundError:
      raise LanguageModelError(
        f'{self._folder} has {self._count} answers recorded, and the run asks '
        'for more: record it anew'
      ) from None
    except (KeyError, RecursionError, TypeError, ValueError) as error:
      raise LanguageModelError(f'{path} is no recorded answer: {error}') from (
        None
      )
    return record
