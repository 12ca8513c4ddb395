"""Random batches that have all that any method of the table needs."""

import dataclasses

import jax
import numpy as np

from jaxcredit import methods, types

P, G, S, L = 8, 4, 5, 17


def batch(seed: int = 0, groups: int = P) -> methods.Batch:
  """A batch of numpy arrays, with episodes of unlike length.

  Each row begins with a prompt of two tokens; a step is one to three tokens of
  the policy, of a small vocabulary, and one of the environment.

  Args:
    seed: of all draws.
    groups: how many.
  """
  rng = np.random.default_rng(seed)
  shape = (groups, G, S)
  lengths = rng.integers(1, S + 1, shape[:2])
  lengths[0] = S
  mask = np.arange(S) < lengths[..., None]

  def floats(*shape):
    return rng.normal(size=shape).astype(np.float32)

  def of_steps(x):
    return np.where(mask, x, 0).astype(np.float32)

  episodes = groups * G
  tokens = np.zeros((episodes, L), np.int32)
  step_of_token = np.full((episodes, L), -1, np.int32)
  length = np.zeros(episodes, np.int32)
  for e, steps in enumerate(lengths.reshape(-1)):
    row = [(9, -1), (8, -1)]
    for s in range(steps):
      for _ in range(rng.integers(1, 3)):
        row.append((rng.integers(0, 2), s))
      row.append((7, -1))
    length[e] = len(row)
    tokens[e, : len(row)], step_of_token[e, : len(row)] = zip(*row, strict=True)
  sampled = step_of_token >= 0

  def of_tokens(x):
    return np.where(sampled, x, 0).astype(np.float32)

  return methods.Batch(
    types.Trajectories(
      rewards=of_steps(floats(*shape)),
      mask=mask,
      anchors=rng.integers(0, 4, (*shape, 2)).astype(np.uint32),
      penalties=of_steps(rng.random(shape) < 0.3) * np.float32(0.25),
      terminated=np.ones(shape[:2], bool),
      truncated=np.zeros(shape[:2], bool),
      grounding=mask & (rng.random(shape) < 0.7),
    ),
    rows=types.Rows(
      tokens=tokens,
      step_of_token=step_of_token,
      trajectory=np.arange(episodes, dtype=np.int32),
      length=length,
      log_probs=of_tokens(floats(episodes, L) / 10 - 1),
      entropies=of_tokens(abs(floats(episodes, L))),
    ),
    values=of_tokens(floats(episodes, L)),
    reference_log_probs=of_tokens(floats(episodes, L) / 10 - 1),
    predictions={
      'contributions': of_steps(floats(*shape)),
      'step_rewards': of_steps(floats(*shape)),
      'continuations': np.where(mask[..., None], floats(*shape, 3), 0),
    },
  )


def given(method: methods.Method, options, made: methods.Batch):
  """A batch with what the method itself hands on."""
  return dataclasses.replace(made, carry=method.first_carry(options))


def padded(made: methods.Batch) -> methods.Batch:
  """The batch with two steps and three tokens more, which are not there."""

  def pad(x, axis, more, value):
    edges = [(0, 0)] * x.ndim
    edges[axis] = (0, more)
    return np.pad(x, edges, constant_values=value)

  def empty(x):
    return np.nan if np.issubdtype(x.dtype, np.floating) else 0

  def steps(x):
    return pad(x, 2, 2, empty(x)) if x.ndim > 2 else x

  def tokens(x):
    return pad(x, 1, 3, 0) if x.ndim > 1 else x

  return dataclasses.replace(
    made,
    trajectories=jax.tree.map(steps, made.trajectories),
    rows=dataclasses.replace(
      jax.tree.map(tokens, made.rows),
      step_of_token=pad(made.rows.step_of_token, 1, 3, -1),
    ),
    values=tokens(made.values),
    reference_log_probs=tokens(made.reference_log_probs),
    predictions=jax.tree.map(steps, made.predictions),
  )
