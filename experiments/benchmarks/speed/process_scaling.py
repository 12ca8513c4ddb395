"""Environment steps a second with one, two and more processes.

  python -m experiments.benchmarks.speed.process_scaling --output=runs/scaling

Each process has cores of its own, as hosts do, so that a machine can try as
many as it has cores for. All play the same episodes, those of one run of
experiments.gigpo in the household: what is measured is how long an iteration's
rollout takes, the exchange of the episodes included, and the whole iteration.
The first iterations compile, and do not count.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys

from absl import app, flags

from experiments.tools import launch

_OUTPUT = flags.DEFINE_string('output', 'runs/process_scaling', 'Folder.')
_COUNTS = flags.DEFINE_multi_integer(
  'count', [1, 2], 'Numbers of processes to try.', 1
)
_CORES_EACH = flags.DEFINE_integer('cores_each', 1, 'Cores of each process.', 1)
_ITERATIONS = flags.DEFINE_integer('iterations', 6, 'Iterations of each.', 3)
_WARM_START_STEPS = flags.DEFINE_integer(
  'warm_start_steps', 60, 'Of the policy that plays.', 1
)

# Iterations that compile.
_NOT_COUNTED = 2
_RUN = (
  '--layers=2', '--width=64', '--heads=2', '--kv_heads=1', '--head_dim=32',
  '--hidden=128', '--vocabulary=700', '--groups=8', '--group_size=8',
  '--max_steps=25', '--row_tokens=640', '--max_new_tokens=12',
  '--warm_start_games=300', '--warm_start_batch=16',
  '--warm_start_learning_rate=4e-3', '--generated_games=64',
  '--evaluation_count=2', '--learning_rate=1e-9', '--micro_batch_tokens=6144',
  '--save_episodes_every=0', '--notensorboard', '--checkpoint_every=1000',
)  # fmt: skip


def start(arguments: list[str], count: int, cores_each: int) -> None:
  """Runs experiments.gigpo with so many processes, each on its own cores.

  Raises:
    RuntimeError: one of them failed.
  """
  cores = sorted(os.sched_getaffinity(0))
  port = launch.free_port()
  started = []
  for index in range(count):
    own = cores[index * cores_each : (index + 1) * cores_each]
    started.append(
      subprocess.Popen(
        [
          'taskset',
          '-c',
          ','.join(str(core) for core in own),
          *launch.command('experiments.gigpo', arguments, count, index, port),
        ],
        stdout=subprocess.DEVNULL,
        stderr=sys.stderr,
      )
    )
  if any([process.wait() for process in started]):
    raise RuntimeError(f'a run of {count} processes failed; see above')


def measured(folder: pathlib.Path) -> dict[str, float]:
  """Medians over the iterations that count."""
  lines = (folder / 'metrics.jsonl').read_text('utf-8').splitlines()
  records = [r for r in map(json.loads, lines) if r['stage'] == 'train']
  records = records[_NOT_COUNTED:]
  return {
    'steps': sum(r['steps'] for r in records),
    'rollout': statistics.median(
      r['steps'] / r['seconds_rollout'] for r in records
    ),
    'iteration': statistics.median(
      r['steps'] / r['seconds_total'] for r in records
    ),
  }


def table(found: dict[int, dict[str, float]]) -> str:
  """What was measured, as Markdown."""
  first = found[min(found)]
  lines = [
    '| processes | steps played | steps/s of the rollout | times | steps/s of '
    'the iteration | times |',
    '| --- | --- | --- | --- | --- | --- |',
  ]
  for count, row in sorted(found.items()):
    lines.append(
      f'| {count} | {row["steps"]:,.0f} | {row["rollout"]:.1f} | '
      f'{row["rollout"] / first["rollout"]:.2f} | {row["iteration"]:.1f} | '
      f'{row["iteration"] / first["iteration"]:.2f} |'
    )
  return '\n'.join(lines) + '\n'


def main(argv):
  del argv
  counts, cores = sorted(set(_COUNTS.value)), os.sched_getaffinity(0)
  if max(counts) * _CORES_EACH.value > len(cores):
    print(
      f'error: {max(counts)} processes of {_CORES_EACH.value} cores need more '
      f'than the {len(cores)} that there are: nothing could grow. Give fewer '
      'to --count.',
      file=sys.stderr,
    )
    return 1
  output = pathlib.Path(_OUTPUT.value).expanduser()
  common = [*_RUN, f'--warm_start_steps={_WARM_START_STEPS.value}']
  begin = output / 'warm_start'
  start([*common, f'--run={begin}', '--iterations=0'], 1, _CORES_EACH.value)
  found = {}
  for count in counts:
    folder = output / f'processes_{count}'
    arguments = [
      *common,
      f'--run={folder}',
      f'--start_from={begin}',
      f'--iterations={_ITERATIONS.value}',
    ]
    start(arguments, count, _CORES_EACH.value)
    found[count] = measured(folder)
  text = table(found)
  (output / 'table.md').write_text(text, encoding='utf-8')
  print(text)
  return 0


if __name__ == '__main__':
  app.run(main)
