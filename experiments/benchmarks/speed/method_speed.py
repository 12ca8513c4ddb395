"""Times a method of the table: its credit with metrics, and credit alone.

  python -m experiments.benchmarks.speed.method_speed --method=tempo

The batch is random, of the size of a large iteration. `compiled` is what the
training loop calls: it returns credit, parts and metrics. Without metrics the
compiler leaves out what only they need.
"""

import functools
import resource
import sys
import time

import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks.speed import method_batch
from jaxcredit import methods

_METHOD = flags.DEFINE_enum(
  'method', 'tempo', list(methods.TABLE), 'Whose credit is timed.'
)
_GROUPS = flags.DEFINE_integer('groups', 512, 'Groups (P).', 1)
_ROLLOUTS = flags.DEFINE_integer('rollouts', 7, 'Rows of a group (G).', 2)
_LENGTH = flags.DEFINE_integer('length', 2048, 'Tokens of a row (L).', 16)
_STEPS = flags.DEFINE_integer('steps', 8, 'Steps of an episode (S).', 1)
_REPEATS = flags.DEFINE_integer('repeats', 5, 'Timed calls.', 1)


def seconds(call, repeats: int) -> float:
  """Median time of a call, compiled by a first one."""
  jax.block_until_ready(call())
  times = []
  for _ in range(repeats):
    start = time.perf_counter()
    jax.block_until_ready(call())
    times.append(time.perf_counter() - start)
  return float(np.median(times))


def peak_memory() -> float:
  """The most that this process has held, in GB."""
  held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  # Kilobytes, but on macOS.
  return held * (1 if sys.platform == 'darwin' else 1024) / 1e9


def measure(
  name: str, groups: int, rollouts: int, length: int, steps: int, repeats: int
) -> dict[str, float]:
  """Seconds of credit with metrics and without.

  Args:
    name: of the method.
    groups: P.
    rollouts: G.
    length: L.
    steps: S.
    repeats: timed calls of each.
  """
  method = methods.choose(name)
  options = method.options()
  batch = jax.device_put(
    method_batch.batch(method, options, groups, rollouts, length, steps)
  )
  alone = jax.jit(lambda batch: method.credit(batch, options).total)
  whole = methods.compiled(method, options)
  return {
    'credit alone': seconds(functools.partial(alone, batch), repeats),
    'credit, parts and metrics': seconds(
      functools.partial(whole, batch), repeats
    ),
  }


def main(argv):
  del argv
  groups, rollouts, length = _GROUPS.value, _ROLLOUTS.value, _LENGTH.value
  found = measure(
    _METHOD.value, groups, rollouts, length, _STEPS.value, _REPEATS.value
  )
  label = methods.choose(_METHOD.value).label
  print(
    f'{label}: {groups} groups x {rollouts} rows x {length} tokens, on '
    f'{jax.default_backend()}'
  )
  for words, value in found.items():
    print(f'{words:28}{value:9.3f} s')
  alone, whole = found.values()
  print(f'{"metrics and parts":28}{whole - alone:9.3f} s')
  print(f'{"peak memory of the process":28}{peak_memory():9.2f} GB')


if __name__ == '__main__':
  app.run(main)
