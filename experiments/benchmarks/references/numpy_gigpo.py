"""GiGPO's credit in vectorised NumPy, what a careful user would write.

Speed reference for `credit_speed`; float64 inside, no Python loop over steps.
"""

import numpy as np


def discounted_returns(rewards, discount):
  """[..., S] -> [..., S], a reverse scan over S."""
  out = np.empty_like(rewards)
  later = np.zeros(rewards.shape[:-1])
  for s in range(rewards.shape[-1] - 1, -1, -1):
    later = rewards[..., s] + discount * later
    out[..., s] = later
  return out


def _standardise(values, segment, count, ddof, eps):
  """(value - mean) / (std + eps) over segments; 0 where nothing differs."""
  members = np.bincount(segment, minlength=count)
  mean = np.bincount(segment, values, count) / np.maximum(members, 1)
  centred = values - mean[segment]
  square = np.bincount(segment, centred * centred, count)
  deviation = np.sqrt(square / np.maximum(members - ddof, 1))[segment]
  alike = deviation <= 1e-6 * np.abs(mean[segment])
  return np.where(alike, 0.0, centred / (deviation + eps))


def advantages(rewards, mask, anchors, *, discount=0.95, ddof=1, eps=1e-6):
  """Total advantages [P, G, S], with the defaults of `gigpo.advantages`.

  Args:
    rewards: float [P, G, S].
    mask: bool [P, G, S].
    anchors: uint64 [P, G, S].
  """
  p, g, s = mask.shape
  rewards = np.where(mask, rewards, 0).astype(np.float64)
  group = np.broadcast_to(np.arange(p)[:, None, None], mask.shape)[mask]
  # One integer for (group, anchor): the ranks of the sorted pairs.
  keys = np.stack([group.astype(np.uint64), anchors[mask]], axis=1)
  _, segment = np.unique(keys, axis=0, return_inverse=True)
  segment = segment.reshape(-1)
  step = _standardise(
    discounted_returns(rewards, discount)[mask],
    segment,
    int(segment.max(initial=-1)) + 1,
    ddof,
    eps,
  )
  taken = mask.any(-1)
  rollout_group = np.broadcast_to(np.arange(p)[:, None], taken.shape)[taken]
  episode = np.zeros((p, g))
  episode[taken] = _standardise(
    rewards.sum(-1)[taken], rollout_group, p, ddof, eps
  )
  total = np.broadcast_to(episode[..., None], mask.shape).copy()
  total[mask] += step
  return np.where(mask, total, 0)
