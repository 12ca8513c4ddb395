"""Episodes as bytes, for other processes of the same run.

Texts and flags are JSON, numbers of tokens arrays: nothing is executed that
comes in. Tasks are not sent, since every process knows them by their numbers.
"""

import dataclasses
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcredit.rollouts import episodes as episodes_lib

_STEP = [field.name for field in dataclasses.fields(episodes_lib.Step)]
# Everything but what has a place of its own in the message.
_EPISODE = [
  field.name
  for field in dataclasses.fields(episodes_lib.Episode)
  if field.name not in ('task', 'steps', 'rows')
]
# Numbers of tokens. Doubles, so that they arrive as they are.
_ROW = {
  'tokens': np.int32,
  'step_of_token': np.int32,
  'log_probs': np.float64,
  'entropies': np.float64,
}


def encode(episodes: Sequence[episodes_lib.Episode]) -> bytes:
  """Packs episodes into a message."""
  rows = [row for episode in episodes for row in episode.rows]
  texts = [
    {
      'fields': {name: getattr(episode, name) for name in _EPISODE},
      'steps': [[getattr(s, name) for name in _STEP] for s in episode.steps],
      'rows': len(episode.rows),
    }
    for episode in episodes
  ]
  arrays = {
    name: np.array([x for row in rows for x in getattr(row, name)], dtype)
    for name, dtype in _ROW.items()
  }
  support = [ids for row in rows for ids in row.support]
  arrays['support'] = np.array(
    [x for ids in support for x in ids or ()], np.int32
  )
  # -1: None.
  arrays['support_sizes'] = np.array(
    [-1 if ids is None else len(ids) for ids in support], np.int32
  )
  file = io.BytesIO()
  np.savez(
    file,
    text=np.frombuffer(json.dumps(texts).encode(), np.uint8),
    sizes=np.array([len(row.tokens) for row in rows], np.int32),
    **arrays,
  )
  return file.getvalue()


def decode(message: bytes, tasks: Sequence[Any]) -> list[episodes_lib.Episode]:
  """Reads what `encode` packed.

  Args:
    message: of a process.
    tasks: by number of their group.
  """
  with np.load(io.BytesIO(message), allow_pickle=False) as file:
    arrays = {name: file[name] for name in file.files}
  ends = np.cumsum(arrays['sizes'])
  support = _ragged(arrays['support'], arrays['support_sizes'])
  rows = iter(
    [
      episodes_lib.TokenRow(
        **{name: arrays[name][end - size : end].tolist() for name in _ROW},
        support=support[end - size : end],
      )
      for end, size in zip(ends.tolist(), arrays['sizes'], strict=True)
    ]
  )
  episodes = []
  for text in json.loads(arrays['text'].tobytes()):
    fields = text['fields']
    episodes.append(
      episodes_lib.Episode(
        task=tasks[fields['group']],
        steps=[
          episodes_lib.Step(**dict(zip(_STEP, step, strict=True)))
          for step in text['steps']
        ],
        rows=[next(rows) for _ in range(text['rows'])],
        **fields,
      )
    )
  return episodes


def _ragged(flat: np.ndarray, sizes: np.ndarray) -> list[list[int] | None]:
  """Cuts numbers into lists of these sizes; None where a size is -1."""
  ends = np.cumsum(np.maximum(sizes, 0)).tolist()
  return [
    None if size < 0 else flat[end - size : end].tolist()
    for end, size in zip(ends, sizes.tolist(), strict=True)
  ]
