"""Credit of answers by chosen methods, from recorded groups of answers.

TEMPO gives credit to tokens; it and GRPO stand in the record. The others that a
group's rewards suffice for give all tokens of an answer the same.
"""

from collections.abc import Sequence

import numpy as np

from jaxcredit import grpo, rloo
from jaxcredit.reports import prefix_tree_records, step_credit

# What the page of prefix trees always shows.
SHOWN = ('tempo', 'grpo')
_COMPUTED = {
  'rloo': rloo.advantages,
  'dr_grpo': lambda scores, mask: grpo.advantages(scores, mask, scale='none'),
}
_WHITENED = (
  'it is relative to all answers of a batch, of which a run keeps few groups'
)
_REASONS = {
  'gigpo': 'it gives credit to steps, and a group of answers has none',
  'spa': 'it gives credit to steps, and a group of answers has none',
  'hepo': 'it needs the entropy of each token, which the record does not hold',
  'ppo': 'it needs the values of a critic, which a run does not write down',
  'reinforce++': _WHITENED,
  'reinforce++baseline': _WHITENED,
  'treerpo': 'it needs a tree that was sampled on purpose',
  'vineppo': 'it needs further rollouts from the prefixes of an answer',
}


def choose(
  groups: Sequence[prefix_tree_records.Group], methods: Sequence[str]
) -> tuple[list[dict[str, list[float]]], dict[str, str]]:
  """Credit of each answer by the methods that can be computed.

  Args:
    groups: with answers.
    methods: names from `step_credit.LABELS`.

  Returns:
    For each group label -> credit of its answers; and why there are not the
    other methods: name -> reason.
  """
  credits = []
  for group in groups:
    scores = np.array([a.reward for a in group.answers], np.float32)
    mask = np.array([any(a.mask) for a in group.answers])
    credits.append(
      {
        step_credit.LABELS[method]: np.asarray(
          _COMPUTED[method](scores, mask)
        ).tolist()
        for method in dict.fromkeys(methods)
        if method in _COMPUTED
      }
    )
  reasons = {m: _REASONS[m] for m in dict.fromkeys(methods) if m in _REASONS}
  return credits, reasons
