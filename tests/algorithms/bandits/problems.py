"""Problems for the tests of the bandits."""

import numpy as np

from jaxcredit.algorithms.bandits import action_sets, play
from jaxcredit.environments import linear_dynamical_system

STATES, DIMENSION, ARMS = 4, 3, 7


def random_problem(seed, rho=0.6, sigma=0.05, dtype=None):
  """A random system, and random actions of norm up to 1: no ties."""
  system = linear_dynamical_system.random(
    seed,
    states=STATES,
    dimension=DIMENSION,
    rho=rho,
    sigma=sigma,
    dtype=dtype,
  )
  rng = np.random.default_rng(1000 + seed)
  arms = rng.standard_normal((ARMS, DIMENSION))
  arms /= np.linalg.norm(arms, axis=1).max()
  return system, action_sets.finite(arms, dtype)


def paper_problem(sigma=0.01, dtype=None):
  """The synthetic system with the script's noise, and the paper's actions."""
  system = linear_dynamical_system.synthetic(sigma, outputs=3, dtype=dtype)
  arms = action_sets.budget_shares(3, 1.5, 1.0)
  return system, action_sets.finite(arms, dtype)


def numbers(key, system, rounds):
  """The random numbers of a run, noise [T, 1 + n] and draws [T]."""
  blocks = [
    play.random_numbers(key, block, system.states, system.A.dtype)
    for block in range(-(-rounds // play.BLOCK))
  ]
  noise, draws = (
    np.concatenate(part)[:rounds] for part in zip(*blocks, strict=True)
  )
  return noise, draws


def played(history):
  """The action of each round, of a history that recorded them all."""
  plays = np.asarray(history.plays)
  assert (plays.sum(axis=-1) == 1).all()
  return plays.argmax(axis=-1)
