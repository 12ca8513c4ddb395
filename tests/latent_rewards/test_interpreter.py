"""What is walked computes what Python computes, row by row, compiled."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcredit.latent_rewards import (
  examples,
  interpreter,
  language,
  refusal,
  tasks,
)
from tests.latent_rewards import programs


@pytest.mark.parametrize('name', programs.FORMS)
def test_every_form_computes_what_python_computes(name):
  source = programs.function(programs.FORMS[name])
  arrays = programs.arrays()
  expected = programs.by_python(source, *arrays)
  program = language.check(source)
  found = interpreter.encode(program, *arrays)
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize(
  ('task', 'agents'),
  [
    *((name, None) for name in tasks.NAMES),
    *((t, n) for t, sizes in examples.LARGER_TEAMS.items() for n in sizes),
  ],
)
def test_examples_compute_what_python_computes(task, agents):
  for quality in examples.QUALITIES:
    source = examples.source(task, quality, agents)
    arrays = tasks.named(task, agents).random_transitions(3, 20).arrays
    program = language.check(source, tasks.named(task).parameters)
    with jax.disable_jit():
      found = interpreter.run(program, *map(jnp.asarray, arrays))
    np.testing.assert_allclose(
      found, programs.by_python(source, *arrays), rtol=1e-4, atol=1e-5
    )


leaves = st.sampled_from(
  ['observation[:, 0:1]', 'observation[:, 1:2]', 'action[:, 1:]', '2', '0.5']
)
expressions = st.recursive(
  leaves,
  lambda inner: st.one_of(
    st.tuples(inner, st.sampled_from(['+', '-', '*']), inner).map(
      lambda t: f'({t[0]} {t[1]} {t[2]})'
    ),
    inner.map(lambda t: f'-{t}'),
    st.tuples(st.sampled_from(['tanh', 'sin', 'sign', 'abs']), inner).map(
      lambda t: f'jnp.{t[0]}({t[1]})'
    ),
    st.tuples(inner, inner, inner).map(
      lambda t: f'jnp.where({t[0]} > {t[1]}, {t[2]}, 0.25)'
    ),
  ),
  max_leaves=8,
)


@settings(max_examples=20)
@given(expression=expressions)
def test_random_expressions_compute_what_python_computes(expression):
  source = programs.function(f'return [action[:, :1] + {expression}]')
  arrays = programs.arrays(5)
  with jax.disable_jit():
    found = interpreter.run(language.check(source), *map(jnp.asarray, arrays))
  np.testing.assert_allclose(
    found, programs.by_python(source, *arrays), rtol=1e-4, atol=1e-4
  )


BODY = """
near = jnp.linalg.norm(observation[:, :3], axis=1, keepdims=True)
return [near, jnp.sum(action, axis=1), near > 1]"""


@pytest.fixture(scope='module')
def program():
  return language.check(programs.function(BODY))


def by_hand(observation, action):
  near = jnp.sqrt(jnp.sum(observation[..., :3] ** 2, -1))
  return jnp.stack([near, action.sum(-1), near > 1], -1)


def test_leading_axes(program):
  observation, action = programs.arrays(12)
  found = interpreter.encode(
    program, observation.reshape(2, 3, 2, 6), action.reshape(2, 3, 2, 2)
  )
  expected = by_hand(observation, action).reshape(2, 3, 2, 3)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  one = interpreter.encode(program, observation[0], action[0])
  np.testing.assert_allclose(one, expected[0, 0, 0], rtol=1e-5)
  assert interpreter.encode(program, observation[:0], action[:0]).shape == (
    0,
    3,
  )


def test_rows_are_independent_whatever_the_text_does():
  source = programs.function('return [observation[:, 0] - observation.mean()]')
  observation, action = programs.arrays(4)
  found = interpreter.encode(language.check(source), observation, action)
  np.testing.assert_allclose(
    found[:, 0], observation[:, 0] - observation.mean(1), atol=1e-6
  )


def test_nan_stays_in_its_row(program):
  observation, action = programs.arrays(4)
  clean = interpreter.encode(program, observation, action)
  observation[2] = np.nan
  found = interpreter.encode(program, observation, action)
  assert np.isnan(found[2, 0])
  np.testing.assert_array_equal(np.delete(found, 2, 0), np.delete(clean, 2, 0))


def test_under_transformations(program):
  observation, action = map(jnp.asarray, programs.arrays(6))
  expected = by_hand(observation, action)
  call = functools.partial(interpreter.encode, program)
  np.testing.assert_allclose(jax.jit(call)(observation, action), expected, 1e-5)
  np.testing.assert_allclose(
    jax.vmap(call)(observation, action), expected, 1e-5
  )
  gradient = jax.grad(lambda x: call(x, action)[:, 0].sum())(observation)
  expected = jax.grad(lambda x: by_hand(x, action)[:, 0].sum())(observation)
  np.testing.assert_allclose(gradient, expected, atol=1e-6)


@pytest.mark.parametrize('dtype', ['float64', 'bfloat16', 'float16'])
def test_dtype_out_is_dtype_in(program, dtype):
  with jax.enable_x64(True):
    observation, action = (
      jnp.asarray(a).astype(dtype) for a in programs.arrays(3)
    )
    found = interpreter.encode(program, observation, action)
    assert found.dtype == dtype
    wide = [np.asarray(a, np.float64) for a in (observation, action)]
    tolerance = 1e-12 if dtype == 'float64' else 2e-2
    np.testing.assert_allclose(
      found.astype('float64'), by_hand(*wide), tolerance
    )


def test_other_values_do_not_compile_again(program):
  arrays = programs.arrays(7)
  traced = []

  @jax.jit
  def call(*x):
    traced.append(1)
    return interpreter.encode(program, *x)

  call(*arrays)
  call(*programs.arrays(7, seed=1))
  assert len(traced) == 1
  # An equal program is the same to jit.
  again = language.check(program.source)
  assert again == program and hash(again) == hash(program)


@pytest.mark.parametrize(
  ('shapes', 'words'),
  [
    (((4, 6),), 'arrays for the arguments'),
    (((4, 6), (3, 2)), 'leading axes differ'),
    ((), r'arrays \[\.\.\., D\]'),
    (((), ()), r'arrays \[\.\.\., D\]'),
  ],
)
def test_wrong_shapes_are_told(program, shapes, words):
  with pytest.raises(ValueError, match=words):
    interpreter.encode(program, *(jnp.ones(shape) for shape in shapes))


def test_integers_are_told(program):
  with pytest.raises(ValueError, match='int32'):
    interpreter.encode(program, jnp.ones((4, 6), jnp.int32), jnp.ones((4, 2)))


def test_a_changed_layout_is_found(program):
  with pytest.raises(refusal.Refused, match='beyond the 2 elements'):
    interpreter.encode(program, jnp.ones((4, 2)), jnp.ones((4, 2)))


@pytest.mark.parametrize(
  ('body', 'words'),
  [
    ('return [observation]', r'factor 1 has the shape \(batch, 6\)'),
    ('return [action[:, 0], observation[0, 0]]', 'factor 2 has the shape'),
    ('return [1.0]', 'factor 1 is no array'),
    ('return []', 'no list of factors'),
    ('return action[:, 0]', 'no list of factors'),
    ('return [[action[:, 0]]]', 'factor 1 is no array'),
    ('return [action[:, 0] for i in range(40)]', '40 factors'),
    ('return [action[:, 2]]', 'index 2 of the 2 elements of axis 1'),
    ('return [observation[:, 4:8]]', 'beyond the 6 elements'),
    ('return [observation[:, 3:3]]', 'an empty slice'),
    ('return [observation[:, 0, 0]]', '3 indices of an array of 2'),
    ('return [action[:, action]]', 'no whole number'),
    ('return [action[:, 0] @ action[:, 1]]', 'mat mult: write jnp.sum'),
    ('if action[0, 0] > 0:\n  x = 1\nreturn [x]', 'a condition on the data'),
    ('x = [1, 2] + [3]\nreturn [x]', 'arithmetic with a list'),
    ('return [y]', "'y' has no value"),
    ('return [jnp.sum(action, axis=2)]', 'fails'),
    ('return [jnp.sum(action, dims=1)]', r'it takes \(a, axis, keepdims\)'),
    ('return [jnp.where(action > 0)]', r'it takes \(condition, x, y\)'),
    ('return [jnp.stack(action)]', 'of no list'),
    ('return [observation + action]', 'fails'),
    ('return [-(action > 0)]', 'fails'),
    ('return [action[:, 0] / (1 / 0)]', 'division by zero'),
    ('return [(-1) ** 0.5 * action[:, 0]]', 'a huge number'),
    ('a, b = action\nreturn [a]', '2 names for something else'),
    ('x = [1]\nreturn [action[:, 0] * x[3]]', 'element 3 of 1'),
    ('return [jnp.linalg.norm(action, ord=3, axis=1)]', 'ord of the norm'),
    ('return [action.sum(axis=True)]', 'no whole number'),
  ],
)
def test_what_does_not_fit_is_told_with_its_line(body, words):
  arrays = map(jnp.asarray, programs.arrays(4))
  with pytest.raises(refusal.Refused, match=words) as caught:
    trace(programs.function(body), *arrays)
  assert caught.value.line >= 2


def trace(source, *arrays):
  program = language.check(source)
  return jax.eval_shape(lambda *x: interpreter.run(program, *x), *arrays)


def test_a_condition_on_what_is_known():
  body = 'return [action[:, i] for i in range(2)] if action.shape[1] else []'
  shape = trace(programs.function(body), *programs.arrays(4)).shape
  assert shape == (4, 2)
