"""Rollouts on disk: what a progress estimator learns from.

A folder holds one file a batch, `batch_00000.npz` and so on, each written whole
or not at all: whoever was interrupted goes on with the first batch that is
missing. The files are plain numpy arrays and are read without pickle. With E
episodes, S steps in all and L tokens in all, one episode after another:

  version         int []     1
  task            int32 [E]  index of the episode's task
  outcome         float32 [E]  what it came to, its return
  success         bool [E]
  tokens_of       int32 [E]  tokens of each episode
  steps_of        int32 [E]  steps of each episode
  tokens          int32 [L]
  step_of_token   int32 [L]  as in `types.Rows`
  log_probs       float32 [L]  as in `types.Rows`
  grounding       bool [S]   whether the environment could carry the step out
  progress        float32 [S]  true progress after the step, NaN if unknown
  actions         str [S]    what was done, for people
"""

import dataclasses
import os
import pathlib
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np

from jaxcredit import types
from jaxcredit.rollouts import episodes as episodes_lib

VERSION = 1
_PATTERN = 'batch_{:05d}.npz'
# Name -> axis of the batch that it counts along.
_FIELDS = {
  'task': 'episodes',
  'outcome': 'episodes',
  'success': 'episodes',
  'tokens_of': 'episodes',
  'steps_of': 'episodes',
  'tokens': 'tokens',
  'step_of_token': 'tokens',
  'log_probs': 'tokens',
  'grounding': 'steps',
  'progress': 'steps',
  'actions': 'steps',
}


@dataclasses.dataclass(frozen=True)
class Rollouts:
  """E stored episodes, in numpy.

  Attributes:
    rows: [E, L], one row an episode; its trajectory is the episode's number.
    task: int32 [E].
    outcome: float32 [E].
    success: bool [E].
    mask: bool [E, S], steps that were taken.
    grounding: bool [E, S].
    progress: float32 [E, S], NaN where unknown.
    actions: of each episode.
  """

  rows: types.Rows
  task: np.ndarray
  outcome: np.ndarray
  success: np.ndarray
  mask: np.ndarray
  grounding: np.ndarray
  progress: np.ndarray
  actions: list[list[str]]


def count(folder: pathlib.Path) -> int:
  """How many batches are there, without a gap from the first."""
  number = 0
  while (pathlib.Path(folder) / _PATTERN.format(number)).exists():
    number += 1
  return number


def append(
  folder: pathlib.Path,
  batch: int,
  episodes: Sequence[episodes_lib.Episode],
  tasks: Sequence[int],
  progress: Sequence[Sequence[float] | None] | None = None,
) -> pathlib.Path:
  """Writes a batch; episodes that their environment lost are left out.

  Args:
    folder: made if it is not there.
    batch: its number, which is that of the next one.
    episodes: of the batch.
    tasks: index of each episode's task.
    progress: for each episode the true progress after each step, or None.

  Returns:
    The path of the file.

  Raises:
    ValueError: another batch is due, or an episode has several rows.
  """
  folder = pathlib.Path(folder)
  if batch != count(folder):
    raise ValueError(
      f'{folder} holds {count(folder)} batches: batch {batch} is not the next'
    )
  if len(tasks) != len(episodes):
    raise ValueError(f'{len(tasks)} tasks for {len(episodes)} episodes')
  progress = progress or [None] * len(episodes)
  parts = [
    (episode, task, known)
    for episode, task, known in zip(episodes, tasks, progress, strict=True)
    if not episode.failure and episode.rows
  ]
  for episode, _, known in parts:
    if len(episode.rows) > 1:
      raise ValueError(
        f'an episode has {len(episode.rows)} rows: it can only be stored in a '
        'format that continues one text, not in one that rebuilds its prompt'
      )
    if known is not None and len(known) != len(episode.steps):
      raise ValueError(
        f'progress of {len(known)} steps for an episode of {len(episode.steps)}'
      )
  rows = [episode.rows[0] for episode, _, _ in parts]
  steps = [step for episode, _, _ in parts for step in episode.steps]
  arrays = {
    'version': np.asarray(VERSION, np.int32),
    'task': np.array([task for _, task, _ in parts], np.int32),
    'outcome': np.array([e.episode_return for e, _, _ in parts], np.float32),
    'success': np.array([e.success for e, _, _ in parts], bool),
    'tokens_of': np.array([len(row.tokens) for row in rows], np.int32),
    'steps_of': np.array([len(e.steps) for e, _, _ in parts], np.int32),
    'tokens': _flat([row.tokens for row in rows], np.int32),
    'step_of_token': _flat([row.step_of_token for row in rows], np.int32),
    'log_probs': _flat([row.log_probs for row in rows], np.float32),
    'grounding': np.array([step.grounded is not False for step in steps], bool),
    'progress': _flat(
      [
        known if known is not None else [np.nan] * len(episode.steps)
        for episode, _, known in parts
      ],
      np.float32,
    ),
    'actions': np.array([_printable(step.action) for step in steps], np.str_),
  }
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / _PATTERN.format(batch)
  temporary = path.with_name(path.name + '.tmp')
  with open(temporary, 'wb') as file:
    np.savez_compressed(file, **arrays)
    file.flush()
    os.fsync(file.fileno())
  temporary.replace(path)
  return path


