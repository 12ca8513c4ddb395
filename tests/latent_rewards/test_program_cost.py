"""What a program needs is counted from shapes, and rows run in chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.latent_rewards import (
  examples,
  interpreter,
  language,
  program_cost,
  refusal,
  tasks,
)
from tests.latent_rewards import programs

ROW = [jax.ShapeDtypeStruct((1, size), np.float32) for size in (6, 2)]


def cost(body, *shapes):
  program = language.check(programs.function(body))
  return interpreter.cost(program, *(shapes or ROW))


def test_counts_are_those_of_the_equations():
  found = cost('return [jnp.sin(observation[:, 0]) + action[:, 1]]')
  # Two slices, each with a change of its shape; sin, +, and the shape of the
  # factor: 4 bytes each.
  assert found.equations == 7
  assert found.bytes == 7 * 4
  # A slice, sin, +.
  assert found.chains == {
    **dict.fromkeys(program_cost.MAX_CHAIN, 0),
    'any kind': 3,
  }
  assert found.multiplications == 0 and found.line is None


def test_multiplications_of_products_and_their_line():
  body = """
w = jnp.array([[i + j for i in range(5)] for j in range(6)])
x = jnp.dot(observation, w)
y = jnp.dot(x, jnp.array([1, 2, 3, 4, 5]))
return [y]"""
  found = cost(body)
  assert found.multiplications == 6 * 5 + 5
  assert found.line == 3
  assert found.chains['matrix products'] == 2


def test_singular_values_count():
  body = """
m = observation.reshape(-1, 2, 3)
return [jnp.linalg.norm(m, 2, (1, 2))]"""
  found = cost(body)
  assert found.multiplications == 20 * 6 * 2
  assert found.chains['singular values'] == 1


@pytest.mark.parametrize(
  ('line', 'kind'),
  [
    ('x = x[:, [1, 0, 2, 3, 5, 4]]', 'gathers'),
    ('x = jnp.where(x > 0, x, 2.0)', 'choices'),
    ('x = jnp.concatenate([x[:, 1:], x[:, :1]], axis=1)', 'concatenations'),
    ('x = jnp.stack([x[:, j] for j in range(6)], axis=1)', 'concatenations'),
    ('x = jnp.sort(-x, axis=1)', 'sorts'),
    ('x = x - jnp.max(x, axis=1, keepdims=True)', 'reductions'),
  ],
)
def test_chains_count_what_follows_on_each_other(line, kind):
  chain = f'x = observation\nfor i in range(5):\n  {line}\nreturn [x[:, 0]]'
  found = cost(chain)
  assert found.chains[kind] == 5
  side = chain.replace('x = observation', 'y = 0.0').replace(
    f'  {line}', f'  x = observation\n  {line}\n  y = y + x[:, 0]'
  )
  assert cost(side.replace('[x[:, 0]]', '[y]')).chains[kind] == 1


def test_a_limit_is_met_and_not_passed():
  def body(length):
    return (
      f'x = observation\nfor i in range({length}):\n'
      '  x = x[:, [1, 0, 2, 3, 5, 4]]\nreturn [x[:, 0]]'
    )

  limit = program_cost.MAX_CHAIN['gathers']
  assert cost(body(limit)).chains['gathers'] == limit
  with pytest.raises(refusal.Refused, match=f'of {limit + 1} gathers') as error:
    cost(body(limit + 1))
  assert error.value.line == 4


def test_temporary_arrays_are_bounded_with_the_line(monkeypatch):
  body = 'x = observation[:, :, None] * observation[:, None]\nreturn [x[:,0,0]]'
  found = cost(body)
  monkeypatch.setattr(program_cost, 'MAX_BYTES', found.bytes - 1)
  interpreter._cost.cache_clear()
  with pytest.raises(refusal.Refused, match='bytes a row up to here'):
    cost(body)
  interpreter._cost.cache_clear()


def test_the_batch_in_use_counts():
  """Accepted for a row, and refused for more rows than would end today."""
  body = """
