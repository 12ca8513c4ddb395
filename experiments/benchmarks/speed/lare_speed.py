"""Times the update of return decomposition at the released sizes.

  taskset -c 0 python -m experiments.benchmarks.speed.lare_speed \\
      --torch_python=TORCH_ENVIRONMENT/bin/python

HalfCheetah of the released code: 4 episodes of 1,000 steps, K = 64 sampled, a
network of three layers with 256 hidden units; inputs are 5 factors (LaRe on
RRD) or state, action and difference of states (RRD, 40). The baselines evaluate
the network on all 4,000 steps and keep 256, as the released code does: NumPy
with gradients written out, and, with --torch_python, PyTorch. All must agree on
what they compute (the tests see to that for NumPy). An update is counted from
a buffer of episodes on: drawing of steps, loss, gradient, Adam.

The floor: a row passes layers of 5 x 256, 256 x 256 and 256 x 1 weights. The
loss needs 2 operations a weight, the gradient of the weights as many, that of
the inputs as many but for the first layer: 0.40 million a row, 103 million for
256 rows, 1.6 billion for 4,000 (40 inputs: 0.44 million, 112 million and 1.7
billion). The operations are printed beside the time, as a rate.

taskset keeps all to one core; without it each takes the threads that it likes.
The time of the processor is given beside that of the clock, since other jobs on
the machine change the one more than the other. The ratios are of the
processor's.
"""

import json
import os
import subprocess
import time

import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks.references import numpy_return_decomposition
from experiments.run import command
from jaxcredit.agents import reward_decomposition
from jaxcredit.networks.heads import reward_decoder

_EPISODES = flags.DEFINE_integer('episodes', 4, 'Episodes of an update.', 1)
_STEPS = flags.DEFINE_integer('steps', 1000, 'Steps of an episode.', 2)
_SAMPLED = flags.DEFINE_integer('sampled', 64, 'Steps sampled of each (K).', 2)
_BUFFER = flags.DEFINE_integer('buffer', 64, 'Episodes of the buffer.', 1)
_UPDATES = flags.DEFINE_integer('updates', 50, 'Updates in a call.', 1)
_REPEATS = flags.DEFINE_integer('repeats', 10, 'Timed calls of ours.', 1)
_SLOW = flags.DEFINE_integer('slow', 20, 'Timed updates of the baselines.', 1)
_TORCH_PYTHON = flags.DEFINE_string(
  'torch_python', '', 'Python with PyTorch; empty: without.'
)

INPUTS = {'LaRe on RRD': 5, 'RRD': 17 + 6 + 17}


def operations(inputs: int, rows: int) -> int:
  """Multiplications and additions of a loss and its gradient."""
  weights = inputs * 256 + 256 * 256 + 256
  return 2 * rows * (3 * weights - inputs * 256)


def buffer(inputs: int) -> reward_decomposition.Episodes:
  rng = np.random.default_rng(0)
  shape = (_BUFFER.value, _STEPS.value)
  return reward_decomposition.Episodes(
    features=rng.standard_normal((*shape, inputs), np.float32),
    returns=rng.standard_normal(shape[0], np.float32),
    mask=np.ones(shape, bool),
  )


class Stopwatch:
  """Milliseconds of an update by the clock, and of the processor."""

  def __init__(self):
    self.times = []

  def start(self):
    self._start = time.perf_counter(), time.process_time()

  def stop(self, updates=1):
    now = time.perf_counter(), time.process_time()
    self.times.append(
      [1e3 * (b - a) / updates for a, b in zip(self._start, now, strict=True)]
    )


def ours(inputs: int) -> list[list[list[float]]]:
  """Times of an update: many in a call, and one in a call."""
  config = reward_decoder.RewardDecoderConfig.mujoco(inputs)
  optimizer = reward_decomposition.make_optimizer()
  options = reward_decomposition.Options(k=_SAMPLED.value)
  episodes = jax.device_put(buffer(inputs))
  results = []
  for updates in (_UPDATES.value, 1):
    run = reward_decomposition.make_updates(
      config, optimizer, options, updates=updates, batch=_EPISODES.value
    )
    state = reward_decomposition.init(jax.random.key(0), config, optimizer)
    watch = Stopwatch()
    for repeat in range(_REPEATS.value * (1 if updates > 1 else 10) + 2):
      watch.start()
      state, metrics = run(state, episodes, jax.random.key(repeat))
      jax.block_until_ready((state, metrics))
      watch.stop(updates)
    results.append(watch.times[2:])
  return results


