"""Credit of answers from records of their groups."""

import pytest

from jaxcredit.reports import answer_credit, step_credit
from tests.reports import prefix_tree_groups


def test_by_hand():
  # Rewards 1, 0, 0, 0.
  groups = [prefix_tree_groups.pens()]
  (credit,), reasons = answer_credit.choose(groups, ['rloo', 'dr_grpo'])
  assert reasons == {}
  third = 1 / 3
  assert credit['RLOO'] == pytest.approx([1, -third, -third, -third])
  assert credit['Dr. GRPO'] == pytest.approx([0.75, -0.25, -0.25, -0.25])


def test_every_method_is_shown_or_has_a_reason():
  groups = [prefix_tree_groups.pens()]
  for method, label in step_credit.LABELS.items():
    (credit,), reasons = answer_credit.choose(groups, [method])
    shown = method in answer_credit.SHOWN or label in credit
    assert shown != (method in reasons), method
