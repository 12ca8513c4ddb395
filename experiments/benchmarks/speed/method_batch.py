"""A random batch that has what a method needs, of any size."""

from typing import Any

import numpy as np

from jaxcredit import methods, types


def responses(groups, rollouts, length, seed=0):
  """Tokens, mask and rewards of responses that leave others on the way.

  Each response follows an earlier one of its group for a part of its length
  that is uniform, so that trees are deep, and has an end of its own.
  """
  rng = np.random.default_rng(seed)
  tokens = rng.integers(0, 150_000, (groups, rollouts, length), np.int32)
  for group in tokens:
    for g in range(1, rollouts):
      shared = rng.integers(0, length)
      group[g, :shared] = group[rng.integers(0, g), :shared]
  ends = rng.integers(length // 4, length + 1, (groups, rollouts))
  mask = np.arange(length) < ends[..., None]
  rewards = (rng.random((groups, rollouts)) < 0.5).astype(np.float32)
  return tokens, mask, rewards


def batch(
  method: methods.Method,
  options: Any,
  groups: int,
  rollouts: int,
  length: int,
  steps: int,
) -> methods.Batch:
  """Episodes whose rows leave others on the way, each cut into equal steps.

  Args:
    method: that will be timed.
    options: of the method.
    groups: P.
    rollouts: G.
    length: L, tokens of a row.
    steps: S.
  """
  rng = np.random.default_rng(0)
  tokens, mask, scores = responses(groups, rollouts, length)
  shape, episodes = (groups, rollouts, steps), groups * rollouts
  step_of_token = np.where(mask, np.arange(length) * steps // length, -1)
  taken = step_of_token.max(axis=-1)[..., None] >= np.arange(steps)
  last = step_of_token.max(axis=-1)[..., None] == np.arange(steps)

  def floats(*size):
    return rng.standard_normal(size, np.float32)

  needs = method.needs_with(options)
  predictions = {
    name: floats(*shape)
    for name in ('contributions', 'step_rewards')
    if name in needs
  }
  if 'continuations' in needs:
    predictions['continuations'] = floats(*shape, 4)
  rows = None
  if method.needs_rows(options):
    rows = types.Rows(
      tokens=tokens.reshape(episodes, length),
      step_of_token=step_of_token.reshape(episodes, length).astype(np.int32),
      trajectory=np.arange(episodes, dtype=np.int32),
      length=mask.reshape(episodes, length).sum(axis=1).astype(np.int32),
      log_probs=-abs(floats(episodes, length)),
      entropies=abs(floats(episodes, length)) if 'entropies' in needs else None,
    )
  return methods.Batch(
    types.Trajectories(
      rewards=np.where(last, scores[..., None], 0).astype(np.float32),
      mask=taken,
      anchors=rng.integers(0, 4, (*shape, 2)).astype(np.uint32),
      penalties=np.zeros(shape, np.float32),
      terminated=np.ones(shape[:2], bool),
      truncated=np.zeros(shape[:2], bool),
    ),
    rows=rows,
    values=floats(episodes, length) if 'values' in needs else None,
    reference_log_probs=-abs(floats(episodes, length))
    if 'reference' in needs
    else None,
    predictions=predictions,
    carry=method.first_carry(options),
  )
