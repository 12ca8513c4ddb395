"""A small run of a household, and what tests compare of two runs."""

import json
import pathlib
import time

import numpy as np
import orbax.checkpoint as ocp

from tests.experiments import script

ITERATIONS = 12
# Seconds that anything may take; pytest has a limit of its own.
PATIENCE = 1800
FLAGS = (
  '--layers=1', '--width=32', '--heads=2', '--kv_heads=1', '--head_dim=16',
  '--hidden=48', '--vocabulary=700', '--warm_start_games=24',
  '--warm_start_steps=24', '--warm_start_batch=4', '--groups=2',
  '--group_size=3', '--max_steps=8', '--row_tokens=256', '--max_new_tokens=6',
  '--chunk=32', '--chunk=256', '--generated_games=6', '--evaluation_count=4',
  '--micro_batch_tokens=1024', '--checkpoint_every=1', '--evaluate_every=4',
  '--save_episodes_every=1', '--notensorboard', '--minibatches=2',
  # Terms with a gradient everywhere, so that each iteration moves the policy
  # although this one never wins; the divergence needs the same reference.
  '--kl_coefficient=0.1', '--entropy_coefficient=0.01',
  '--warm_start_learning_rate=0.01', '--learning_rate=0.01',
)  # fmt: skip


def command(folder: pathlib.Path, iterations: int = ITERATIONS) -> list[str]:
  return [*FLAGS, f'--iterations={iterations}', f'--run={folder}']


def json_lines(path: pathlib.Path) -> list[dict]:
  """Whole records of a file that may just be written to."""
  if not path.exists():
    return []
  records = []
  for line in path.read_text(encoding='utf-8').splitlines():
    try:
      records.append(json.loads(line))
    except json.JSONDecodeError:
      break
  return records


def trained(folder: pathlib.Path) -> int:
  """How many training iterations the run has recorded."""
  metrics = json_lines(folder / 'metrics.jsonl')
  return sum(record['stage'] == 'train' for record in metrics)


def newest(folder: pathlib.Path, stage: str) -> int:
  """Number of the newest whole checkpoint; 0 if there is none."""
  steps = (folder / 'checkpoints' / stage).glob('[0-9]*')
  return max((int(s.name) for s in steps if s.name.isdigit()), default=0)


def wait_until(condition, process, log) -> None:
  deadline = time.monotonic() + PATIENCE
  while not condition():
    assert process.poll() is None, f'ended too early:\n{log.read_text()}'
    assert time.monotonic() < deadline, f'hangs:\n{log.read_text()}'
    time.sleep(0.005)


def complete(folder: pathlib.Path, *more: str, **options) -> str:
  log = folder.parent / f'{folder.name}.log'
  process = script.start(*command(folder, **options), *more, log=log)
  assert process.wait(PATIENCE) == 0, log.read_text()
  return log.read_text(encoding='utf-8')


def children(process) -> list[int]:
  path = pathlib.Path(f'/proc/{process.pid}/task/{process.pid}/children')
  return [int(p) for p in path.read_text().split()] if path.exists() else []


def alive(pid: int) -> bool:
  try:
    state = pathlib.Path(f'/proc/{pid}/stat').read_text()
  except (FileNotFoundError, ProcessLookupError):
    return False
  return state.rpartition(')')[2].split()[0] != 'Z'


def parameters(folder: pathlib.Path, iteration: int):
  """Everything that a checkpoint holds, optimizer state included."""
  path = folder / 'checkpoints' / 'train' / str(iteration) / 'default'
  with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
    return reader.restore(path.resolve())


def leaves(tree, path=()):
  if isinstance(tree, dict):
    for name in sorted(tree):
      yield from leaves(tree[name], (*path, name))
  elif isinstance(tree, (list, tuple)):
    for index, part in enumerate(tree):
      yield from leaves(part, (*path, str(index)))
  elif tree is not None:
    yield '/'.join(path), np.asarray(tree)


def timeless(records):
  """Records without the clock, sorted: evaluations stand where they fell."""
  return sorted(
    (
      {
        name: value
        for name, value in record.items()
        if name not in ('time', 'accelerator_idle_share')
        and not name.startswith('seconds_')
      }
      for record in records
    ),
    key=lambda r: (r['stage'], r['iteration']),
  )


def assert_same_run(
  folder: pathlib.Path, expected: pathlib.Path, iterations: int = ITERATIONS
) -> None:
  ours, theirs = (
    dict(leaves(parameters(f, iterations))) for f in (folder, expected)
  )
  assert list(ours) == list(theirs)
  assert any('params' in name for name in ours)
  for name, array in ours.items():
    np.testing.assert_array_equal(array, theirs[name], err_msg=name)
  for name in ('evaluations.json', 'episodes.jsonl'):
    assert (folder / name).read_text() == (expected / name).read_text(), name
  assert timeless(json_lines(folder / 'metrics.jsonl')) == timeless(
    json_lines(expected / 'metrics.jsonl')
  )
