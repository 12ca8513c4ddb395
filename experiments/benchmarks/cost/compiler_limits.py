"""Finds the longest chains of operations that XLA compiles, kind by kind.

  python -m experiments.benchmarks.cost.compiler_limits

Each row is a latent reward function with a chain of one kind of operation, used
in an update as the trainer uses it: encoded, fed to a small network, whose
weights take three steps. A child process compiles it. The length starts at the
limit of `program_cost` and doubles until the child dies, or needs more than
--seconds of processor time, or reaches --longest. The limits must lie well
below what is printed.
"""

import resource
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
from absl import app, flags

from jaxcredit.latent_rewards import (
  interpreter,
  language,
  program_cost,
  syntax_walk,
)

KIND = flags.DEFINE_string('kind', '', 'One of KINDS alone; empty: all.')
LENGTH = flags.DEFINE_integer(
  'length', 0, 'Compile a chain of this length, here, and print the seconds.', 0
)
ROWS = flags.DEFINE_integer('rows', 4_096, 'Rows of the batch.', 2)
SECONDS = flags.DEFINE_integer('seconds', 60, 'Processor limit of a child.', 1)
LONGEST = flags.DEFINE_integer('longest', 4_096, 'Length at which to end.', 1)

# What is repeated, and the chain that it makes longer by one.
KINDS = {
  'elementwise': ('any kind', 'x = jnp.sin(x)'),
  'gathers': ('gathers', 'x = x[:, [1, 0, 2, 3, 5, 4]]'),
  'choices': ('choices', 'x = jnp.where(x > 0.1, x, x[:, ::-1])'),
  'concatenations': (
    'concatenations', 'x = jnp.concatenate([x[:, 1:], x[:, :1]], axis=1)',
  ),
  'matrix products': ('matrix products', 'x = jnp.dot(x, w)'),
  'sorts': ('sorts', 'x = jnp.sort(-x, axis=1)'),
  'maxima': ('reductions', 'x = x - jnp.max(x, axis=1, keepdims=True)'),
  'sums': ('reductions', 'x = x / jnp.sum(x ** 2, axis=1, keepdims=True)'),
  'norms': (
    'reductions', 'x = x / jnp.linalg.norm(x, axis=1, keepdims=True)',
  ),
  'singular values': (
    'singular values',
    'x = x * jnp.linalg.norm(x.reshape(-1, 3, 2), 2, (1, 2))[:, None]',
  ),
}  # fmt: skip
_TURNS = 64


def source(kind: str, length: int) -> str:
  """A function with a chain of this length."""
  line = KINDS[kind][1]
  unit = [[float(i == j) for j in range(6)] for i in range(6)]
  lines = [f'w = jnp.array({unit})', 'x = observation']
  for turns in [_TURNS] * (length // _TURNS) + [length % _TURNS]:
    lines += [f'for i in range({turns}):', f'  {line}'] if turns else []
  lines.append('return [jnp.sum(x * observation, axis=1), x[:, 0]]')
  return '\n'.join(
    ['def factors(observation):', *(f'  {line}' for line in lines)]
  )


def lift_limits() -> None:
  """Of this process, which compiles what the limits would refuse."""
  for name in ('MAX_STEPS', 'MAX_OPERATIONS', 'MAX_WORK'):
    setattr(syntax_walk, name, 10**9)
  for name in ('MAX_EQUATIONS', 'MAX_BYTES', 'MAX_MULTIPLICATIONS'):
    setattr(program_cost, name, 10**9)
  program_cost.MAX_CHAIN = dict.fromkeys(program_cost.MAX_CHAIN, 10**9)


def compile_update(kind: str, length: int, rows: int) -> float:
  """Processor seconds to compile an update that uses such a function."""
  program = language.check(source(kind, length), ('observation',))

  def loss(weights, factors, targets):
    return jnp.mean((jnp.tanh(factors @ weights).sum(-1) - targets) ** 2)

  @jax.jit
  def update(weights, observation):
    factors = interpreter.encode(program, observation * 2)
    targets = observation.sum(-1)

    def step(weights, _):
      gradient = jax.grad(loss)(weights, jnp.tanh(factors), targets)
      return weights - 0.1 * gradient, None

    return jax.lax.scan(step, weights, length=3)[0]

  shapes = ((2, 16), (rows, 6))
  lowered = update.lower(*(jax.ShapeDtypeStruct(s, float) for s in shapes))
  start = time.process_time()
  lowered.compile()
  return time.process_time() - start


def compile_in_child(kind: str, length: int) -> tuple[bool, str]:
  """Whether a child compiles it in time, and what happened."""
  command = [
    sys.executable, '-m', 'experiments.benchmarks.cost.compiler_limits',
    f'--kind={kind}', f'--length={length}', f'--rows={ROWS.value}',
    f'--seconds={SECONDS.value}',
  ]  # fmt: skip
  result = subprocess.run(command, capture_output=True, text=True)
  if result.returncode == -signal.SIGXCPU:
    return False, f'more than {SECONDS.value} s'
  if result.returncode < 0:
    return False, signal.Signals(-result.returncode).name
  if result.returncode:
    return False, result.stderr.strip().rpartition('\n')[2][:100]
  return True, f'{float(result.stdout):.1f} s'


def main(arguments: list[str]) -> None:
  if len(arguments) > 1:
    raise app.UsageError(f'no argument {arguments[1]!r}')
  if LENGTH.value:
    lift_limits()
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS.value, SECONDS.value + 9))
    print(compile_update(KIND.value, LENGTH.value, ROWS.value))
    return
  print('| operation | limit | lengths of the chain |')
  print('|---|---|---|')
  for kind in [KIND.value] if KIND.value else KINDS:
    limit = program_cost.MAX_CHAIN[KINDS[kind][0]]
    length, compiles, found = limit, True, []
    while compiles and length <= LONGEST.value:
      compiles, words = compile_in_child(kind, length)
      found.append(f'{length}: {words}')
      length *= 2
    print(f'| {kind} | {limit} | {", ".join(found)} |', flush=True)


if __name__ == '__main__':
  app.run(main)
