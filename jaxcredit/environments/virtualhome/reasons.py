"""Why an action cannot be done, in words."""

from jaxcredit.environments.virtualhome import grounding as grounding_lib
from jaxcredit.environments.virtualhome import wording

# What the agent could change is the better reason than what it cannot.
_FIXED_COST, _CHANGING_COST = 3, 1


def reason(
  grounding: grounding_lib.Grounding,
  formula: tuple,
  binding: grounding_lib.Binding,
  state: int,
) -> str:
  """Why a formula does not hold; empty where it does.

  Of several alternatives that fail, the one is named that lacks least.

  Args:
    grounding: of the problem.
    formula: such as a precondition.
    binding: its variables' objects.
    state: the state.
  """
  cost, words = _lack(grounding, formula, binding, state, True)
  return words if cost else ''


def _lack(
  grounding, formula, binding, state: int, wanted: bool
) -> tuple[int, str]:
  """How much keeps a formula from being as wanted, and the first lack."""
  word = formula[0] if formula else 'and'
  if word == 'not':
    return _lack(grounding, formula[1], binding, state, not wanted)
  if word == '=':
    left, right = (binding.get(name, name) for name in formula[1:])
    if (left == right) == wanted:
      return 0, ''
    return _FIXED_COST, 'these are the same' if not wanted else 'they differ'
  if word == 'imply':
    parts = [(formula[1], binding, not wanted), (formula[2], binding, wanted)]
    all_of = not wanted
  elif word in ('and', 'or'):
    parts = [(part, binding, wanted) for part in formula[1:]]
    all_of = (word == 'and') == wanted
  elif word in ('exists', 'forall'):
    parts = [
      (formula[2], inner, wanted)
      for inner in grounding.bindings(formula[1], binding)
    ]
    all_of = (word == 'forall') == wanted
  else:
    atom = (word, *(binding.get(name, name) for name in formula[1:]))
    if grounding.value(atom, state) == wanted:
      return 0, ''
    changing = word in grounding.domain.changing
    cost = _CHANGING_COST if changing else _FIXED_COST
    return cost, wording.fact_words(atom, not wanted)
  lacks = [
    _lack(grounding, part, inner, state, sign) for part, inner, sign in parts
  ]
  if all_of:
    failing = [lack for lack in lacks if lack[0]]
    total = sum(cost for cost, _ in failing)
    return total, failing[0][1] if failing else ''
  if any(cost == 0 for cost, _ in lacks):
    return 0, ''
  if not lacks:
    return _FIXED_COST, 'there is no such thing'
  # That it is none of many things is one fact: all that fail together are said
  # where each alone would do.
  least = min(cost for cost, _ in lacks)
  if not wanted and word == 'and':
    words = dict.fromkeys(text for _, text in lacks)
    return least, ' and '.join(words)
  return least, next(text for cost, text in lacks if cost == least)