x = jnp.stack([observation[0] for i in range(14)]).reshape(84)
x = x[:, None] * x
y = jnp.dot(x, x)
return [y[0, 0] * action[:, 0]]"""
  program = language.check(programs.function(body))
  few = [jax.ShapeDtypeStruct((32_768, n), np.float32) for n in (6, 2)]
  many = [jax.ShapeDtypeStruct((10**6, n), np.float32) for n in (6, 2)]
  call = lambda *x: interpreter.encode(program, *x)  # noqa: E731
  assert jax.eval_shape(call, *few).shape == (32_768, 1)
  words = r'line 4: 592,704 multiplications a row, 592,704,000,000 for the '
  with pytest.raises(refusal.Refused, match=words + '1,000,000 rows'):
    jax.eval_shape(call, *many)


@pytest.mark.parametrize(
  ('rows', 'bytes_a_row', 'expected'),
  [
    (0, 100, (2, 1)),
    (1, 100, (2, 1)),
    (2, 100, (2, 1)),
    (3, 100, (2, 2)),
    (10**6, 64, (2, 500_000)),
    (32_768, 2**20, (512, 64)),
    (100, 10**9, (100, 1)),
  ],
)
def test_chunks_fit_and_are_two_at_least(rows, bytes_a_row, expected):
  needs = program_cost.Cost(1, {}, bytes_a_row, 0, None)
  chunks, size = interpreter.chunk_shape(needs, rows)
  assert (chunks, size) == expected
  assert chunks * size >= rows
  assert size == 1 or size * bytes_a_row <= interpreter.CHUNK_BYTES


@pytest.mark.parametrize(
  ('rows', 'size', 'name'),
  [
    (1, 1, 'norms'), (7, 3, 'functions'), (12, 4, 'shapes'),
    (9, 40, 'literals'),
  ],
)  # fmt: skip
def test_in_chunks_is_as_a_whole(rows, size, name, monkeypatch):
  program = language.check(programs.function(programs.FORMS[name]))
  arrays = [jnp.asarray(array) for array in programs.arrays(rows)]
  whole = interpreter.run(program, *arrays)
  needs = interpreter.cost(program, *arrays)
  monkeypatch.setattr(interpreter, 'CHUNK_BYTES', size * needs.bytes)
  chunks, rows_of_each = interpreter.chunk_shape(needs, rows)
  assert chunks > 1
  assert rows_of_each <= size
  # Compiled anew: what it was compiled to before had other chunks.
  encode = jax.jit(lambda *x: interpreter.encode.__wrapped__(program, *x))
  np.testing.assert_allclose(encode(*arrays), whole, rtol=1e-5, atol=1e-6)


def test_memory_of_a_large_batch_is_that_of_a_chunk():
  """A quarter of a megabyte a row: 8 GiB, were it not cut."""
  body = """
x = jnp.concatenate([observation for i in range(20)], axis=1)
x = jnp.sort(x[:, :, None] * x[:, None, :100], axis=1)
x = jnp.sort(x * x[:, :1], axis=1)
return [jnp.max(jnp.sort(x, axis=2)[:, 50], axis=1)]"""
  program = language.check(programs.function(body))
  shapes = [jax.ShapeDtypeStruct((32_768, n), np.float32) for n in (6, 2)]
  needs = interpreter.cost(program, *shapes)
  assert needs.bytes > 200_000
  compiled = interpreter.encode.lower(program, *shapes).compile()
  used = compiled.memory_analysis().temp_size_in_bytes
  assert used < 2 * interpreter.CHUNK_BYTES


def test_the_compiler_keeps_the_program_apart_from_its_user():
  """Its operations stand in the body of a loop, those of the user do not."""
  body = 'return [jnp.sinh(observation[:, 0]) * action[:, 0]]'
  program = language.check(programs.function(body))

  @jax.jit
  def update(observation, action):
    return jnp.cosh(interpreter.encode(program, observation * 2, action)).sum()

  for rows in (1, 2, 64):
    arrays = [jnp.ones((rows, size)) for size in (6, 2)]
    lowered = update.lower(*arrays)
    assert lowered.as_text().count('optimization_barrier') >= 2
    compiled = lowered.compile().as_text()
    assert ' while(' in compiled
    entry = compiled[compiled.index('\nENTRY') :]
    assert 'line_2' not in entry


def test_derivatives_pass_the_chunks():
  program = language.check(
    programs.function('return [jnp.sin(observation[:, 0]) * action[:, 1]]')
  )
  observation, action = map(jnp.asarray, programs.arrays(5))

  def total(observation):
    return interpreter.encode(program, observation, action).sum()

  found = jax.grad(total)(observation)
  expected = (
    jnp.zeros((5, 6)).at[:, 0].set(jnp.cos(observation[:, 0]) * action[:, 1])
  )
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_was_recorded_lies_well_within_the_limits():
  for task, agents in [
    *((name, None) for name in tasks.NAMES),
    *((t, n) for t, sizes in examples.LARGER_TEAMS.items() for n in sizes),
  ]:
    described = tasks.named(task, agents)
    shapes = [jax.ShapeDtypeStruct((1, n), np.float32) for n in described.sizes]
    source = examples.source(task, 'good', agents)
    needs = interpreter.cost(
      language.check(source, described.parameters), *shapes
    )
    for kind, length in needs.chains.items():
      assert length <= program_cost.MAX_CHAIN[kind] * 0.7, (task, agents, kind)
    assert needs.bytes < program_cost.MAX_BYTES / 10
