"""TEMPO against a dictionary of prefixes, and against the released code."""

import functools
import json
import pathlib

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.benchmarks.references import (
  plain_python_credit as slow_reference,
)
from jaxcredit import grpo, tempo

G, L = 4, 6

# Who wrote a token: the policy, the environment, or nobody (a gap).
tokens = st.tuples(st.sampled_from('pppeg'), st.integers(0, 1))
rows = st.lists(tokens, max_size=L)
rewards = st.sampled_from([0.0, 1.0, 1.0, -0.5, 0.7])
groups = st.lists(st.tuples(rows, rewards), min_size=1, max_size=G)


def pack(group):
  """Rows as (tokens, mask, environment, rewards), garbage where masked."""
  ids = np.random.default_rng(0).integers(-9, 9, (G, L))
  mask, environment = np.zeros((2, G, L), bool)
  scores = np.full(G, np.nan, np.float32)
  for g, (row, reward) in enumerate(group):
    for t, (writer, token) in enumerate(row):
      mask[g, t] = writer == 'p'
      environment[g, t] = writer == 'e'
      ids[g, t] = token if writer != 'g' else ids[g, t]
    scores[g] = reward if mask[g].any() else np.nan
  return ids, mask, environment, scores


def entries(row):
  """A row as the slow reference takes it: trailing gaps are not there."""
  written = [t for t, (writer, _) in enumerate(row) if writer != 'g']
  end = written[-1] + 1 if written else 0
  return [
    (None if writer == 'g' else token, writer == 'p')
    for writer, token in row[:end]
  ]


def against_reference(group, result, tolerance, **options):
  expected = slow_reference.tempo(
    [entries(row) for row, _ in group],
    [reward for _, reward in group],
    **options,
  )
  out = [np.zeros((G, L)), np.zeros((G, L)), np.zeros((G, L), bool)]
  values = np.zeros((G, L + 1))
  for g, (credit, prefix_values) in enumerate(expected):
    values[g, : len(prefix_values)] = prefix_values
    for t, parts in enumerate(credit):
      for array, part in zip(out, parts, strict=True):
        array[g, t] = part
  close = functools.partial(
    np.testing.assert_allclose, rtol=tolerance, atol=tolerance
  )
  close(result.values, values)
  close(result.td, out[1])
  close(result.total, out[0])
  np.testing.assert_array_equal(result.branch, out[2])


@pytest.mark.parametrize('ended', tempo.ENDED)
@pytest.mark.parametrize('after', tempo.AFTER_ENVIRONMENT)
@given(groups)
def test_slow_reference(ended, after, group):
  ids, mask, environment, scores = pack(group)
  options = {'td_weight': 0.7, 'ended': ended, 'after_environment': after}
  result = tempo.advantages(
    ids, mask, scores, environment=environment, **options
  )
  against_reference(group, result, 1e-4, **options)


@pytest.mark.parametrize('ddof', [0, 1])
@given(groups)
def test_slow_reference_in_float64(ddof, group):
  ids, mask, environment, scores = pack(group)
  exact = np.array([reward for _, reward in group] + [0.0] * (G - len(group)))
  with jax.enable_x64(True):
    result = tempo.advantages(
      ids,
      mask,
      np.where(np.isnan(scores), np.nan, exact),
      environment=environment,
      ddof=ddof,
    )
    result = jax.tree.map(np.asarray, result)
  assert result.total.dtype == np.float64
  against_reference(group, result, 1e-12, ddof=ddof)


@pytest.mark.parametrize('ended', tempo.ENDED)
@given(
  st.lists(
    st.tuples(
      st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=2), max_size=3),
      rewards,
    ),
    min_size=1,
    max_size=G,
  )
)
def test_steps_slow_reference(ended, group):
  ids = np.full((G, L), 7)
  steps = np.full((G, L), -1)
  scores = np.full(G, np.nan, np.float32)
  for g, (response, reward) in enumerate(group):
    flat = [(s, token) for s, step in enumerate(response) for token in step]
    for t, (s, token) in enumerate(flat):
      ids[g, t], steps[g, t], scores[g] = token, s, reward
  result = tempo.advantages(
    ids, steps >= 0, scores, step_of_token=steps, ended=ended
  )
  expected = slow_reference.tempo(
    [[(tuple(step), True) for step in response] for response, _ in group],
    [reward for _, reward in group],
    ended=ended,
  )
  for g, (credit, values) in enumerate(expected):
    for t in np.flatnonzero(steps[g] >= 0):
      total, td, branch = credit[steps[g, t]]
      np.testing.assert_allclose(result.total[g, t], total, atol=1e-4)
      np.testing.assert_allclose(result.td[g, t], td, atol=1e-5)
      assert bool(result.branch[g, t]) == branch
      # From its first token on a step's value is that of its end.
      value = values[steps[g, t] + 1]
      np.testing.assert_allclose(result.values[g, t + 1], value, atol=1e-5)


def test_released_code():
  # Computed with fatebreaker/tempo at 0a1c273; a token of -1 is padding, and
  # what is neither padding nor the policy's has a mask of 0 there.
  path = pathlib.Path(__file__).with_name('released_tempo.json')
  cases = json.loads(path.read_text(encoding='utf-8'))
  ids, policy, scores = (
    np.array([case[key] for case in cases])
    for key in ('tokens', 'policy', 'rewards')
  )
  for scale in grpo.SCALES:
    result = tempo.advantages(
      ids,
      policy,
      scores,
      environment=(ids >= 0) & (policy == 0),
      after_environment='stop',
      scale=scale,
    )
    released = [case[scale] for case in cases]
    np.testing.assert_allclose(result.total, released, atol=3e-6)


def test_groups_of_more_rows_than_a_block():
  rng = np.random.default_rng(12)
  ids = rng.integers(0, 2, (1, 70, 9))
  mask = np.arange(9) < rng.integers(0, 10, (1, 70, 1))
  scores = rng.integers(-2, 3, (1, 70)).astype(np.float32)
  result = tempo.advantages(ids, mask, scores)
  expected = slow_reference.tempo(
    [
      [(int(token), True) for token in row[valid]]
      for row, valid in zip(ids[0], mask[0], strict=True)
    ],
    scores[0].tolist(),
  )
  for g, (credit, values) in enumerate(expected):
    total = [part[0] for part in credit]
    np.testing.assert_allclose(
      result.total[0, g, : len(total)], total, atol=1e-4
    )
    np.testing.assert_allclose(
      result.values[0, g, : len(values)], values, atol=1e-5
    )
