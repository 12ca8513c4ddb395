"""Group-relative credit in plain Python, written from the papers' equations.

One number at a time, in exact order and with Python floats (64 bits); shares
nothing with the library. Groups of equal members get 0 by comparing values.
"""

import math


def mean(values):
  return math.fsum(values) / len(values)


def deviation(values, ddof):
  if len(values) <= ddof:
    return 0.0
  m = mean(values)
  return math.sqrt(
    math.fsum((v - m) ** 2 for v in values) / (len(values) - ddof)
  )


def alike(values):
  low, high = min(values), max(values)
  return high - low <= 1e-5 * max(abs(low), abs(high))


def relative(value, values, scale, ddof, eps):
  """(value - mean) / (std + eps), 0 in a group without spread."""
  if len(values) < 2 or alike(values):
    return 0.0
  centred = value - mean(values)
  if scale == 'none':
    return centred
  return centred / (deviation(values, ddof) + eps)


def discounted(rewards, discount):
  total, out = 0.0, []
  for reward in reversed(rewards):
    total = reward + discount * total
    out.append(total)
  return out[::-1]


def grpo(scores, *, scale='std', ddof=1, eps=1e-6):
  return [relative(s, scores, scale, ddof, eps) for s in scores]


def rloo(scores):
  if len(scores) < 2:
    return [0.0] * len(scores)
  return [s - (math.fsum(scores) - s) / (len(scores) - 1) for s in scores]


def gae(rewards, values, discount, gae_lambda, bootstrap=0.0):
  after, advantage, out = bootstrap, 0.0, []
  for reward, value in zip(reversed(rewards), reversed(values), strict=True):
    error = reward + discount * after - value
    advantage = error + discount * gae_lambda * advantage
    after = value
    out.append(advantage)
  return out[::-1]


def gigpo(
  group,
  *,
  discount=0.95,
  step_weight=1.0,
  episode_weight=1.0,
  scale='std',
  episode_statistics='trajectories',
  ddof=1,
  eps=1e-6,
):
  """GiGPO's credit of one group.

  Args:
    group: rollouts, each a list of (reward, anchor, penalty).

  Returns:
    For each rollout, for each step, (total, episode, step).
  """
  scores = [math.fsum(r for r, _, _ in rollout) for rollout in group]
  taken = [s for s, rollout in zip(scores, group, strict=True) if rollout]
  rows = [
    score - penalty
    for score, rollout in zip(scores, group, strict=True)
    for _, _, penalty in rollout
  ]
  returns = [
    discounted([r for r, _, _ in rollout], discount) for rollout in group
  ]
  by_anchor = {}
  for rollout, rollout_returns in zip(group, returns, strict=True):
    for (_, anchor, penalty), value in zip(
      rollout, rollout_returns, strict=True
    ):
      by_anchor.setdefault(anchor, []).append(value - penalty)
  out = []
  for score, rollout, rollout_returns in zip(
    scores, group, returns, strict=True
  ):
    credit = []
    for (_, anchor, penalty), value in zip(
      rollout, rollout_returns, strict=True
    ):
      if episode_statistics == 'steps':
        episode = relative(score - penalty, rows, scale, ddof, eps)
      else:
        episode = relative(score, taken, scale, ddof, eps)
        if scale == 'none' and len(taken) > 1:
          episode -= penalty
        elif len(taken) > 1 and not alike(taken):
          episode -= penalty / (deviation(taken, ddof) + eps)
      step = relative(value - penalty, by_anchor[anchor], scale, ddof, eps)
      credit.append(
        (episode_weight * episode + step_weight * step, episode, step)
      )
    out.append(credit)
  return out
