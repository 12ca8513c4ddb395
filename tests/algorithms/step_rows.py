"""Rows of tokens whose steps have none, one or several."""

import numpy as np

STEPS, LENGTH = 5, 14


def row(rng: np.random.Generator) -> np.ndarray:
  """A row of `LENGTH` tokens: steps of 0 to 3 tokens, gaps of 0 to 2."""
  tokens = [-1] * rng.integers(0, 3)
  for step in range(rng.integers(0, STEPS + 1)):
    tokens += [step] * rng.integers(0, 4) + [-1] * rng.integers(0, 3)
  return np.array([*tokens, *[-1] * LENGTH][:LENGTH], np.int32)


def rows(seed, count=4):
  """Step rewards [count, S], step of each token [count, L] and a mask."""
  rng = np.random.default_rng(seed)
  step_of_token = np.stack([row(rng) for _ in range(count)])
  rewards = np.round(rng.normal(size=(count, STEPS)), 2)
  mask = np.arange(STEPS) < rng.integers(1, STEPS + 1, count)[:, None]
  return rewards, step_of_token, mask
