"""Scores of tokens in chunks: the same numbers, never all logits at once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.networks import sharding, token_scores

N, L, W, V = 4, 7, 5, 11


def make(dtype=np.float64, n=N, l=L, w=W, v=V):
  rng = np.random.default_rng(0)
  hidden = rng.normal(size=(n, l, w)).astype(dtype)
  # Large, so that an unstable softmax shows.
  kernel = (3 * rng.normal(size=(v, w))).astype(dtype)
  tokens = rng.integers(0, v, (n, l)).astype(np.int32)
  weights = rng.normal(size=(2, n, l)).astype(dtype)
  return hidden, kernel, tokens, weights


def naive(hidden, kernel, tokens, temperature):
  """With all logits [N, L, V]."""
  log_p = jax.nn.log_softmax(hidden @ kernel.T / temperature)
  chosen = jnp.take_along_axis(log_p, tokens[..., None], axis=-1)[..., 0]
  return chosen, -jnp.sum(jnp.exp(log_p) * log_p, axis=-1)


def naive_among(hidden, kernel, tokens, temperature, allowed):
  """With all logits, among the tokens of a mask [N, L, V]."""
  scores = jnp.where(allowed, hidden @ kernel.T / temperature, -jnp.inf)
  log_p = jax.nn.log_softmax(scores)
  chosen = jnp.take_along_axis(log_p, tokens[..., None], axis=-1)[..., 0]
  finite = jnp.where(allowed, log_p, 0)
  return chosen, -jnp.sum(jnp.exp(finite) * finite * allowed, axis=-1)


def weighted(score, hidden, kernel, tokens, weights, **options):
  """A number that depends on each score in a way of its own."""
  log_probs, entropy = score(hidden, kernel, tokens, **options)
  return jnp.sum(weights[0] * log_probs) + jnp.sum(weights[1] * entropy**2)


def check_close(a, b, **tolerance):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


@pytest.mark.parametrize('chunk', [None, 1, 3, 4, 7, 100])
@pytest.mark.parametrize('temperature', [1.0, 0.6])
def test_equals_the_naive_computation(chunk, temperature):
  with jax.enable_x64(True):
    hidden, kernel, tokens, weights = make()
    given = token_scores.score(
      hidden, kernel, tokens, temperature=temperature, chunk=chunk
    )
    expected = naive(hidden, kernel, tokens, temperature)
    assert given[0].dtype == given[1].dtype == jnp.float64
    check_close(given, expected, rtol=1e-12, atol=1e-12)
    gradient = jax.grad(weighted, argnums=(1, 2))(
      token_scores.score,
      hidden,
      kernel,
      tokens,
      weights,
      temperature=temperature,
      chunk=chunk,
    )
    wanted = jax.grad(weighted, argnums=(1, 2))(
      naive, hidden, kernel, tokens, weights, temperature=temperature
    )
    check_close(gradient, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('chunk', [None, 3])
@pytest.mark.parametrize('restricted', ['vocabulary', 'support', 'both'])
def test_tokens_that_cannot_be_sampled_have_no_part(restricted, chunk):
  with jax.enable_x64(True):
    hidden, kernel, tokens, weights = make()
    allowed = np.ones((N, L, V), bool)
    options = {}
    if restricted != 'support':
      options['vocabulary'] = 8
      allowed[..., 8:] = False
      tokens %= 8
    if restricted != 'vocabulary':
      rng = np.random.default_rng(2)
      support = np.full((N, L, 4), -1, np.int32)
      for n, l in np.ndindex(N, L):
        # Where nothing is said all tokens can be sampled.
        count = rng.integers(0, 5)
        others = rng.permutation([t for t in range(8) if t != tokens[n, l]])
        ids = [tokens[n, l], *others][:count]
        support[n, l, :count] = ids
        if count:
          allowed[n, l] &= np.isin(np.arange(V), ids)
      options['support'] = support
    given = token_scores.score(
      hidden, kernel, tokens, temperature=0.6, chunk=chunk, **options
    )
    expected = naive_among(hidden, kernel, tokens, 0.6, allowed)
    check_close(given, expected, rtol=1e-12, atol=1e-12)
    gradient = jax.grad(weighted, argnums=(1, 2))(
      token_scores.score, hidden, kernel, tokens, weights,
      temperature=0.6, chunk=chunk, **options,
    )  # fmt: skip
    wanted = jax.grad(weighted, argnums=(1, 2))(
      naive_among, hidden, kernel, tokens, weights,
      temperature=0.6, allowed=allowed,
    )  # fmt: skip
    check_close(gradient, wanted, rtol=1e-10, atol=1e-10)


def test_a_token_that_cannot_be_sampled_moves_nothing():
  hidden, kernel, tokens, weights = make(np.float32)
  tokens[:] = V - 1
  log_probs, entropy = token_scores.score(hidden, kernel, tokens, vocabulary=8)
  assert (log_probs <= -1e29).all() and np.isfinite(entropy).all()
  gradient = jax.grad(weighted, argnums=2)(
    token_scores.score, hidden, kernel, tokens, weights, vocabulary=8
  )
  assert np.isfinite(gradient).all()
  assert (gradient[8:] == 0).all()


def test_gradient_by_finite_differences():
  with jax.enable_x64(True):
    *arrays, tokens, weights = make()
    total = jax.jit(
      lambda h, k: weighted(
        token_scores.score, h, k, tokens, weights, chunk=3, temperature=0.8
      )
    )
    gradient = jax.grad(total, argnums=(0, 1))(*arrays)
    rng = np.random.default_rng(1)
    for which in (0, 1):
      for index in rng.integers(0, arrays[which].size, 5):
        ends = []
        for step in (1e-6, -1e-6):
          moved = [x.copy() for x in arrays]
          moved[which].ravel()[index] += step
          ends.append(float(total(*moved)))
        slope = (ends[0] - ends[1]) / 2e-6
        assert float(gradient[which].ravel()[index]) == pytest.approx(
          slope, rel=1e-6, abs=1e-7
        )


@pytest.mark.parametrize('part', [0, 1])
def test_gradient_of_one_part_alone(part):
  # The other part's cotangent is left out, not computed as zeros.
  with jax.enable_x64(True):
    hidden, kernel, tokens, weights = make()

    def total(score, hidden, kernel, **options):
      return jnp.sum(
        weights[0] * score(hidden, kernel, tokens, **options)[part]
      )

    given = jax.grad(total, argnums=(1, 2))(
      token_scores.score, hidden, kernel, chunk=2
    )
    expected = jax.grad(total, argnums=(1, 2))(
      naive, hidden, kernel, temperature=1.0
    )
    check_close(given, expected, rtol=1e-10, atol=1e-10)


def test_large_logits_stay_finite():
  hidden, kernel, tokens, weights = make(np.float32)
  value, gradient = jax.value_and_grad(
    functools.partial(weighted, token_scores.score, chunk=3), argnums=(0, 1)
  )(1e4 * hidden, kernel, tokens, weights)
  assert np.isfinite(value)
  assert all(np.isfinite(g).all() for g in gradient)
  # One outcome is all but sure.
  _, entropy = token_scores.score(1e4 * hidden, kernel, tokens)
  np.testing.assert_allclose(entropy, 0, atol=1e-6)


def largest(jaxpr) -> int:
  """Elements of the largest array of a program, inner programs included."""
  sizes = [0]
  for equation in jaxpr.eqns:
    sizes += [v.aval.size for v in equation.outvars]
    for parameter in jax.tree.leaves(
      equation.params, is_leaf=lambda p: hasattr(p, 'eqns')
    ):
      if hasattr(parameter, 'eqns'):
        sizes.append(largest(parameter))
  return max(sizes)


def test_no_array_of_all_logits():
  n, l, w, v = 4, 64, 8, 1000
  hidden, kernel, tokens, weights = make(np.float32, n, l, w, v)

  def gradient(score, **options):
    return jax.value_and_grad(
      lambda h, k: weighted(score, h, k, tokens, weights, **options),
      argnums=(0, 1),
    )

  chunked = gradient(token_scores.score, chunk=4)
  jaxpr = jax.make_jaxpr(chunked)(hidden, kernel)
  assert largest(jaxpr.jaxpr) <= max(n * 4 * v, v * w)
  # The check sees the logits where they are.
  jaxpr = jax.make_jaxpr(gradient(naive, temperature=1.0))(hidden, kernel)
  assert largest(jaxpr.jaxpr) >= n * l * v
  memory = jax.jit(chunked).lower(hidden, kernel).compile().memory_analysis()
  # A few chunks' logits side by side, not the 1 MB of all of them.
  assert memory.temp_size_in_bytes < 4 * n * l * v / 2


def test_the_chunk_goes_with_the_vocabulary(monkeypatch):
  monkeypatch.setattr(token_scores, '_SCORES', N * V * 3)
  hidden, kernel, tokens, _ = make(np.float32)
  text = str(jax.make_jaxpr(token_scores.score)(hidden, kernel, tokens))
  assert f'f32[1,{N * 3},{V}]' in text
  assert f'f32[1,{N * L},{V}]' not in text


def test_a_projection_that_is_not_learned_costs_no_gradient():
  hidden, kernel, tokens, weights = make(np.float32, l=16)

  def gradient(argnums):
    return str(
      jax.make_jaxpr(
        jax.grad(
          functools.partial(weighted, token_scores.score, chunk=2),
          argnums=argnums,
        )
      )(hidden, kernel, tokens, weights)
    )

  shape = f'f32[1,{V},{W}]'
  assert shape in gradient((0, 1))
  assert shape not in gradient(0)


def test_half_precision_adds_up_in_float32():
  hidden, kernel, tokens, weights = make(np.float32, l=64)
  exact = jax.grad(weighted, argnums=(1, 2))(
    naive, hidden, kernel, tokens, weights, temperature=1.0
  )
  given = jax.grad(weighted, argnums=(1, 2))(
    token_scores.score,
    hidden.astype(jnp.bfloat16),
    kernel,
    tokens,
    weights,
    chunk=1,
  )
  assert given[0].dtype == jnp.bfloat16
  assert given[1].dtype == jnp.float32
  log_probs, _ = token_scores.score(hidden.astype(jnp.bfloat16), kernel, tokens)
  assert log_probs.dtype == jnp.float32
  error = np.abs(given[1] - exact[1]).max() / np.abs(exact[1]).max()
  assert error < 0.02
  # What is added up over chunks is wide, whatever its terms are.
  text = str(
    jax.make_jaxpr(
      jax.grad(functools.partial(weighted, token_scores.score, chunk=1), 1)
    )(hidden.astype(jnp.bfloat16), kernel, tokens, weights)
  )
  assert f'f32[1,{V},{W}] = add' in text
  assert f'bf16[1,{V},{W}]' not in text


@pytest.mark.parametrize('mesh_shape', [(4, 1, 1), (1, 2, 1), (2, 2, 2)])
def test_on_a_mesh(mesh_shape):
  hidden, kernel, tokens, weights = make(np.float32, v=12)
  expected = jax.value_and_grad(weighted, argnums=(1, 2))(
    naive, hidden, kernel, tokens, weights, temperature=1.0
  )
  mesh = sharding.make_mesh(*mesh_shape)
  with jax.set_mesh(mesh):
    given = jax.jit(
      jax.value_and_grad(
        functools.partial(weighted, token_scores.score, chunk=3),
        argnums=(0, 1),
      )
    )(hidden, kernel, tokens, weights)
  check_close(given, expected, rtol=1e-4, atol=1e-4)


def test_rows_that_the_mesh_does_not_divide():
  hidden, kernel, tokens, weights = make(np.float32, n=3)
  expected = naive(hidden, kernel, tokens, 1.0)
  with jax.set_mesh(sharding.make_mesh(2, 2, 2)):
    given = jax.jit(token_scores.score)(hidden, kernel, tokens)
  check_close(given, expected, rtol=1e-5, atol=1e-5)


def test_no_positions():
  log_probs, entropy = token_scores.score(
    jnp.zeros((2, 0, W)), jnp.zeros((V, W)), jnp.zeros((2, 0), jnp.int32)
  )
  assert log_probs.shape == entropy.shape == (2, 0)
