"""Credit of steps by chosen methods, computed again from recorded episodes.

A record of an episode holds its rewards, which actions had the wrong form, and
which steps of its group were taken in one state. That is all that the
group-relative methods ask for. What others need, a record does not hold; for
them there is a reason instead of numbers.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit import gigpo, reinforce_plus_plus, rloo, types

# Name: label. Those with a number a step in the record, or computed from it.
LABELS = {
  'grpo': 'GRPO',
  'dr_grpo': 'Dr. GRPO',
  'gigpo': 'GiGPO',
  'rloo': 'RLOO',
  'reinforce++': 'REINFORCE++',
  'reinforce++baseline': 'REINFORCE++-baseline',
  'ppo': "PPO's reward",
  'spa': "SPA's reward",
  'tempo': 'TEMPO',
  'hepo': 'HEPO',
  'treerpo': 'TreeRPO',
  'vineppo': 'VinePPO',
}
_TOKENS = 'it gives credit to tokens, and the record of episodes holds none'
_REASONS = {
  'ppo': 'its advantages need the values of a critic, which a run does not '
  'write down (runs trained with it record the reward of each step)',
  'spa': 'it needs what a progress estimator says of each step; only runs '
  'trained with it write that down',
  'tempo': _TOKENS,
  'hepo': _TOKENS,
  'treerpo': 'it needs a tree that was sampled on purpose',
  'vineppo': 'it needs further rollouts from the states of an episode',
}


def discount(config: dict[str, Any]) -> float:
  """The discount of GiGPO's returns in a run, or the paper's."""
  if 'gigpo_discount' in config:
    return config['gigpo_discount']
  # Elsewhere a discount may be one of tokens.
  return config['discount'] if 'step_weight' in config else 0.95


def _options(config: dict[str, Any]) -> dict[str, Any]:
  """Options of GiGPO: the run's own where it has them, else the paper's."""
  own = {'discount': discount(config)}
  if 'step_weight' in config:
    names = ('step_weight', 'episode_weight', 'scale', 'episode_statistics')
    own |= {name: config[name] for name in names if name in config}
  return own


def pack(
  episodes: Sequence[dict[str, Any]], config: dict[str, Any]
) -> tuple[types.Trajectories, list[tuple[int, int]]]:
  """Episodes of one iteration as arrays.

  Args:
    episodes: records.
    config: flags of the run: reward_scale, invalid_penalty and penalise.

  Returns:
    Trajectories [P, G, S], and place (p, g) of each episode.

  Raises:
    KeyError: the record does not say which actions were inadmissible, though
      the run penalised those.
  """
  groups: dict[Any, int] = {}
  sizes: list[int] = []
  places = []
  for episode in episodes:
    p = groups.setdefault(episode['group'], len(groups))
    if p == len(sizes):
      sizes.append(0)
    places.append((p, sizes[p]))
    sizes[p] += 1
  longest = max((len(e['steps']) for e in episodes), default=0)
  shape = (len(groups), max(sizes, default=0), max(longest, 1))
  rewards, penalties = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
  mask, anchors = np.zeros(shape, bool), np.zeros(shape, np.int32)
  cost = config.get('invalid_penalty') or 0.0
  listed = config.get('penalise') == 'inadmissible'
  for (p, g), episode in zip(places, episodes, strict=True):
    if episode['failure']:
      # Its environment was lost: it takes no part.
      continue
    for s, step in enumerate(episode['steps']):
      mask[p, g, s] = True
      rewards[p, g, s] = config.get('reward_scale', 1.0) * step['reward']
      anchors[p, g, s] = step['anchor_group']
      wrong = not step['valid'] or (listed and not step['admissible'])
      penalties[p, g, s] = cost * wrong
  ends = np.zeros(shape[:2], bool)
  return types.Trajectories(
    rewards, mask, anchors, penalties, terminated=ends, truncated=ends
  ), places


def _gigpo(t, options) -> dict[str, jax.Array]:
  parts = gigpo.advantages(
    t.rewards, t.mask, t.anchors, penalties=t.penalties, **options
  )
  return {'total': parts.total, 'episode': parts.episode, 'step': parts.step}


def _grpo(t, options) -> dict[str, jax.Array]:
  # The episode part alone, so that the penalties are the same.
  only = {**options, 'step_weight': 0.0, 'episode_weight': 1.0}
  return {'total': _gigpo(t, only)['total']}


def _rloo(t, options) -> dict[str, jax.Array]:
  del options
  scores = jnp.where(t.mask, t.rewards, 0).sum(-1)
  credit = rloo.advantages(scores, t.mask.any(-1))[..., None]
  return {'total': jnp.where(t.mask, credit - t.penalties, 0)}


def _reinforce(t, options) -> dict[str, jax.Array]:
  rewards = t.rewards - t.penalties
  credit = reinforce_plus_plus.advantages(
    rewards, t.mask, discount=options['discount']
  )
  return {'total': credit}


def _baseline(t, options) -> dict[str, jax.Array]:
  del options
  rewards = t.rewards - t.penalties
  return {'total': reinforce_plus_plus.baseline_advantages(rewards, t.mask)}


_COMPUTED: dict[str, Callable[..., dict[str, jax.Array]]] = {
  'grpo': _grpo,
  'dr_grpo': lambda t, options: _grpo(t, {**options, 'scale': 'none'}),
  'gigpo': _gigpo,
  'rloo': _rloo,
  'reinforce++': _reinforce,
  'reinforce++baseline': _baseline,
}


def _with(episodes, places, method, parts):
  """Episodes whose steps have the credit of one more method."""
  host = {name: np.asarray(part) for name, part in parts.items()}
  return [
    {
      **episode,
      'steps': [
        {
          **step,
          'credit': {
            **step['credit'],
            method: {n: float(part[p, g, s]) for n, part in host.items()},
          },
        }
        for s, step in enumerate(episode['steps'])
      ],
    }
    for (p, g), episode in zip(places, episodes, strict=True)
  ]


def recorded(episodes: Sequence[dict[str, Any]]) -> list[str]:
  """Methods whose credit every step of the records has."""
  steps = [step for episode in episodes for step in episode['steps']]
  return [
    method
    for method in LABELS
    if steps and all(method in step['credit'] for step in steps)
  ]


def choose(
  episodes: list[dict[str, Any]],
  methods: Sequence[str],
  config: dict[str, Any],
) -> tuple[list[dict[str, Any]], list[str], dict[str, str]]:
  """Gives steps the credit of the chosen methods.

  Args:
    episodes: records of one iteration.
    methods: names from LABELS; none for those that the run wrote down.
    config: flags of the run.

  Returns:
    The episodes; the methods that all steps now have, in the order asked for;
    and why there are not the others: name -> reason.
  """
  there = recorded(episodes)
  if not methods:
    return episodes, there, {}
  reasons = {}
  try:
    trajectories, places = pack(episodes, config)
  except KeyError as missing:
    trajectories, unpacked = None, f'the record of a step lacks {missing}'
  options = _options(config)
  for method in dict.fromkeys(methods):
    if method in _COMPUTED and trajectories is not None:
      parts = _COMPUTED[method](trajectories, options)
      episodes = _with(episodes, places, method, parts)
      there.append(method)
    elif method not in there:
      reasons[method] = _REASONS.get(method) or unpacked
  chosen = [m for m in dict.fromkeys(methods) if m not in reasons]
  return episodes, chosen, reasons
