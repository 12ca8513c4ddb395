"""Latent reward functions that were recorded for each task of the paper.

They were written for this library, by no model of the paper (whose functions
were not published), so that everything runs without a model. Of three
qualities: 'good' has what decides about the task, 'partial' a part of it,
'poor' what hardly matters. Tasks of agents in the plane have them for larger
teams too, since more agents make longer observations.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from jaxcredit.latent_rewards import language_model, tasks

QUALITIES = ('good', 'partial', 'poor')
# Agents of a task beside its usual number.
LARGER_TEAMS = {'cooperative_navigation': (6,), 'predator_prey': (6, 15)}
_FOLDER = pathlib.Path(__file__).with_name('recorded')


def read(task: str, quality: str, agents: int | None = None) -> dict[str, Any]:
  """An example: 'about', 'understand', 'analyze', 'source', 'sha256'.

  Args:
    task: name of the task.
    quality: one of QUALITIES.
    agents: the usual number, for which None stands too, or one of LARGER_TEAMS.

  Raises:
    ValueError: there is no such task, quality or number of agents.
  """
  usual = tasks.named(task, agents).sizes == tasks.named(task).sizes
  known = LARGER_TEAMS.get(task, ())
  if not usual and agents not in known:
    raise ValueError(
      f'no example of {task} for {agents} agents: they are for the usual '
      f'number and for {", ".join(map(str, known))}'
    )
  if quality not in QUALITIES:
    raise ValueError(f'no quality {quality!r}: {", ".join(QUALITIES)}')
  size = '' if usual else f'_{agents}'
  path = _FOLDER / f'{task}{size}_{quality}.json'
  record = json.loads(path.read_text(encoding='utf-8'))
  record['source'] = '\n'.join(record.pop('lines'))
  return record


def source(task: str, quality: str = 'good', agents: int | None = None) -> str:
  """The text of an example, for `language.check` or `verification.verify`."""
  return read(task, quality, agents)['source']


class ExampleModel:
  """Answers with the examples of a task, in the form the prompt asks for.

  The candidates are those of all qualities in turn; what is merged or mended
  is that of the quality asked for.

  Args:
    task: name of the task.
    quality: of the function in the end.
    agents: as in `read`.
  """

  def __init__(
    self, task: str, quality: str = 'good', agents: int | None = None
  ):
    self.name = f'example ({quality})'
    self._last = _answer(read(task, quality, agents))
    self._first = [_answer(read(task, q, agents)) for q in QUALITIES]

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
