"""Times DynLin-UCB: the compiled scan against plain NumPy, rounds a second.

  python -m experiments.benchmarks.speed.bandit_speed

The synthetic system of the paper. NumPy plays one run; the scan plays one, and
many side by side; both simulate the system and record regret. The processor
time is given beside the wall clock, since other jobs on the machine change the
one and hardly the other. Last comes the paper's experiment: a million rounds of
50 runs.
"""

import time

import jax
import numpy as np
from absl import app, flags

from experiments.bandits import algorithms as bandit_algorithms
from experiments.benchmarks.references import numpy_bandits
from experiments.run import command
from jaxcredit.algorithms.bandits import bounds, play

_ROUNDS = flags.DEFINE_integer('rounds', 100_000, 'Rounds of a run.', 1)
_RUNS = flags.DEFINE_integer('runs', 256, 'Runs side by side.', 1)
_NUMPY_ROUNDS = flags.DEFINE_integer(
  'numpy_rounds', 20_000, "Rounds of NumPy's run.", 1
)
_REPEATS = flags.DEFINE_integer('repeats', 5, 'Timed calls; the best.', 1)
_EXPERIMENT = flags.DEFINE_integer(
  'experiment', 1_000_000, "Rounds of the paper's experiment; 0: not.", 0
)
_ALGORITHMS = flags.DEFINE_multi_enum(
  'algorithm',
  ['dynlin_log'],
  ['dynlin_log', 'lin_log', 'd_lin_1', 'ar2', 'exp3', 'exp3_k_aligned'],
  'Which to time.',
)

REFERENCES = {
  'dynlin_log': (
    numpy_bandits.DynLinUcb, {'start': 'released', 'state_bound': 'released'},
  ),
  'lin_log': (numpy_bandits.LinUcb, {'random_start': True}),
  'd_lin_1': (
    numpy_bandits.DLinUcb,
    {'form': 'discounted', 'budget': 1.5, 'random_start': True},
  ),
  'ar2': (numpy_bandits.Ar2, {}),
  'exp3': (numpy_bandits.Exp3, {}),
  'exp3_k_aligned': (numpy_bandits.Exp3, {'batch': 7}),
}  # fmt: skip


def problem(horizon: int) -> bandit_algorithms.Problem:
  """The synthetic system as the script has it."""
  system = bandit_algorithms.SYSTEMS['synthetic'](0.01, outputs=3)
  actions = bandit_algorithms.actions()
  told = bounds.of_system(system, actions, sigma=0.01, x='released')
  return bandit_algorithms.Problem(
    system, actions, told, horizon, bandit_algorithms.Options()
  )


def seconds(call, repeats: int) -> tuple[float, float]:
  """Wall clock and processor seconds of the fastest of several calls."""
  walls, processor = [], []
  for _ in range(repeats):
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(call())
    walls.append(time.perf_counter() - wall)
    processor.append(time.process_time() - cpu)
  return min(walls), min(processor)


def numpy_run(name: str, rounds: int) -> None:
  """One run of the reference, random numbers included."""
  p = problem(rounds)
  arrays = [
    np.asarray(a, float)
    for a in (p.system.A, p.system.B, p.system.omega, p.system.theta)
  ]
  told = numpy_bandits.Told(*arrays, p.actions.arms, sigma=0.01)
  make, options = REFERENCES[name]
  rng = np.random.default_rng(0)
  numpy_bandits.simulate(
    make(told, rounds, **options),
    *arrays,
    rng.standard_normal((rounds, 4)),
    0.01,
    float(p.system.reward_noise),
    rng.random(rounds),
  )


def compiled(name: str, rounds: int, runs: int):
  """A call that plays `runs` runs side by side, compiled."""
  p = problem(rounds)
  entry = bandit_algorithms.ALGORITHMS[name]
  config = entry.configure(p)
  keys = jax.random.split(jax.random.key(0), runs)

  def one(key):
    return play.run(entry.algorithm, key, p.system, config, rounds)

  call = jax.jit(jax.vmap(one)).lower(keys).compile()
  jax.block_until_ready(call(keys))
  return lambda: call(keys)


def line(label: str, rounds: int, times, base=None) -> float:
  """Prints rounds a second; returns them, by the processor's clock."""
  wall, cpu = (rounds / t for t in times)
  ratio = '' if base is None else f'  {cpu / base:8,.1f} times NumPy'
  print(
    f'{label:<28}{wall:>14,.0f} rounds/s {cpu:>14,.0f} rounds/processor-s'
    f'{ratio}',
    flush=True,
  )
  return cpu


def time_all() -> None:
  """Prints the times of all that the flags name."""
  rounds, repeats = _ROUNDS.value, _REPEATS.value
  for name in _ALGORITHMS.value:
    print(bandit_algorithms.ALGORITHMS[name].label)
    times = seconds(
      lambda name=name: numpy_run(name, _NUMPY_ROUNDS.value), repeats
    )
    base = line('NumPy, one run', _NUMPY_ROUNDS.value, times)
    for runs in (1, _RUNS.value):
      times = seconds(compiled(name, rounds, runs), repeats)
      line(f'jaxcredit, {runs} side by side', rounds * runs, times, base)
    if _EXPERIMENT.value:
      wall, cpu = seconds(compiled(name, _EXPERIMENT.value, 50), 1)
      print(
        f'{_EXPERIMENT.value:,} rounds of 50 runs: {wall:.1f} s, '
        f'{cpu:.1f} processor-s',
        flush=True,
      )


def main(argv):
  return command.run(argv, time_all)


if __name__ == '__main__':
  app.run(main)