def numpy_times(inputs: int) -> list[list[float]]:
  """Times of each update in NumPy."""
  config = reward_decoder.RewardDecoderConfig.mujoco(inputs)
  params = reward_decoder.init(jax.random.key(0), config)
  network = numpy_return_decomposition.ReturnDecomposition(
    [
      tuple(np.asarray(params[f'layer_{i}'][name]) for name in names)
      for i, names in enumerate([('kernel', 'bias')] * config.layers)
    ],
    learning_rate=3e-4,
  )
  episodes = buffer(inputs)
  rng = np.random.default_rng(0)
  lengths = np.full(_EPISODES.value, _STEPS.value, np.float32)
  watch = Stopwatch()
  for _ in range(_SLOW.value + 2):
    watch.start()
    chosen = rng.integers(0, _BUFFER.value, _EPISODES.value)
    indices = np.stack(
      [rng.choice(_STEPS.value, _SAMPLED.value, replace=False) for _ in chosen]
    )
    network.update(
      episodes.features[chosen], episodes.returns[chosen], lengths, indices
    )
    watch.stop()
  return watch.times[2:]


def torch_times(inputs: int, threads: int) -> list[list[float]]:
  """Times of each update in PyTorch, in a process of its own."""
  folder = os.path.dirname(os.path.abspath(__file__))
  result = subprocess.run(
    [
      _TORCH_PYTHON.value,
      os.path.join(
        folder,
        os.pardir,
        'references',
        'peers',
        'torch_return_decomposition.py',
      ),
      f'--inputs={inputs}',
      f'--steps={_STEPS.value}',
      f'--episodes={_EPISODES.value}',
      f'--sampled={_SAMPLED.value}',
      f'--updates={_SLOW.value}',
      f'--threads={threads}',
    ],
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  )
  return json.loads(result.stdout.splitlines()[-1])


def time_all() -> None:
  """Prints the times of all that the flags name."""
  if _SAMPLED.value > _STEPS.value:
    raise ValueError('--sampled must not exceed --steps')
  cores = len(os.sched_getaffinity(0))
  print(
    f'{_EPISODES.value} episodes x {_STEPS.value} steps, {_SAMPLED.value} of '
    f'them sampled; {cores} core(s)'
  )
  few = _EPISODES.value * _SAMPLED.value
  many = _EPISODES.value * _STEPS.value
  for name, inputs in INPUTS.items():
    print(
      f'\n{f"{name}, {inputs} inputs":30}clock: median  fastest  '
      'processor: median  fastest ms   GFLOP/s'
    )
    scanned, single = ours(inputs)
    rows = [
      (f'jaxcredit, {_UPDATES.value} updates a call', scanned, few),
      ('jaxcredit, 1 update a call', single, few),
      ('NumPy', numpy_times(inputs), many),
    ]
    if _TORCH_PYTHON.value:
      rows.append(('PyTorch', torch_times(inputs, cores), many))
    base = None
    for label, times, evaluated in rows:
      medians, fastest = np.median(times, axis=0), np.min(times, axis=0)
      both = np.array([medians, fastest]).T
      base = both if base is None else base
      clock, processor = both
      rate = operations(inputs, evaluated) / processor[1] / 1e6
      ratios = ', '.join(f'{r:.1f}x' for r in processor / base[1])
      print(
        f'{label:30}{clock[0]:14.2f} {clock[1]:8.2f} {processor[0]:18.2f} '
        f'{processor[1]:8.2f} {rate:12.0f}  ({ratios})',
        flush=True,
      )


def main(argv):
  return command.run(argv, time_all)


if __name__ == '__main__':
  app.run(main)