def read(folder: pathlib.Path, *, row_tokens: int, steps: int) -> Rollouts:
  """Reads all batches of a folder.

  Args:
    folder: as `append` wrote it.
    row_tokens: L, to which rows are padded.
    steps: S.

  Raises:
    FileNotFoundError: there is no batch.
    ValueError: a file is damaged, or holds longer episodes; names it.
  """
  number = count(folder)
  if not number:
    raise FileNotFoundError(f'{folder} holds no rollouts')
  parts = [
    _read_batch(pathlib.Path(folder) / _PATTERN.format(i), row_tokens, steps)
    for i in range(number)
  ]
  whole = {name: np.concatenate([p[name] for p in parts]) for name in _FIELDS}
  episodes = len(whole['task'])
  rows = types.Rows(
    tokens=_padded(whole['tokens'], whole['tokens_of'], row_tokens, 0),
    step_of_token=_padded(
      whole['step_of_token'], whole['tokens_of'], row_tokens, -1
    ),
    trajectory=np.arange(episodes, dtype=np.int32),
    length=whole['tokens_of'],
    log_probs=_padded(whole['log_probs'], whole['tokens_of'], row_tokens, 0),
  )
  of = whole['steps_of']
  actions = np.split(whole['actions'], np.cumsum(of)[:-1])
  return Rollouts(
    rows=rows,
    task=whole['task'],
    outcome=whole['outcome'],
    success=whole['success'],
    mask=np.arange(steps) < of[:, None],
    grounding=_padded(whole['grounding'], of, steps, False),
    progress=_padded(whole['progress'], of, steps, np.nan),
    actions=[part.tolist() for part in actions],
  )


def _printable(text: str) -> str:
  # numpy's strings are all as wide as the widest, and hold no NUL at the end.
  return text.replace('\0', ' ')[:200]


def _flat(lists, dtype) -> np.ndarray:
  return np.array([x for part in lists for x in part], dtype)


def _padded(flat, lengths, width, empty) -> np.ndarray:
  result = np.full((len(lengths), width), empty, flat.dtype)
  result[np.arange(width) < lengths[:, None]] = flat
  return result


def _read_batch(path, row_tokens, steps) -> dict[str, np.ndarray]:
  try:
    with np.load(path, allow_pickle=False) as file:
      found = {name: file[name] for name in ('version', *_FIELDS)}
  except (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
  ) as error:
    raise ValueError(
      f'{path} is not a batch of rollouts ({error}): delete it and those '
      'behind it, and they are played again'
    ) from None
  if found['version'] != VERSION:
    raise ValueError(
      f'{path} is of version {found["version"]}, not {VERSION}: delete the '
      'folder, and the rollouts are played again'
    )
  sizes = {
    'episodes': len(found['task']),
    'tokens': int(found['tokens_of'].sum()),
    'steps': int(found['steps_of'].sum()),
  }
  for name, axis in _FIELDS.items():
    if found[name].shape != (sizes[axis],):
      raise ValueError(
        f'{path}: {name} has the shape {list(found[name].shape)}, not '
        f'[{sizes[axis]}]: delete it and those behind it, and they are played '
        'again'
      )
  for name, limit, words in (
    ('tokens_of', row_tokens, 'tokens'),
    ('steps_of', steps, 'steps'),
  ):
    if sizes['episodes'] and found[name].max() > limit:
      raise ValueError(
        f'{path} holds an episode of {found[name].max()} {words}, more than '
        f'{limit}'
      )
  return found
