"""Tasks whose states can be counted, so that all about them can be computed.

Each is a `DecisionProcess`: tables of what follows on what. It is a functional
environment as the others are, and exact values follow from its tables.

  task = tabular.key_door(size=3, horizon=16)
  state, observation = task.reset(key)
  transition = task.step(state, action)

Rewards come late: with the end of an episode, or `delay` steps after what
decided it.
"""

from jaxcredit.environments.tabular.decision_process import (
  DecisionProcess,
  State,
  pay_later,
  random_rewards,
  stack,
)
from jaxcredit.environments.tabular.grid import grid_world
from jaxcredit.environments.tabular.key_and_door import key_door
from jaxcredit.environments.tabular.two_arms import two_armed

__all__ = [
  'DecisionProcess',
  'State',
  'grid_world',
  'key_door',
  'pay_later',
  'random_rewards',
  'stack',
  'two_armed',
]
