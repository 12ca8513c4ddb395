"""Environment steps a second of whole training programs (play, credit, update).

  python -m experiments.benchmarks.speed.control_speed \
      --method=dense --method=lare

Compiles the program of experiments.lare for each method with the flags given,
and times calls of it after the first. Prints a table.
"""

import time

import jax
from absl import app, flags

from experiments import lare
from experiments.control import tasks
from experiments.run import command

_CALLS = flags.DEFINE_integer('calls', 3, 'Calls that are timed.', 1)
_CHUNK = flags.DEFINE_integer('chunk', 5, 'Iterations of a call.', 1)


def measure(program) -> tuple[float, float, float]:
  """Seconds to compile; environment steps a second: best and median call."""

  def chunk(state):
    return jax.lax.scan(
      lambda state, _: program.iterate(state), state, length=_CHUNK.value
    )

  state = jax.jit(program.init)(jax.random.key(0))
  begin = time.perf_counter()
  run = jax.jit(chunk, donate_argnums=0).lower(state).compile()
  compiled = time.perf_counter() - begin
  state, _ = run(state)
  jax.block_until_ready(state)
  taken = []
  for _ in range(_CALLS.value):
    begin = time.perf_counter()
    state, metrics = run(state)
    jax.block_until_ready((state, metrics))
    taken.append(time.perf_counter() - begin)
  options = program.options
  if program.environment.discrete:
    steps = options.episodes * program.environment.horizon
  else:
    steps = options.blocks * options.block * options.environments
  steps *= _CHUNK.value
  taken.sort()
  return compiled, steps / taken[0], steps / taken[len(taken) // 2]


def time_all() -> None:
  """Prints a row for each method that the flags name."""
  print('| method | compile, s | steps a second, best | median |')
  print('| --- | ---: | ---: | ---: |')
  for method, program in lare.build().learners.items():
    compiled, best, median = measure(program)
    print(
      f'| {tasks.METHODS[method]} | {compiled:.1f} | {best:,.0f} '
      f'| {median:,.0f} |',
      flush=True,
    )


def main(argv):
  return command.run(argv, time_all)


if __name__ == '__main__':
  app.run(main)
