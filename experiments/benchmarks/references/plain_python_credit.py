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


def tempo(
  group,
  rewards,
  *,
  scale='std',
  ddof=1,
  eps=1e-6,
  td_weight=1.0,
  ended='leaves',
  after_environment='resume',
):
  """TEMPO's credit of one group, from a dictionary of prefixes.

  Args:
    group: responses, each a list of (content, credited): a token or a whole
      step, and whether the policy chose it.
    rewards: a reward for each.

  Returns:
    For each response, for each entry, (total, td, branch); and the values of
    its prefixes, one more. A response with no credited entry has none.
  """
  taken = [any(credited for _, credited in response) for response in group]
  scores = [r for r, present in zip(rewards, taken, strict=True) if present]
  # Prefixes are numbered: (number of the prefix, what follows) -> number.
  numbers, members, paths = {}, {0: []}, []
  for i, response in enumerate(group):
    paths.append([0] if taken[i] else [])
    if taken[i]:
      members[0].append(i)
    for content, _ in response if taken[i] else ():
      key = (paths[i][-1], content)
      number = numbers.setdefault(key, len(numbers) + 1)
      members.setdefault(number, []).append(i)
      paths[i].append(number)
  finished = {}
  for i, path in enumerate(paths):
    finished.setdefault(path[-1] if path else None, []).append(i)
  means = {}

  def value(prefix, earlier):
    """Mean over those that begin so, and over those that ended before."""
    key = (prefix, len(earlier))
    if key not in means:
      means[key] = mean([rewards[k] for k in members[prefix] + earlier])
    return means[key]

  out = []
  for i, response in enumerate(group):
    if not taken[i]:
      out.append(([(0.0, 0.0, False)] * len(response), []))
      continue
    score = relative(rewards[i], scores, scale, ddof, eps)
    unit = 1.0
    if scale == 'std' and not alike(scores):
      unit = deviation(scores, ddof) + eps
    credit, earlier, walking = [], [], True
    values, size = [value(0, earlier)], len(members[0])
    for (_, credited), before, prefix in zip(
      response, paths[i], paths[i][1:], strict=False
    ):
      if ended == 'stays':
        earlier = earlier + finished.get(before, [])
      walking = walking and (credited or after_environment == 'resume')
      values.append(value(prefix, earlier) if walking else values[-1])
      branch = credited and walking
      branch = branch and len(members[prefix] + earlier) < size
      size = len(members[prefix] + earlier)
      td = values[-1] - values[-2] if branch and not alike(scores) else 0.0
      total = score + td_weight * td / unit if credited else 0.0
      credit.append((total, td, branch))
    out.append((credit, values))
  return out


def hepo(group, entropies, rho, **options):
  """GRPO's credit on the tokens of highest entropy of one group.

  Args:
    group: a score for each rollout.
    entropies: for each rollout, those of its tokens; none of them equal.
  """
  taken = [i for i, row in enumerate(entropies) if row]
  credit = grpo([group[i] for i in taken], **options)
  by_entropy = sorted((e for row in entropies for e in row), reverse=True)
  kept = set(by_entropy[: max(1, int(rho * len(by_entropy)))])
  out = [[] for _ in entropies]
  for i, advantage in zip(taken, credit, strict=True):
    out[i] = [advantage if e in kept else 0.0 for e in entropies[i]]
  return out


def treerpo(parents, rewards, **options):
  """TreeRPO's credit of one tree.

  Args:
    parents: index of each node's parent, -1 for the first steps.
    rewards: a reward for each node; those of inner nodes are not read.

  Returns:
    (advantage, value) for each node.
  """
  children = {}
  for node, parent in enumerate(parents):
    children.setdefault(parent, []).append(node)

  def leaves(node):
    below = children.get(node, [])
    return [leaf for n in below for leaf in leaves(n)] if below else [node]

  values = [
    mean([rewards[leaf] for leaf in leaves(node)])
    for node in range(len(parents))
  ]
  return [
    (
      relative(values[node], [values[n] for n in children[parent]], **options),
      values[node],
    )
    for node, parent in enumerate(parents)
  ]
