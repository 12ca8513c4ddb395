"""Linear bandits whose reward comes through a linear dynamical system.

`dynlin_ucb`, one module up, is the method; here are what it is made of and the
algorithms that its paper compares it with:

  lin_ucb, d_lin_ucb    optimism, without and with forgetting
  exp3, ar2             multiplicative weights; chains of order one
  fixed                 the optimum and an expert's action
  linear_system         the system, its Markov parameters
  stability, bounds     rho(A), Phi(A), and what an agent is told
  action_sets           finite sets, boxes and balls
  play                  the compiled loop, and regret
"""

from jaxcredit.algorithms.bandits import (
  action_sets,
  ar2,
  bounds,
  confidence,
  d_lin_ucb,
  epochs,
  exp3,
  fixed,
  lin_ucb,
  linear_system,
  play,
  ridge,
  small_matrices,
  stability,
)

__all__ = [
  'action_sets',
  'ar2',
  'bounds',
  'confidence',
  'd_lin_ucb',
  'epochs',
  'exp3',
  'fixed',
  'lin_ucb',
  'linear_system',
  'play',
  'ridge',
  'small_matrices',
  'stability',
]
