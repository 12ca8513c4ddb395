"""What each method of the table is made of: functions of plain arrays.

A new method is tested by adding a row.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxcredit import (
  gigpo,
  hepo,
  ircr,
  methods,
  reinforce_plus_plus,
  rloo,
  spa,
  tempo,
  treerpo,
  vineppo,
)
from jaxcredit.algorithms import step_tokens
from tests.methods import batches


@dataclasses.dataclass(frozen=True)
class Row:
  """A method under contract.

  Attributes:
    plain: batch -> what `Credit.total` must be, with the method's own options.
    others: options that run other code.
  """

  plain: Callable[[methods.Batch], jax.Array]
  others: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _groups(x):
  return x.reshape(-1, batches.G, *x.shape[1:])


def _net(b):
  return b.trajectories.rewards - b.trajectories.penalties


def _scores(b):
  return jnp.where(b.trajectories.mask, _net(b), 0).sum(axis=-1)


def _returns(b):
  t = b.trajectories
  return jnp.where(t.mask, t.rewards, 0).sum(axis=-1)


def _gigpo(b, **options):
  t = b.trajectories
  return gigpo.advantages(
    t.rewards, t.mask, t.anchors, penalties=t.penalties, **options
  )


def _rloo(b):
  t = b.trajectories
  credit = rloo.advantages(_returns(b), t.mask.any(axis=-1))[..., None]
  return jnp.where(t.mask, credit - t.penalties, 0)


def _hepo(b):
  return hepo.advantages(
    _scores(b), _groups(b.rows.entropies), _groups(b.rows.step_of_token) >= 0
  )


def _tempo(b):
  sampled = _groups(b.rows.step_of_token) >= 0
  begun = jnp.cumsum(sampled, axis=-1) > 0
  inside = jnp.arange(sampled.shape[-1]) < _groups(b.rows.length)[..., None]
  return tempo.advantages(
    _groups(b.rows.tokens),
    sampled,
    _scores(b),
    environment=begun & inside & ~sampled,
  ).total


def _treerpo(b):
  """The tree of each group's prefixes, built by hand."""
  tokens, steps = _groups(b.rows.tokens), _groups(b.rows.step_of_token)
  scores, result = _scores(b), []
  for p in range(len(tokens)):
    nodes, parents, leaves, at = {}, [], [], {}
    for g in range(batches.G):
      parent = -1
      for i in range(tokens.shape[-1]):
        if steps[p, g, i] >= 0:
          prefix = tuple(tokens[p, g, : i + 1].tolist())
          if prefix not in nodes:
            nodes[prefix] = len(parents)
            parents.append(parent)
            leaves.append(float(scores[p, g]))
          parent = at[g, i] = nodes[prefix]
    given = treerpo.advantages(
      jnp.array(leaves), jnp.array(parents), jnp.ones(len(parents), bool)
    ).total
    total = jnp.zeros(tokens.shape[1:])
    for place, node in at.items():
      total = total.at[place].set(given[node])
    result.append(total)
  return jnp.stack(result)


def _proximal(b, rewards, discount=1.0, gae_lambda=1.0):
  t, steps = b.trajectories, b.rows.step_of_token
  flat = t.mask.reshape(-1, t.mask.shape[-1])
  rewards = jnp.where(t.mask, rewards, 0).reshape(flat.shape)
  return _groups(
    spa.token_advantages(
      step_tokens.place(rewards, steps, flat),
      b.values,
      steps >= 0,
      discount=discount,
      gae_lambda=gae_lambda,
    ).total
  )


def _spa(b):
  t = b.trajectories
  rewards = spa.rewards(b.predictions['contributions'], t.grounding, t.mask)
  return _proximal(b, rewards - t.penalties, discount=0.99, gae_lambda=0.95)


def _ircr(b):
  t = b.trajectories
  flat = t.mask.reshape(-1, t.mask.shape[-1])
  rewards = ircr.guidance_rewards(_returns(b).reshape(-1), flat)
  return _proximal(b, rewards.reshape(t.mask.shape) - t.penalties)


def _decoded(b):
  return _proximal(b, b.predictions['step_rewards'] - b.trajectories.penalties)


_KL = {'kl_reward': 0.1, 'kl_reward_target': 0.5, 'gae_positions': 'steps'}

TABLE: Mapping[str, Row] = {
  'gigpo': Row(
    lambda b: _gigpo(b).total,
    {'episode_statistics': 'steps', 'scale': 'none'},
  ),
  'grpo': Row(
    lambda b: _gigpo(b, step_weight=0.0).total,
    {'episode_statistics': 'steps'},
  ),
  'dr_grpo': Row(lambda b: _gigpo(b, step_weight=0.0, scale='none').total),
  'rloo': Row(_rloo),
  'reinforce++': Row(
    lambda b: reinforce_plus_plus.advantages(_net(b), b.trajectories.mask),
    {'discount': 0.9},
  ),
  'reinforce++baseline': Row(
    lambda b: reinforce_plus_plus.baseline_advantages(
      _net(b), b.trajectories.mask
    )
  ),
  'hepo': Row(_hepo, {'rho': 0.5}),
  'tempo': Row(_tempo, {'nodes': 'steps', 'ended': 'stays'}),
  'treerpo': Row(_treerpo, {'scale': 'none'}),
  'vineppo': Row(
    lambda b: vineppo.advantages(
      _net(b),
      vineppo.state_values(b.predictions['continuations']),
      b.trajectories.mask,
    )
  ),
  'ppo': Row(lambda b: _proximal(b, _net(b)), _KL),
  'spa': Row(_spa, {'redistribution': 'leave_one_out'}),
  'lare': Row(_decoded),
  'rrd': Row(_decoded),
  'ircr': Row(_ircr, {'gae_positions': 'all'}),
}
