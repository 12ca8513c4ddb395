"""Credit assignment for agents whose reward comes late, in JAX.

Each method is a module of pure, compiled functions over batched trajectories:

>>> from jaxcredit import gigpo
>>> credit = gigpo.advantages(rewards, mask, anchors)  # doctest: +SKIP
"""

from jaxcredit import types
from jaxcredit.algorithms import (
  bandits,
  credit_quality,
  dapo,
  dynlin_ucb,
  dynlin_ucb_epochs,
  fingerprints,
  gigpo,
  grpo,
  hepo,
  ircr,
  kl_penalty,
  lare,
  losses,
  packing,
  ppo,
  prefix_trees,
  reinforce_plus_plus,
  returns,
  rloo,
  running_statistics,
  spa,
  step_tokens,
  tempo,
  treerpo,
  vineppo,
)

__version__ = '0.1.0'

__all__ = [
  'bandits',
  'credit_quality',
  'dapo',
  'dynlin_ucb',
  'dynlin_ucb_epochs',
  'fingerprints',
  'gigpo',
  'grpo',
  'hepo',
  'ircr',
  'kl_penalty',
  'lare',
  'losses',
  'packing',
  'ppo',
  'prefix_trees',
  'reinforce_plus_plus',
  'returns',
  'rloo',
  'running_statistics',
  'spa',
  'step_tokens',
  'tempo',
  'treerpo',
  'types',
  'vineppo',
]
